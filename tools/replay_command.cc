#include "tools/replay_command.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <system_error>

#include "tools/command_line.h"
#include "tools/replay.h"

namespace fusebox {
namespace {

constexpr char kHelp[] =
    R"(usage: fusebox replay --events=FILE [--decisions=FILE]

Runs a recorded trace through real circuit breakers, one for each method, with
the clock and the draws of the trace, and writes what they decide.

  --events=FILE     the trace, JSON Lines; - is standard input
  --decisions=FILE  where the answers go, JSON Lines; default: standard output

The first line of the trace holds the settings, each other one an event:

  {"settings": {"preset": "doctor", "bucket_width": 20, "jitter": 0}}
  {"t": 12.5, "op": "admit", "method": "/pkg.S/M", "call": 7, "u": 0.31}
  {"t": 12.9, "op": "finish", "method": "/pkg.S/M", "call": 7,
   "outcome": "system_error", "latency": 0.4}
  {"t": 20, "op": "state", "method": "/pkg.S/M"}

(each on one line). Admit and state are answered:

  {"t":12.5,"op":"admit","method":"/pkg.S/M","call":7,"admitted":true,
   "state":"CLOSED"}
  {"t":20,"op":"state","method":"/pkg.S/M","state":"HALF_OPEN"}

settings  all fields of the settings by name, missing ones have their default,
          or that of the "preset", which is "doctor"; durations in seconds,
          thresholds and slow_call_duration a number or "off"
t         seconds, to the millisecond; never goes back
call      a number that is used once for each method; a finish without it is an
          outcome of the current generation that belongs to no recorded call,
          with "stale": true one of an older generation
outcome   ok, user_error, timeout, system_error, unknown_error or ignored
latency   seconds, default 0
u, r      draws of this line: u in [0, 1) for the ramp, r in [-1, 1] for the
          jitter, default 0

Exits with 0; with 1 after "line N: reason" if a line is wrong, all answers
before it written, or if a file cannot be read or written; with 2 if called
wrongly.
)";

std::string ErrnoText() { return std::generic_category().message(errno); }

int Complain(const std::string& text) {
  std::fprintf(stderr, "fusebox replay: %s\n", text.c_str());
  return kExitFailure;
}

int Misused(const std::string& text) {
  Complain(text + "; try `fusebox replay --help`");
  return kExitUsage;
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// The lines of a file, each followed by the padding that Replay wants.
class LineReader {
 public:
  // `file` must outlive the reader.
  explicit LineReader(std::FILE* file) : file_(file) {}
  ~LineReader() { std::free(text_); }
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // False at the end, and if std::ferror(file), with the reason in errno. The
  // line is valid until the next call.
  bool Next(std::string_view& line) {
    const ssize_t read = getline(&text_, &capacity_, file_);
    if (read < 0) return false;
    const auto size = static_cast<std::size_t>(read);
    if (capacity_ < size + Replay::kPadding) {
      const std::size_t capacity = 2 * size + Replay::kPadding;
      void* const text = std::realloc(text_, capacity);
      if (text == nullptr) throw std::bad_alloc();
      text_ = static_cast<char*>(text);
      capacity_ = capacity;
    }
    line = std::string_view(text_, size);
    return true;
  }

 private:
  std::FILE* const file_;
  char* text_ = nullptr;
  std::size_t capacity_ = 0;
};

bool IsSameFile(std::FILE* file, const std::string& path) {
  struct stat a, b;
  return fstat(fileno(file), &a) == 0 && stat(path.c_str(), &b) == 0 &&
         S_ISREG(a.st_mode) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Answers are written in blocks of about this size.
constexpr std::size_t kBlock = std::size_t{1} << 16;

// Where answers go. Names are for messages.
struct Sink {
  std::FILE* file;
  std::string name;

  bool Write(const std::string& text) {
    return std::fwrite(text.data(), 1, text.size(), file) == text.size();
  }
};

int ReplayFile(std::FILE* events, const std::string& events_name, Sink sink) {
  Replay replay;
  LineReader lines(events);
  std::string_view line;
  std::string answers;
  bool valid = true;
  bool written = true;
  while (valid && written && lines.Next(line)) {
    valid = replay.Apply(line, answers);
    if (answers.size() < kBlock) continue;
    written = sink.Write(answers);
    answers.clear();
  }
  const std::string read_error = std::ferror(events) ? ErrnoText() : "";
  if (!written || !sink.Write(answers) || std::fflush(sink.file) != 0) {
    return Complain(sink.name + ": " + ErrnoText());
  }
  if (!read_error.empty()) return Complain(events_name + ": " + read_error);
  if (!valid || !replay.End()) {
    std::fprintf(stderr, "%s\n", replay.error().c_str());
    return kExitFailure;
  }
  return kExitOk;
}

}  // namespace

int RunReplay(const std::vector<std::string_view>& arguments) {
  std::string events_name;
  std::string decisions_name = "-";
  const ParsedFlags flags = ParseFlags(
      arguments, {{"events", &events_name}, {"decisions", &decisions_name}});
  if (flags.help) {
    std::fputs(kHelp, stdout);
    return kExitOk;
  }
  if (!flags.error.empty()) return Misused(flags.error);
  if (events_name.empty()) return Misused("--events is missing");
  if (decisions_name.empty()) return Misused("--decisions is empty");

  File events;
  if (events_name != "-") {
    events.reset(std::fopen(events_name.c_str(), "r"));
    if (events == nullptr) return Complain(events_name + ": " + ErrnoText());
  }
  std::FILE* const source = events != nullptr ? events.get() : stdin;
  if (decisions_name == "-") {
    return ReplayFile(source, events_name, {stdout, "standard output"});
  }
  // Opening it for writing would empty the trace.
  if (IsSameFile(source, decisions_name)) {
    return Misused("--events and --decisions are the same file");
  }
  const File decisions(std::fopen(decisions_name.c_str(), "w"));
  if (decisions == nullptr) {
    return Complain(decisions_name + ": " + ErrnoText());
  }
  return ReplayFile(source, events_name, {decisions.get(), decisions_name});
}

}  // namespace fusebox
