// The states of a breaker, and the events and snapshots that show them.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_STATE_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_STATE_H_

#include <array>
#include <cstdint>
#include <string>

#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/outcome.h"
#include "interceptor/breaker/settings.h"

namespace fusebox {

enum class State : unsigned char { kClosed = 0, kOpen = 1, kHalfOpen = 2 };

// An operator's act that stands above the state until released.
enum class Override : unsigned char {
  kNone = 0,
  kForcedOpen = 1,
  kForcedClosed = 2,
};

// Which side of a call a breaker guards.
enum class Role : unsigned char { kClient = 0, kServer = 1 };

enum class RejectionReason : unsigned char {
  kOpen = 0,           // open, and not yet time for a probe
  kHalfOpenLimit = 1,  // a probe is out, or the ramp did not draw this call
  kForcedOpen = 2,     // an operator's act
};
inline constexpr int kRejectionReasons = 3;

// Why a state changed.
enum class TransitionReason : unsigned char {
  kTimeoutThreshold,      // timeouts reached timeout_threshold
  kSystemErrorThreshold,  // and so on for the other classes
  kUnknownErrorThreshold,
  kFailureThreshold,
  kSlowCallThreshold,
  kProbeLeaseEnded,   // the probe gave no answer in time
  kRecoveryDue,       // time alone: the next call would be the probe
  kRecoveryDeferred,  // the draining window became unhealthy again
  kProbeAdmitted,     // the first probe went out
  kProbeSucceeded,    // a probe whose lease had ended answered well after all
  kRampFinished,      // recovered
  kForced,            // an operator forced the breaker
  kForceExpired,      // the time limit of a forced state passed
  kReleased,          // an operator released it
  kReset,             // an operator reset it, or it was idle for long
  kSwitchedOff,       // the settings say mode off now
  kCaughtUp,          // some changes were skipped: the queue was full
};

// Lower-case names, as they appear in logs, metrics and admin:
// "closed", "open", "half_open".
const char* StateName(State state);
// "CLOSED", "OPEN", "HALF_OPEN".
const char* StateLabel(State state);
// "none", "forced_open", "forced_closed".
const char* OverrideName(Override override_state);
// "client", "server".
const char* RoleName(Role role);
// "open", "half_open_limit", "forced_open".
const char* RejectionReasonName(RejectionReason reason);
// "failure_threshold", "ramp_finished", ...
const char* TransitionReasonName(TransitionReason reason);

// What a reader sees at one moment.
struct StateView {
  State state = State::kClosed;
  Override override_state = Override::kNone;
  // The next moment at which time alone may change `state`; TimePoint::max()
  // when only a call or an operator can.
  TimePoint next_change = TimePoint::max();
  std::uint32_t generation = 1;
  // Changes of the state or override that were committed so far.
  std::uint32_t changes = 0;

  // Whether a call would have a chance: not open.
  bool serving() const { return state != State::kOpen; }
};

// Counted outcomes; of a window or of a lifetime.
struct OutcomeCounts {
  std::array<std::uint64_t, kCountedOutcomes> by_outcome = {};
  std::uint64_t slow = 0;  // included once in by_outcome as well

  std::uint64_t of(Outcome outcome) const {
    return by_outcome[static_cast<std::size_t>(outcome)];
  }
  std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (std::uint64_t n : by_outcome) sum += n;
    return sum;
  }
  std::uint64_t failures() const {
    return of(Outcome::kTimeout) + of(Outcome::kSystemError) +
           of(Outcome::kUnknownError);
  }
};

// Everything a reader may want to know of one breaker, as of one moment. State,
// generation and times belong together; counters may be a few calls apart from
// each other while calls are under way.
struct BreakerSnapshot {
  std::uint64_t id = 0;  // unique in its registry
  Role role = Role::kClient;
  std::string target;  // client side; empty on a server
  std::string method;  // "/pkg.Service/Method"

  Settings settings;

  State state = State::kClosed;
  Override override_state = Override::kNone;
  std::uint32_t generation = 1;
  TimePoint since;                           // when `state` was entered
  TimePoint next_probe = TimePoint::max();   // open: when a probe may go out
  TimePoint next_change = TimePoint::max();  // as StateView::next_change
  bool proved = false;                       // half-open: the ramp is running

  OutcomeCounts window;
  OutcomeCounts lifetime;
  std::uint64_t ignored = 0;
  std::uint64_t stale = 0;
  std::array<std::uint64_t, kRejectionReasons> rejected = {};
  std::uint64_t shadow_rejected = 0;
  std::uint64_t in_flight = 0;  // permits out

  // Time spent so far, the present stay included, indexed by State; while an
  // override stands its time goes to the last two.
  std::array<Duration, 3> time_in_state = {};
  Duration time_forced_open = Duration::zero();
  Duration time_forced_closed = Duration::zero();

  // Committed transitions, [from][to].
  std::array<std::array<std::uint32_t, 3>, 3> transitions = {};
};

// One change of the state of a breaker.
struct StateChange {
  State from = State::kClosed;
  State to = State::kClosed;
  Override override_from = Override::kNone;
  Override override_to = Override::kNone;
  TransitionReason reason = TransitionReason::kReset;
  std::uint32_t generation = 1;  // after the change
  TimePoint at;
};

// The same as an event of a registry: numbered, with the name of the breaker.
struct Transition : StateChange {
  std::uint64_t sequence = 0;  // 1, 2, 3, ... in one registry
  std::uint64_t skipped = 0;   // events lost right before this one: queue full

  std::uint64_t breaker_id = 0;
  Role role = Role::kClient;
  std::string target;  // client side; empty on a server
  std::string method;
};

// "fusebox: /greeter.v1.Greeter/SayHello (client of dns:///x): closed -> open:
// failure_threshold, generation 3" on one line.
std::string FormatTransition(const Transition& transition);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_STATE_H_
