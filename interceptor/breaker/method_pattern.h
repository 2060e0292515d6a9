// Which methods a setting or a rule is about.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_METHOD_PATTERN_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_METHOD_PATTERN_H_

#include <string_view>

namespace fusebox {

// A pattern is the name of a method as gRPC writes it, "/pkg.Service/Method",
// or "/pkg.Service/*", the methods of that service which no other pattern
// names. Neither part is empty or has a slash, a star, a space or a control
// character in it.
bool IsMethodPattern(std::string_view text);

// "/pkg.Service/" of "/pkg.Service/Method": all up to the last slash. Empty if
// there is none.
std::string_view ServicePart(std::string_view method);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_METHOD_PATTERN_H_
