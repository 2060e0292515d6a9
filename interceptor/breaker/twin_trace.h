// Random traces, played to the circuit breaker and to its slow obvious twin.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_TWIN_TRACE_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_TWIN_TRACE_H_

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "interceptor/breaker/breaker_twin.h"
#include "interceptor/breaker/circuit_breaker.h"
#include "interceptor/breaker/test_sync.h"

namespace fusebox {

using TestBreaker = BasicCircuitBreaker<TestSync>;
using TestPermit = BasicPermit<TestSync>;

// What one trace draws: at random from a seed, or from given bytes, which lets
// a fuzzer steer it. Thread-compatible.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  // `bytes` must outlive the dice.
  Dice(const std::uint8_t* bytes, std::size_t size)
      : next_(bytes), end_(bytes + size) {}

  // Whether given bytes are used up: zero is all that will come.
  bool exhausted() const { return next_ != nullptr && next_ == end_; }

  // In [0, n).
  int Below(int n) {
    const std::uint64_t draw =
        next_ == nullptr ? random_() : Bytes(n <= 256 ? 1 : 4);
    return static_cast<int>(draw % static_cast<std::uint64_t>(n));
  }
  bool OneIn(int n) { return Below(n) == 0; }
  template <class T, std::size_t n>
  T Of(const T (&values)[n]) {
    return values[Below(static_cast<int>(n))];
  }
  // In [0, 1).
  double Unit() {
    return next_ == nullptr ? static_cast<double>(random_() >> 11) * 0x1p-53
                            : static_cast<double>(Bytes(2)) * 0x1p-16;
  }

 private:
  std::uint64_t Bytes(int count) {
    std::uint64_t value = 0;
    for (int i = 0; i < count && next_ != end_; ++i) {
      value = value << 8 | *next_++;
    }
    return value;
  }

  std::mt19937_64 random_;
  const std::uint8_t* next_ = nullptr;  // null: random
  const std::uint8_t* end_ = nullptr;
};

inline Threshold RandomThreshold(Dice& dice) {
  return dice.Of<Threshold>({std::nullopt, 0.5, 0.5, 0.333333, 0.333334, 0.25,
                             0.1, 0.75, 1.0, 0.000001});
}

inline Settings RandomSettings(Dice& dice) {
  using namespace std::chrono_literals;
  Settings s;
  if (dice.OneIn(10)) {
    s = DoctorSettings();
  } else if (!dice.OneIn(10)) {
    s.bucket_width = dice.Of<Duration>({10ms, 37ms, 100ms, 1s, 20s});
    s.buckets = dice.Of({1, 2, 3, 5, 10, 100});
    s.min_requests = dice.Of<std::int64_t>({0, 0, 1, 2, 5, 10});
    s.timeout_threshold = RandomThreshold(dice);
    s.system_error_threshold = RandomThreshold(dice);
    s.unknown_error_threshold = RandomThreshold(dice);
    s.failure_threshold = RandomThreshold(dice);
    s.min_recovery = dice.Of<Duration>({10ms, 123456789ns, 1s, 20s});
    s.max_recovery =
        s.min_recovery + dice.Of<Duration>({1ns, 50ms, 1s, 9s, 100s});
    s.backoff_multiplier = dice.Of({1.0, 1.5, 2.0, 3.0});
    s.max_open_duration =
        s.min_recovery * dice.Of({1, 2, 5, 10}) + dice.Of<Duration>({0s, 1ns});
    s.jitter = dice.Of({0.0, 0.1, 0.25, 0.5});
    s.probe_lease = dice.Of<Duration>({10ms, 500ms, 5s, 60s});
    s.drain_window_before_recovery = dice.OneIn(3);
    s.ramp_from_opening = dice.OneIn(3);
  }
  if (dice.OneIn(3)) {
    s.slow_call_duration = dice.Of<Duration>({1ns, 100ms});
    s.slow_call_threshold = dice.Of({0.25, 0.5, 1.0});
  }
  if (dice.OneIn(8)) s.mode = Mode::kShadow;
  if (dice.OneIn(50)) s.mode = Mode::kOff;
  return s;
}

inline std::string Text(const OutcomeCounts& counts) {
  std::string text;
  for (std::uint64_t n : counts.by_outcome) text += std::to_string(n) + " ";
  return text + "slow " + std::to_string(counts.slow);
}

inline std::string Text(const Settings& s) {
  return "bucket_width " + FormatDuration(s.bucket_width) + ", buckets " +
         std::to_string(s.buckets) + ", min_requests " +
         std::to_string(s.min_requests) + ", thresholds " +
         FormatThreshold(s.timeout_threshold) + " " +
         FormatThreshold(s.system_error_threshold) + " " +
         FormatThreshold(s.unknown_error_threshold) + " " +
         FormatThreshold(s.failure_threshold) + ", slow " +
         (s.slow_call_duration ? FormatDuration(*s.slow_call_duration)
                               : "off") +
         " " + std::to_string(s.slow_call_threshold) + ", recovery " +
         FormatDuration(s.min_recovery) + " to " +
         FormatDuration(s.max_recovery) + ", backoff " +
         std::to_string(s.backoff_multiplier) + ", max_open " +
         FormatDuration(s.max_open_duration) + ", jitter " +
         std::to_string(s.jitter) + ", lease " + FormatDuration(s.probe_lease) +
         (s.drain_window_before_recovery ? ", draining" : "") +
         (s.ramp_from_opening ? ", ramp from opening" : "") + ", " +
         ModeName(s.mode);
}

// One trace, with settings and all, played to both. Thread-compatible.
class TwinTrace {
 public:
  // With `verbose` it keeps a line for each operation.
  TwinTrace(const Dice& dice, bool verbose)
      : dice_(dice),
        verbose_(verbose),
        settings_(RandomSettings(dice_)),
        shards_(dice_.Of({0, 1, 2, 4, 8})),
        failure_percent_(dice_.Of({5, 30, 50, 80, 100})),
        now_(1'000'000'000'000 + dice_.Below(1'000'000'000)),
        twin_(settings_, now_),
        breaker_(
            std::make_unique<TestBreaker>(settings_, At(now_), Options())) {
    if (verbose_) {
      lines_.push_back(Text(settings_) + ", shards " + std::to_string(shards_));
    }
  }

  // Plays so many operations, or until the dice are exhausted. Returns what
  // differed: empty if nothing did.
  std::string Run(int operations) {
    for (int i = 0; i < operations && !dice_.exhausted() && mismatch_.empty();
         ++i) {
      Step();
      // Not always: a later operation must commit what time has decided.
      if (!dice_.OneIn(3)) Compare();
    }
    Compare();
    // What is left out is dropped.
    drop_time = At(now_);
    permits_.clear();
    if (mismatch_.empty() && breaker_->in_flight() != 0) {
      mismatch_ =
          "in flight at the end: " + std::to_string(breaker_->in_flight());
    }
    return mismatch_;
  }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  static TimePoint At(std::int64_t ns) { return TimePoint(Duration(ns)); }
  static TimePoint DropTime() { return drop_time; }
  TestBreaker::Options Options() const {
    TestBreaker::Options options;
    options.shards = shards_;
    options.now = &DropTime;
    return options;
  }

  void Log(const std::string& operation) {
    if (!verbose_) return;
    lines_.push_back(std::to_string(now_) + " " + operation + "  [u " +
                     std::to_string(u_) + ", r " + std::to_string(r_) + "]");
  }

  void PassTime() {
    if (dice_.OneIn(3)) {
      std::int64_t steps[] = {
          0,          1,           1'000,         1'000'000,
          20'000'000, 300'000'000, 2'000'000'000, 30'000'000'000};
      now_ += dice_.Of(steps) * (1 + dice_.Below(3));
    } else if (dice_.OneIn(3)) {
      const std::vector<std::int64_t> boundaries = twin_.Boundaries(now_);
      const std::int64_t boundary = boundaries[static_cast<std::size_t>(
          dice_.Below(static_cast<int>(boundaries.size())))];
      if (boundary == BreakerTwin::kNever) return;
      now_ = std::max(now_, boundary + dice_.Of({-1, 0, 0, 1}));
    }
  }

  void Step() {
    PassTime();
    if (dice_.OneIn(20)) failure_percent_ = dice_.Of({0, 5, 50, 100});
    TestSync::slot = dice_.Below(shards_ + 2);
    TestSync::core = dice_.Below(4);
    // Sometimes draws at the edge of the share.
    u_ = dice_.OneIn(4) ? dice_.Of({0.0, 0.1, 0.5, 0.999999}) : dice_.Unit();
    r_ = dice_.Of({-1.0, -0.5, 0.0, 0.25, 1.0});
    random_ = Random::Scripted(u_, r_);
    const int choice = dice_.Below(100);
    if (choice < 45) {
      Admit();
    } else if (choice < 80) {
      Finish();
    } else if (choice < 83) {
      Prove();
    } else if (choice < 93) {
      Report();
    } else if (choice < 96) {
      View();
    } else if (choice < 98) {
      Force();
    } else if (choice < 99) {
      Release();
    } else if (dice_.OneIn(4)) {
      Reset();
    } else {
      SetPolicy();
    }
  }

  void Admit() {
    const int call = next_call_++;
    const BreakerTwin::Decision want = twin_.Admit(call, now_, u_, r_);
    BasicAdmission<TestSync> got;
    // Callers may look at a plainly closed breaker without a clock, but only
    // while time has nothing to decide.
    if (dice_.OneIn(2)) got.permit = breaker_->AdmitIfClosed();
    if (!got.permit) got = breaker_->Admit(At(now_), random_);
    Log("admit " + std::to_string(call) + ": " +
        (want.admitted ? "admitted" : RejectionReasonName(want.reason)));
    if (got.admitted() != want.admitted || bool{got.permit} != want.permit) {
      mismatch_ = "admit " + std::to_string(call) + ": admitted " +
                  std::to_string(got.admitted()) + ", with a permit " +
                  std::to_string(bool{got.permit});
    } else if (!want.admitted) {
      if (got.rejection->reason != want.reason) {
        mismatch_ = std::string("rejected because of ") +
                    RejectionReasonName(got.rejection->reason);
      } else if (got.rejection->retry_after <= Duration::zero()) {
        mismatch_ = "retry_after is not positive";
      }
    }
    if (got.permit) permits_.emplace(call, std::move(got.permit));
  }

  Outcome RandomOutcome() {
    if (dice_.OneIn(12)) return Outcome::kIgnored;
    if (dice_.Below(100) < failure_percent_) {
      return dice_.Of({Outcome::kTimeout, Outcome::kSystemError,
                       Outcome::kSystemError, Outcome::kUnknownError});
    }
    return dice_.Of({Outcome::kOk, Outcome::kOk, Outcome::kUserError});
  }
  std::int64_t RandomLatency() {
    return dice_.Of<std::int64_t>({0, 0, 0, 99'999'999, 100'000'000});
  }
  std::map<int, TestPermit>::iterator RandomPermit() {
    auto it = permits_.begin();
    std::advance(it, dice_.Below(static_cast<int>(permits_.size())));
    return it;
  }

  void Finish() {
    if (permits_.empty()) return;
    const auto it = RandomPermit();
    const Outcome outcome = RandomOutcome();
    const std::int64_t latency = RandomLatency();
    Log("finish " + std::to_string(it->first) + " " +
        std::string(OutcomeName(outcome)) + " after " +
        std::to_string(latency));
    twin_.Finish(it->first, outcome, latency, now_, r_);
    it->second.Finish(outcome, At(now_), Duration(latency), random_);
    permits_.erase(it);
  }

  void Prove() {
    if (permits_.empty()) return;
    const auto it = RandomPermit();
    Log("prove " + std::to_string(it->first));
    twin_.Prove(it->first, now_, r_);
    it->second.Prove(At(now_), random_);
  }

  void Report() {
    const Outcome outcome = RandomOutcome();
    const std::int64_t latency = RandomLatency();
    const bool stale = dice_.OneIn(5);
    Log(std::string("report ") + (stale ? "stale " : "") +
        std::string(OutcomeName(outcome)) + " after " +
        std::to_string(latency));
    twin_.Report(outcome, latency, stale, now_, r_);
    breaker_->Report(outcome, At(now_), Duration(latency), random_, stale);
  }

  void View() {
    Log("view");
    twin_.Advance(now_, r_);
    const StateView view = breaker_->View(At(now_), random_);
    Expect("viewed state", static_cast<int>(view.state),
           static_cast<int>(twin_.ShownState(now_)));
    Expect("viewed next_change", view.next_change.time_since_epoch().count(),
           twin_.NextChange(now_));
  }

  void Force() {
    const Override to =
        dice_.Of({Override::kForcedOpen, Override::kForcedClosed});
    const std::int64_t until =
        dice_.OneIn(4) ? BreakerTwin::kNever
                       : now_ + dice_.Of<std::int64_t>({0, 1, 5'000'000'000});
    Log(std::string("force ") + OverrideName(to) + " until " +
        std::to_string(until));
    twin_.Force(to, until, now_, r_);
    breaker_->Force(to, At(until), At(now_), random_);
  }
  void Release() {
    Log("release");
    Expect("released", breaker_->Release(At(now_), random_),
           twin_.Release(now_, r_));
  }
  void Reset() {
    Log("reset");
    twin_.Reset(now_, r_);
    breaker_->Reset(At(now_), random_);
  }

  void SetPolicy() {
    const Settings before = breaker_->settings();
    Settings settings = RandomSettings(dice_);
    if (dice_.OneIn(2)) settings.bucket_width = before.bucket_width;
    if (dice_.OneIn(2)) settings.mode = before.mode;
    Log("set " + Text(settings));
    policies_.push_back(std::make_unique<const Policy>(settings));
    twin_.SetSettings(settings, now_, r_);
    breaker_->SetPolicy(policies_.back().get(), At(now_), random_);
  }

  template <class T, class U>
  void Expect(const char* what, const T& got, const U& want) {
    if (got == static_cast<T>(want) || !mismatch_.empty()) return;
    mismatch_ = std::string(what) + ": " + std::to_string(got) +
                ", the twin says " + std::to_string(want);
  }
  void Expect(const char* what, const OutcomeCounts& got,
              const OutcomeCounts& want) {
    if (Text(got) == Text(want) || !mismatch_.empty()) return;
    mismatch_ =
        std::string(what) + ": " + Text(got) + ", the twin says " + Text(want);
  }

  void Compare() {
    if (!mismatch_.empty()) return;
    twin_.Advance(now_, r_);
    const BreakerSnapshot got = breaker_->Snapshot(At(now_), random_);
    const auto ns = [](TimePoint t) { return t.time_since_epoch().count(); };
    Expect("state", static_cast<int>(got.state),
           static_cast<int>(twin_.ShownState(now_)));
    Expect("override", static_cast<int>(got.override_state),
           static_cast<int>(twin_.override_state()));
    Expect("generation", got.generation, twin_.generation());
    Expect("proved", got.proved, twin_.proved());
    Expect("since", ns(got.since), twin_.Since(now_));
    Expect("next_probe", ns(got.next_probe),
           twin_.NextProbe().value_or(BreakerTwin::kNever));
    Expect("next_change", ns(got.next_change), twin_.NextChange(now_));
    Expect("window", got.window, twin_.WindowAt(now_));
    Expect("lifetime", got.lifetime, twin_.lifetime());
    Expect("ignored", got.ignored, twin_.ignored());
    Expect("stale", got.stale, twin_.stale());
    for (std::size_t i = 0; i < 3; ++i) {
      Expect("rejected", got.rejected[i], twin_.rejected()[i]);
      Expect("time in state", got.time_in_state[i].count(), twin_.time_in()[i]);
      for (std::size_t k = 0; k < 3; ++k) {
        Expect("transitions", got.transitions[i][k], twin_.transitions()[i][k]);
      }
    }
    Expect("shadow_rejected", got.shadow_rejected, twin_.shadow_rejected());
    Expect("in_flight", got.in_flight, twin_.in_flight());
    Expect("time forced open", got.time_forced_open.count(),
           twin_.time_in()[3]);
    Expect("time forced closed", got.time_forced_closed.count(),
           twin_.time_in()[4]);
  }

  static inline thread_local TimePoint drop_time;

  Dice dice_;
  const bool verbose_;
  const Settings settings_;
  const int shards_;
  int failure_percent_;
  std::int64_t now_;
  double u_ = 0;
  double r_ = 0;
  Random random_ = Random::Scripted(0, 0);
  int next_call_ = 0;
  BreakerTwin twin_;
  std::vector<std::unique_ptr<const Policy>> policies_;
  // Not on the stack: AddressSanitizer's fake stack ignores its alignment.
  const std::unique_ptr<TestBreaker> breaker_;
  std::map<int, TestPermit> permits_;
  std::string mismatch_;
  std::vector<std::string> lines_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_TWIN_TRACE_H_
