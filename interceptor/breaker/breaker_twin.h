// The slow obvious twin of the circuit breaker, for tests.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_BREAKER_TWIN_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_BREAKER_TWIN_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "interceptor/breaker/outcome.h"
#include "interceptor/breaker/settings.h"
#include "interceptor/breaker/state.h"

namespace fusebox {

// The policy written down once more, from its text and not from the breaker's
// code: a list of timestamped outcomes, plain integers, one thread.
//
// Every operation takes the time, which must not go back, and the two draws: u
// for the ramp, r for the jitter. Calls are named by numbers.
class BreakerTwin {
 public:
  using Time = std::int64_t;  // ns
  static constexpr Time kNever = std::numeric_limits<Time>::max();

  struct Decision {
    bool admitted = true;
    bool permit = false;
    RejectionReason reason = RejectionReason::kOpen;  // if not admitted
  };

  BreakerTwin(const Settings& settings, Time now)
      : s_(settings), places_(settings.buckets), since_(now), started_(now) {}

  Decision Admit(int call, Time t, double u, double r) {
    if (s_.mode == Mode::kOff) return {};
    Advance(t, r);
    if (override_ == Override::kForcedClosed) return Grant(call);
    if (override_ == Override::kForcedOpen) {
      return Reject(RejectionReason::kForcedOpen);
    }
    if (state_ == State::kClosed) return Grant(call);
    if (state_ == State::kOpen) {
      if (!ProbeIsDue(t)) return Reject(RejectionReason::kOpen);
      window_.clear();
      Enter(State::kHalfOpen, t);
      proved_ = false;
      return Probe(call, t);
    }
    if (proved_) {
      const double share_left = u * static_cast<double>(Ns(s_.max_recovery));
      if (share_left < static_cast<double>(t - origin_)) return Grant(call);
      return Reject(RejectionReason::kHalfOpenLimit);
    }
    if (probe_.has_value()) return Reject(RejectionReason::kHalfOpenLimit);
    return Probe(call, t);
  }

  // The end of a call that got a permit.
  void Finish(int call, Outcome outcome, Time latency, Time t, double r) {
    const std::uint64_t generation = calls_.at(call);
    calls_.erase(call);
    End(call, generation, outcome, latency, t, r);
  }

  // An outcome of no recorded call: of this generation, or of an older one.
  void Report(Outcome outcome, Time latency, bool stale, Time t, double r) {
    if (s_.mode == Mode::kOff) return;
    Advance(t, r);
    End(kNoCall, stale ? 0 : generation_, outcome, latency, t, r);
  }

  // The first message of a stream.
  void Prove(int call, Time t, double r) {
    Advance(t, r);
    if (override_ != Override::kNone || calls_.at(call) != generation_) return;
    if (state_ == State::kOpen || (state_ == State::kHalfOpen && !proved_)) {
      BecomeProved(t);
    }
  }

  void Force(Override to, Time until, Time t, double r) {
    Advance(t, r);
    AccountUntil(t);
    if (to != override_) since_ = t;
    override_ = to;
    until_ = until;
    probe_.reset();
  }
  bool Release(Time t, double r) {
    Advance(t, r);
    if (override_ == Override::kNone) return false;
    StartOver(t);
    return true;
  }
  void Reset(Time t, double r) {
    Advance(t, r);
    StartOver(t);
  }

  void SetSettings(const Settings& settings, Time t, double r) {
    Advance(t, r);
    const bool wider = settings.buckets > places_;
    const bool off = settings.mode == Mode::kOff && s_.mode != Mode::kOff;
    if (wider) places_ = std::max(settings.buckets, 2 * places_);
    if (wider || off || settings.bucket_width != s_.bucket_width) {
      window_.clear();
    }
    if (off) {
      if (override_ == Override::kNone) Enter(State::kClosed, t);
      ++generation_;
      openings_ = 0;
    }
    // The moment of the probe, or of the proof, stays; a ramp that is over is
    // so from now on.
    origin_ += Ns(s_.min_recovery) - Ns(settings.min_recovery);
    proved_at_ = t;
    s_ = settings;
  }

  // Commits what time alone has decided.
  void Advance(Time t, double r) {
    for (;;) {
      if (override_ != Override::kNone) {
        if (t < until_) break;
        StartOver(until_);
      } else if (state_ == State::kHalfOpen && proved_) {
        const Time end = std::max(proved_at_, origin_ + Ns(s_.max_recovery));
        if (t < end) break;
        Enter(State::kClosed, end);
        openings_ = 0;
      } else if (state_ == State::kHalfOpen && probe_.has_value()) {
        if (t < lease_end_) break;
        Open(lease_end_, r);
      } else {
        break;
      }
    }
    AccountUntil(t);
  }

  // --- What readers see, after Advance(t) ---

  State ShownState(Time t) const {
    if (override_ == Override::kForcedOpen) return State::kOpen;
    if (override_ == Override::kForcedClosed) return State::kClosed;
    if (state_ == State::kOpen && ProbeIsDue(t)) return State::kHalfOpen;
    return state_;
  }
  Override override_state() const { return override_; }
  std::uint64_t generation() const { return generation_; }
  bool proved() const {
    return override_ == Override::kNone && state_ == State::kHalfOpen &&
           proved_;
  }
  // When the state that is shown began. (While draining nobody says when an
  // open breaker became due.)
  Time Since(Time t) const {
    if (override_ == Override::kNone && state_ == State::kOpen &&
        ProbeIsDue(t)) {
      return origin_ + Ns(s_.min_recovery);
    }
    return since_;
  }
  std::optional<Time> NextProbe() const {
    if (override_ != Override::kNone || state_ != State::kOpen) {
      return std::nullopt;
    }
    return origin_ + Ns(s_.min_recovery);
  }
  // The next moment at which time alone may change the shown state.
  Time NextChange(Time t) const {
    if (override_ != Override::kNone) return until_;
    if (state_ == State::kOpen) {
      const Time due = origin_ + Ns(s_.min_recovery);
      if (t < due) return due;
      if (!s_.drain_window_before_recovery) return kNever;
      if (WindowAt(t).total() == 0) return kNever;
      return (Bucket(t) + 1) * Ns(s_.bucket_width);
    }
    if (state_ == State::kHalfOpen && proved_) {
      return std::max(proved_at_, origin_ + Ns(s_.max_recovery));
    }
    if (state_ == State::kHalfOpen && probe_.has_value()) return lease_end_;
    return kNever;
  }

  // The `buckets` newest buckets, the current one included.
  OutcomeCounts WindowAt(Time t) const {
    OutcomeCounts counts;
    for (const Counted& counted : window_) {
      if (Bucket(counted.at) <= Bucket(t) - s_.buckets) continue;
      AddTo(counts, counted.outcome, counted.slow);
    }
    return counts;
  }

  const OutcomeCounts& lifetime() const { return lifetime_; }
  std::uint64_t ignored() const { return ignored_; }
  std::uint64_t stale() const { return stale_; }
  const std::array<std::uint64_t, 3>& rejected() const { return rejected_; }
  std::uint64_t shadow_rejected() const { return shadow_rejected_; }
  std::uint64_t in_flight() const { return calls_.size(); }
  // Closed, open, half-open, forced open, forced closed.
  const std::array<Time, 5>& time_in() const { return time_in_; }
  const std::array<std::array<std::uint32_t, 3>, 3>& transitions() const {
    return transitions_;
  }

  // Moments around which something happens.
  std::vector<Time> Boundaries(Time t) const {
    const Time width = Ns(s_.bucket_width);
    return {(Bucket(t) + 1) * width,
            (Bucket(t) + s_.buckets) * width,
            origin_ + Ns(s_.min_recovery),
            origin_ + Ns(s_.max_recovery),
            lease_end_,
            until_};
  }

 private:
  static constexpr int kNoCall = -1;

  struct Counted {
    Time at;
    Outcome outcome;
    bool slow;
  };

  static Time Ns(Duration duration) { return duration.count(); }
  Time Bucket(Time t) const {  // t >= 0 in the tests
    return t / Ns(s_.bucket_width);
  }
  static void AddTo(OutcomeCounts& counts, Outcome outcome, bool slow) {
    ++counts.by_outcome[static_cast<std::size_t>(outcome)];
    if (slow) ++counts.slow;
  }

  Decision Grant(int call) {
    calls_[call] = generation_;
    return {true, true, RejectionReason::kOpen};
  }
  Decision Probe(int call, Time t) {
    probe_ = call;
    lease_end_ = t + Ns(s_.probe_lease);
    return Grant(call);
  }
  Decision Reject(RejectionReason reason) {
    if (s_.mode == Mode::kShadow) {
      ++shadow_rejected_;
      return {};
    }
    ++rejected_[static_cast<std::size_t>(reason)];
    return {false, false, reason};
  }

  bool Reached(std::uint64_t count, const Threshold& threshold,
               std::uint64_t n) const {
    if (!threshold.has_value()) return false;
    const auto ppm = static_cast<std::uint64_t>(std::llround(*threshold * 1e6));
    return count * 1'000'000 >= ppm * n;
  }
  bool Unhealthy(Time t, std::int64_t minimum) const {
    const OutcomeCounts w = WindowAt(t);
    const std::uint64_t n = w.total();
    if (static_cast<std::int64_t>(n) <= minimum) return false;
    return Reached(w.of(Outcome::kTimeout), s_.timeout_threshold, n) ||
           Reached(w.of(Outcome::kSystemError), s_.system_error_threshold, n) ||
           Reached(w.of(Outcome::kUnknownError), s_.unknown_error_threshold,
                   n) ||
           Reached(w.failures(), s_.failure_threshold, n) ||
           (s_.slow_call_duration.has_value() &&
            Reached(w.slow, s_.slow_call_threshold, n));
  }
  bool ProbeIsDue(Time t) const {
    if (t - origin_ < Ns(s_.min_recovery)) return false;
    return !s_.drain_window_before_recovery || !Unhealthy(t, s_.min_requests);
  }

  void AccountUntil(Time t) {
    std::size_t index = static_cast<std::size_t>(state_);
    if (override_ == Override::kForcedOpen) index = 3;
    if (override_ == Override::kForcedClosed) index = 4;
    if (t > accounted_until()) time_in_[index] += t - accounted_until();
  }
  Time accounted_until() const {
    Time sum = started_;
    for (Time time : time_in_) sum += time;
    return sum;
  }
  void Enter(State state, Time t) {
    AccountUntil(t);
    if (state != state_) {
      ++transitions_[static_cast<std::size_t>(state_)]
                    [static_cast<std::size_t>(state)];
    }
    if (state != state_ || override_ != Override::kNone) since_ = t;
    state_ = state;
    override_ = Override::kNone;
    probe_.reset();
  }
  void Open(Time t, double r) {
    double wait = static_cast<double>(Ns(s_.min_recovery));
    for (int i = 0; i < openings_; ++i) wait *= s_.backoff_multiplier;
    wait = std::min(wait, static_cast<double>(Ns(s_.max_open_duration)));
    const Time open_for = std::llround(wait * (1 + s_.jitter * r));
    origin_ = t + open_for - Ns(s_.min_recovery);
    ++openings_;
    Enter(State::kOpen, t);
  }
  void StartOver(Time t) {
    Enter(State::kClosed, t);
    window_.clear();
    ++generation_;
    openings_ = 0;
  }
  void BecomeProved(Time t) {
    if (state_ == State::kOpen) {
      window_.clear();
      Enter(State::kHalfOpen, t);
    }
    proved_ = true;
    proved_at_ = t;
    probe_.reset();
    if (!s_.ramp_from_opening) origin_ = t - Ns(s_.min_recovery);
  }

  void End(int call, std::uint64_t generation, Outcome outcome, Time latency,
           Time t, double r) {
    Advance(t, r);
    if (generation != generation_) {
      ++stale_;
      return;
    }
    const bool is_probe = call != kNoCall && probe_ == call;
    if (outcome == Outcome::kIgnored) {
      ++ignored_;
      if (is_probe) probe_.reset();
      return;
    }
    const bool slow = s_.slow_call_duration.has_value() &&
                      latency >= Ns(*s_.slow_call_duration);
    const bool failed = outcome == Outcome::kTimeout ||
                        outcome == Outcome::kSystemError ||
                        outcome == Outcome::kUnknownError;
    const bool bad = failed || slow;
    AddTo(lifetime_, outcome, slow);
    if (override_ != Override::kNone) {
      window_.push_back({t, outcome, slow});
      return;
    }
    if (state_ == State::kOpen && bad) return;
    if (!bad && state_ != State::kClosed &&
        !(state_ == State::kHalfOpen && proved_)) {
      BecomeProved(t);
    }
    window_.push_back({t, outcome, slow});
    if (!bad) return;
    if (Unhealthy(t, state_ == State::kClosed ? s_.min_requests : 0)) {
      Open(t, r);
      ++generation_;
    } else if (is_probe) {
      probe_.reset();
    }
  }

  Settings s_;
  int places_;  // buckets there is room for
  State state_ = State::kClosed;
  Override override_ = Override::kNone;
  Time since_;
  Time origin_ = 0;
  Time until_ = 0;  // end of the override
  std::uint64_t generation_ = 1;
  int openings_ = 0;
  // Half-open.
  bool proved_ = false;
  Time proved_at_ = 0;
  std::optional<int> probe_;
  Time lease_end_ = 0;

  std::vector<Counted> window_;
  std::map<int, std::uint64_t> calls_;  // permits out, with their generation

  OutcomeCounts lifetime_;
  std::uint64_t ignored_ = 0;
  std::uint64_t stale_ = 0;
  std::array<std::uint64_t, 3> rejected_ = {};
  std::uint64_t shadow_rejected_ = 0;
  std::array<Time, 5> time_in_ = {};
  std::array<std::array<std::uint32_t, 3>, 3> transitions_ = {};
  const Time started_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_BREAKER_TWIN_H_
