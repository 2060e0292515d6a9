#include "interceptor/export/graphite_flags.h"

#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "interceptor/export/option_flags.h"

// Texts, because Abseil ends a program with status 1 where a value does not
// parse.
ABSL_FLAG(std::string, fusebox_graphite_address, "",
          "HOST:PORT of the carbon that numbers are sent to; without a port "
          "2003. Empty: nothing is sent.");
ABSL_FLAG(std::string, fusebox_graphite_rules, "",
          "What is sent: \"allow PATTERN\" and \"forbid PATTERN\", with commas "
          "between them; later ones stand above earlier ones, and without any "
          "nothing is sent. A pattern with * ? [ in it is a glob for a whole "
          "path, any other a path and all below it.");
ABSL_FLAG(std::string, fusebox_graphite_prefix, "fusebox",
          "Leads every path. May have dots, and be empty.");
ABSL_FLAG(std::string, fusebox_graphite_period, "1m",
          "How often numbers are sent. Valid: [1s, 86400s].");
ABSL_FLAG(std::string, fusebox_graphite_timeout, "10s",
          "How long carbon may take to connect, to take more, and to read to "
          "the end. Valid: [10ms, 3600s].");
ABSL_FLAG(std::string, fusebox_graphite_min_retry, "1s",
          "The first wait after a failure; each is twice the one before. "
          "Valid: [10ms, fusebox_graphite_max_retry].");
ABSL_FLAG(std::string, fusebox_graphite_max_retry, "1m",
          "The longest wait after a failure. Valid: [10ms, 3600s].");
ABSL_FLAG(std::string, fusebox_graphite_max_buffered_bytes, "4194304",
          "Lines kept while carbon does not take them. Valid: [1024, "
          "1073741824].");
ABSL_FLAG(std::string, fusebox_graphite_stop_timeout, "1s",
          "How long the end of the program may wait for carbon to read a last "
          "round. Valid: [0s, 3600s]; 0s: there is none.");

namespace fusebox {
namespace {

absl::Status ParseRules(const std::string& text, GraphiteRules& rules) {
  for (absl::string_view rule :
       absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    absl::string_view pattern = absl::StripAsciiWhitespace(rule);
    const bool allow = absl::ConsumePrefix(&pattern, "allow ");
    const bool forbid = !allow && absl::ConsumePrefix(&pattern, "forbid ");
    pattern = absl::StripAsciiWhitespace(pattern);
    if ((!allow && !forbid) || pattern.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("rules: '", absl::StripAsciiWhitespace(rule),
                       "' is not valid: allow PATTERN or forbid PATTERN"));
    }
    if (allow) {
      rules.Allow(std::string(pattern));
    } else {
      rules.Forbid(std::string(pattern));
    }
  }
  return absl::OkStatus();
}

absl::Status Read(GraphiteOptions& options) {
  options.address = absl::GetFlag(FLAGS_fusebox_graphite_address);
  options.prefix = absl::GetFlag(FLAGS_fusebox_graphite_prefix);
  const absl::Status found[] = {
      ParseRules(absl::GetFlag(FLAGS_fusebox_graphite_rules), options.rules),
      ParseOption("period", absl::GetFlag(FLAGS_fusebox_graphite_period),
                  options.period),
      ParseOption("timeout", absl::GetFlag(FLAGS_fusebox_graphite_timeout),
                  options.timeout),
      ParseOption("min_retry", absl::GetFlag(FLAGS_fusebox_graphite_min_retry),
                  options.min_retry),
      ParseOption("max_retry", absl::GetFlag(FLAGS_fusebox_graphite_max_retry),
                  options.max_retry),
      ParseOption("max_buffered_bytes",
                  absl::GetFlag(FLAGS_fusebox_graphite_max_buffered_bytes),
                  options.max_buffered_bytes),
      ParseOption("stop_timeout",
                  absl::GetFlag(FLAGS_fusebox_graphite_stop_timeout),
                  options.stop_timeout),
      ValidateGraphiteOptions(options),
  };
  for (const absl::Status& status : found) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<GraphiteOptions>> ReadGraphiteFlags() {
  if (absl::GetFlag(FLAGS_fusebox_graphite_address).empty()) {
    return std::optional<GraphiteOptions>();
  }
  GraphiteOptions options;
  const absl::Status status = Read(options);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--fusebox_graphite_", status.message()));
  }
  return std::optional<GraphiteOptions>(std::move(options));
}

std::optional<GraphiteOptions> GraphiteOptionsFromFlags() {
  return ValueOrExit(ReadGraphiteFlags());
}

}  // namespace fusebox
