// The latest transitions of a registry, and who caused which.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_TRANSITION_HISTORY_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_TRANSITION_HISTORY_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/breaker/state.h"

namespace fusebox {

// Something that an operator did.
struct OperatorAct {
  enum class Kind : unsigned char {
    kForceOpen,
    kForceClose,
    kRelease,
    kReset,
    kUpdate,  // of settings
  };
  Kind kind = Kind::kReset;
  std::string who;
  std::string comment;
  std::string detail;  // "for 10m", "min_recovery=2s"
};

// "force_open", "force_close", "release", "reset", "update".
const char* ActName(OperatorAct::Kind kind);

struct HistoryEntry {
  // Of an act that changed neither state nor override (so that the registry
  // told nothing): sequence 0, with names, `at`, and the state it left.
  Transition transition;
  // The moment of the transition by the wall clock.
  std::chrono::system_clock::time_point time;
  // If an operator caused it.
  std::optional<OperatorAct> act;
};

// Keeps the latest kCapacity transitions of a registry, merged with the acts of
// operators.
//
// An act becomes part of the transition that it causes. Transitions stand in
// the order of their sequence; an act without one stands where it happened.
//
// How an act finds its transition: the transitions of one breaker arrive in
// the order in which they happened, so an act belongs to the first one after
// it with its reason and override, and a generation that the breaker had before
// or after the act. An act that was passed over that way changed nothing.
//
// The registry must outlive it. Thread-safe.
class TransitionHistory {
 public:
  // What is kept, so that watchers (of the admin service) may lag behind.
  static constexpr std::size_t kCapacity = 1000;
  // What is shown, unless more is asked for.
  static constexpr std::size_t kShown = 100;

  using WallClock = std::function<std::chrono::system_clock::time_point()>;

  explicit TransitionHistory(
      BreakerRegistry* registry,
      WallClock wall_clock = &std::chrono::system_clock::now);
  ~TransitionHistory();
  TransitionHistory(const TransitionHistory&) = delete;
  TransitionHistory& operator=(const TransitionHistory&) = delete;

  // The latest, oldest first.
  std::vector<HistoryEntry> Last(std::size_t count = kShown) const;
  // The latest of one breaker, oldest first.
  std::vector<HistoryEntry> LastOf(std::uint64_t breaker_id,
                                   std::size_t count = kShown) const;

  // The first transition with a higher sequence; nothing if there is none.
  // Those in between that are not kept any more, or that the registry lost,
  // are added to `skipped`; if nothing later is kept at all, only that happens.
  std::optional<HistoryEntry> After(std::uint64_t sequence,
                                    std::uint64_t& skipped) const;
  // The sequence of the last transition; 0 if there is none.
  std::uint64_t sequence() const;

  // The act that a breaker is forced by, if it was recorded here.
  std::optional<OperatorAct> StandingForce(std::uint64_t breaker_id) const;

  // An act as it was performed.
  struct Performed {
    OperatorAct act;
    BreakerSnapshot before;
    BreakerSnapshot after;
  };
  // Runs `perform` and records what it says it did, if anything. Acts are
  // performed one at a time, and no transition is recorded meanwhile; `perform`
  // may call the registry, but not this object.
  void RecordAct(const std::function<std::optional<Performed>()>& perform);

  // Calls `listener` after each entry, from now on, without saying which; on
  // the registry's dispatcher or the thread of an act. It may ask this object
  // for entries, but must not add or remove listeners.
  std::uint64_t AddListener(std::function<void()> listener);
  // Waits for a call of it that is under way.
  void RemoveListener(std::uint64_t id);

  // A moment of the registry's clock by the wall clock.
  std::chrono::system_clock::time_point WallTime(TimePoint at) const;

 private:
  struct Kept {
    HistoryEntry entry;
    // Of an act that waits for its transition.
    bool waiting = false;
    Override override_to = Override::kNone;
    std::uint32_t generation_before = 0;
    std::uint32_t generation_after = 0;
  };
  struct Force {
    OperatorAct act;
    std::uint32_t generation = 0;  // after it
  };

  void OnTransition(const Transition& transition) FUSEBOX_EXCLUDES(mu_);
  // Takes out the act that caused `transition`.
  std::optional<OperatorAct> TakeCause(const Transition& transition)
      FUSEBOX_REQUIRES(mu_);
  void Keep(Kept kept) FUSEBOX_REQUIRES(mu_);
  void TellListeners() FUSEBOX_EXCLUDES(mu_);

  BreakerRegistry& registry_;
  const WallClock wall_clock_;

  mutable Mutex mu_;
  std::deque<Kept> kept_ FUSEBOX_GUARDED_BY(mu_);
  std::uint64_t sequence_ FUSEBOX_GUARDED_BY(mu_) = 0;
  std::map<std::uint64_t, Force> forces_ FUSEBOX_GUARDED_BY(mu_);

  Mutex listeners_mu_;  // held while they are called
  std::map<std::uint64_t, std::function<void()>> listeners_
      FUSEBOX_GUARDED_BY(listeners_mu_);
  std::uint64_t last_listener_ FUSEBOX_GUARDED_BY(listeners_mu_) = 0;

  BreakerRegistry::Watch watch_;  // last: calls back until it is gone
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_TRANSITION_HISTORY_H_
