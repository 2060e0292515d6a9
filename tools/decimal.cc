#include "tools/decimal.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <limits>

namespace fusebox {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The length of the digits that `text` begins with.
std::size_t LeadingDigits(std::string_view text) {
  std::size_t count = 0;
  while (count < text.size() && IsDigit(text[count])) ++count;
  return count;
}

// Exponents saturate here: any number but zero is too large or too fine long
// before.
constexpr std::int64_t kFarOut = 1'000'000'000'000;

// The value of an exponent such as "-07".
std::int64_t Exponent(std::string_view text) {
  const bool negative = text.front() == '-';
  if (!IsDigit(text.front())) text.remove_prefix(1);
  std::int64_t value = 0;
  for (char digit : text) {
    value = std::min(kFarOut, value * 10 + (digit - '0'));
  }
  return negative ? -value : value;
}

// value * 10 + digit, or false if that is more than 64 bits hold.
bool PushDigit(std::int64_t& value, int digit) {
  return !__builtin_mul_overflow(value, std::int64_t{10}, &value) &&
         !__builtin_add_overflow(value, std::int64_t{digit}, &value);
}

}  // namespace

bool IsJsonNumber(std::string_view text) {
  if (!text.empty() && text.front() == '-') text.remove_prefix(1);
  const std::size_t whole = LeadingDigits(text);
  if (whole == 0 || (whole > 1 && text.front() == '0')) return false;
  text.remove_prefix(whole);
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    const std::size_t fraction = LeadingDigits(text);
    if (fraction == 0) return false;
    text.remove_prefix(fraction);
  }
  if (!text.empty() && (text.front() == 'e' || text.front() == 'E')) {
    text.remove_prefix(1);
    if (!text.empty() && (text.front() == '+' || text.front() == '-')) {
      text.remove_prefix(1);
    }
    const std::size_t exponent = LeadingDigits(text);
    if (exponent == 0) return false;
    text.remove_prefix(exponent);
  }
  return text.empty();
}

ScaledDecimal ScaleDecimal(std::string_view number, int places) {
  const bool negative = number.front() == '-';
  if (negative) number.remove_prefix(1);
  // The power of ten that the next digit stands for.
  std::int64_t power =
      static_cast<std::int64_t>(LeadingDigits(number)) - 1 + places;
  if (const std::size_t e = number.find_first_of("eE");
      e != std::string_view::npos) {
    power += Exponent(number.substr(e + 1));
    number = number.substr(0, e);
  }

  ScaledDecimal result;
  const ScaledDecimal too_large{ScaledDecimal::Fit::kTooLarge, 0};
  for (char digit : number) {
    if (digit == '.') continue;
    if (power >= 0) {
      if (!PushDigit(result.value, digit - '0')) return too_large;
    } else if (digit != '0') {
      result.fit = ScaledDecimal::Fit::kTruncated;
      break;
    }
    --power;
  }
  // `power` is now that of the digit after the last: what is missing are zeros.
  for (; power >= 0 && result.value != 0; --power) {
    if (!PushDigit(result.value, 0)) return too_large;
  }
  if (negative) result.value = -result.value;
  return result;
}

void AppendSeconds(std::int64_t milliseconds, std::string& out) {
  char text[std::numeric_limits<std::int64_t>::digits10 + 6];
  char* end = std::to_chars(text, text + sizeof(text), milliseconds / 1000).ptr;
  if (const int rest = static_cast<int>(milliseconds % 1000); rest != 0) {
    *end++ = '.';
    *end++ = static_cast<char>('0' + rest / 100);
    *end++ = static_cast<char>('0' + rest / 10 % 10);
    *end++ = static_cast<char>('0' + rest % 10);
    while (end[-1] == '0') --end;
  }
  out.append(text, end);
}

}  // namespace fusebox
