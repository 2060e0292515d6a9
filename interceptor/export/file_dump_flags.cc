#include "interceptor/export/file_dump_flags.h"

#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "interceptor/export/option_flags.h"

// Texts, because Abseil ends a program with status 1 where a value does not
// parse.
ABSL_FLAG(std::string, fusebox_dump_path, "",
          "File that statistics are written to, one for each process. Empty: "
          "nothing is written.");
ABSL_FLAG(std::string, fusebox_dump_period, "10s",
          "How often they are written. Valid: [100ms, 86400s].");
ABSL_FLAG(std::string, fusebox_dump_on_crash, "true",
          "Write the last ones to PATH.crash when the process crashes. Valid: "
          "true or false.");

namespace fusebox {
namespace {

absl::Status Read(FileDumpOptions& options) {
  options.path = absl::GetFlag(FLAGS_fusebox_dump_path);
  const absl::Status found[] = {
      ParseOption("period", absl::GetFlag(FLAGS_fusebox_dump_period),
                  options.period),
      ParseOption("on_crash", absl::GetFlag(FLAGS_fusebox_dump_on_crash),
                  options.on_crash),
      ValidateFileDumpOptions(options),
  };
  for (const absl::Status& status : found) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<FileDumpOptions>> ReadFileDumpFlags() {
  if (absl::GetFlag(FLAGS_fusebox_dump_path).empty()) {
    return std::optional<FileDumpOptions>();
  }
  FileDumpOptions options;
  const absl::Status status = Read(options);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--fusebox_dump_", status.message()));
  }
  return std::optional<FileDumpOptions>(std::move(options));
}

std::optional<FileDumpOptions> FileDumpOptionsFromFlags() {
  return ValueOrExit(ReadFileDumpFlags());
}

}  // namespace fusebox
