// Statistics in a file, also for the time after a crash.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_FILE_DUMP_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_FILE_DUMP_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/export/file_dump_crash.h"
#include "interceptor/export/file_dump_replacement.h"

namespace fusebox {

struct FileDumpOptions {
  // The file, in a directory that exists. Each process needs one of its own.
  // "<path>.tmp" comes and goes beside it.
  std::string path;
  // What a snapshot is. Only the file of a crash differs.
  DumpFormat format = DumpFormat::kJson;

  // From one snapshot to the next. [100ms, 24h].
  Duration period = std::chrono::seconds(10);

  // When the process crashes, write the last snapshot to "<path>.crash", with
  // what CrashDump says of the crash: a file of its own, so that the process
  // that is started next does not overwrite it. At most one dump of a process
  // can have this.
  bool on_crash = true;

  // The clock of periods and of a snapshot's age.
  NowFunction now = &FineNow;
};

// INVALID_ARGUMENT, naming field, value and range, unless all are valid.
absl::Status ValidateFileDumpOptions(const FileDumpOptions& options);

struct FileDumpStats {
  std::uint64_t writes = 0;
  std::uint64_t failed_writes = 0;  // the disk is full, the directory is gone
  std::uint64_t failed_snapshots = 0;  // the function threw
  std::string last_error;              // stays when later writes succeed
  std::optional<TimePoint> last_success;
  std::size_t bytes = 0;  // of the last good write
};

// Writes a snapshot to a file when it starts, every period, and when it stops.
// The file is replaced as a whole (FileReplacement): readers never see a part,
// and when a write fails the last good file stays.
//
// Snapshots are taken and written on a thread of its own. What a crash writes
// is at most a period old, and older by as much as snapshots fail or hang; with
// `on_crash` two of them are kept in memory. See CrashDump for signals and
// std::terminate(), and call UseSignalStack() on threads of yours that may
// overflow their stacks; Start() does that for the thread it is called on.
//
// Thread-compatible; stats() and Wake() are thread-safe. Example:
//
//   fusebox::FileDumpOptions options;
//   options.path = "/var/lib/greeter/statistics.json";
//   fusebox::FileDump dump(options, [&] { return statistics.ToJson(); });
//   absl::Status status = dump.Start();
class FileDump {
 public:
  // What `snapshot` throws costs the period its write.
  FileDump(FileDumpOptions options, std::function<std::string()> snapshot);
  // Stops it.
  ~FileDump();
  FileDump(const FileDump&) = delete;
  FileDump& operator=(const FileDump&) = delete;

  // Begins. INVALID_ARGUMENT, naming field, value and range, if an option is
  // not valid; FAILED_PRECONDITION the second time, or if another dump has the
  // handlers for crashes; RESOURCE_EXHAUSTED if there is no thread to be had. A
  // file that cannot be written shows in stats().
  absl::Status Start();

  // Writes a last time and ends. Waits for a snapshot and a write under way.
  void Stop();

  FileDumpStats stats() const FUSEBOX_EXCLUDES(mu_);

  // Looks at the clock: for those who turn one of their own.
  void Wake() FUSEBOX_EXCLUDES(mu_);

 private:
  void Run() FUSEBOX_EXCLUDES(mu_);
  void Dump() FUSEBOX_EXCLUDES(mu_);

  const FileDumpOptions options_;
  const std::function<std::string()> snapshot_;
  std::optional<FileReplacement> file_;  // since the start
  std::unique_ptr<CrashDump> crash_;
  std::thread thread_;

  mutable Mutex mu_;
  std::condition_variable_any wake_;
  bool stopping_ FUSEBOX_GUARDED_BY(mu_) = false;
  FileDumpStats stats_ FUSEBOX_GUARDED_BY(mu_);
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_FILE_DUMP_H_
