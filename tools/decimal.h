// Decimal numbers as JSON writes them, read and written without a detour
// through binary floating point.

#ifndef FUSEBOX_TOOLS_DECIMAL_H_
#define FUSEBOX_TOOLS_DECIMAL_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace fusebox {

// Whether `text` is a number of RFC 8259: "-1.5e3", but not "+1", ".5" or "01".
bool IsJsonNumber(std::string_view text);

struct ScaledDecimal {
  enum class Fit : unsigned char {
    kExact,
    kTruncated,  // towards zero: the number has more places
    kTooLarge,   // for 64 bits; `value` is zero
  };
  Fit fit = Fit::kExact;
  std::int64_t value = 0;
};

// `number`, which must be an IsJsonNumber(), times 10^`places`.
ScaledDecimal ScaleDecimal(std::string_view number, int places);

// Appends a time in seconds, as short as it can be written: 12500 ms is "12.5".
// `milliseconds` must not be negative.
void AppendSeconds(std::int64_t milliseconds, std::string& out);

}  // namespace fusebox

#endif  // FUSEBOX_TOOLS_DECIMAL_H_
