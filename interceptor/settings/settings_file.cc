#include "interceptor/settings/settings_file.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "interceptor/breaker/method_pattern.h"
#include "interceptor/settings/settings_fields.h"
#include "proto/fusebox/v1/settings.pb.h"

namespace fusebox {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::TextFormat;
using ParseTree = TextFormat::ParseInfoTree;

constexpr std::size_t kMostBytes = std::size_t{1} << 20;

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

// "ENFORCE, SHADOW or OFF".
std::string Words(const EnumDescriptor& type) {
  std::vector<std::string> words;
  for (int i = 0; i < type.value_count(); ++i) {
    const std::string& word = type.value(i)->name();
    if (!absl::EndsWith(word, "_UNSPECIFIED")) words.push_back(word);
  }
  const std::string last = words.back();
  words.pop_back();
  return absl::StrCat(absl::StrJoin(words, ", "), " or ", last);
}

// What a field may be; empty for those that are blocks or names.
std::string ValidValues(absl::string_view name) {
  for (const Descriptor* type :
       {v1::Settings::descriptor(), v1::BreakerSettings::descriptor(),
        v1::StatusOutcome::descriptor()}) {
    const FieldDescriptor* const field =
        type->FindFieldByName(std::string(name));
    if (field == nullptr) continue;
    if (field->enum_type() != nullptr) return Words(*field->enum_type());
    const SettingsField* const known = FindSettingsField(field->name());
    if (known == nullptr) continue;
    return field->type() == FieldDescriptor::TYPE_STRING
               ? known->range + ", in quotes"
               : known->range;
  }
  return "";
}

// Collects "name:line:column: what is wrong".
class Errors final : public google::protobuf::io::ErrorCollector {
 public:
  Errors(std::string_view text, const std::string& name)
      : name_(name), lines_(absl::StrSplit(View(text), '\n')) {}

  // As "name:line:column".
  std::string Place(TextFormat::ParseLocation location) const {
    return absl::StrCat(name_, ":", location.line + 1, ":",
                        location.column + 1);
  }

  void Add(TextFormat::ParseLocation location, const std::string& message) {
    errors_.push_back(absl::StrCat(Place(location), ": ", message));
  }

  // The parser's. Its messages seldom name the field and never its range.
  void AddError(int line, int column, const std::string& message) override {
    std::string text = message;
    const std::string field = FieldOf(line, column, message);
    const std::string valid = ValidValues(field);
    if (!valid.empty()) {
      absl::string_view what = message;
      what = absl::StripSuffix(what, ".");
      text = absl::StrCat(field, ": ", std::string(what), ". Valid: ", valid);
    }
    Add({std::max(line, 0), std::max(column, 0)}, text);
  }
  void AddWarning(int /*line*/, int /*column*/,
                  const std::string& /*message*/) override {}

  bool empty() const { return errors_.empty(); }
  absl::Status status() const {
    return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
  }

 private:
  // The parser's columns are bytes, but after a tab the next multiple of 8.
  static std::size_t BytesBefore(absl::string_view line, int column) {
    int at = 0;
    std::size_t bytes = 0;
    for (; bytes < line.size() && at < column; ++bytes) {
      at += line[bytes] == '\t' ? 8 - at % 8 : 1;
    }
    return bytes;
  }

  // The field that the message names, or in front of whose value it stands.
  std::string FieldOf(int line, int column, const std::string& message) const {
    const std::vector<std::string> quoted = absl::StrSplit(message, "field \"");
    if (quoted.size() > 1) return quoted[1].substr(0, quoted[1].find('"'));
    if (line < 0 || static_cast<std::size_t>(line) >= lines_.size()) return "";
    absl::string_view before = lines_[static_cast<std::size_t>(line)];
    before = absl::StripTrailingAsciiWhitespace(
        before.substr(0, BytesBefore(before, column)));
    before = absl::StripTrailingAsciiWhitespace(absl::StripSuffix(before, "-"));
    if (!absl::EndsWith(before, ":")) return "";
    before.remove_suffix(1);
    before = absl::StripTrailingAsciiWhitespace(before);
    std::size_t begin = before.size();
    while (begin > 0 && (absl::ascii_isalnum(
                             static_cast<unsigned char>(before[begin - 1])) ||
                         before[begin - 1] == '_')) {
      --begin;
    }
    return std::string(before.substr(begin));
  }

  const std::string& name_;
  const std::vector<absl::string_view> lines_;
  std::vector<std::string> errors_;
};

std::string Number(double value) {
  std::array<char, 32> text;
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return std::string(text.data(), end);
}

// From the parsed messages, and the tree that says where each field stood, to a
// SettingsFile.
class Reader {
 public:
  explicit Reader(Errors& errors) : errors_(errors) {}

  SettingsFile Read(const v1::Settings& settings, const ParseTree& tree) {
    SettingsFile file;
    file.preset = ReadPreset(settings, tree);
    file.defaults.settings =
        ReadBlock(settings, "defaults", settings.defaults(), tree);
    file.defaults.outcomes = ReadOutcomes(settings, settings.outcomes(), tree);
    const FieldDescriptor* const field = Field(settings, "methods");
    for (int i = 0; i < settings.methods_size(); ++i) {
      ReadMethods(settings.methods(i), tree.GetLocation(field, i),
                  *tree.GetTreeForNested(field, i), file);
    }
    return file;
  }

 private:
  static const FieldDescriptor* Field(const Message& message,
                                      const char* name) {
    return message.GetDescriptor()->FindFieldByName(name);
  }

  // The word of an enumeration in lower case; nothing, and an error, if it is
  // not one that may be used.
  std::optional<std::string> Word(const Message& message,
                                  const FieldDescriptor* field,
                                  TextFormat::ParseLocation location) {
    const int number = message.GetReflection()->GetEnumValue(message, field);
    const auto* const value = field->enum_type()->FindValueByNumber(number);
    if (value == nullptr || absl::EndsWith(value->name(), "_UNSPECIFIED")) {
      errors_.Add(
          location,
          absl::StrCat(field->name(), ": ",
                       value == nullptr ? absl::StrCat(number) : value->name(),
                       " is not valid: ", Words(*field->enum_type())));
      return std::nullopt;
    }
    return absl::AsciiStrToLower(value->name());
  }

  std::optional<GivenSetting> ReadPreset(const v1::Settings& settings,
                                         const ParseTree& tree) {
    const FieldDescriptor* const field = Field(settings, "preset");
    if (settings.preset() == v1::Settings::PRESET_UNSPECIFIED) {
      return std::nullopt;
    }
    const auto location = tree.GetLocation(field, -1);
    std::optional<std::string> word = Word(settings, field, location);
    if (!word.has_value()) return std::nullopt;
    return GivenSetting{*std::move(word), Source(location)};
  }

  // `block` is the field `name` of `parent`.
  GivenSettings ReadBlock(const Message& parent, const char* name,
                          const v1::BreakerSettings& block,
                          const ParseTree& parent_tree) {
    GivenSettings given;
    const ParseTree* const tree =
        parent_tree.GetTreeForNested(Field(parent, name), -1);
    if (tree == nullptr) return given;
    const auto& reflection = *v1::BreakerSettings::GetReflection();
    std::vector<const FieldDescriptor*> fields;
    reflection.ListFields(block, &fields);
    for (const FieldDescriptor* field : fields) {
      const auto location = tree->GetLocation(field, -1);
      std::optional<std::string> text;
      switch (field->cpp_type()) {
        case FieldDescriptor::CPPTYPE_STRING:
          text = reflection.GetString(block, field);
          break;
        case FieldDescriptor::CPPTYPE_INT32:
          text = absl::StrCat(reflection.GetInt32(block, field));
          break;
        case FieldDescriptor::CPPTYPE_INT64:
          text = absl::StrCat(reflection.GetInt64(block, field));
          break;
        case FieldDescriptor::CPPTYPE_DOUBLE:
          text = Number(reflection.GetDouble(block, field));
          break;
        case FieldDescriptor::CPPTYPE_BOOL:
          text = reflection.GetBool(block, field) ? "true" : "false";
          break;
        default:
          text = Word(block, field, location);
          break;
      }
      if (text.has_value()) {
        given[field->name()] = {*std::move(text), Source(location)};
      }
    }
    return given;
  }

  // `outcomes` is that field of `parent`.
  std::vector<GivenOutcome> ReadOutcomes(
      const Message& parent,
      const google::protobuf::RepeatedPtrField<v1::StatusOutcome>& outcomes,
      const ParseTree& parent_tree) {
    std::vector<GivenOutcome> given;
    const FieldDescriptor* const list = Field(parent, "outcomes");
    for (int i = 0; i < outcomes.size(); ++i) {
      const v1::StatusOutcome& one = outcomes.Get(i);
      const auto location = parent_tree.GetLocation(list, i);
      if (!one.has_code()) {
        errors_.Add(location, "outcomes: code is missing");
        continue;
      }
      if (one.outcome() == v1::OUTCOME_UNSPECIFIED) {
        errors_.Add(location, "outcomes: outcome is missing");
        continue;
      }
      const auto code = Word(one, Field(one, "code"), location);
      const auto outcome = Word(one, Field(one, "outcome"), location);
      if (one.role() != v1::StatusOutcome::ROLE_UNSPECIFIED &&
          !Word(one, Field(one, "role"), location).has_value()) {
        continue;
      }
      if (!code.has_value() || !outcome.has_value()) continue;
      for (const Role role : {Role::kClient, Role::kServer}) {
        if (one.role() == v1::StatusOutcome::CLIENT && role != Role::kClient) {
          continue;
        }
        if (one.role() == v1::StatusOutcome::SERVER && role != Role::kServer) {
          continue;
        }
        const auto same = std::find_if(
            given.begin(), given.end(), [&](const GivenOutcome& other) {
              return other.role == role && other.code == one.code();
            });
        if (same != given.end()) {
          errors_.Add(location,
                      absl::StrCat("outcomes: ", absl::AsciiStrToUpper(*code),
                                   " of the ", RoleName(role),
                                   " is already at ", same->source.place));
          continue;
        }
        given.push_back(
            {role, one.code(), *OutcomeFromName(*outcome), Source(location)});
      }
    }
    return given;
  }

  void ReadMethods(const v1::MethodSettings& methods,
                   TextFormat::ParseLocation location, const ParseTree& tree,
                   SettingsFile& file) {
    const FieldDescriptor* const name_field = Field(methods, "name");
    if (methods.name().empty()) {
      errors_.Add(location, "methods: name is missing");
      return;
    }
    const auto name_location = tree.GetLocation(name_field, -1);
    std::string pattern = methods.name();
    if (pattern != "*" && pattern.front() != '/') pattern.insert(0, "/");
    if (pattern != "*" && !IsMethodPattern(pattern)) {
      errors_.Add(name_location,
                  absl::StrCat("name: '", methods.name(),
                               "' is not valid: pkg.Service/Method, "
                               "pkg.Service/* or *"));
      return;
    }
    const auto [place, is_new] =
        places_.emplace(pattern, Source(name_location).place);
    if (!is_new) {
      errors_.Add(name_location,
                  absl::StrCat("name: '", methods.name(), "' is already at ",
                               place->second));
      return;
    }
    SettingsFile::Methods& target = file.methods[pattern];
    target.settings = ReadBlock(methods, "settings", methods.settings(), tree);
    target.outcomes = ReadOutcomes(methods, methods.outcomes(), tree);
  }

  SettingSource Source(TextFormat::ParseLocation location) const {
    return {SettingSource::Kind::kFile, errors_.Place(location)};
  }

  Errors& errors_;
  std::map<std::string, std::string> places_;  // by pattern
};

}  // namespace

absl::StatusOr<SettingsFile> ParseSettingsFile(std::string_view text,
                                               const std::string& name) {
  if (text.size() > kMostBytes) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": more than 1 MiB"));
  }
  Errors errors(text, name);
  ParseTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.WriteLocationsTo(&tree);
  google::protobuf::io::ArrayInputStream input(text.data(),
                                               static_cast<int>(text.size()));
  v1::Settings settings;
  if (!parser.Parse(&input, &settings)) return errors.status();
  SettingsFile file = Reader(errors).Read(settings, tree);
  if (!errors.empty()) return errors.status();
  return file;
}

absl::StatusOr<std::string> ReadSettingsText(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(path.c_str(), "rb"), &std::fclose);
  std::string text;
  if (file != nullptr) {
    text.resize(kMostBytes + 1);
    text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  }
  if (file == nullptr || std::ferror(file.get()) != 0) {
    const std::string message =
        absl::StrCat(path, ": ", std::generic_category().message(errno));
    return errno == ENOENT ? absl::NotFoundError(message)
                           : absl::UnavailableError(message);
  }
  return text;
}

absl::StatusOr<SettingsFile> ReadSettingsFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadSettingsText(path);
  if (!text.ok()) return text.status();
  return ParseSettingsFile(*text, path);
}

}  // namespace fusebox
