#include "interceptor/export/pushgateway_path.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace fusebox {
namespace {

bool StandsForItself(const std::string& value) {
  return !value.empty() && value != "." && value != ".." &&
         std::all_of(value.begin(), value.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  absl::string_view("-._~:").find(c) != absl::string_view::npos;
         });
}

void Append(std::string& path, const std::string& label,
            const std::string& value) {
  if (StandsForItself(value)) {
    absl::StrAppend(&path, "/", label, "/", value);
  } else {
    absl::StrAppend(&path, "/", label, "@base64/",
                    value.empty() ? "=" : absl::WebSafeBase64Escape(value));
  }
}

bool IsLabelName(const std::string& name) {
  return !name.empty() &&
         !absl::ascii_isdigit(static_cast<unsigned char>(name.front())) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  c == '_';
         });
}

}  // namespace

std::string PushgatewayPath(const std::string& job,
                            const GroupingLabels& labels) {
  std::string path = "/metrics";
  Append(path, "job", job);
  for (const auto& [name, value] : labels) Append(path, name, value);
  return path;
}

absl::Status ValidatePushgatewayGroup(const std::string& job,
                                      const GroupingLabels& labels) {
  if (job.empty()) {
    return absl::InvalidArgumentError("job: must not be empty");
  }
  std::set<std::string> names;
  for (const auto& [name, value] : labels) {
    if (!IsLabelName(name) || absl::StartsWith(name, "__") || name == "job") {
      return absl::InvalidArgumentError(
          absl::StrCat("labels: '", name,
                       "' is no name for one: letters, digits and _, no digit "
                       "and no __ in front, and not job"));
    }
    if (!names.insert(name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("labels: '", name, "' is given twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace fusebox
