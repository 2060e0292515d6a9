// From the end of a gRPC call to an Outcome: what counts against a method.

#ifndef FUSEBOX_INTERCEPTOR_STATUS_OUTCOME_H_
#define FUSEBOX_INTERCEPTOR_STATUS_OUTCOME_H_

#include <array>
#include <bitset>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "interceptor/breaker/outcome.h"
#include "interceptor/breaker/settings.h"
#include "interceptor/breaker/state.h"

namespace fusebox {

// An outcome for each gRPC status code, 0 to 16, and one for every code above.
// A plain value; thread-compatible.
class StatusOutcomes {
 public:
  // The default classification, which asks "would less traffic help?":
  //   ok             OK
  //   user_error     INVALID_ARGUMENT NOT_FOUND ALREADY_EXISTS
  //                  PERMISSION_DENIED UNAUTHENTICATED FAILED_PRECONDITION
  //                  OUT_OF_RANGE ABORTED UNIMPLEMENTED; on a server also
  //                  RESOURCE_EXHAUSTED (it is defending itself already)
  //   timeout        DEADLINE_EXCEEDED
  //   system_error   UNAVAILABLE INTERNAL DATA_LOSS; on a client also
  //                  RESOURCE_EXHAUSTED
  //   unknown_error  UNKNOWN and any code above 16
  //   ignored        CANCELLED
  explicit StatusOutcomes(Role role);

  // `code` is a grpc::StatusCode; any number outside 0 to 16 stands for all of
  // them.
  Outcome Of(int code) const { return outcomes_[Index(code)]; }
  void Set(int code, Outcome outcome) { outcomes_[Index(code)] = outcome; }

 private:
  friend class OutcomeRules;

  static constexpr std::size_t kCodes = 17;
  static constexpr std::size_t kSlots = kCodes + 1;
  static std::size_t Index(int code) {
    return code < 0 || code >= static_cast<int>(kCodes)
               ? kCodes
               : static_cast<std::size_t>(code);
  }
  std::array<Outcome, kSlots> outcomes_;
};

// The same for all methods, with exceptions for some; an exception for a method
// stands above one for its service, whichever is set first. Thread-compatible.
class OutcomeRules {
 public:
  explicit OutcomeRules(Role role) : defaults_(role) {}

  // For every method without an exception for `code`.
  void Set(int code, Outcome outcome);
  // An exception. `pattern` as in method_pattern.h: "/pkg.Service/Method" or
  // "/pkg.Service/*".
  void Set(std::string_view pattern, int code, Outcome outcome);

  // Takes no lock and allocates nothing; compares no string while no method has
  // an exception. Valid until the rules change.
  const StatusOutcomes& For(std::string_view method) const;

 private:
  struct Exceptions {
    StatusOutcomes outcomes;  // what is less specific included
    std::bitset<StatusOutcomes::kSlots> codes;
  };
  // Those of the service of `method`; null if it has none.
  const Exceptions* OfService(std::string_view method) const;

  StatusOutcomes defaults_;
  // By "/pkg.Service/Method", and those of services by "/pkg.Service/".
  std::map<std::string, Exceptions, std::less<>> exceptions_;
};

// What the glue knows when a call has ended.
struct CallEnd {
  int code = 0;  // grpc::StatusCode
  // A breaker further down answered instead of the method (IsRejection()).
  bool rejected_downstream = false;
  // Deadline minus start; Duration::max() without a deadline.
  Duration time_budget = Duration::max();
  // Start to end. Need not be precise unless slow_call_duration is on.
  Duration latency = Duration::zero();
};

// The rules of the policy before the table, in its order:
//   1. rejected downstream: ignored (the next hop protects itself)
//   3. a timeout or cancellation of a call whose time budget was below
//      min_counted_deadline: ignored
//   4. a cancellation after slow_call_duration, when on: timeout (callers that
//      give up on a hung backend must open it)
// then the table. (Rule 2, "only if the handler was entered", and rule 5,
// streams, are the business of who calls.)
Outcome OutcomeOf(const CallEnd& end, const StatusOutcomes& outcomes,
                  const Settings& settings);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STATUS_OUTCOME_H_
