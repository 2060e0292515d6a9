// The statistics of a process: named values in a tree, read when asked.

#ifndef FUSEBOX_INTERCEPTOR_STATS_STATISTICS_H_
#define FUSEBOX_INTERCEPTOR_STATS_STATISTICS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/stats/distribution.h"
#include "interceptor/stats/meter.h"

namespace fusebox {

// What is read: JSON, members of objects in order. Include <nlohmann/json.hpp>
// to look into it.
using StatValue = nlohmann::ordered_json;

// Each kind of statistic is thread-safe.

// Shown as a number. Wraps around at 64 bits.
class IntegerStat {
 public:
  void Add(std::int64_t n = 1) {
    value_.fetch_add(n, std::memory_order_relaxed);
  }
  void Set(std::int64_t value) {
    value_.store(value, std::memory_order_relaxed);
  }
  std::int64_t Value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Shown as a number, or null if it is not finite.
class DoubleStat {
 public:
  void Add(double x);
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  double Value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Shown as a text.
class StringStat {
 public:
  void Set(std::string value) FUSEBOX_EXCLUDES(mu_);
  std::string Value() const FUSEBOX_EXCLUDES(mu_);

 private:
  mutable Mutex mu_;
  std::string value_ FUSEBOX_GUARDED_BY(mu_);
};

// An integer for each key: {"de": 2, "fr": 1}. Keys may come from anywhere:
// those after the first kMaxKeys are counted as "other".
class MapStat {
 public:
  static constexpr std::size_t kMaxKeys = 1000;

  void Add(std::string_view key, std::int64_t n = 1) FUSEBOX_EXCLUDES(mu_);
  std::map<std::string, std::int64_t> Values() const FUSEBOX_EXCLUDES(mu_);

 private:
  mutable Mutex mu_;
  std::map<std::string, std::int64_t, std::less<>> values_
      FUSEBOX_GUARDED_BY(mu_);
};

// A Meter: {"unit": "jobs/s", "count": 5, "m1": 1.0, "m5": 1.0, "m15": 1.0}.
class MeterStat {
 public:
  // "jobs" is shown as "jobs/s".
  MeterStat(std::string unit, NowFunction now);
  void Mark(std::uint64_t events = 1) FUSEBOX_EXCLUDES(mu_);
  Meter::Rates Rates() const FUSEBOX_EXCLUDES(mu_);
  const std::string& unit() const { return unit_; }

 private:
  const std::string unit_;
  const NowFunction now_;
  mutable Mutex mu_;
  mutable Meter meter_ FUSEBOX_GUARDED_BY(mu_);
};

// A Distribution: {"count": 4, "min": 1.0, "max": 4.0, "mean": 2.5, "stddev":
// 1.29, "median": 2.5, "75percentile": 3.75, "95percentile": 4.0,
// "98percentile": 4.0, "99percentile": 4.0, "999percentile": 4.0}. Without
// values all but the count are null.
class DistributionStat {
 public:
  void Add(double value) FUSEBOX_EXCLUDES(mu_);
  DistributionSummary Summary() const FUSEBOX_EXCLUDES(mu_);

 private:
  mutable Mutex mu_;
  Distribution distribution_ FUSEBOX_GUARDED_BY(mu_);
};

// The state that something is in, and the seconds spent in each so far:
// {"state": "busy", "seconds": {"busy": 1.5, "idle": 60.0}}. Null before the
// first. States after the first kMaxStates are "other".
class StateStat {
 public:
  static constexpr std::size_t kMaxStates = 100;

  explicit StateStat(NowFunction now) : now_(now) {}
  void Enter(std::string_view state) FUSEBOX_EXCLUDES(mu_);

  struct Times {
    std::string state;  // the present one; empty before the first
    std::map<std::string, Duration> spent;
  };
  Times Read() const FUSEBOX_EXCLUDES(mu_);

 private:
  const NowFunction now_;
  mutable Mutex mu_;
  Times times_ FUSEBOX_GUARDED_BY(mu_);  // without the stay in `state`
  TimePoint since_ FUSEBOX_GUARDED_BY(mu_);
};

// A tree of statistics. Each has a path, "/cache/hits"; what is above it, here
// "/cache", is made along with it.
//
// The functions that are named after a kind find the statistic of a path, or
// make it; it lives as long as the tree, and so does the reference. To find
// takes a lock and looks at the path, so keep the reference where it is used
// often. Paths are for the programmer to choose: names from the wire belong
// into a MapStat, which is bounded.
//
// std::invalid_argument, naming the path, if it is not "/" and a name, any
// number of times; if the path, or one above or below it, has a statistic
// already that does not go with this one; or for a null function.
//
// Thread-safe. Example:
//
//   fusebox::Statistics statistics;
//   fusebox::AddStatusPages(http, &statistics);
//   statistics.Integer("/cache/hits").Add();
//
// and /status/cache/hits shows 1.
class Statistics {
 public:
  // `now` for meters and states.
  explicit Statistics(NowFunction now = &CoarseNow);
  ~Statistics();
  Statistics(const Statistics&) = delete;
  Statistics& operator=(const Statistics&) = delete;

  IntegerStat& Integer(std::string_view path);
  DoubleStat& Double(std::string_view path);
  StringStat& String(std::string_view path);
  MapStat& Map(std::string_view path);
  MeterStat& Meter(std::string_view path, std::string_view unit);
  DistributionStat& Distribution(std::string_view path);
  StateStat& State(std::string_view path);

  // Calls `gauge` at each read, never twice at once. One that throws is null,
  // and counted in "/statistics/failed_gauges". It must not block, nor use this
  // tree. Called until Remove() or the end of the tree.
  void Gauge(std::string_view path, std::function<double()> gauge);

  // The same for a part of the tree: an object that `view` makes. Others may
  // add to what is below `path`, which may be "/"; what they add stands before
  // a member of the same name in here.
  void View(std::string_view path, std::function<StatValue()> view);

  // Ends a gauge or view; a call under way is waited for. False if there is
  // none. Not from a gauge or view.
  bool Remove(std::string_view path);

  // The sum of all numbers named as the end of `path` below the rest of it:
  // "/workers/jobs" of "/workers/a/jobs" and "/workers/b/c/jobs". Where one is
  // found, nothing is looked for below or beside it, so sums of sums are right.
  // Numbers that a meter or a distribution shows are numbers too.
  void Sum(std::string_view path);

  // How often each value occurs, found in the same way: "/workers/state" is
  // {"busy": 2, "idle": 1}. Such counts of those below are added up.
  void CountByValue(std::string_view path);

  // The whole tree as of now: an object, names in ascending order, then those
  // of views, sums and counts. Numbers are finite or null, texts and names
  // valid UTF-8 (what is not, is U+FFFD).
  StatValue Read();

 private:
  class Tree;
  const NowFunction now_;
  const std::unique_ptr<Tree> tree_;
  IntegerStat& failed_gauges_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STATS_STATISTICS_H_
