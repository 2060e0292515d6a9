// What the programs of the example say of a breaker.

#ifndef FUSEBOX_EXAMPLES_GREETER_BREAKER_TEXT_H_
#define FUSEBOX_EXAMPLES_GREETER_BREAKER_TEXT_H_

#include <cstdint>
#include <string>

#include "interceptor/breaker/state.h"

namespace greeter {

// Calls that it admitted.
std::uint64_t LetThrough(const fusebox::BreakerSnapshot& breaker);

// "OPEN: 12 let through, 3 refused"; in mode shadow "OPEN (shadow): 12 let
// through, 3 would have been refused".
std::string DescribeBreaker(const fusebox::BreakerSnapshot& breaker);

}  // namespace greeter

#endif  // FUSEBOX_EXAMPLES_GREETER_BREAKER_TEXT_H_
