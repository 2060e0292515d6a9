#include "interceptor/export/pushgateway_flags.h"

#include <cstddef>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "interceptor/export/option_flags.h"
#include "interceptor/export/option_range.h"

// Texts, because Abseil ends a program with status 1 where a value does not
// parse.
ABSL_FLAG(std::string, fusebox_pushgateway_host, "",
          "Name of the Pushgateways; metrics are pushed to every address it "
          "has. Empty: nothing is pushed.");
ABSL_FLAG(std::string, fusebox_pushgateway_port, "9091",
          "The port of every Pushgateway. Valid: [1, 65535].");
ABSL_FLAG(std::string, fusebox_pushgateway_job, "",
          "The job that metrics are pushed for. Must be given with a host.");
ABSL_FLAG(std::string, fusebox_pushgateway_labels, "",
          "Further labels of the group, \"NAME=VALUE\" with commas between "
          "them. Processes of one job need one that differs, or they replace "
          "each other's metrics.");
ABSL_FLAG(std::string, fusebox_pushgateway_period, "10s",
          "How often metrics are pushed. Valid: [100ms, 86400s].");
ABSL_FLAG(std::string, fusebox_pushgateway_timeout, "15s",
          "How long a Pushgateway may take for a push. Valid: [1ms, 3600s].");
ABSL_FLAG(std::string, fusebox_pushgateway_push_at_start, "true",
          "Push first at the start, not a period later. Valid: true or false.");
ABSL_FLAG(std::string, fusebox_pushgateway_stop_timeout, "5s",
          "How long the last push may take. Valid: [1ms, 3600s].");
ABSL_FLAG(std::string, fusebox_pushgateway_delete_on_stop, "false",
          "Delete the group after the last push. Valid: true or false.");

namespace fusebox {
namespace {

absl::Status ParsePort(const std::string& text, int& port) {
  std::size_t number = 0;
  absl::Status status = ParseOption("port", text, number);
  if (status.ok()) status = InRange("port", number, 1, 65535);
  if (status.ok()) port = static_cast<int>(number);
  return status;
}

absl::Status ParseLabels(const std::string& text, GroupingLabels& labels) {
  for (absl::string_view label :
       absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    label = absl::StripAsciiWhitespace(label);
    const std::size_t equals = label.find('=');
    if (equals == absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("labels: '", label, "' is not valid: NAME=VALUE"));
    }
    labels.emplace_back(label.substr(0, equals), label.substr(equals + 1));
  }
  return absl::OkStatus();
}

absl::Status Read(PushgatewayOptions& options) {
  options.host = absl::GetFlag(FLAGS_fusebox_pushgateway_host);
  options.job = absl::GetFlag(FLAGS_fusebox_pushgateway_job);
  const absl::Status found[] = {
      ParsePort(absl::GetFlag(FLAGS_fusebox_pushgateway_port), options.port),
      ParseLabels(absl::GetFlag(FLAGS_fusebox_pushgateway_labels),
                  options.labels),
      ParseOption("period", absl::GetFlag(FLAGS_fusebox_pushgateway_period),
                  options.period),
      ParseOption("timeout", absl::GetFlag(FLAGS_fusebox_pushgateway_timeout),
                  options.timeout),
      ParseOption("push_at_start",
                  absl::GetFlag(FLAGS_fusebox_pushgateway_push_at_start),
                  options.push_at_start),
      ParseOption("stop_timeout",
                  absl::GetFlag(FLAGS_fusebox_pushgateway_stop_timeout),
                  options.stop_timeout),
      ParseOption("delete_on_stop",
                  absl::GetFlag(FLAGS_fusebox_pushgateway_delete_on_stop),
                  options.delete_on_stop),
      ValidatePushgatewayOptions(options),
  };
  for (const absl::Status& status : found) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<PushgatewayOptions>> ReadPushgatewayFlags() {
  if (absl::GetFlag(FLAGS_fusebox_pushgateway_host).empty()) {
    return std::optional<PushgatewayOptions>();
  }
  PushgatewayOptions options;
  const absl::Status status = Read(options);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--fusebox_pushgateway_", status.message()));
  }
  return std::optional<PushgatewayOptions>(std::move(options));
}

std::optional<PushgatewayOptions> PushgatewayOptionsFromFlags() {
  return ValueOrExit(ReadPushgatewayFlags());
}

}  // namespace fusebox
