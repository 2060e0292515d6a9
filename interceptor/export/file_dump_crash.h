// The last words of a process.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_FILE_DUMP_CRASH_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_FILE_DUMP_CRASH_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "interceptor/breaker/clock.h"

namespace fusebox {

// How a file says what is not part of the snapshot.
enum class DumpFormat : unsigned char {
  // The snapshot is any text: a first line that begins with "# crash: ", as
  // comments of Prometheus's text format do.
  kText,
  // The snapshot is a JSON value: the file is an object with two members,
  // "crash" and "snapshot".
  kJson,
};

// Gives the calling thread a stack for signal handlers, without which a thread
// whose stack is full dies without a word. Lasts until the thread ends. Does
// nothing on a thread that has such a stack. Thread-safe.
void UseSignalStack();

// Writes the snapshot that was set last when the process crashes: when
// SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGABRT strikes, or std::terminate() is
// called. Then what would have happened without this happens: the handler that
// was there before is run, or the process ends by that signal, with a core dump
// if there would have been one.
//
// The file beside the snapshot says
//   reason                "SIGSEGV", "std::terminate"
//   signal                the number; 0 for std::terminate
//   pid
//   time                  seconds since 1970, UTC, with three digits behind the
//                         point; when it crashed
//   snapshot_age_seconds  how long before that the snapshot was taken; null
//                         (kText: none) and an empty snapshot (kJson: null) if
//                         none was
//
// The handler allocates nothing, takes no lock and calls only async-signal-safe
// functions. One crash is written. Threads that crash while it is wait until it
// is done, at most five seconds. A forked child has no part in it.
//
// A full stack leaves room for the handler only on threads that have a signal
// stack: UseSignalStack(). Signals that are ignored stay so.
//
// One at a time in a process. Thread-compatible.
class CrashDump {
 public:
  // `path` is absolute. `now` must be async-signal-safe, as FineNow() is.
  // FAILED_PRECONDITION if there is one already.
  static absl::Status Install(const std::string& path, DumpFormat format,
                              NowFunction now,
                              std::unique_ptr<CrashDump>* installed);
  // Puts the handlers back that were there before, save for signals whose
  // handler somebody else has replaced since.
  ~CrashDump();
  CrashDump(const CrashDump&) = delete;
  CrashDump& operator=(const CrashDump&) = delete;

  // From now on a crash writes `text`, taken at `taken`.
  void Set(std::string text, TimePoint taken);

 private:
  struct LastWords;
  friend struct CrashHandler;

  CrashDump(const std::string& path, DumpFormat format, NowFunction now);

  // Lets a crash write these.
  void Publish(std::unique_ptr<LastWords> words);

  const std::string path_;
  const DumpFormat format_;
  const NowFunction now_;
  const pid_t pid_;
  LastWords* published_ = nullptr;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_FILE_DUMP_CRASH_H_
