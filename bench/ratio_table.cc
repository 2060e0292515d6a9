#include "bench/ratio_table.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace fusebox::bench {
namespace {

// Keeps the runs of each benchmark, in nanoseconds per iteration.
class Runs final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }

  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.error_occurred) {
        if (run.error_occurred) {
          std::fprintf(stderr, "%s: %s\n", run.benchmark_name().c_str(),
                       run.error_message.c_str());
        }
        continue;
      }
      const std::string name = run.benchmark_name();
      // Google Benchmark adds this to the name of wall-clock runs.
      const std::string wall = "/real_time";
      const std::size_t at = name.find(wall);
      const bool is_wall = at != std::string::npos;
      const double per_iteration =
          (is_wall ? run.real_accumulated_time : run.cpu_accumulated_time) /
          static_cast<double>(run.iterations) * 1e9;
      const std::string key =
          is_wall ? name.substr(0, at) + name.substr(at + wall.size()) : name;
      runs_[key].push_back(per_iteration);
      if (isatty(STDERR_FILENO)) {
        std::fprintf(stderr, "\r\033[K  %s", key.c_str());
      }
    }
  }

  void Finalize() override {
    if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\r\033[K");
  }

  // The least, and the median. NaN if it was not run.
  double Least(const std::string& name) const { return Sorted(name, 0); }
  double Median(const std::string& name) const { return Sorted(name, 0.5); }

 private:
  double Sorted(const std::string& name, double share) const {
    const auto found = runs_.find(name);
    if (found == runs_.end()) return std::nan("");
    std::vector<double> sorted = found->second;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<std::size_t>(share *
                                           static_cast<double>(sorted.size()))];
  }

  std::map<std::string, std::vector<double>> runs_;
};

// Google Benchmark ends the name of such a one with "/threads:N".
bool HasSeveralThreads(const std::string& name) {
  const std::string threads = "/threads:";
  const std::size_t at = name.rfind(threads);
  return at != std::string::npos && name.substr(at + threads.size()) != "1";
}

}  // namespace

int RunAndPrint(int argc, char** argv, const std::string& title,
                const std::vector<Row>& rows, const Repeats& repeats) {
  bool check = true;
  std::vector<char*> arguments;
  for (int i = 0; i < argc; ++i) {
    if (std::strcmp(argv[i], "--check=false") == 0) {
      check = false;
    } else {
      arguments.push_back(argv[i]);
    }
  }
  // In front, so that the command line wins.
  std::string defaults[] = {
      "--benchmark_repetitions=" + std::to_string(repeats.count),
      "--benchmark_min_time=" + std::to_string(repeats.seconds),
      "--benchmark_enable_random_interleaving=true"};
  for (std::string& one : defaults) {
    arguments.insert(arguments.begin() + 1, one.data());
  }
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;

  Runs runs;
  benchmark::RunSpecifiedBenchmarks(&runs);

  int missed = 0;
  std::printf("%s\n\n", title.c_str());
  std::printf(
      "| what | ns | ratio | of medians | to | must be |\n"
      "|---|---|---|---|---|---|\n");
  for (const Row& row : rows) {
    const double ns = runs.Least(row.name);
    const double ratio = ns / runs.Least(row.base);
    if (std::isnan(ratio)) continue;
    const double of_medians = runs.Median(row.name) / runs.Median(row.base);
    const int digits = ratio < 0.1 ? 4 : 2;
    std::printf("| %s | %.*f | %.*f | %.*f | %s |", row.text.c_str(),
                ns < 100 ? 1 : 0, ns, digits, ratio, digits, of_medians,
                row.base.c_str());
    if (std::isinf(row.limit)) {
      std::printf(" |\n");
    } else {
      const bool kept =
          (HasSeveralThreads(row.name) ? of_medians : ratio) <= row.limit;
      std::printf(" <= %g%s |\n", row.limit, kept ? "" : " MISSED");
      missed += kept ? 0 : 1;
    }
  }
  std::printf("\n");
  if (missed != 0) std::printf("%d ratio(s) beyond the limit\n", missed);
  return check && missed != 0 ? 1 : 0;
}

}  // namespace fusebox::bench
