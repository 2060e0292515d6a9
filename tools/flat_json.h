// JSON Lines of flat objects: names and scalars, nothing nested.

#ifndef FUSEBOX_TOOLS_FLAT_JSON_H_
#define FUSEBOX_TOOLS_FLAT_JSON_H_

#include <simdjson.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fusebox {

struct JsonField {
  enum class Kind : unsigned char { kString, kNumber, kBool, kNull, kNested };

  std::string_view name;
  Kind kind = Kind::kNull;
  // Strings without quotes and escapes; the rest as written ("{...}" or "[...]"
  // when nested).
  std::string_view text;
};

// Reads one line after the other, strictly by RFC 8259: nothing that is not
// JSON gets through, and numbers stay the text they are.
//
// Thread-compatible.
class FlatJsonParser {
 public:
  // So many bytes after a line must be readable; their values do not matter.
  static constexpr std::size_t kPadding = simdjson::SIMDJSON_PADDING;

  // Reads an object into fields(). With a `wrapper`, the line must be an object
  // whose only field has that name and holds the object to read. False, with
  // the reason in error(), if the line is anything else.
  bool Parse(std::string_view line, std::string_view wrapper = {});

  // In the order of the line, repeated names included. Valid until the next
  // Parse(), and as long as the line.
  const std::vector<JsonField>& fields() const { return fields_; }
  const std::string& error() const { return error_; }

 private:
  bool Fail(simdjson::error_code code);
  bool Fail(std::string reason);
  bool ReadWrapped(simdjson::ondemand::object object, std::string_view wrapper);
  bool ReadFields(simdjson::ondemand::object object);
  bool ReadField(simdjson::ondemand::field field);

  simdjson::ondemand::parser parser_;
  std::vector<JsonField> fields_;
  std::string error_;
};

// Appends `text`, which must be UTF-8, as a JSON string with its quotes.
void AppendJsonString(std::string_view text, std::string& out);

// What a person is shown of a field: a JSON value, cut if long.
std::string QuoteValue(const JsonField& field);
std::string QuoteText(std::string_view text);

}  // namespace fusebox

#endif  // FUSEBOX_TOOLS_FLAT_JSON_H_
