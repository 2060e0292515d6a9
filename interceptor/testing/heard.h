// What a breaker has heard of the one call that it saw.

#ifndef FUSEBOX_INTERCEPTOR_TESTING_HEARD_H_
#define FUSEBOX_INTERCEPTOR_TESTING_HEARD_H_

#include <optional>
#include <ostream>

#include "interceptor/breaker/outcome.h"
#include "interceptor/breaker/state.h"

namespace fusebox::testing {

struct Heard {
  std::optional<Outcome> outcome;  // nothing: not exactly one
  bool slow = false;
};

bool operator==(const Heard& a, const Heard& b);
std::ostream& operator<<(std::ostream& out, const Heard& heard);

Heard HeardBy(const BreakerSnapshot& snapshot);

}  // namespace fusebox::testing

#endif  // FUSEBOX_INTERCEPTOR_TESTING_HEARD_H_
