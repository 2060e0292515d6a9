// What the flags of exporters have in common.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_OPTION_FLAGS_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_OPTION_FLAGS_H_

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "interceptor/breaker/clock.h"

namespace fusebox {

// Sets `value` to what `text` stands for ("250ms", "1024", "true"), in range or
// not; INVALID_ARGUMENT, naming the field and the text, if it is of another
// type.
absl::Status ParseOption(const std::string& field, const std::string& text,
                         Duration& value);
absl::Status ParseOption(const std::string& field, const std::string& text,
                         std::size_t& value);
absl::Status ParseOption(const std::string& field, const std::string& text,
                         bool& value);

// The value; without one its error goes to standard error and the program ends
// with status 2.
template <class T>
T ValueOrExit(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", std::string(value.status().message()).c_str());
    std::exit(2);
  }
  return *std::move(value);
}

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_OPTION_FLAGS_H_
