// The transitions of BasicCircuitBreaker. Include circuit_breaker.h instead.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_CIRCUIT_BREAKER_INL_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_CIRCUIT_BREAKER_INL_H_

#include "interceptor/breaker/circuit_breaker.h"

namespace fusebox {

template <class Sync>
BasicCircuitBreaker<Sync>::BasicCircuitBreaker(const Policy* policy,
                                               TimePoint now,
                                               const Options& options)
    : word_((std::uint64_t{1} << kVersionShift) |
            ModeFlags(policy->settings.mode)),
      policies_{{Atomic<const Policy*>(policy), Atomic<const Policy*>(policy)}},
      window_(policy->settings.buckets, options.shards),
      now_(options.now),
      listener_(options.listener),
      listener_context_(options.listener_context) {
  Times times;
  times.since = Ns(now);
  // Room below, so that the oldest bucket of any window has a serial >= 0.
  times.serial_offset =
      std::max<std::int64_t>(0, -policy->Bucket(Ns(now))) + Window::kWindowGap;
  StoreRecord(0, times);
}

// ---------------------------------------------------------------------------
// The word and its record

template <class Sync>
void BasicCircuitBreaker<Sync>::StoreRecord(int index, const Times& times) {
  Record& record = records_[static_cast<std::size_t>(index)];
  record.origin.store(times.origin, Sync::kRelease);
  record.since.store(times.since, Sync::kRelease);
  record.until.store(times.until, Sync::kRelease);
  record.generation_start_and_openings.store(
      times.generation_start << 16 | times.openings, Sync::kRelease);
  record.serial_offset.store(times.serial_offset, Sync::kRelease);
  record.generation.store(times.generation, Sync::kRelease);
  record.changes.store(times.changes, Sync::kRelease);
}

template <class Sync>
bool BasicCircuitBreaker<Sync>::ReadRecord(std::uint64_t word,
                                           Times& times) const {
  const Record& record = RecordOf(word);
  times.origin = record.origin.load(Sync::kAcquire);
  times.since = record.since.load(Sync::kAcquire);
  times.until = record.until.load(Sync::kAcquire);
  const std::uint64_t generation_start_and_openings =
      record.generation_start_and_openings.load(Sync::kAcquire);
  times.generation_start = generation_start_and_openings >> 16;
  times.openings =
      static_cast<std::uint32_t>(generation_start_and_openings & 0xffff);
  times.serial_offset = record.serial_offset.load(Sync::kAcquire);
  times.generation = record.generation.load(Sync::kAcquire);
  times.changes = record.changes.load(Sync::kAcquire);
  times.policy = PolicyOf(word);
  return word_.load(Sync::kRelaxed) == word;
}

template <class Sync>
int BasicCircuitBreaker<Sync>::ClaimRecord() {
  std::uint32_t claims = claims_.load(Sync::kRelaxed);
  for (int index = 0; index < kRecords;) {
    const std::uint32_t bit = std::uint32_t{1} << index;
    if ((claims & bit) != 0) {
      ++index;
    } else if (claims_.compare_exchange_strong(claims, claims | bit,
                                               Sync::kAcquire)) {
      return index;
    }
  }
  return -1;
}

template <class Sync>
void BasicCircuitBreaker<Sync>::ReturnRecord(int index) {
  claims_.fetch_and(~(std::uint32_t{1} << index), Sync::kRelease);
}

template <class Sync>
std::uint64_t BasicCircuitBreaker<Sync>::Swap(std::uint64_t word,
                                              const Times& old,
                                              std::uint64_t flags, Times times,
                                              TransitionReason reason,
                                              std::int64_t at) {
  const int index = ClaimRecord();
  if (index < 0) {
    Sync::Pause();
    return 0;
  }
  const std::uint64_t next_flags =
      flags | ModeFlags(times.policy->settings.mode);
  const bool visible =
      ((next_flags ^ word) & (kStateMask | kOverrideMask)) != 0;
  if (visible) {
    // Never before the change it follows, even if another thread's clock was
    // read a little earlier.
    times.since = std::max(at, old.since);
    times.changes = old.changes + 1;
  }
  StoreRecord(index, times);
  std::uint64_t next =
      ((Version(word) + 1) << kVersionShift) | (word & kPolicy) |
      (static_cast<std::uint64_t>(index) << kRecordShift) | next_flags;
  if (times.policy != old.policy) {
    next ^= kPolicy;
    if ((flags & kProbeOut) != 0) {
      next |= std::min((word & kSurvivedMask) + kSurvivedOne, kSurvivedMask);
    }
  }
  std::uint64_t expected = word;
  if (!word_.compare_exchange_strong(expected, next, Sync::kRelease)) {
    ReturnRecord(index);
    return 0;
  }
  ReturnRecord(RecordIndex(word));
  if (!visible) {
    if (listener_ != nullptr && listener_->rescheduled != nullptr) {
      listener_->rescheduled(listener_context_);
    }
    return next;
  }

  stayed_ns_[StayOf(word)].fetch_add(times.since - old.since, Sync::kRelease);
  if (StateOf(word) != StateOf(next)) {
    transitions_[TransitionIndex(StateOf(word), StateOf(next))].fetch_add(
        1, Sync::kRelease);
  }
  accounted_.fetch_add(1, Sync::kRelease);
  if (listener_ != nullptr && listener_->notify != nullptr) {
    StateChange change;
    change.from = StateOf(word);
    change.to = StateOf(next);
    change.override_from = OverrideOf(word);
    change.override_to = OverrideOf(next);
    change.reason = reason;
    change.generation = times.generation;
    change.at = AtNs(times.since);
    listener_->notify(listener_context_, *this, change, times.changes);
  }
  return next;
}

template <class Sync>
std::uint64_t BasicCircuitBreaker<Sync>::SendProbe(std::uint64_t word,
                                                   const Times& old,
                                                   std::int64_t now) {
  Times times = old;
  times.until = now + times.policy->probe_lease_ns;
  if (StateOf(word) == State::kOpen) times.serial_offset += Window::kWindowGap;
  return Swap(word, old, StateFlags(State::kHalfOpen) | kProbeOut, times,
              TransitionReason::kProbeAdmitted, now);
}

template <class Sync>
bool BasicCircuitBreaker<Sync>::FreeProbeSlot(std::uint64_t word) {
  std::uint64_t expected = word;
  const std::uint64_t next = (word & ~(kProbeOut | kSurvivedMask)) +
                             (std::uint64_t{1} << kVersionShift);
  return word_.compare_exchange_strong(expected, next, Sync::kRelease);
}

// ---------------------------------------------------------------------------
// Transitions

template <class Sync>
bool BasicCircuitBreaker<Sync>::Open(std::uint64_t word, const Times& old,
                                     bool new_generation, std::int64_t at,
                                     TransitionReason reason, Random& random) {
  Times times = old;
  times.until = at + old.policy->OpenFor(old.openings, random.Jitter());
  times.origin = times.until - old.policy->min_recovery_ns;
  // Must only not wrap: whatever grows with it has reached its cap long ago.
  if (old.openings < 0xffff) times.openings = old.openings + 1;
  if (new_generation) {
    times.generation = old.generation + 1;
    times.generation_start = Version(word) + 1;
  }
  return Swap(word, old, StateFlags(State::kOpen), times, reason, at) != 0;
}

template <class Sync>
std::uint64_t BasicCircuitBreaker<Sync>::BecomeProved(std::uint64_t word,
                                                      const Times& old,
                                                      std::int64_t now) {
  Times times = old;
  if (!old.policy->ramp_from_opening)
    times.origin = now - old.policy->min_recovery_ns;
  // Not before now: a ramp that began at the opening may be over already.
  times.until = std::max(now, times.origin + old.policy->max_recovery_ns);
  if (StateOf(word) == State::kOpen) times.serial_offset += Window::kWindowGap;
  return Swap(word, old, StateFlags(State::kHalfOpen) | kProved, times,
              TransitionReason::kProbeSucceeded, now);
}

template <class Sync>
bool BasicCircuitBreaker<Sync>::Close(std::uint64_t word, const Times& old,
                                      bool new_generation, std::int64_t at,
                                      TransitionReason reason) {
  Times times = old;
  times.openings = 0;
  if (new_generation) {
    times.generation = old.generation + 1;
    times.generation_start = Version(word) + 1;
    times.serial_offset += Window::kWindowGap;
  }
  return Swap(word, old, StateFlags(State::kClosed), times, reason, at) != 0;
}

template <class Sync>
bool BasicCircuitBreaker<Sync>::TimeIsCommitted(std::uint64_t word,
                                                const Times& times,
                                                std::int64_t now,
                                                Random& random) {
  if (OverrideOf(word) != Override::kNone) {
    if (now < times.until) return true;
    Close(word, times, /*new_generation=*/true, times.until,
          TransitionReason::kForceExpired);
    return false;
  }
  if (StateOf(word) != State::kHalfOpen) return true;
  if ((word & kProved) != 0) {
    if (now < times.until) return true;
    Close(word, times, /*new_generation=*/false, times.until,
          TransitionReason::kRampFinished);
    return false;
  }
  if ((word & kProbeOut) == 0 || now < times.until) return true;
  Open(word, times, /*new_generation=*/false, times.until,
       TransitionReason::kProbeLeaseEnded, random);
  return false;
}

// ---------------------------------------------------------------------------
// May it pass?

template <class Sync>
BasicAdmission<Sync> BasicCircuitBreaker<Sync>::Reject(
    std::uint64_t word, RejectionReason reason, std::int64_t retry_after) {
  if (ModeOf(word) == Mode::kShadow) {
    window_.Add(Window::Total::kShadowRejected);
    return {};
  }
  switch (reason) {
    case RejectionReason::kOpen:
      window_.Add(Window::Total::kRejectedOpen);
      break;
    case RejectionReason::kHalfOpenLimit:
      window_.Add(Window::Total::kRejectedHalfOpenLimit);
      break;
    case RejectionReason::kForcedOpen:
      window_.Add(Window::Total::kRejectedForcedOpen);
      break;
  }
  return {Permit(),
          Rejection{reason, Duration(std::max<std::int64_t>(retry_after, 1))}};
}

template <class Sync>
BasicAdmission<Sync> BasicCircuitBreaker<Sync>::AdmitOnRamp(std::uint64_t word,
                                                            TimePoint now,
                                                            Random& random) {
  if ((word & kFlagsMask) != (StateFlags(State::kHalfOpen) | kProved)) {
    return AdmitSlow(now, random);
  }
  const std::int64_t elapsed =
      Ns(now) - RecordOf(word).origin.load(Sync::kAcquire);
  const Policy* const policy = PolicyOf(word);
  if (word_.load(Sync::kRelaxed) != word ||
      elapsed >= policy->max_recovery_ns) {
    return AdmitSlow(now, random);
  }
  if (policy->RampAdmits(elapsed, random.Admission())) return Grant(word);
  window_.Add(Window::Total::kRejectedHalfOpenLimit);
  return {Permit(), Rejection{RejectionReason::kHalfOpenLimit,
                              Duration(policy->RampRetry(elapsed))}};
}

template <class Sync>
BasicAdmission<Sync> BasicCircuitBreaker<Sync>::AdmitSlow(TimePoint now_point,
                                                          Random& random) {
  const std::int64_t now = Ns(now_point);
  for (;;) {
    const std::uint64_t word = word_.load(Sync::kAcquire);
    if ((word & kNotPlainlyClosed) == 0) return Grant(word);
    if (ModeOf(word) == Mode::kOff) return {};
    Times times;
    if (!ReadRecord(word, times)) continue;
    if (!TimeIsCommitted(word, times, now, random)) continue;

    if (OverrideOf(word) == Override::kForcedClosed) return Grant(word);
    if (OverrideOf(word) == Override::kForcedOpen) {
      // Without an end nobody knows when: the longest wait of the policy.
      return Reject(
          word, RejectionReason::kForcedOpen,
          std::min(times.until, now + times.policy->max_recovery_ns) - now);
    }
    switch (StateOf(word)) {
      case State::kClosed:
        return Grant(word);

      case State::kOpen: {
        const std::int64_t wait = times.until - now;
        if (wait > 0) return Reject(word, RejectionReason::kOpen, wait);
        if (times.policy->drain_window_before_recovery) {
          const std::int64_t bucket = times.policy->Bucket(now);
          if (times.policy->Unhealthy(WindowAt(times, bucket),
                                      times.policy->min_requests)) {
            return Reject(word, RejectionReason::kOpen,
                          times.policy->BucketEnd(bucket) - now);
          }
        }
        if (const std::uint64_t probe = SendProbe(word, times, now)) {
          return Grant(probe);
        }
        continue;
      }

      case State::kHalfOpen: {
        if ((word & kProved) != 0) {
          const std::int64_t elapsed = now - times.origin;
          if (times.policy->RampAdmits(elapsed, random.Admission())) {
            return Grant(word);
          }
          return Reject(word, RejectionReason::kHalfOpenLimit,
                        times.policy->RampRetry(elapsed));
        }
        if ((word & kProbeOut) != 0) {
          return Reject(
              word, RejectionReason::kHalfOpenLimit,
              std::min(times.policy->min_recovery_ns, times.until - now));
        }
        if (const std::uint64_t probe = SendProbe(word, times, now)) {
          return Grant(probe);
        }
        continue;
      }
    }
  }
}

// ---------------------------------------------------------------------------
// What came of it?

template <class Sync>
void BasicCircuitBreaker<Sync>::FinishSlow(std::uint64_t permit_word,
                                           bool probe_allowed, Outcome outcome,
                                           TimePoint now_point,
                                           Duration latency, Random& random) {
  const std::int64_t now = Ns(now_point);
  const bool ignored = outcome == Outcome::kIgnored;
  const bool slow =
      !ignored &&
      latency.count() >= PolicyOf(word_.load(Sync::kRelaxed))->slow_call_ns;
  const bool bad = slow || IsFailure(outcome);
  // Set once the outcome is in the window, with the generation it went to.
  std::optional<std::uint64_t> counted_generation;

  for (;;) {
    const std::uint64_t word = word_.load(Sync::kAcquire);
    Times times;
    if (!ReadRecord(word, times)) continue;
    if (!TimeIsCommitted(word, times, now, random)) continue;
    const std::int64_t bucket = times.policy->Bucket(now);

    if (counted_generation.has_value()) {
      // Somebody else opened, released or reset the breaker meanwhile.
      if (*counted_generation != times.generation_start) return;
    } else {
      if (Version(permit_word) < times.generation_start) {
        window_.Add(Window::Total::kStale);
        return;
      }
      if (ignored) {
        if (probe_allowed && IsProbe(permit_word, word) &&
            !FreeProbeSlot(word)) {
          continue;
        }
        window_.Add(Window::Total::kIgnored);
        return;
      }
      if (OverrideOf(word) == Override::kNone) {
        const bool unproved =
            StateOf(word) == State::kHalfOpen && (word & kProved) == 0;
        if (!bad && (unproved || StateOf(word) == State::kOpen)) {
          const std::uint64_t proved = BecomeProved(word, times, now);
          if (proved == 0) continue;
          // If it has moved on since, this count is one still under way.
          Times proved_times = times;
          if (StateOf(word) == State::kOpen) {
            proved_times.serial_offset += Window::kWindowGap;
          }
          Count(outcome, slow, proved, proved_times, bucket);
          return;
        }
        if (bad && StateOf(word) == State::kOpen) {
          window_.CountTotalOnly(outcome, slow);
          return;
        }
      }
      Count(outcome, slow, word, times, bucket);
      counted_generation = times.generation_start;
    }

    // The outcome is counted; what is left is to judge it.
    if (!bad || OverrideOf(word) != Override::kNone ||
        StateOf(word) == State::kOpen) {
      return;
    }
    const std::int64_t minimum =
        StateOf(word) == State::kClosed ? times.policy->min_requests : 0;
    if (const auto reason =
            times.policy->Unhealthy(WindowAt(times, bucket), minimum)) {
      if (Open(word, times, /*new_generation=*/true, now, *reason, random)) {
        return;
      }
    } else if (probe_allowed && IsProbe(permit_word, word)) {
      if (FreeProbeSlot(word)) return;
    } else {
      return;
    }
  }
}

template <class Sync>
void BasicCircuitBreaker<Sync>::Prove(std::uint64_t permit_word,
                                      TimePoint now_point, Random& random) {
  const std::int64_t now = Ns(now_point);
  for (;;) {
    const std::uint64_t word = word_.load(Sync::kAcquire);
    if ((word & kNotPlainlyClosed) == 0) return;
    Times times;
    if (!ReadRecord(word, times)) continue;
    if (!TimeIsCommitted(word, times, now, random)) continue;
    if (OverrideOf(word) != Override::kNone ||
        Version(permit_word) < times.generation_start ||
        StateOf(word) == State::kClosed || (word & kProved) != 0) {
      return;
    }
    if (BecomeProved(word, times, now) != 0) return;
  }
}

template <class Sync>
void BasicCircuitBreaker<Sync>::Report(Outcome outcome, TimePoint now,
                                       Duration latency, Random& random,
                                       bool stale) {
  if (ModeOf(word_.load(Sync::kRelaxed)) == Mode::kOff) return;
  window_.Add(Window::Total::kAdmitted);
  FinishSlow(stale ? 0 : ~std::uint64_t{0}, /*probe_allowed=*/false, outcome,
             now, latency, random);
}

// ---------------------------------------------------------------------------
// Readers

template <class Sync>
StateView BasicCircuitBreaker<Sync>::ViewOf(std::uint64_t word,
                                            const Times& times,
                                            std::int64_t now) const {
  StateView view;
  view.override_state = OverrideOf(word);
  view.state = StateOf(word);
  view.generation = times.generation;
  view.changes = times.changes;
  switch (view.override_state) {
    case Override::kForcedOpen:
    case Override::kForcedClosed:
      view.state = view.override_state == Override::kForcedOpen
                       ? State::kOpen
                       : State::kClosed;
      view.next_change = AtNs(times.until);
      return view;
    case Override::kNone:
      break;
  }
  switch (view.state) {
    case State::kClosed:
      break;
    case State::kOpen: {
      if (now < times.until) {
        view.next_change = AtNs(times.until);
        break;
      }
      view.state = State::kHalfOpen;
      if (times.policy->drain_window_before_recovery) {
        const std::int64_t bucket = times.policy->Bucket(now);
        const OutcomeCounts window = WindowAt(times, bucket);
        if (times.policy->Unhealthy(window, times.policy->min_requests)) {
          view.state = State::kOpen;
        }
        // As outcomes roll out, the window may turn either way.
        if (window.total() != 0) {
          view.next_change = AtNs(times.policy->BucketEnd(bucket));
        }
      }
      break;
    }
    case State::kHalfOpen:
      if ((word & (kProved | kProbeOut)) != 0) {
        view.next_change = AtNs(times.until);
      }
      break;
  }
  return view;
}

template <class Sync>
StateView BasicCircuitBreaker<Sync>::View(TimePoint now_point, Random& random) {
  const std::int64_t now = Ns(now_point);
  for (;;) {
    const std::uint64_t word = word_.load(Sync::kAcquire);
    Times times;
    if (!ReadRecord(word, times)) continue;
    if (!TimeIsCommitted(word, times, now, random)) continue;
    const StateView view = ViewOf(word, times, now);
    if (word_.load(Sync::kRelaxed) == word) return view;
  }
}

template <class Sync>
BreakerSnapshot BasicCircuitBreaker<Sync>::Snapshot(TimePoint now_point,
                                                    Random& random) {
  const std::int64_t now = Ns(now_point);
  for (;;) {
    const std::uint64_t word = word_.load(Sync::kAcquire);
    Times times;
    if (!ReadRecord(word, times)) continue;
    if (!TimeIsCommitted(word, times, now, random)) continue;

    // The thread that made the last change has yet to account for the stay that
    // it ended: without it the sums would step back.
    if (accounted_.load(Sync::kAcquire) != times.changes) {
      Sync::Pause();
      continue;
    }

    BreakerSnapshot snapshot;
    snapshot.settings = times.policy->settings;
    const StateView view = ViewOf(word, times, now);
    snapshot.state = view.state;
    snapshot.override_state = view.override_state;
    snapshot.next_change = view.next_change;
    snapshot.generation = times.generation;
    snapshot.proved = (word & kProved) != 0;
    std::int64_t since = times.since;
    if (view.override_state == Override::kNone &&
        StateOf(word) == State::kOpen) {
      snapshot.next_probe = AtNs(std::max(times.until, times.since));
      if (view.state == State::kHalfOpen) since = std::max(times.until, since);
    }
    snapshot.since = AtNs(since);
    snapshot.window = WindowAt(times, times.policy->Bucket(now));

    std::array<std::int64_t, kStays> stays;
    for (std::size_t i = 0; i < kStays; ++i) {
      // Pairs with the release in Swap(): whoever sees the stay sees its word
      // (B7).
      stays[i] = stayed_ns_[i].load(Sync::kAcquire);
    }
    stays[StayOf(word)] += std::max<std::int64_t>(now - times.since, 0);
    snapshot.time_in_state = {Duration(stays[0]), Duration(stays[1]),
                              Duration(stays[2])};
    snapshot.time_forced_open = Duration(stays[3]);
    snapshot.time_forced_closed = Duration(stays[4]);
    for (State from : {State::kClosed, State::kOpen, State::kHalfOpen}) {
      for (State to : {State::kClosed, State::kOpen, State::kHalfOpen}) {
        if (from == to) continue;
        snapshot.transitions[static_cast<std::size_t>(from)]
                            [static_cast<std::size_t>(to)] =
            transitions_[TransitionIndex(from, to)].load(Sync::kAcquire);
      }
    }
    if (word_.load(Sync::kRelaxed) != word) continue;

    snapshot.lifetime = window_.Lifetime();
    snapshot.ignored = window_.Read(Window::Total::kIgnored);
    snapshot.stale = window_.Read(Window::Total::kStale);
    snapshot.rejected = {window_.Read(Window::Total::kRejectedOpen),
                         window_.Read(Window::Total::kRejectedHalfOpenLimit),
                         window_.Read(Window::Total::kRejectedForcedOpen)};
    snapshot.shadow_rejected = window_.Read(Window::Total::kShadowRejected);
    snapshot.in_flight = in_flight();
    return snapshot;
  }
}

template <class Sync>
std::uint64_t BasicCircuitBreaker<Sync>::in_flight() const {
  // Ends first: a permit that begins and ends in between must not be seen to
  // end only.
  const std::uint64_t ended = window_.Lifetime().total() +
                              window_.Read(Window::Total::kIgnored) +
                              window_.Read(Window::Total::kStale);
  const std::uint64_t admitted = window_.Read(Window::Total::kAdmitted);
  return admitted > ended ? admitted - ended : 0;
}

template <class Sync>
std::uint64_t BasicCircuitBreaker<Sync>::asked() const {
  return window_.Read(Window::Total::kAdmitted) +
         window_.Read(Window::Total::kRejectedOpen) +
         window_.Read(Window::Total::kRejectedHalfOpenLimit) +
         window_.Read(Window::Total::kRejectedForcedOpen) +
         window_.Read(Window::Total::kShadowRejected);
}

// ---------------------------------------------------------------------------
// An operator's acts

template <class Sync>
void BasicCircuitBreaker<Sync>::SetPolicy(const Policy* policy,
                                          TimePoint now_point, Random& random) {
  const std::int64_t now = Ns(now_point);
  {
    // Its place is the same until the swap below: nobody else changes it (B8).
    const std::uint64_t word = word_.load(Sync::kRelaxed);
    if (PolicyOf(word) == policy) return;
    policies_[(word & kPolicy) == 0 ? 1 : 0].store(policy, Sync::kRelease);
  }
  for (;;) {
    const std::uint64_t word = word_.load(Sync::kAcquire);
    Times times;
    if (!ReadRecord(word, times)) continue;
    if (!TimeIsCommitted(word, times, now, random)) continue;
    const Policy& old = *times.policy;

    std::uint64_t flags = word & ~kModeMask & kFlagsMask;
    Times next = times;
    next.policy = policy;
    // The moment of the probe, or of the proof.
    next.origin += old.min_recovery_ns - policy->min_recovery_ns;
    if ((word & kProved) != 0) {
      next.until = std::max(now, next.origin + policy->max_recovery_ns);
    }
    const bool switched_off =
        policy->settings.mode == Mode::kOff && ModeOf(word) != Mode::kOff;
    if (switched_off) {
      if (OverrideOf(word) == Override::kNone) {
        flags = StateFlags(State::kClosed);
      }
      next.openings = 0;
      next.generation = times.generation + 1;
      next.generation_start = Version(word) + 1;
    }
    const std::int64_t serial = old.Bucket(now) + times.serial_offset;
    if (switched_off || policy->bucket_width_ns != old.bucket_width_ns ||
        !window_.HasRoom(serial, policy->settings.buckets)) {
      next.serial_offset = serial +
                           window_.GapBefore(serial, policy->settings.buckets) -
                           policy->Bucket(now);
    }
    if (Swap(word, times, flags, next, TransitionReason::kSwitchedOff, now) !=
        0) {
      return;
    }
  }
}

template <class Sync>
void BasicCircuitBreaker<Sync>::Force(Override override_state, TimePoint until,
                                      TimePoint now_point, Random& random) {
  const std::int64_t now = Ns(now_point);
  for (;;) {
    const std::uint64_t word = word_.load(Sync::kAcquire);
    Times times;
    if (!ReadRecord(word, times)) continue;
    if (!TimeIsCommitted(word, times, now, random)) continue;
    Times next = times;
    next.until = Ns(until);
    if (Swap(word, times,
             StateFlags(StateOf(word)) | OverrideFlags(override_state), next,
             TransitionReason::kForced, now) != 0) {
      return;
    }
  }
}

template <class Sync>
bool BasicCircuitBreaker<Sync>::Release(TimePoint now_point, Random& random) {
  const std::int64_t now = Ns(now_point);
  for (;;) {
    const std::uint64_t word = word_.load(Sync::kAcquire);
    Times times;
    if (!ReadRecord(word, times)) continue;
    if (!TimeIsCommitted(word, times, now, random)) continue;
    if (OverrideOf(word) == Override::kNone) return false;
    if (Close(word, times, /*new_generation=*/true, now,
              TransitionReason::kReleased)) {
      return true;
    }
  }
}

template <class Sync>
void BasicCircuitBreaker<Sync>::Reset(TimePoint now_point, Random& random) {
  const std::int64_t now = Ns(now_point);
  for (;;) {
    const std::uint64_t word = word_.load(Sync::kAcquire);
    Times times;
    if (!ReadRecord(word, times)) continue;
    if (!TimeIsCommitted(word, times, now, random)) continue;
    if (Close(word, times, /*new_generation=*/true, now,
              TransitionReason::kReset)) {
      return;
    }
  }
}

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_CIRCUIT_BREAKER_INL_H_
