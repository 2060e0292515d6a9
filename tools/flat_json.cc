#include "tools/flat_json.h"

#include <utility>

#include "tools/decimal.h"

namespace fusebox {
namespace {

namespace ondemand = simdjson::ondemand;

std::string_view TrimRight(std::string_view text) {
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

// What is shown of a text, in bytes.
constexpr std::size_t kShown = 60;

// The start of `text`, without half a character at its end.
std::string Shorten(std::string_view text) {
  if (text.size() <= kShown) return std::string(text);
  std::size_t end = kShown;
  while (end > 0 && (text[end] & '\xc0') == '\x80') --end;
  return std::string(text.substr(0, end)) + "...";
}

// UTF-8 with a surrogate in it: an escape such as "\udc00" that stands alone.
bool HasSurrogate(std::string_view text) {
  for (std::size_t at = text.find('\xed'); at != std::string_view::npos;
       at = text.find('\xed', at + 1)) {
    if (at + 1 < text.size() && (text[at + 1] & '\xe0') == '\xa0') return true;
  }
  return false;
}

}  // namespace

bool FlatJsonParser::Fail(std::string reason) {
  error_ = std::move(reason);
  return false;
}

bool FlatJsonParser::Fail(simdjson::error_code code) {
  return Fail(std::string("not JSON: ") + simdjson::error_message(code));
}

bool FlatJsonParser::Parse(std::string_view line, std::string_view wrapper) {
  fields_.clear();
  ondemand::document document;
  if (const auto code =
          parser_.iterate(line, line.size() + kPadding).get(document)) {
    return Fail(code);
  }
  ondemand::object object;
  if (const auto code = document.get_object().get(object)) {
    return code == simdjson::INCORRECT_TYPE ? Fail("not a JSON object")
                                            : Fail(code);
  }
  if (!(wrapper.empty() ? ReadFields(object) : ReadWrapped(object, wrapper))) {
    return false;
  }
  // The parser is content with the end of the object.
  const char* rest = nullptr;
  if (document.current_location().get(rest) == simdjson::SUCCESS) {
    return Fail("not JSON: something follows the object");
  }
  return true;
}

bool FlatJsonParser::ReadWrapped(ondemand::object object,
                                 std::string_view wrapper) {
  const std::string expected =
      "must be {\"" + std::string(wrapper) + "\": {...}}";
  bool found = false;
  for (auto item : object) {
    ondemand::field field;
    if (const auto code = std::move(item).get(field)) return Fail(code);
    std::string_view name;
    if (const auto code = field.unescaped_key().get(name)) return Fail(code);
    if (found || name != wrapper) return Fail(expected);
    ondemand::object inner;
    if (const auto code = field.value().get_object().get(inner)) {
      return code == simdjson::INCORRECT_TYPE ? Fail(expected) : Fail(code);
    }
    if (!ReadFields(inner)) return false;
    found = true;
  }
  return found || Fail(expected);
}

bool FlatJsonParser::ReadFields(ondemand::object object) {
  for (auto item : object) {
    ondemand::field field;
    if (const auto code = std::move(item).get(field)) return Fail(code);
    if (!ReadField(field)) return false;
  }
  return true;
}

bool FlatJsonParser::ReadField(ondemand::field field) {
  JsonField& out = fields_.emplace_back();
  if (const auto code = field.unescaped_key().get(out.name)) return Fail(code);
  if (HasSurrogate(out.name)) return Fail(simdjson::STRING_ERROR);
  ondemand::value value = field.value();
  out.text = TrimRight(value.raw_json_token());
  switch (out.text.empty() ? '\0' : out.text.front()) {
    case '"':
      out.kind = JsonField::Kind::kString;
      if (const auto code = value.get_string().get(out.text)) return Fail(code);
      if (HasSurrogate(out.text)) return Fail(simdjson::STRING_ERROR);
      return true;
    case '{':
      out.kind = JsonField::Kind::kNested;
      out.text = "{...}";
      return true;
    case '[':
      out.kind = JsonField::Kind::kNested;
      out.text = "[...]";
      return true;
    default:
      break;
  }
  if (IsJsonNumber(out.text)) {
    out.kind = JsonField::Kind::kNumber;
  } else if (out.text == "true" || out.text == "false") {
    out.kind = JsonField::Kind::kBool;
  } else if (out.text == "null") {
    out.kind = JsonField::Kind::kNull;
  } else {
    return Fail("not JSON: the value of " + QuoteText(out.name));
  }
  return true;
}

void AppendJsonString(std::string_view text, std::string& out) {
  out += '"';
  for (char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (c >= '\0' && c < ' ') {
          out += "\\u00";
          out += "0123456789abcdef"[c >> 4];
          out += "0123456789abcdef"[c & 0xf];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

std::string QuoteText(std::string_view text) {
  std::string quoted;
  AppendJsonString(Shorten(text), quoted);
  return quoted;
}

std::string QuoteValue(const JsonField& field) {
  return field.kind == JsonField::Kind::kString ? QuoteText(field.text)
                                                : Shorten(field.text);
}

}  // namespace fusebox
