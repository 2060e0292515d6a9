#include "interceptor/export/dogstatsd_flags.h"

#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "interceptor/export/option_flags.h"

// Texts, because Abseil ends a program with status 1 where a value does not
// parse.
ABSL_FLAG(std::string, fusebox_dogstatsd_address, "",
          "Where DogStatsD listens: HOST:PORT (UDP; without a port 8125) or "
          "unix:PATH. Empty: nothing is sent.");
ABSL_FLAG(std::string, fusebox_dogstatsd_prefix, "fusebox",
          "Leads every name, with a dot between. May be empty.");
ABSL_FLAG(std::string, fusebox_dogstatsd_tags, "",
          "Tags of everything that is sent, with commas between them: "
          "env:prod,team:orders.");
ABSL_FLAG(std::string, fusebox_dogstatsd_transitions, "turns",
          "Which transitions of breakers make events: turns, those from good "
          "(closed) to bad and back, or all. Valid: turns or all.");
ABSL_FLAG(std::string, fusebox_dogstatsd_period, "10s",
          "How often metrics are sent. Valid: [1s, 3600s].");
ABSL_FLAG(std::string, fusebox_dogstatsd_lookup_period, "1m",
          "How often the name of the host is looked up again. Valid: [1s, "
          "86400s].");
ABSL_FLAG(std::string, fusebox_dogstatsd_max_packet_bytes, "0",
          "Of a packet; 0: 1432 for UDP, 8192 for Unix sockets. Valid: 0 or "
          "[64, 65507].");
ABSL_FLAG(std::string, fusebox_dogstatsd_event_queue_capacity, "256",
          "Events that may wait to be sent. Valid: [1, 1000000].");

namespace fusebox {
namespace {

absl::Status ParseTransitions(const std::string& text, bool& all) {
  all = text == "all";
  if (all || text == "turns") return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("transitions: '", text, "' is not valid: turns or all"));
}

absl::Status Read(DogStatsdOptions& options) {
  options.address = absl::GetFlag(FLAGS_fusebox_dogstatsd_address);
  options.prefix = absl::GetFlag(FLAGS_fusebox_dogstatsd_prefix);
  options.tags = absl::StrSplit(absl::GetFlag(FLAGS_fusebox_dogstatsd_tags),
                                ',', absl::SkipWhitespace());
  const absl::Status found[] = {
      ParseTransitions(absl::GetFlag(FLAGS_fusebox_dogstatsd_transitions),
                       options.all_transitions),
      ParseOption("period", absl::GetFlag(FLAGS_fusebox_dogstatsd_period),
                  options.period),
      ParseOption("lookup_period",
                  absl::GetFlag(FLAGS_fusebox_dogstatsd_lookup_period),
                  options.lookup_period),
      ParseOption("max_packet_bytes",
                  absl::GetFlag(FLAGS_fusebox_dogstatsd_max_packet_bytes),
                  options.max_packet_bytes),
      ParseOption("event_queue_capacity",
                  absl::GetFlag(FLAGS_fusebox_dogstatsd_event_queue_capacity),
                  options.event_queue_capacity),
      ValidateDogStatsdOptions(options),
  };
  for (const absl::Status& status : found) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<DogStatsdOptions>> ReadDogStatsdFlags() {
  if (absl::GetFlag(FLAGS_fusebox_dogstatsd_address).empty()) {
    return std::optional<DogStatsdOptions>();
  }
  DogStatsdOptions options;
  const absl::Status status = Read(options);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--fusebox_dogstatsd_", status.message()));
  }
  return std::optional<DogStatsdOptions>(std::move(options));
}

std::optional<DogStatsdOptions> DogStatsdOptionsFromFlags() {
  return ValueOrExit(ReadDogStatsdFlags());
}

}  // namespace fusebox
