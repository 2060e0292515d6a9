// Benchmarks as ratios: what a machine's noise leaves standing.

#ifndef FUSEBOX_BENCH_RATIO_TABLE_H_
#define FUSEBOX_BENCH_RATIO_TABLE_H_

#include <benchmark/benchmark.h>

#include <limits>
#include <map>
#include <string>
#include <vector>

namespace fusebox::bench {

// One line of the table: the time of benchmark `name` over that of `base`.
struct Row {
  std::string text;  // what the reader sees
  std::string name;  // as registered, with any "/threads:N"
  std::string base;  // the same
  double limit = std::numeric_limits<double>::infinity();  // of the ratio
};

// How often each benchmark is run, and for how long at least.
struct Repeats {
  int count = 25;
  double seconds = 0.02;
};

// Runs every registered benchmark (or those --benchmark_filter names) in random
// order, again and again, and prints `rows`. The time of a
// benchmark is the CPU time per iteration, of one thread; with UseRealTime(),
// wall time.
//
// Ratios are of the least time of each: whatever else runs on a core adds to a
// time and never takes from it, and a clock reading waits for the counter of
// the processor while everything else loses to a neighbour on the same core.
// The ratio of the medians stands beside. Limits are about the former; those of
// benchmarks with several threads about the latter, since the threads may have
// taken turns in the quickest run.
//
// `argv`: Google Benchmark's flags, and --check=false to pass whatever the
// ratios are. Returns the exit code: 0; 1 if a ratio is beyond its limit; 2 if
// the arguments are wrong.
int RunAndPrint(int argc, char** argv, const std::string& title,
                const std::vector<Row>& rows, const Repeats& repeats = {});

}  // namespace fusebox::bench

#endif  // FUSEBOX_BENCH_RATIO_TABLE_H_
