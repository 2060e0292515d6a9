// The start of a name, in a room that does not link Abseil.

#ifndef FUSEBOX_INTERCEPTOR_STARTS_WITH_H_
#define FUSEBOX_INTERCEPTOR_STARTS_WITH_H_

#include <string_view>

namespace fusebox {

inline bool StartsWith(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STARTS_WITH_H_
