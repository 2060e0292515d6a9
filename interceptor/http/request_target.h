// The target of an HTTP request, taken apart.

#ifndef FUSEBOX_INTERCEPTOR_HTTP_REQUEST_TARGET_H_
#define FUSEBOX_INTERCEPTOR_HTTP_REQUEST_TARGET_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fusebox {

struct RequestTarget {
  std::string path;  // begins with "/"; any bytes
  // As sent, in order. Without "=" the value is empty.
  std::vector<std::pair<std::string, std::string>> parameters;
};

// Parses "/path?name=value&name" or the same after "http://host" (RFC 9112,
// section 3.2); what is percent-encoded is decoded, and "+" in the query is a
// space. A fragment is part of what it stands in. Nothing if it is of another
// form, or has a "%" without two hexadecimal digits behind it.
std::optional<RequestTarget> ParseRequestTarget(std::string_view target);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HTTP_REQUEST_TARGET_H_
