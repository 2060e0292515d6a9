#include "interceptor/stats/status_query.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "interceptor/stats/stat_json.h"

namespace fusebox {
namespace {

using Comparison = StatusQuery::Comparison;
using Json = nlohmann::ordered_json;

// Longer ones first.
constexpr std::array<std::pair<std::string_view, Comparison>, 7> kOperators = {{
    {">=", Comparison::kGe},
    {"<=", Comparison::kLe},
    {"==", Comparison::kEq},
    {"!=", Comparison::kNe},
    {">", Comparison::kGt},
    {"<", Comparison::kLt},
    {"=", Comparison::kEq},
}};

std::string_view Trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

bool HoldsOperator(std::string_view text) {
  return text.find_first_of("<>=") != std::string_view::npos;
}

template <typename T>
bool Holds(const T& a, Comparison comparison, const T& b) {
  switch (comparison) {
    case Comparison::kNone:
      return true;
    case Comparison::kGe:
      return a >= b;
    case Comparison::kGt:
      return a > b;
    case Comparison::kLt:
      return a < b;
    case Comparison::kLe:
      return a <= b;
    case Comparison::kEq:
      return a == b;
    case Comparison::kNe:
      return a != b;
  }
  return false;
}

class Matcher {
 public:
  explicit Matcher(const StatusQuery& query)
      : query_(query),
        number_(Json::parse(query.value, nullptr, /*allow_exceptions=*/false)) {
  }

  Json Select(const Json& tree) const {
    Json result = Json::object();
    if (!tree.is_object()) return result;
    for (const auto& [name, value] : tree.items()) {
      if (name == query_.key && Matches(value)) {
        Append(result, name, value);
      } else if (value.is_object()) {
        Json below = Select(value);
        if (!below.empty()) Append(result, name, std::move(below));
      }
    }
    return result;
  }

 private:
  bool Matches(const Json& value) const {
    if (query_.comparison == Comparison::kNone) return true;
    if (value.is_number()) {
      return number_.is_number() && Holds(value, query_.comparison, number_);
    }
    if (value.is_string()) {
      return Holds(value.get_ref<const std::string&>(), query_.comparison,
                   query_.value);
    }
    if (value.is_boolean()) {
      return Holds(value.dump(), query_.comparison, query_.value);
    }
    return false;
  }

  const StatusQuery& query_;
  const Json number_;
};

}  // namespace

std::optional<StatusQuery> ParseStatusQuery(std::string_view text) {
  StatusQuery query;
  std::string_view key = text;
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (const auto& [sign, comparison] : kOperators) {
      if (text.substr(at, sign.size()) != sign) continue;
      key = text.substr(0, at);
      query.comparison = comparison;
      query.value = Trimmed(text.substr(at + sign.size()));
      if (query.value.empty() || HoldsOperator(query.value)) {
        return std::nullopt;
      }
      at = text.size();
      break;
    }
  }
  query.key = Trimmed(key);
  if (query.key.empty()) return std::nullopt;
  return query;
}

Json Select(const Json& tree, const StatusQuery& query) {
  return Matcher(query).Select(tree);
}

std::optional<InTree> FindInTree(const Json& tree, std::string_view path) {
  if (path.empty()) return InTree{&tree, {}};
  if (!tree.is_object()) return std::nullopt;
  for (const auto& [name, value] : tree.items()) {
    if (path.substr(0, name.size()) != name) continue;
    std::string_view rest = path.substr(name.size());
    if (!rest.empty() && rest[0] != '/') continue;
    rest.remove_prefix(std::min<std::size_t>(rest.size(), 1));
    std::optional<InTree> found = FindInTree(value, rest);
    if (!found.has_value()) continue;
    found->names.insert(found->names.begin(), name);
    return found;
  }
  return std::nullopt;
}

}  // namespace fusebox
