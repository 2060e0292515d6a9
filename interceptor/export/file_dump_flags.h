// Abseil flags for FileDump.
//
// Linking this target adds to a program
//   --fusebox_dump_path      the file; empty: nothing is written
//   --fusebox_dump_period, _on_crash
//                            fields of FileDumpOptions of that name
// The library itself reads no flags.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_FILE_DUMP_FLAGS_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_FILE_DUMP_FLAGS_H_

#include <optional>

#include "absl/status/statusor.h"
#include "interceptor/export/file_dump.h"

namespace fusebox {

// What the flags say; nothing if there is no path. The format is for the
// program to set, as it is the one that knows its snapshots. For main(), after
// absl::ParseCommandLine(): if a value is bad, writes a line to standard error,
// naming the flag, the value and what is allowed, and exits with status 2.
std::optional<FileDumpOptions> FileDumpOptionsFromFlags();

// The same for those who handle errors themselves: INVALID_ARGUMENT with that
// line. Thread-safe.
absl::StatusOr<std::optional<FileDumpOptions>> ReadFileDumpFlags();

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_FILE_DUMP_FLAGS_H_
