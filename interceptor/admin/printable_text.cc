#include "interceptor/admin/printable_text.h"

#include <cstddef>
#include <cstdint>

namespace fusebox {
namespace {

// The character at the beginning of `text`, and how many bytes it has; 0 if
// there is no valid one.
std::size_t Decode(std::string_view text, std::uint32_t& character) {
  const auto byte = [&](std::size_t i) {
    return static_cast<unsigned char>(text[i]);
  };
  const unsigned char first = byte(0);
  if (first < 0x80) {
    character = first;
    return 1;
  }
  const std::size_t length = first >= 0xf0   ? 4
                             : first >= 0xe0 ? 3
                             : first >= 0xc2 ? 2
                                             : 0;
  if (length == 0 || length > text.size() || first > 0xf4) return 0;
  character = first & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    character = character << 6 | (byte(i) & 0x3fu);
  }
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (character < kSmallest[length] || character > 0x10ffff ||
      (character >= 0xd800 && character < 0xe000)) {
    return 0;
  }
  return length;
}

bool StaysInPlace(std::uint32_t character) {
  return character >= 0x20 && !(character >= 0x7f && character < 0xa0) &&
         character != 0x061c && character != 0x200e && character != 0x200f &&
         !(character >= 0x2028 && character <= 0x202e) &&
         !(character >= 0x2066 && character <= 0x2069) && character != 0xfeff;
}

}  // namespace

std::string PrintableText(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string printable;
  printable.reserve(text.size());
  while (!text.empty()) {
    std::uint32_t character = 0;
    std::size_t length = Decode(text, character);
    if (length != 0 && StaysInPlace(character)) {
      printable += text.substr(0, length);
    } else {
      if (length == 0) length = 1;
      for (const char c : text.substr(0, length)) {
        const auto byte = static_cast<unsigned char>(c);
        printable += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
      }
    }
    text.remove_prefix(length);
  }
  return printable;
}

}  // namespace fusebox
