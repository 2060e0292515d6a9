#include "interceptor/export/graphite_rules.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace fusebox {
namespace {

constexpr std::size_t kMaxPart = 250;

char Clean(char c) {
  if (c == ' ' || c == '.') return '-';
  const bool stays = absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                     c == '-' || c == '_' || c == ':';
  return stays ? c : '_';
}

// Whether `path` is `top` or below it.
bool IsAtOrBelow(absl::string_view path, absl::string_view top) {
  return absl::ConsumePrefix(&path, top) && (path.empty() || path[0] == '.');
}

}  // namespace

std::string GraphitePathPart(std::string_view text) {
  const absl::string_view trimmed =
      absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size()))
          .substr(0, kMaxPart);
  if (trimmed.empty()) return "_";
  std::string part(trimmed);
  std::transform(part.begin(), part.end(), part.begin(), &Clean);
  return part;
}

std::string GraphitePath(const std::vector<std::string>& parts) {
  return absl::StrJoin(parts, ".", [](std::string* out, const auto& part) {
    out->append(GraphitePathPart(part));
  });
}

void GraphiteRules::Add(bool allow, std::string pattern) {
  const bool glob = pattern.find_first_of("*?[") != std::string::npos;
  rules_.push_back({allow, glob, std::move(pattern)});
}

bool GraphiteRules::Allows(const std::string& path) const {
  const auto newest =
      std::find_if(rules_.rbegin(), rules_.rend(), [&path](const Rule& rule) {
        return rule.glob ? fnmatch(rule.pattern.c_str(), path.c_str(), 0) == 0
                         : IsAtOrBelow(path, rule.pattern);
      });
  return newest != rules_.rend() && newest->allow;
}

}  // namespace fusebox
