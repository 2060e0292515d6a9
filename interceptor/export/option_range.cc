#include "interceptor/export/option_range.h"

#include "absl/strings/str_cat.h"
#include "interceptor/breaker/settings.h"

namespace fusebox {
namespace {

std::string Text(Duration value) { return FormatDuration(value); }
std::string Text(std::size_t value) { return std::to_string(value); }

template <class T>
absl::Status Check(const std::string& field, T value, T lowest, T highest) {
  if (value >= lowest && value <= highest) return absl::OkStatus();
  return OutOfRange(field, Text(value),
                    absl::StrCat("[", Text(lowest), ", ", Text(highest), "]"));
}

}  // namespace

absl::Status OutOfRange(const std::string& field, const std::string& value,
                        const std::string& range) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", value, " is out of range ", range));
}

absl::Status InRange(const std::string& field, Duration value, Duration lowest,
                     Duration highest) {
  return Check(field, value, lowest, highest);
}

absl::Status InRange(const std::string& field, std::size_t value,
                     std::size_t lowest, std::size_t highest) {
  return Check(field, value, lowest, highest);
}

}  // namespace fusebox
