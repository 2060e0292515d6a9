#include "interceptor/breaker/state.h"

namespace fusebox {

const char* StateName(State state) {
  switch (state) {
    case State::kClosed:
      return "closed";
    case State::kOpen:
      return "open";
    case State::kHalfOpen:
      return "half_open";
  }
  return "invalid";
}

const char* StateLabel(State state) {
  switch (state) {
    case State::kClosed:
      return "CLOSED";
    case State::kOpen:
      return "OPEN";
    case State::kHalfOpen:
      return "HALF_OPEN";
  }
  return "INVALID";
}

const char* OverrideName(Override override_state) {
  switch (override_state) {
    case Override::kNone:
      return "none";
    case Override::kForcedOpen:
      return "forced_open";
    case Override::kForcedClosed:
      return "forced_closed";
  }
  return "invalid";
}

const char* RoleName(Role role) {
  return role == Role::kClient ? "client" : "server";
}

const char* RejectionReasonName(RejectionReason reason) {
  switch (reason) {
    case RejectionReason::kOpen:
      return "open";
    case RejectionReason::kHalfOpenLimit:
      return "half_open_limit";
    case RejectionReason::kForcedOpen:
      return "forced_open";
  }
  return "invalid";
}

const char* TransitionReasonName(TransitionReason reason) {
  switch (reason) {
    case TransitionReason::kTimeoutThreshold:
      return "timeout_threshold";
    case TransitionReason::kSystemErrorThreshold:
      return "system_error_threshold";
    case TransitionReason::kUnknownErrorThreshold:
      return "unknown_error_threshold";
    case TransitionReason::kFailureThreshold:
      return "failure_threshold";
    case TransitionReason::kSlowCallThreshold:
      return "slow_call_threshold";
    case TransitionReason::kProbeLeaseEnded:
      return "probe_lease_ended";
    case TransitionReason::kRecoveryDue:
      return "recovery_due";
    case TransitionReason::kRecoveryDeferred:
      return "recovery_deferred";
    case TransitionReason::kProbeAdmitted:
      return "probe_admitted";
    case TransitionReason::kProbeSucceeded:
      return "probe_succeeded";
    case TransitionReason::kRampFinished:
      return "ramp_finished";
    case TransitionReason::kForced:
      return "forced";
    case TransitionReason::kForceExpired:
      return "force_expired";
    case TransitionReason::kReleased:
      return "released";
    case TransitionReason::kReset:
      return "reset";
    case TransitionReason::kSwitchedOff:
      return "switched_off";
    case TransitionReason::kCaughtUp:
      return "caught_up";
  }
  return "invalid";
}

namespace {

const char* Shown(State state, Override override_state) {
  return override_state == Override::kNone ? StateName(state)
                                           : OverrideName(override_state);
}

}  // namespace

std::string FormatTransition(const Transition& transition) {
  std::string line = "fusebox: " + transition.method + " (";
  line += RoleName(transition.role);
  if (!transition.target.empty()) line += " of " + transition.target;
  line += "): ";
  line += Shown(transition.from, transition.override_from);
  line += " -> ";
  line += Shown(transition.to, transition.override_to);
  line += ": ";
  line += TransitionReasonName(transition.reason);
  line += ", generation " + std::to_string(transition.generation);
  if (transition.skipped != 0) {
    line += ", " + std::to_string(transition.skipped) + " events skipped";
  }
  return line;
}

}  // namespace fusebox
