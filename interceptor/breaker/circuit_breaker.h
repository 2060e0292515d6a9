// The circuit breaker of one method.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_CIRCUIT_BREAKER_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_CIRCUIT_BREAKER_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/outcome.h"
#include "interceptor/breaker/policy.h"
#include "interceptor/breaker/random.h"
#include "interceptor/breaker/rolling_window.h"
#include "interceptor/breaker/settings.h"
#include "interceptor/breaker/state.h"
#include "interceptor/breaker/sync.h"

namespace fusebox {

template <class Sync>
class BasicCircuitBreaker;

// Why a call must not be made, and when it may be tried again.
struct Rejection {
  RejectionReason reason = RejectionReason::kOpen;
  // Time until the next probe, or a sensible wait while the ramp runs; more
  // than zero.
  Duration retry_after = Duration::zero();
};

// What an admitted call holds: the right, and the duty, to say once what came
// of it.
//
// Finish() ends it; a permit that is destroyed or assigned over ends as
// kIgnored. Must not outlive its breaker.
//
// Thread-compatible: hand it from thread to thread, use it from one at a time.
template <class Sync>
class [[nodiscard]] BasicPermit {
 public:
  // Holds nothing; Finish() and Prove() do nothing.
  BasicPermit() = default;
  ~BasicPermit() { Drop(); }

  BasicPermit(BasicPermit&& other) noexcept
      : breaker_(std::exchange(other.breaker_, nullptr)), word_(other.word_) {}
  BasicPermit& operator=(BasicPermit&& other) noexcept {
    if (this != &other) {
      Drop();
      breaker_ = std::exchange(other.breaker_, nullptr);
      word_ = other.word_;
    }
    return *this;
  }
  BasicPermit(const BasicPermit&) = delete;
  BasicPermit& operator=(const BasicPermit&) = delete;

  // Whether it is still to be finished.
  explicit operator bool() const { return breaker_ != nullptr; }

  // Ends the permit with what came of the call. `latency` decides whether the
  // call was slow; leave it zero where slowness does not apply (streams).
  void Finish(Outcome outcome, TimePoint now,
              Duration latency = Duration::zero()) {
    Finish(outcome, now, latency, ThreadRandom());
  }
  void Finish(Outcome outcome, TimePoint now, Duration latency,
              Random& random) {
    if (breaker_ == nullptr) return;
    std::exchange(breaker_, nullptr)
        ->Finish(word_, outcome, now, latency, random);
  }

  // The first message of a stream has come: if the call is a probe, that is
  // proof enough. Counts nothing; the permit stays to be finished.
  void Prove(TimePoint now) { Prove(now, ThreadRandom()); }
  void Prove(TimePoint now, Random& random) {
    if (breaker_ != nullptr) breaker_->Prove(word_, now, random);
  }

 private:
  friend class BasicCircuitBreaker<Sync>;
  BasicPermit(BasicCircuitBreaker<Sync>* breaker, std::uint64_t word)
      : breaker_(breaker), word_(word) {}

  void Drop() {
    if (breaker_ != nullptr) {
      Finish(Outcome::kIgnored, breaker_->now_(), Duration::zero(),
             ThreadRandom());
    }
  }

  BasicCircuitBreaker<Sync>* breaker_ = nullptr;
  std::uint64_t word_ = 0;  // the breaker's state word at admission
};

// The answer to a call that asks to be admitted.
template <class Sync>
struct [[nodiscard]] BasicAdmission {
  // Empty unless the call was admitted. (In shadow mode a call that would have
  // been rejected proceeds without; in mode off every call does.)
  BasicPermit<Sync> permit;
  // Set iff the call must not be made.
  std::optional<Rejection> rejection;

  bool admitted() const { return !rejection.has_value(); }
};

// Decides which calls of one method may be made, from what came of the others.
//
// The state table (time t; "unhealthy" and all words as in policy.h):
//
//   state       event                              next       the call
//   ----------- ---------------------------------- ---------- --------
//   closed      admit                              closed     admitted
//   closed      bad outcome counted, then          open,
//               unhealthy(min_requests)            gen. + 1
//   closed      other counted outcome              closed
//   open        admit, t - origin < min_recovery,  open       rejected
//               or draining and
//               unhealthy(min_requests)
//   open        admit, otherwise                   half-open, admitted:
//                                                  not proved the probe
//   open        good outcome, this generation      proved
//   open        bad outcome, this generation       open       not counted
//   half-open   not proved: admit, a probe is out  same       rejected
//   half-open   not proved: admit, none is out     same       admitted:
//                                                             a probe
//   half-open   not proved: lease ends at e        open at e, same gen.
//   half-open   not proved: good outcome           proved
//   half-open   proved: t - origin >= max_recovery closed at that moment
//   half-open   proved: admit                      same       admitted with
//                                                             (t - origin) /
//                                                             max_recovery
//   half-open   bad outcome counted, then          open,
//               unhealthy(0)                       gen. + 1
//   half-open   ignored outcome of the probe,      same, its
//               or a bad one that did not open     slot free
//   half-open   other counted outcome              same
//   any         SetPolicy(), mode off before and   same; below
//               after, or neither
//   any         SetPolicy(), mode off now          closed,
//                                                  gen. + 1
//   closed      SetPolicy(), mode off no longer    closed
//
// Opening at t sets origin = t + open_for - min_recovery; proving sets origin =
// t - min_recovery (unless ramp_from_opening). The window is emptied when
// half-open begins. Every operation first commits what time alone has decided.
//
// Other settings (SetPolicy()) judge, reject and time whatever comes after
// them:
//
//   what                 is
//   -------------------- -----------------------------------------------------
//   state, generation,   kept, but for mode off: it ends the state, closes the
//   override             breaker and begins a generation, so that permits out
//                        end stale; the override stands on, without effect on
//                        calls. Back from off it is closed and empty
//   shadow <-> enforce   nothing else: an open breaker rejects from now on, or
//                        no longer
//   open: moment of the  kept, whatever min_recovery, backoff and jitter say
//   probe                now; a breaker that waits for its window to drain asks
//                        the new thresholds, and the new window
//   a probe's lease      kept; the next probe has the new one
//   ramp                 runs as if it had begun with the new settings at the
//                        proof; if these have it over by now, it ends now
//   closed               judged by the new thresholds when the next bad outcome
//                        is counted
//   window               bucket_width other: emptied
//                        more buckets than ever before: emptied (the places of
//                        the earlier ones stay, rolling_window.h)
//                        more or fewer buckets otherwise: kept; the window is
//                        the newest of them
//   lifetime totals,     kept
//   rejections, times
//   in states
//
// Concurrency. One 64-bit word holds version, record index and flags; the times
// that belong to it stand in the record of that index:
//
//   word     version:48 | survived:5 | policy:1 | record:2 | mode:2 |
//            override:2 | probe out:1 | proved:1 | state:2
//   records  kRecords of them; one belongs to the word, the others are free or
//            being written by a thread about to swap the word
//   policies two of them; one belongs to the word, the other was that before or
//            will be the next
//   survived by a probe that is out: changes of the settings, up to 31
//
// Invariants, each with the test that fails without it: scenarios of
// model/breaker_model_test.cc, which also breaks each memory order, second look
// and atomic step below once.
//  B1 The version grows with every change of the word, so a word never comes
//     back and a compare-and-swap succeeds only on exactly what was read.
//     Tests: RaceForTheFreedSlot, ForceStorm.
//  B2 A record is written only by the thread that claimed it, and only while it
//     is not the word's. Claims are bits taken (acquire) and given back
//     (release) by read-modify-write operations. Tests: ForceAgainstForce,
//     ForceStorm.
//  B3 Values read from a record belong to the word if the word reads the same
//     before and after: fields are stored with release after a claim that
//     acquired the release of the swap which retired the record, and loaded
//     with acquire, so a reader that saw a newer field sees a newer word (read
//     ReadRecord()). Tests: ForceAgainstReuse, RejectionAgainstReuse,
//     RampAgainstReuse, ShadowRampAgainstReuse, SnapshotAgainstAll.
//  B4 At most one probe is out: a probe is admitted only by the swap that sets
//     the flag, and the flag is cleared only by swaps that end that probe (its
//     permit holds the version of the swap that set the flag; those since then
//     that let the flag stand are counted in `survived`; with the 32nd the
//     probe is lost, and its lease ends it). Tests: RaceForTheProbe,
//     RaceForTheFreedSlot, SettingsAgainstProbe; in circuit_breaker_test.cc,
//     AnIgnoredAnswerOfAnEarlierProbeFreesNothing.
//  B5 Each permit adds one to kAdmitted and, when it ends, one to exactly one
//     of: a lifetime outcome, ignored, stale. Tests: every scenario, at its end
//     (SettledSnapshot).
//  B6 A count goes to the serials of a word that was current after the call
//     began and whose generation is the permit's; if the word moves on
//     meanwhile, that serial is out of every later window (RollingWindow).
//     Tests: LateFinish, LeaseEnd, ForceAgainstTransition.
//  B7 What a change adds to the stays and transitions is released after the
//     swap and acquired before the word is looked at again, so a snapshot never
//     shows a change that its state does not. Test: SnapshotAgainstAll.
//  B8 Decisions, and the serials of buckets, are made with the policy of their
//     word: the other place alone is written, before the swap that makes it the
//     word's, and both are read like a record (B3). Only Finish() and
//     settings() do not ask again: any policy will do that was in force
//     meanwhile, since the bucket of the short way is that of the shard. Tests:
//     SettingsAgainstCounts, SettingsAgainstAdmit, SettingsAgainstSnapshot.
//
// Admission of a closed method is wait-free; recording is lock-free as long as
// fewer than kRecords - 1 threads are suspended within the few instructions
// that swap the word; then a further one that wants to swap it retries. Nothing
// allocates, but SetPolicy() for a window that is wider than ever.
//
// Thread-safe. Example:
//
//   CircuitBreaker breaker(settings, FineNow());
//   auto admission = breaker.Admit(FineNow());
//   if (!admission.admitted()) return Refuse(*admission.rejection);
//   Status status = Call();
//   admission.permit.Finish(OutcomeOf(status), FineNow());
template <class Sync>
class BasicCircuitBreaker {
 public:
  using Permit = BasicPermit<Sync>;
  using Admission = BasicAdmission<Sync>;

  // Called on the thread whose operation changed something, right after the
  // change became visible: must not block, allocate or throw.
  struct Listener {
    // The state or override changed; `number` counts these changes from 1.
    // Threads may overtake each other on the way here.
    void (*notify)(void* context, BasicCircuitBreaker& breaker,
                   const StateChange& change, std::uint32_t number) = nullptr;
    // Only StateView::next_change did.
    void (*rescheduled)(void* context) = nullptr;
  };

  struct Options {
    // Shards of the window (rolling_window.h): half of them for threads with a
    // slot, half for the others, by core. At most 64.
    int shards = 4;
    // Read only when a permit is dropped without Finish().
    NowFunction now = &CoarseNow;
    const Listener* listener = nullptr;  // must outlive the breaker
    void* listener_context = nullptr;
  };

  // `settings` must be valid (ValidateSettings); the breaker is closed since
  // `now`.
  BasicCircuitBreaker(const Settings& settings, TimePoint now,
                      const Options& options)
      : BasicCircuitBreaker(std::make_unique<const Policy>(settings), now,
                            options) {}
  BasicCircuitBreaker(const Settings& settings, TimePoint now)
      : BasicCircuitBreaker(settings, now, Options()) {}
  // The same for many breakers with one policy, which must outlive them.
  BasicCircuitBreaker(const Policy* policy, TimePoint now,
                      const Options& options);

  // Permits must be finished before.
  ~BasicCircuitBreaker() = default;
  BasicCircuitBreaker(const BasicCircuitBreaker&) = delete;
  BasicCircuitBreaker& operator=(const BasicCircuitBreaker&) = delete;

  // Those in force. The reference stays good, but not up to date.
  const Settings& settings() const {
    return PolicyOf(word_.load(Sync::kRelaxed))->settings;
  }

  // Other settings from now on; the class comment tells what becomes of the
  // rest. `policy` must outlive the breaker. One call at a time. Allocates if
  // the window is wider than ever.
  void SetPolicy(const Policy* policy, TimePoint now) {
    SetPolicy(policy, now, ThreadRandom());
  }
  void SetPolicy(const Policy* policy, TimePoint now, Random& random);

  // Admits a call without looking at a clock if the breaker is plainly closed;
  // otherwise the permit is empty and nothing happened: ask Admit(). Wait-free.
  Permit AdmitIfClosed() {
    const std::uint64_t word = word_.load(Sync::kRelaxed);
    if ((word & kNotPlainlyClosed) != 0) return Permit();
    window_.Add(Window::Total::kAdmitted);
    return Permit(this, word);
  }

  // Whether a call may be made now.
  Admission Admit(TimePoint now) {
    const std::uint64_t word = word_.load(Sync::kAcquire);
    const std::int64_t wait = PlainWait(word, Ns(now));
    return wait > 0 ? RejectPlainly(wait)
                    : AdmitOnRamp(word, now, ThreadRandom());
  }
  Admission Admit(TimePoint now, Random& random) {
    const std::uint64_t word = word_.load(Sync::kAcquire);
    const std::int64_t wait = PlainWait(word, Ns(now));
    return wait > 0 ? RejectPlainly(wait) : AdmitOnRamp(word, now, random);
  }

  // Counts the outcome of a call that was admitted elsewhere, as one of the
  // current generation (`stale`: of an older one) that is not a probe.
  void Report(Outcome outcome, TimePoint now, Duration latency, Random& random,
              bool stale = false);

  // The state as of `now`; commits what time alone has decided.
  StateView View(TimePoint now) { return View(now, ThreadRandom()); }
  StateView View(TimePoint now, Random& random);

  // Everything but the names, which a breaker does not know. May wait for a
  // thread that is in the middle of a state change.
  BreakerSnapshot Snapshot(TimePoint now) {
    return Snapshot(now, ThreadRandom());
  }
  BreakerSnapshot Snapshot(TimePoint now, Random& random);

  // Forces the breaker open or closed until `until` (TimePoint::max(): until
  // released), whatever the outcomes say. Forcing again replaces the override.
  void Force(Override override_state, TimePoint until, TimePoint now) {
    Force(override_state, until, now, ThreadRandom());
  }
  void Force(Override override_state, TimePoint until, TimePoint now,
             Random& random);
  // Ends an override: closed, empty window, next generation. False if there was
  // none.
  bool Release(TimePoint now) { return Release(now, ThreadRandom()); }
  bool Release(TimePoint now, Random& random);
  // Closed, empty window, next generation, from any state.
  void Reset(TimePoint now) { Reset(now, ThreadRandom()); }
  void Reset(TimePoint now, Random& random);

  // Permits out. Momentary.
  std::uint64_t in_flight() const;
  // Calls that asked to be admitted so far; grows while the method is in use.
  std::uint64_t asked() const;

  // Bytes of this breaker, heap included.
  std::size_t memory_bytes() const {
    return sizeof(*this) + window_.storage_bytes();
  }

 private:
  BasicCircuitBreaker(std::unique_ptr<const Policy> policy, TimePoint now,
                      const Options& options)
      : BasicCircuitBreaker(policy.get(), now, options) {
    own_policy_ = std::move(policy);
  }

  friend class BasicPermit<Sync>;
  using Window = RollingWindow<Sync>;
  template <class T>
  using Atomic = typename Sync::template Atomic<T>;

  static constexpr int kRecords = 4;

  // The flags of the word.
  static constexpr std::uint64_t kStateMask = 0x03;
  static constexpr std::uint64_t kProved = 0x04;
  static constexpr std::uint64_t kProbeOut = 0x08;
  static constexpr int kOverrideShift = 4;
  static constexpr std::uint64_t kOverrideMask = 0x30;
  static constexpr int kModeShift = 6;
  static constexpr std::uint64_t kModeMask = 0xc0;
  static constexpr std::uint64_t kShadow =
      std::uint64_t{static_cast<unsigned char>(Mode::kShadow)} << kModeShift;
  static constexpr std::uint64_t kFlagsMask = 0xff;
  static constexpr int kRecordShift = 8;
  static constexpr std::uint64_t kRecordMask = 0x300;
  static constexpr std::uint64_t kPolicy = 0x400;
  static constexpr std::uint64_t kSurvivedOne = 0x800;
  static constexpr std::uint64_t kSurvivedMask = 0xf800;
  static constexpr int kVersionShift = 16;
  // Shadow mode admits as well.
  static constexpr std::uint64_t kNotPlainlyClosed = kFlagsMask & ~kShadow;

  // Time spent in stays that have ended: closed, open, half-open, forced open,
  // forced closed.
  static constexpr std::size_t kStays = 5;
  static std::size_t StayOf(std::uint64_t word) {
    const Override override_state = OverrideOf(word);
    return override_state == Override::kNone
               ? static_cast<std::size_t>(StateOf(word))
               : 2 + static_cast<std::size_t>(override_state);
  }

  // What belongs to one value of the word, as plain values.
  struct Times {
    std::int64_t origin = 0;  // ns, as all times here
    std::int64_t since = 0;
    // When time alone ends the state (the lease, the ramp or the override) or,
    // while open, lets a probe through.
    std::int64_t until = 0;
    std::uint64_t generation_start = 1;  // version that began the generation
    std::int64_t serial_offset = 0;      // serial of a bucket minus its number
    std::uint32_t generation = 1;
    std::uint32_t openings = 0;  // since last closed: k of the policy; 16 bits
    std::uint32_t changes = 0;   // of the state or override, so far
    const Policy* policy = nullptr;  // not in the record, B8
  };
  struct Record {
    Atomic<std::int64_t> origin{0};
    Atomic<std::int64_t> since{0};
    Atomic<std::int64_t> until{0};
    // generation_start << 16 | openings
    Atomic<std::uint64_t> generation_start_and_openings{0};
    Atomic<std::int64_t> serial_offset{0};
    Atomic<std::uint32_t> generation{0};
    Atomic<std::uint32_t> changes{0};
  };

  static std::uint64_t Version(std::uint64_t word) {
    return word >> kVersionShift;
  }
  static State StateOf(std::uint64_t word) {
    return static_cast<State>(word & kStateMask);
  }
  static Override OverrideOf(std::uint64_t word) {
    return static_cast<Override>((word & kOverrideMask) >> kOverrideShift);
  }
  static Mode ModeOf(std::uint64_t word) {
    return static_cast<Mode>((word & kModeMask) >> kModeShift);
  }
  static std::uint64_t OverrideFlags(Override override_state) {
    return static_cast<std::uint64_t>(override_state) << kOverrideShift;
  }
  static std::uint64_t ModeFlags(Mode mode) {
    return static_cast<std::uint64_t>(mode) << kModeShift;
  }
  static std::uint64_t StateFlags(State state) {
    return static_cast<std::uint64_t>(state);
  }
  static std::int64_t Ns(TimePoint t) { return t.time_since_epoch().count(); }
  static TimePoint AtNs(std::int64_t ns) { return TimePoint(Duration(ns)); }

  // Of the pairs that differ.
  static std::size_t TransitionIndex(State from, State to) {
    const auto row = static_cast<std::size_t>(from);
    const auto column = static_cast<std::size_t>(to);
    return row * 2 + (column > row ? column - 1 : column);
  }
  const Record& RecordOf(std::uint64_t word) const {
    return records_[static_cast<std::size_t>(RecordIndex(word))];
  }
  static int RecordIndex(std::uint64_t word) {
    return static_cast<int>((word & kRecordMask) >> kRecordShift);
  }
  // That of the word, or a later one if the word has moved on.
  const Policy* PolicyOf(std::uint64_t word) const {
    return policies_[(word & kPolicy) == 0 ? 0 : 1].load(Sync::kAcquire);
  }
  // Whether the probe that is out is the call with that permit.
  static bool IsProbe(std::uint64_t permit_word, std::uint64_t word) {
    return (word & kProbeOut) != 0 &&
           Version(permit_word) + (word & kSurvivedMask) / kSurvivedOne ==
               Version(word);
  }
  void StoreRecord(int index, const Times& times);
  // False if the word moved on meanwhile.
  bool ReadRecord(std::uint64_t word, Times& times) const;
  // The index of a record nobody uses, or -1.
  int ClaimRecord();
  void ReturnRecord(int index);

  // Replaces `word` by one with `flags` (state, proved, probe out, override),
  // `times` and its policy, whose place is written, and tells the listener if
  // the state or override changed. `at` is the moment of the change. Returns
  // the new word, or 0 if the word had moved on or no record was free: look
  // again.
  std::uint64_t Swap(std::uint64_t word, const Times& old, std::uint64_t flags,
                     Times times, TransitionReason reason, std::int64_t at);
  // Sends a probe out. Returns the new word, or 0: look again.
  std::uint64_t SendProbe(std::uint64_t word, const Times& old,
                          std::int64_t now);
  // Clears the probe flag; the record stays. False: look again.
  bool FreeProbeSlot(std::uint64_t word);

  // Swaps in what time alone has decided by `now`. True if there was nothing.
  bool TimeIsCommitted(std::uint64_t word, const Times& times, std::int64_t now,
                       Random& random);
  bool Open(std::uint64_t word, const Times& old, bool new_generation,
            std::int64_t at, TransitionReason reason, Random& random);
  // Returns the new word, or 0: look again.
  std::uint64_t BecomeProved(std::uint64_t word, const Times& old,
                             std::int64_t now);
  bool Close(std::uint64_t word, const Times& old, bool new_generation,
             std::int64_t at, TransitionReason reason);

  // The short way through an outage. How long until a probe may pass, if the
  // breaker is plainly open and it is not time yet; otherwise not above zero.
  std::int64_t PlainWait(std::uint64_t word, std::int64_t now) const {
    if ((word & kFlagsMask) != StateFlags(State::kOpen)) return 0;
    const std::int64_t until = RecordOf(word).until.load(Sync::kAcquire);
    return word_.load(Sync::kRelaxed) == word ? until - now : 0;
  }
  Admission RejectPlainly(std::int64_t wait) {
    window_.Add(Window::Total::kRejectedOpen);
    return {Permit(), Rejection{RejectionReason::kOpen, Duration(wait)}};
  }
  // The short way along the ramp; goes the long way if it is over or the
  // breaker is not on one.
  Admission AdmitOnRamp(std::uint64_t word, TimePoint now, Random& random);
  Admission AdmitSlow(TimePoint now, Random& random);
  Admission Reject(std::uint64_t word, RejectionReason reason,
                   std::int64_t retry_after);
  Admission Grant(std::uint64_t word) {
    window_.Add(Window::Total::kAdmitted);
    return {Permit(this, word), std::nullopt};
  }

  void Finish(std::uint64_t permit_word, Outcome outcome, TimePoint now,
              Duration latency, Random& random) {
    const std::uint64_t word = word_.load(Sync::kRelaxed);
    const Policy* const policy = PolicyOf(word);
    if ((outcome == Outcome::kOk || outcome == Outcome::kUserError) &&
        latency.count() < policy->slow_call_ns) {
      // The epoch is the word: nothing has changed since the shard was last
      // counted in, so the bucket it is in is still the right one.
      if (word == permit_word && (word & kNotPlainlyClosed) == 0 &&
          window_.CountGoodAgain(outcome, word, Ns(now),
                                 policy->bucket_width_ns)) {
        return;
      }
    }
    FinishSlow(permit_word, /*probe_allowed=*/true, outcome, now, latency,
               random);
  }
  void FinishSlow(std::uint64_t permit_word, bool probe_allowed,
                  Outcome outcome, TimePoint now, Duration latency,
                  Random& random);
  void Prove(std::uint64_t permit_word, TimePoint now, Random& random);

  void Count(Outcome outcome, bool slow, std::uint64_t word, const Times& times,
             std::int64_t bucket) {
    window_.Count(outcome, slow, bucket + times.serial_offset, word,
                  times.policy->BucketEnd(bucket));
  }
  OutcomeCounts WindowAt(const Times& times, std::int64_t bucket) const {
    return window_.Sum(bucket + times.serial_offset,
                       times.policy->settings.buckets);
  }
  // What readers see: an open breaker that would admit a probe is half-open.
  StateView ViewOf(std::uint64_t word, const Times& times,
                   std::int64_t now) const;

  // The first cache line is all that a call on a closed method reads: the word,
  // the policies and the shape of the window.
  alignas(64) Atomic<std::uint64_t> word_;
  std::array<Atomic<const Policy*>, 2> policies_;
  Window window_;

  std::unique_ptr<const Policy> own_policy_;  // the first, if nobody else's
  const NowFunction now_;
  const Listener* const listener_;
  void* const listener_context_;
  std::array<Record, kRecords> records_;
  std::array<Atomic<std::int64_t>, kStays> stayed_ns_{};
  std::array<Atomic<std::uint32_t>, 6> transitions_{};  // TransitionIndex()
  Atomic<std::uint32_t> claims_{1};     // a bit per record in use
  Atomic<std::uint32_t> accounted_{0};  // changes that the two above include
};

using CircuitBreaker = BasicCircuitBreaker<StdSync>;
using Permit = BasicPermit<StdSync>;
using Admission = BasicAdmission<StdSync>;

}  // namespace fusebox

#include "interceptor/breaker/circuit_breaker_inl.h"

namespace fusebox {
extern template class BasicCircuitBreaker<StdSync>;
}

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_CIRCUIT_BREAKER_H_
