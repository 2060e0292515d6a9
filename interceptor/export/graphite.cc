#include "interceptor/export/graphite.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "interceptor/export/breaker_numbers.h"
#include "interceptor/export/option_range.h"
#include "interceptor/export/shortest_number.h"

namespace fusebox {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kCarbonPort = 2003;

// Where everything about a breaker stands.
std::vector<std::string> PathOf(const BreakerSnapshot& breaker) {
  std::vector<std::string> path = {RoleName(breaker.role)};
  const std::string_view method = MethodName(breaker);
  const std::size_t slash = method.rfind('/');
  const bool overflow = slash == std::string_view::npos;
  if (breaker.role == Role::kClient && !overflow) {
    path.push_back(breaker.target);
  }
  if (!overflow) path.emplace_back(method.substr(0, slash));
  path.emplace_back(overflow ? method : method.substr(slash + 1));
  return path;
}

void Append(const std::vector<std::string>& path,
            const std::vector<BreakerNumber>& numbers,
            std::vector<GraphiteValue>& values) {
  for (const BreakerNumber& number : numbers) {
    GraphiteValue value{path, number.number};
    value.path.emplace_back(number.name);
    if (!number.value.empty()) value.path.push_back(number.value);
    values.push_back(std::move(value));
  }
}

}  // namespace

GraphiteSource BreakersForGraphite(BreakerRegistry* registry) {
  return [registry] {
    std::vector<GraphiteValue> values;
    for (const BreakerSnapshot& breaker : registry->Snapshots()) {
      const std::vector<std::string> path = PathOf(breaker);
      Append(path, BreakerCounters(breaker), values);
      Append(path, BreakerGauges(breaker), values);
    }
    return values;
  };
}

absl::Status ValidateGraphiteOptions(const GraphiteOptions& options) {
  if (!ParseHostPort(options.address, kCarbonPort).has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("address: '", options.address,
                     "' is not valid: HOST or HOST:PORT, ports [1, 65535]"));
  }
  const absl::Status found[] = {
      InRange("period", options.period, seconds(1), hours(24)),
      InRange("timeout", options.timeout, milliseconds(10), hours(1)),
      InRange("max_retry", options.max_retry, milliseconds(10), hours(1)),
      InRange("min_retry", options.min_retry, milliseconds(10),
              options.max_retry),
      InRange("max_buffered_bytes", options.max_buffered_bytes, 1024,
              std::size_t{1} << 30),
      InRange("stop_timeout", options.stop_timeout, seconds(0), hours(1)),
  };
  for (const absl::Status& status : found) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

GraphiteExporter::GraphiteExporter(GraphiteOptions options,
                                   GraphiteSource source)
    : options_(std::move(options)), source_(std::move(source)) {}

GraphiteExporter::~GraphiteExporter() { Stop(); }

absl::Status GraphiteExporter::Start() {
  absl::Status status = ValidateGraphiteOptions(options_);
  if (!status.ok()) return status;
  if (!options_.prefix.empty()) {
    path_prefix_ = GraphitePath(absl::StrSplit(options_.prefix, '.')) + ".";
  }
  sender_ = std::make_unique<GraphiteSender>(GraphiteSenderOptions{
      *ParseHostPort(options_.address, kCarbonPort), options_.look_up,
      options_.timeout, options_.min_retry, options_.max_retry,
      options_.max_buffered_bytes});
  try {
    wakeup_ = std::make_unique<Wakeup>();
    if (options_.start_thread) thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(error.what());
  }
  return absl::OkStatus();
}

void GraphiteExporter::Stop() {
  if (!thread_.joinable()) return;
  stop_ = true;
  wakeup_->Wake();
  thread_.join();
}

void GraphiteExporter::Run() {
  while (!stop_) {
    const Awaited awaited = Tick(FineNow());
    wakeup_->Wait(awaited, FineNow());
  }
  SendLastRound();
}

void GraphiteExporter::SendLastRound() {
  const TimePoint deadline = FineNow() + options_.stop_timeout;
  next_round_ = TimePoint::min();
  sender_->Hurry();
  for (TimePoint now = FineNow(); now < deadline; now = FineNow()) {
    Awaited awaited = Tick(now);
    if (sender_->stats().buffered_bytes == 0) return;
    awaited.until = std::min(awaited.until, deadline);
    wakeup_->Wait(awaited, now);
  }
}

Awaited GraphiteExporter::Tick(TimePoint now) {
  if (now >= next_round_) {
    if (next_round_ == TimePoint::min()) next_round_ = now;
    next_round_ +=
        ((now - next_round_) / options_.period + 1) * options_.period;
    sender_->Add(Lines());
  }
  Awaited awaited = sender_->Tick(now);
  awaited.until = std::min(awaited.until, next_round_);
  const MutexLock lock(mu_);
  static_cast<GraphiteSenderStats&>(stats_) = sender_->stats();
  return awaited;
}

std::string GraphiteExporter::Lines() {
  std::vector<GraphiteValue> values;
  bool threw = false;
  try {
    values = source_();
  } catch (...) {
    threw = true;
  }
  std::string lines;
  std::uint64_t not_numbers = 0;
  std::uint64_t forbidden = 0;
  const std::string end = absl::StrCat(" ", options_.wall_clock(), "\n");
  for (const GraphiteValue& value : values) {
    const std::string path = GraphitePath(value.path);
    if (!options_.rules.Allows(path)) {
      ++forbidden;
    } else if (!std::isfinite(value.value)) {
      ++not_numbers;
    } else {
      absl::StrAppend(&lines, path_prefix_, path, " ",
                      ShortestNumber(value.value), end);
    }
  }
  const MutexLock lock(mu_);
  ++stats_.rounds;
  stats_.source_errors += threw ? 1 : 0;
  stats_.not_numbers += not_numbers;
  stats_.forbidden += forbidden;
  return lines;
}

GraphiteExporter::Stats GraphiteExporter::stats() const {
  const MutexLock lock(mu_);
  return stats_;
}

}  // namespace fusebox
