#include "interceptor/status_outcome.h"

#include <grpcpp/support/status_code_enum.h>

namespace fusebox {
namespace {

Outcome DefaultOutcome(int code, Role role) {
  switch (code) {
    case grpc::StatusCode::OK:
      return Outcome::kOk;

    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::ALREADY_EXISTS:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::UNIMPLEMENTED:
      return Outcome::kUserError;

    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Outcome::kTimeout;

    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::DATA_LOSS:
      return Outcome::kSystemError;

    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return role == Role::kServer ? Outcome::kUserError
                                   : Outcome::kSystemError;

    case grpc::StatusCode::CANCELLED:
      return Outcome::kIgnored;

    case grpc::StatusCode::UNKNOWN:
    default:
      return Outcome::kUnknownError;
  }
}

}  // namespace

StatusOutcomes::StatusOutcomes(Role role) {
  for (std::size_t i = 0; i < kSlots; ++i) {
    outcomes_[i] = DefaultOutcome(static_cast<int>(i), role);
  }
}

void OutcomeRules::Set(int code, Outcome outcome) {
  defaults_.Set(code, outcome);
  for (auto& [method, exceptions] : methods_) {
    if (!exceptions.codes[StatusOutcomes::Index(code)]) {
      exceptions.outcomes.Set(code, outcome);
    }
  }
}

void OutcomeRules::Set(std::string_view method, int code, Outcome outcome) {
  const auto [it, added] =
      methods_.try_emplace(std::string(method), Exceptions{defaults_, {}});
  it->second.outcomes.Set(code, outcome);
  it->second.codes.set(StatusOutcomes::Index(code));
}

const StatusOutcomes& OutcomeRules::For(std::string_view method) const {
  if (methods_.empty()) return defaults_;
  const auto it = methods_.find(method);
  return it == methods_.end() ? defaults_ : it->second.outcomes;
}

Outcome OutcomeOf(const CallEnd& end, const StatusOutcomes& outcomes,
                  const Settings& settings) {
  if (end.rejected_downstream) return Outcome::kIgnored;
  const bool cancelled = end.code == grpc::StatusCode::CANCELLED;
  const bool timed_out = end.code == grpc::StatusCode::DEADLINE_EXCEEDED;
  if ((cancelled || timed_out) &&
      end.time_budget < settings.min_counted_deadline) {
    return Outcome::kIgnored;
  }
  if (cancelled && settings.slow_call_duration.has_value() &&
      end.latency >= *settings.slow_call_duration) {
    return Outcome::kTimeout;
  }
  return outcomes.Of(end.code);
}

}  // namespace fusebox
