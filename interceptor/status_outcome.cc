#include "interceptor/status_outcome.h"

#include <grpcpp/support/status_code_enum.h>

#include "interceptor/breaker/method_pattern.h"

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
  const std::size_t index = StatusOutcomes::Index(code);
  defaults_.Set(code, outcome);
  for (auto& [name, exceptions] : exceptions_) {
    const Exceptions* const service = OfService(name);
    if (!exceptions.codes[index] &&
        (service == nullptr || !service->codes[index])) {
      exceptions.outcomes.Set(code, outcome);
    }
  }
}

void OutcomeRules::Set(std::string_view pattern, int code, Outcome outcome) {
  const std::size_t index = StatusOutcomes::Index(code);
  const std::string_view service = ServicePart(pattern);
  const bool of_service = pattern.substr(service.size()) == "*";
  const std::string_view name = of_service ? service : pattern;
  auto found = exceptions_.find(name);
  if (found == exceptions_.end()) {
    found =
        exceptions_.emplace(std::string(name), Exceptions{For(name), {}}).first;
  }
  found->second.outcomes.Set(code, outcome);
  found->second.codes.set(index);
  if (!of_service) return;
  for (auto& [other, exceptions] : exceptions_) {
    if (ServicePart(other) == service && !exceptions.codes[index]) {
      exceptions.outcomes.Set(code, outcome);
    }
  }
}

const StatusOutcomes& OutcomeRules::For(std::string_view method) const {
  if (exceptions_.empty()) return defaults_;
  const auto found = exceptions_.find(method);
  if (found != exceptions_.end()) return found->second.outcomes;
  const Exceptions* const service = OfService(method);
  return service == nullptr ? defaults_ : service->outcomes;
}

const OutcomeRules::Exceptions* OutcomeRules::OfService(
    std::string_view method) const {
  const std::string_view service = ServicePart(method);
  if (service.empty()) return nullptr;
  const auto found = exceptions_.find(service);
  return found == exceptions_.end() ? nullptr : &found->second;
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
