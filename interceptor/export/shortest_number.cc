#include "interceptor/export/shortest_number.h"

#include <array>
#include <charconv>
#include <cmath>

namespace fusebox {

std::string ShortestNumber(double value) {
  const double size = std::abs(value);
  const bool plain = size == 0 || (size >= 1e-6 && size < 1e17);
  std::array<char, 64> text;
  const std::to_chars_result end = std::to_chars(
      text.data(), text.data() + text.size(), value,
      plain ? std::chars_format::fixed : std::chars_format::scientific);
  return std::string(text.data(), end.ptr);
}

}  // namespace fusebox
