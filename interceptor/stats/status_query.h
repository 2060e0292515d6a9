// Picks statistics out of a tree: by path, or by name and value.

#ifndef FUSEBOX_INTERCEPTOR_STATS_STATUS_QUERY_H_
#define FUSEBOX_INTERCEPTOR_STATS_STATUS_QUERY_H_

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fusebox {

// What is asked for: "key", or "key OP value" with one of >= > < <= = == != in
// between. Spaces around each are of no account, inside they are.
struct StatusQuery {
  enum class Comparison { kNone, kGe, kGt, kLt, kLe, kEq, kNe };

  std::string key;
  Comparison comparison = Comparison::kNone;
  std::string value;
};

// Nothing if the key is empty, an operator has no value behind it, or a key or
// value holds "<", ">" or "=".
std::optional<StatusQuery> ParseStatusQuery(std::string_view text);

// Those members of `tree`, at any depth, that the query is about, with what is
// above them: an empty object if there are none. Without a comparison that is
// every member of that name. With one, numbers are compared with numbers,
// written as in JSON, and texts byte by byte with anything; true and false are
// texts here, null is like nothing, and of an object that is named so its
// members are looked at.
nlohmann::ordered_json Select(const nlohmann::ordered_json& tree,
                              const StatusQuery& query);

// A member of a tree, and the names that lead to it.
struct InTree {
  const nlohmann::ordered_json* value;
  std::vector<std::string> names;
};

// What is at `path`, which is names with "/" between them, and may have one
// more at its end; the tree itself for "". Names may hold "/" themselves.
std::optional<InTree> FindInTree(const nlohmann::ordered_json& tree,
                                 std::string_view path);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STATS_STATUS_QUERY_H_
