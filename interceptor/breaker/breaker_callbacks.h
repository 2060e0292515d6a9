// Functions to call when breakers open, recover and decide: the five callbacks
// of eleme/doctor, this library's ancestor, in its words.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_BREAKER_CALLBACKS_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_BREAKER_CALLBACKS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/state.h"

namespace fusebox {

// What a callback is told.
struct CallbackContext {
  Role role = Role::kClient;
  std::string target;   // client side; empty on a server
  std::string service;  // "pkg.Service"; empty of the overflow breaker
  std::string method;   // "Method"

  // Whether calls passed the test. Of locked: false; of unlocked: true.
  bool result = false;
  // The decisions that this call stands for; 0 of locked and unlocked.
  std::uint64_t tests = 0;
  // False in mode shadow: what did not pass was not refused.
  bool enforced = true;

  // As last announced (Transition): kClosed is unlocked, the others are locked.
  State state = State::kClosed;
  TimePoint since;

  // Of the window as of now: no threshold is reached. Judged with min_requests
  // unless half-open, as everywhere.
  bool healthy_now = true;

  // When the decisions were made. Of locked and unlocked: both are `since`.
  TimePoint start;
  TimePoint end;
};

// Each may be empty.
struct Callbacks {
  using Callback = std::function<void(const CallbackContext&)>;

  // The breaker opened: from closed, or again while it was recovering.
  Callback locked;
  // It closed; after this it is not tested until it is locked again.
  Callback unlocked;
  // While it was not closed, calls asked to be admitted, and passed (`result`:
  // probes, calls of the ramp) or did not.
  Callback tested;
  // Right after `tested`, by its result.
  Callback tested_ok;
  Callback tested_bad;
};

// Calls them while it lives.
//
// Guarantees. On the registry's dispatcher thread, one at a time; so never on
// the thread of a call, and at no cost to calls: those neither know nor do
// anything that they would not do without. The callbacks of one breaker come in
// the order of its transitions, with the tests of a state before the transition
// that ends it.
//
// Locked and unlocked: one for each such transition (BreakerRegistry says when
// transitions are skipped). Tests are not delivered one by one but counted: at
// each transition of the breaker, and in between every `period` at most, those
// that passed and those that did not since the last look are one call each, if
// there were any. No decision is told twice, and none that was refused is left
// out. What passed is the growth of the counter of admitted calls; so calls
// that a closed breaker admitted before the dispatcher took notice of a
// transition count as tests too, and probes do not count that came and went
// before it noticed the opening. Either is a matter of a busy dispatcher. What
// happened before the first look, soon after construction, is not told.
//
// Without callbacks of tests no counter is ever looked at. Callbacks may use
// the registry and its breakers, but must neither destroy this nor block for
// long.
//
// The constructor and destructor may be called on any thread; the latter waits
// for a callback under way. Must not outlive the registry. Example:
//
//   fusebox::Callbacks callbacks;
//   callbacks.locked = [](const fusebox::CallbackContext& c) { Page(c.method);
//   }; fusebox::BreakerCallbacks calling(&breakers, callbacks);
class BreakerCallbacks {
 public:
  BreakerCallbacks(BreakerRegistry* registry, Callbacks callbacks,
                   Duration period = std::chrono::seconds(1));
  BreakerCallbacks(const BreakerCallbacks&) = delete;
  BreakerCallbacks& operator=(const BreakerCallbacks&) = delete;

 private:
  // What is known of a breaker; by its id.
  struct Known {
    Role role;
    std::string target;
    std::string method;
    State state;
    TimePoint since;
    // As of the last look.
    std::uint64_t passed;
    std::uint64_t refused;
    TimePoint looked_at;
  };

  // All of these run on the dispatcher thread.
  void OnTransition(const Transition& transition);
  void OnRound();
  void LookForTheFirstTime();
  void ForgetRetired();
  // Null if the breaker has been retired.
  std::optional<BreakerSnapshot> SnapshotOf(std::uint64_t id,
                                            const Known& known) const;
  // Tells of the tests since the last look.
  void TellTests(Known& known, const BreakerSnapshot& snapshot);
  void Tell(const Callbacks::Callback& callback, const Known& known,
            const BreakerSnapshot& snapshot, bool result) const;
  static CallbackContext ContextOf(const Known& known,
                                   const BreakerSnapshot& snapshot);

  BreakerRegistry& registry_;
  const Callbacks callbacks_;
  const bool tells_tests_;
  const Duration period_;

  // The dispatcher's.
  bool looked_ = false;
  std::map<std::uint64_t, Known> known_;
  TimePoint last_round_;

  // Last: nothing is called any longer when the rest goes.
  BreakerRegistry::Watch transitions_;
  BreakerRegistry::Watch rounds_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_BREAKER_CALLBACKS_H_
