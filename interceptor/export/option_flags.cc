#include "interceptor/export/option_flags.h"

#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace fusebox {
namespace {

absl::Status NotA(const std::string& type, const std::string& field,
                  const std::string& text) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": '", text, "' is not ", type));
}

}  // namespace

absl::Status ParseOption(const std::string& field, const std::string& text,
                         Duration& value) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration)) {
    return NotA("a duration such as 250ms", field, text);
  }
  value = absl::ToChronoNanoseconds(duration);  // too long: the longest
  return absl::OkStatus();
}

absl::Status ParseOption(const std::string& field, const std::string& text,
                         std::size_t& value) {
  std::uint64_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) return NotA("a number", field, text);
  value = number;
  return absl::OkStatus();
}

absl::Status ParseOption(const std::string& field, const std::string& text,
                         bool& value) {
  if (text != "true" && text != "false") {
    return NotA("true or false", field, text);
  }
  value = text == "true";
  return absl::OkStatus();
}

}  // namespace fusebox
