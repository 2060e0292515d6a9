#include "interceptor/health/health_codec.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace fusebox {
namespace {

enum WireType : std::uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kLengthDelimited = 2,
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5,
};

struct Field {
  std::uint32_t number = 0;
  std::uint32_t type = 0;
  std::string_view text;     // the content, if kLengthDelimited
  std::uint64_t varint = 0;  // the content, if kVarint
};

// Reads a message field by field.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : rest_(bytes) {}

  bool AtEnd() const { return rest_.empty(); }

  // False if what comes next is not a whole field.
  bool Read(Field& field) {
    if (!ReadTag(field)) return false;
    return field.type == kStartGroup ? SkipGroup(field.number)
                                     : ReadValue(field);
  }

 private:
  // As deep as protobuf's own parser goes.
  static constexpr std::size_t kMaxGroups = 100;

  bool ReadTag(Field& field) {
    std::uint64_t varint = 0;
    if (!ReadVarint(5, varint)) return false;
    const auto tag = static_cast<std::uint32_t>(varint);
    field.number = tag >> 3;
    field.type = tag & 7;
    return field.number != 0;
  }

  // What follows the tag of anything but a group.
  bool ReadValue(Field& field) {
    std::uint64_t varint = 0;
    switch (field.type) {
      case kVarint:
        return ReadVarint(10, field.varint);
      case kFixed64:
        return Take(8, field.text);
      case kFixed32:
        return Take(4, field.text);
      case kLengthDelimited:
        return ReadVarint(5, varint) && Take(varint, field.text);
      default:
        return false;
    }
  }

  // Groups are gone from the language, but are still a way to write a field
  // that the reader does not know.
  bool SkipGroup(std::uint32_t number) {
    std::array<std::uint32_t, kMaxGroups> open = {number};
    std::size_t depth = 1;
    while (depth > 0) {
      Field field;
      if (!ReadTag(field)) return false;
      if (field.type == kStartGroup) {
        if (depth == kMaxGroups) return false;
        open[depth++] = field.number;
      } else if (field.type == kEndGroup) {
        if (open[--depth] != field.number) return false;
      } else if (!ReadValue(field)) {
        return false;
      }
    }
    return true;
  }

  bool ReadVarint(std::size_t max_bytes, std::uint64_t& value) {
    value = 0;
    for (std::size_t i = 0; i < max_bytes && i < rest_.size(); ++i) {
      const auto byte = static_cast<unsigned char>(rest_[i]);
      value |= std::uint64_t{byte & 0x7fu} << (7 * i);
      if (byte < 0x80) {
        rest_.remove_prefix(i + 1);
        return true;
      }
    }
    return false;
  }

  bool Take(std::uint64_t size, std::string_view& text) {
    if (size > rest_.size()) return false;
    text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_;
};

void AppendVarint(std::uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) {
    out.push_back(static_cast<char>(value | 0x80));
  }
  out.push_back(static_cast<char>(value));
}

void AppendField(std::uint32_t number, std::string_view text,
                 std::string& out) {
  AppendVarint(number << 3 | kLengthDelimited, out);
  AppendVarint(text.size(), out);
  out.append(text);
}

}  // namespace

std::optional<std::string_view> DecodeHealthRequest(std::string_view bytes) {
  std::string_view service;
  FieldReader reader(bytes);
  while (!reader.AtEnd()) {
    Field field;
    if (!reader.Read(field)) return std::nullopt;
    if (field.number == 1 && field.type == kLengthDelimited) {
      if (!IsUtf8(field.text)) return std::nullopt;
      service = field.text;  // of several the last one counts
    }
  }
  return service;
}

bool IsHealthListRequest(std::string_view bytes) {
  FieldReader reader(bytes);
  while (!reader.AtEnd()) {
    Field unknown;
    if (!reader.Read(unknown)) return false;
  }
  return true;
}

std::string EncodeHealthResponse(ServingStatus status) {
  std::string out;
  AppendVarint(1 << 3 | kVarint, out);
  AppendVarint(static_cast<std::uint64_t>(status), out);
  return out;
}

std::string EncodeHealthRequest(std::string_view service) {
  std::string out;
  if (!service.empty()) AppendField(1, service, out);
  return out;
}

std::optional<int> DecodeHealthResponse(std::string_view bytes) {
  int status = 0;
  FieldReader reader(bytes);
  while (!reader.AtEnd()) {
    Field field;
    if (!reader.Read(field)) return std::nullopt;
    if (field.number == 1 && field.type == kVarint) {
      // As protobuf reads an enum: the lower half of whatever is there.
      status = static_cast<int>(static_cast<std::uint32_t>(field.varint));
    }
  }
  return status;
}

std::string EncodeHealthList(
    const std::vector<std::pair<std::string_view, ServingStatus>>& statuses) {
  std::string out;
  for (const auto& [name, status] : statuses) {
    std::string entry;
    AppendField(1, name, entry);
    AppendField(2, EncodeHealthResponse(status), entry);
    AppendField(1, entry, out);
  }
  return out;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const auto byte = [&text](std::size_t i) {
      return static_cast<unsigned char>(text[i]);
    };
    const unsigned char lead = byte(0);
    std::size_t size = 1;
    // The second byte is what rules out overlong forms (after E0 and F0),
    // surrogates (after ED) and numbers above U+10FFFF (after F4).
    unsigned char second_min = 0x80;
    unsigned char second_max = 0xbf;
    if (lead >= 0x80) {
      if (lead < 0xc2 || lead > 0xf4) return false;
      size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
      if (lead == 0xe0) second_min = 0xa0;
      if (lead == 0xed) second_max = 0x9f;
      if (lead == 0xf0) second_min = 0x90;
      if (lead == 0xf4) second_max = 0x8f;
    }
    if (size > text.size()) return false;
    for (std::size_t i = 1; i < size; ++i) {
      if (byte(i) < second_min || byte(i) > second_max) return false;
      second_min = 0x80;
      second_max = 0xbf;
    }
    text.remove_prefix(size);
  }
  return true;
}

}  // namespace fusebox
