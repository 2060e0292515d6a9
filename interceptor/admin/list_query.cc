#include "interceptor/admin/list_query.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "interceptor/admin/printable_text.h"
#include "interceptor/admin/resource_name.h"

namespace fusebox {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string Quoted(std::string_view text) {
  return absl::StrCat("'", PrintableText(text), "'");
}

}  // namespace

bool GlobMatches(std::string_view glob, std::string_view text) {
  std::size_t g = 0;
  std::size_t t = 0;
  // Where the last star was, and how far the text was that it stands for.
  std::size_t star = std::string_view::npos;
  std::size_t after = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      after = t;
    } else if (g < glob.size() && glob[g] == text[t]) {
      ++g;
      ++t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++after;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

class BreakerFilter::Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  absl::StatusOr<BreakerFilter> Parse() {
    BreakerFilter filter;
    for (SkipSpaces(); !rest_.empty(); SkipSpaces()) {
      if (!filter.conditions_.empty() && SkipAnd()) continue;
      Condition condition;
      absl::Status status = ParseCondition(condition);
      if (!status.ok()) return status;
      filter.conditions_.push_back(std::move(condition));
      if (!rest_.empty() && !IsSpace(rest_[0])) {
        return Error(absl::StrCat("after a value stands ",
                                  Quoted(rest_.substr(0, 1)), ", not a space"));
      }
    }
    if (dangling_and_) return Error("AND stands at the end");
    return filter;
  }

 private:
  struct Words {
    const char* name;
    Field field;
    std::vector<const char*> words;  // none: a glob
  };
  static const std::vector<Words>& Fields() {
    static const auto& fields = *new std::vector<Words>{
        {"state", Field::kState, {"closed", "open", "half_open"}},
        {"override",
         Field::kOverride,
         {"none", "forced_open", "forced_closed"}},
        {"role", Field::kRole, {"client", "server"}},
        {"mode", Field::kMode, {"enforce", "shadow", "off"}},
        {"target", Field::kTarget, {}},
        {"method", Field::kMethod, {}}};
    return fields;
  }

  static absl::Status Error(const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("filter: ", what));
  }

  void SkipSpaces() {
    while (!rest_.empty() && IsSpace(rest_[0])) rest_.remove_prefix(1);
  }
  bool SkipAnd() {
    if (dangling_and_ || rest_.substr(0, 3) != "AND" ||
        (rest_.size() > 3 && !IsSpace(rest_[3]))) {
      return false;
    }
    rest_.remove_prefix(3);
    return dangling_and_ = true;
  }

  absl::Status ParseCondition(Condition& condition) {
    dangling_and_ = false;
    const std::size_t name_end =
        std::find_if(
            rest_.begin(), rest_.end(),
            [](char c) { return IsSpace(c) || c == '=' || c == '!'; }) -
        rest_.begin();
    const std::string name(rest_.substr(0, name_end));
    const auto known =
        std::find_if(Fields().begin(), Fields().end(),
                     [&](const Words& field) { return name == field.name; });
    if (known == Fields().end()) {
      return Error(absl::StrCat(
          Quoted(name),
          " is no field: state, override, role, mode, target or method"));
    }
    condition.field = known->field;
    rest_.remove_prefix(name_end);
    condition.negated = !rest_.empty() && rest_[0] == '!';
    if (condition.negated) rest_.remove_prefix(1);
    if (rest_.empty() || rest_[0] != '=') {
      return Error(absl::StrCat("after ", name, " stands no = or !="));
    }
    do {
      rest_.remove_prefix(1);  // = or a comma
      std::string value;
      absl::Status status = ParseValue(name, value);
      if (!status.ok()) return status;
      if (!known->words.empty()) {
        absl::AsciiStrToLower(&value);
        if (std::none_of(known->words.begin(), known->words.end(),
                         [&](const char* word) { return value == word; })) {
          return Error(absl::StrCat(
              name, ": ", Quoted(value), " is not valid: ",
              absl::AsciiStrToUpper(absl::StrJoin(known->words, ", "))));
        }
      }
      condition.values.push_back(std::move(value));
    } while (!rest_.empty() && rest_[0] == ',');
    return absl::OkStatus();
  }

  absl::Status ParseValue(const std::string& name, std::string& value) {
    if (!rest_.empty() && rest_[0] == '"') {
      rest_.remove_prefix(1);
      while (!rest_.empty() && rest_[0] != '"') {
        if (rest_[0] == '\\') rest_.remove_prefix(1);
        if (rest_.empty()) break;
        value += rest_[0];
        rest_.remove_prefix(1);
      }
      if (rest_.empty()) return Error(absl::StrCat(name, ": a quote is open"));
      rest_.remove_prefix(1);
      return absl::OkStatus();
    }
    while (!rest_.empty() && !IsSpace(rest_[0]) && rest_[0] != ',' &&
           rest_[0] != '"') {
      value += rest_[0];
      rest_.remove_prefix(1);
    }
    if (value.empty()) return Error(absl::StrCat(name, ": a value is missing"));
    return absl::OkStatus();
  }

  std::string_view rest_;
  bool dangling_and_ = false;
};

absl::StatusOr<BreakerFilter> BreakerFilter::Parse(std::string_view text) {
  if (text.size() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("filter: ", text.size(), " bytes are out of range [0, ",
                     kMaxBytes, "]"));
  }
  return Parser(text).Parse();
}

bool BreakerFilter::names_only() const {
  return std::all_of(conditions_.begin(), conditions_.end(),
                     [](const Condition& condition) {
                       return condition.field == Field::kRole ||
                              condition.field == Field::kTarget ||
                              condition.field == Field::kMethod;
                     });
}

bool BreakerFilter::Condition::Holds(std::string_view value) const {
  const bool is_one =
      std::any_of(values.begin(), values.end(), [&](const std::string& wanted) {
        switch (field) {
          case Field::kTarget:
            return GlobMatches(wanted, value);
          case Field::kMethod:
            return GlobMatches(wanted, value) ||
                   (!value.empty() && value[0] == '/' &&
                    GlobMatches(wanted, value.substr(1)));
          case Field::kState:
          case Field::kOverride:
          case Field::kRole:
          case Field::kMode:
            break;
        }
        return wanted == value;
      });
  return is_one != negated;
}

bool BreakerFilter::Matches(const BreakerSnapshot& breaker) const {
  return std::all_of(
      conditions_.begin(), conditions_.end(), [&](const Condition& condition) {
        switch (condition.field) {
          case Field::kState:
            return condition.Holds(StateName(breaker.state));
          case Field::kOverride:
            return condition.Holds(OverrideName(breaker.override_state));
          case Field::kRole:
            return condition.Holds(RoleName(breaker.role));
          case Field::kMode:
            return condition.Holds(ModeName(breaker.settings.mode));
          case Field::kTarget:
            return condition.Holds(breaker.target);
          case Field::kMethod:
            break;
        }
        return condition.Holds(breaker.method);
      });
}

bool BreakerFilter::Matches(Role role, std::string_view target,
                            std::string_view method) const {
  BreakerSnapshot named;
  named.role = role;
  named.target = std::string(target);
  named.method = std::string(method);
  return Matches(named);
}

// ---------------------------------------------------------------------------
// Pages
//
// A token is the checksum of the filter, 8 hexadecimal digits, and the name of
// the last breaker, in Base64 so that nobody takes it for something to edit.

namespace {

// FNV-1a, 32 bits.
std::string Checksum(std::string_view text) {
  std::uint32_t hash = 0x811c9dc5u;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193u;
  }
  return absl::StrCat(absl::Hex(hash, absl::kZeroPad8));
}

}  // namespace

std::string PageToken(const BreakerName& last, std::string_view filter) {
  return absl::WebSafeBase64Escape(
      absl::StrCat(Checksum(filter), ResourceName(last)));
}

absl::StatusOr<BreakerName> ParsePageToken(std::string_view token,
                                           std::string_view filter) {
  std::string text;
  std::optional<BreakerName> last;
  if (absl::WebSafeBase64Unescape(std::string(token), &text) &&
      text.size() > 8) {
    last = ParseResourceName(std::string_view(text).substr(8));
  }
  if (!last.has_value()) {
    return absl::InvalidArgumentError(
        "page_token: not a next_page_token of this service");
  }
  if (text.substr(0, 8) != Checksum(filter)) {
    return absl::InvalidArgumentError(
        "page_token: comes from a list with another filter");
  }
  return *std::move(last);
}

bool ListedBefore(const BreakerName& a, const BreakerName& b) {
  const auto key = [](const BreakerName& name) {
    const bool overflow = name.target.empty() && name.method == "other";
    return std::make_tuple(overflow, name.role, std::cref(name.target),
                           std::cref(name.method));
  };
  return key(a) < key(b);
}

}  // namespace fusebox
