// Queries and paths: what is understood, written down again, is understood to
// be the same; and whatever is asked for, only members of the tree come back.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "interceptor/stats/status_query.h"

namespace {

using Json = nlohmann::ordered_json;
using Comparison = fusebox::StatusQuery::Comparison;

const Json& Tree() {
  static const Json& tree = *new Json(
      Json::parse(R"({"a":1,"b":{"a":2.5,"c":"text","b":{"a":-3,"d":null}},)"
                  R"("a/b":{"a":true},"e":18446744073709551615})"));
  return tree;
}

const char* Sign(Comparison comparison) {
  switch (comparison) {
    case Comparison::kNone:
      return "";
    case Comparison::kGe:
      return ">=";
    case Comparison::kGt:
      return ">";
    case Comparison::kLt:
      return "<";
    case Comparison::kLe:
      return "<=";
    case Comparison::kEq:
      return "==";
    case Comparison::kNe:
      return "!=";
  }
  std::abort();
}

bool IsPartOf(const Json& part, const Json& whole) {
  if (part == whole) return true;
  if (!part.is_object() || !whole.is_object()) return false;
  for (const auto& [name, value] : part.items()) {
    const auto found = whole.find(name);
    if (found == whole.end() || !IsPartOf(value, *found)) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto in_tree = fusebox::FindInTree(Tree(), input);
  if (in_tree.has_value()) {
    const Json* at = &Tree();
    for (const std::string& name : in_tree->names) at = &at->at(name);
    if (at != in_tree->value) std::abort();
  }

  const auto query = fusebox::ParseStatusQuery(input);
  if (!query.has_value()) return 0;
  if (query->key.empty()) std::abort();
  if (query->value.empty() != (query->comparison == Comparison::kNone)) {
    std::abort();
  }
  const auto reread = fusebox::ParseStatusQuery(
      query->key + " " + Sign(query->comparison) + " " + query->value);
  if (!reread.has_value() || reread->key != query->key ||
      reread->comparison != query->comparison ||
      reread->value != query->value) {
    std::abort();
  }

  const Json selected = fusebox::Select(Tree(), *query);
  if (!selected.is_object() || !IsPartOf(selected, Tree())) std::abort();
  return 0;
}
