#include "interceptor/export/file_dump_crash.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>

#include "interceptor/export/file_dump_replacement.h"

namespace fusebox {
namespace {

struct FatalSignal {
  int number;
  const char* name;
};
constexpr std::array<FatalSignal, 5> kFatalSignals = {{
    {SIGSEGV, "SIGSEGV"},
    {SIGBUS, "SIGBUS"},
    {SIGFPE, "SIGFPE"},
    {SIGILL, "SIGILL"},
    {SIGABRT, "SIGABRT"},
}};

pid_t ThisThread() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// A short text put together without memory from anywhere.
class ShortText {
 public:
  ShortText& operator<<(std::string_view text) {
    const std::size_t size = std::min(text.size(), buffer_.size() - size_);
    std::copy_n(text.data(), size, buffer_.data() + size_);
    size_ += size;
    return *this;
  }
  // Figures, at least `width` of them.
  ShortText& AddNumber(std::uint64_t number, std::size_t width = 1) {
    std::array<char, 20> figures;
    std::size_t begin = figures.size();
    while (number != 0 || figures.size() - begin < width) {
      figures[--begin] = static_cast<char>('0' + number % 10);
      number /= 10;
    }
    return *this << std::string_view(&figures[begin], figures.size() - begin);
  }
  ShortText& AddSeconds(std::uint64_t seconds, std::uint64_t nanoseconds) {
    AddNumber(seconds) << ".";
    return AddNumber(nanoseconds / 1'000'000, 3);
  }
  std::string_view text() const { return {buffer_.data(), size_}; }

 private:
  std::array<char, 256> buffer_;
  std::size_t size_ = 0;
};

// A thread's stack for signal handlers, with a page below that ends a program
// which needs more.
class SignalStack {
 public:
  SignalStack() {
    stack_t present = {};
    if (sigaltstack(nullptr, &present) != 0) return;
    if ((present.ss_flags & SS_DISABLE) == 0) return;  // it has one
    void* const memory = mmap(nullptr, kGuard + kSize, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    memory_ = static_cast<char*>(memory);
    mprotect(memory_, kGuard, PROT_NONE);
    stack_t ours = {};
    ours.ss_sp = memory_ + kGuard;
    ours.ss_size = kSize;
    sigaltstack(&ours, nullptr);
  }
  ~SignalStack() {
    if (memory_ == nullptr) return;
    stack_t present = {};
    sigaltstack(nullptr, &present);
    if (present.ss_sp == memory_ + kGuard) {
      stack_t none = {};
      none.ss_flags = SS_DISABLE;
      sigaltstack(&none, nullptr);
    }
    munmap(memory_, kGuard + kSize);
  }
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  // Pages are at most this large where it matters. Handlers that were there
  // before run on this, too: Abseil's asks for as much.
  static constexpr std::size_t kGuard = std::size_t{64} * 1024;
  static constexpr std::size_t kSize = std::size_t{128} * 1024;

  char* memory_ = nullptr;
};

}  // namespace

void UseSignalStack() {
  thread_local const SignalStack stack;
  (void)stack;
}

// What a crash writes.
//
// 1. Last words are not changed once they are published: whoever takes them
//    reads them whole. (Publish() releases, the handler acquires.)
// 2. Whoever takes the pointer out of CrashHandler::last_words owns them: the
//    CrashDump only when it finds there what it put there, a handler by leaving
//    null. So nobody frees what a handler reads, and after a crash nothing is
//    published again. A handler does not free them either: it cannot.
struct CrashDump::LastWords {
  FileReplacement file;
  DumpFormat format;
  NowFunction now;
  pid_t pid;
  std::string text;
  std::optional<TimePoint> taken;  // nothing: there is no snapshot yet

  void Write(const char* reason, int signal) const;
};

void CrashDump::LastWords::Write(const char* reason, int signal) const {
  timespec time = {};
  clock_gettime(CLOCK_REALTIME, &time);
  ShortText age;
  if (taken.has_value()) {
    const auto since = static_cast<std::uint64_t>(
        std::max(now() - *taken, Duration(0)).count());
    age.AddSeconds(since / 1'000'000'000, since % 1'000'000'000);
  }
  const bool json = format == DumpFormat::kJson;
  ShortText head;
  head << (json ? R"({"crash":{"reason":")" : "# crash: reason=") << reason
       << (json ? R"(","signal":)" : " signal=");
  head.AddNumber(static_cast<std::uint64_t>(signal))
      << (json ? R"(,"pid":)" : " pid=");
  head.AddNumber(static_cast<std::uint64_t>(pid))
      << (json ? R"(,"time":)" : " time=");
  head.AddSeconds(static_cast<std::uint64_t>(time.tv_sec),
                  static_cast<std::uint64_t>(time.tv_nsec))
      << (json ? R"(,"snapshot_age_seconds":)" : " snapshot_age_seconds=")
      << (taken.has_value() ? age.text()
          : json            ? "null"
                            : "none")
      << (json ? "},\n\"snapshot\":" : "\n");
  // Not one conditional expression: with a literal it would copy the string.
  std::string_view snapshot = json ? "null" : "";
  if (taken.has_value()) snapshot = text;
  const std::array<std::string_view, 3> pieces = {head.text(), snapshot,
                                                  json ? "}\n" : ""};
  file.Write(pieces.data(), pieces.size());
}

// What the handlers know. The process has one of each signal.
struct CrashHandler {
  static std::atomic<CrashDump::LastWords*> last_words;
  static std::atomic<bool> installed;
  // The thread that writes them now; 0: none.
  static std::atomic<pid_t> writer;

  // Of each signal: what was there before, set before our handler is, and the
  // thread that was handed to that.
  static std::array<struct sigaction, kFatalSignals.size()> previous;
  static std::array<std::atomic<pid_t>, kFatalSignals.size()> passed_on;
  static std::atomic<std::terminate_handler> previous_terminate;

  static void Write(const char* reason, int signal);
  static void PassOn(std::size_t index, siginfo_t* info);
  static void OnSignal(int signal, siginfo_t* info, void* context);
  [[noreturn]] static void OnTerminate();
};

std::atomic<CrashDump::LastWords*> CrashHandler::last_words{nullptr};
std::atomic<bool> CrashHandler::installed{false};
std::atomic<pid_t> CrashHandler::writer{0};
std::array<struct sigaction, kFatalSignals.size()> CrashHandler::previous;
std::array<std::atomic<pid_t>, kFatalSignals.size()> CrashHandler::passed_on;
std::atomic<std::terminate_handler> CrashHandler::previous_terminate{nullptr};

void CrashHandler::Write(const char* reason, int signal) {
  const pid_t self = ThisThread();
  pid_t other = 0;
  if (!writer.compare_exchange_strong(other, self)) {
    // Another thread has the words: it must not be killed by our end. Or this
    // thread has, and crashed in what follows.
    for (int i = 0; i < 500 && other != self && writer.load() == other; ++i) {
      poll(nullptr, 0, 10);
    }
    return;
  }
  const CrashDump::LastWords* const words = last_words.exchange(nullptr);
  if (words != nullptr && words->pid == getpid()) words->Write(reason, signal);
  writer.store(0);
}

void CrashHandler::PassOn(std::size_t index, siginfo_t* info) {
  const int signal = kFatalSignals[index].number;
  // The second time on one thread: what was there before has called us, so that
  // to call it again would have no end.
  if (passed_on[index].exchange(ThisThread()) == ThisThread()) {
    struct sigaction by_default = {};
    by_default.sa_handler = SIG_DFL;
    sigaction(signal, &by_default, nullptr);
  } else {
    sigaction(signal, &previous[index], nullptr);
  }
  // What the kernel found out, it finds out again when the thread goes on where
  // it was, and a core dump then shows the fault itself. What was sent must be
  // sent again; it arrives when this handler has returned.
  if (info->si_code <= 0) {
    syscall(SYS_rt_tgsigqueueinfo, getpid(), ThisThread(), signal, info);
  }
}

void CrashHandler::OnSignal(int signal, siginfo_t* info, void* /*context*/) {
  const int saved_errno = errno;
  for (std::size_t i = 0; i < kFatalSignals.size(); ++i) {
    if (kFatalSignals[i].number != signal) continue;
    Write(kFatalSignals[i].name, signal);
    PassOn(i, info);
  }
  errno = saved_errno;
}

void CrashHandler::OnTerminate() {
  Write("std::terminate", 0);
  if (const auto before = previous_terminate.load()) before();
  std::abort();
}

CrashDump::CrashDump(const std::string& path, DumpFormat format,
                     NowFunction now)
    : path_(path), format_(format), now_(now), pid_(getpid()) {}

absl::Status CrashDump::Install(const std::string& path, DumpFormat format,
                                NowFunction now,
                                std::unique_ptr<CrashDump>* installed) {
  if (CrashHandler::installed.exchange(true)) {
    return absl::FailedPreconditionError(
        "the process has handlers for crashes already");
  }
  installed->reset(new CrashDump(path, format, now));
  (*installed)
      ->Publish(std::make_unique<LastWords>(LastWords{
          FileReplacement(path), format, now, getpid(), "", std::nullopt}));
  CrashHandler::previous_terminate =
      std::set_terminate(&CrashHandler::OnTerminate);

  struct sigaction ours = {};
  ours.sa_sigaction = &CrashHandler::OnSignal;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&ours.sa_mask);  // nothing else is to end the process meanwhile
  for (std::size_t i = 0; i < kFatalSignals.size(); ++i) {
    const int signal = kFatalSignals[i].number;
    sigaction(signal, nullptr, &CrashHandler::previous[i]);
    CrashHandler::passed_on[i] = 0;
    if (CrashHandler::previous[i].sa_handler == SIG_IGN) continue;
    sigaction(signal, &ours, nullptr);
  }
  return absl::OkStatus();
}

CrashDump::~CrashDump() {
  for (std::size_t i = 0; i < kFatalSignals.size(); ++i) {
    const int signal = kFatalSignals[i].number;
    struct sigaction present = {};
    sigaction(signal, nullptr, &present);
    if ((present.sa_flags & SA_SIGINFO) != 0 &&
        present.sa_sigaction == &CrashHandler::OnSignal) {
      sigaction(signal, &CrashHandler::previous[i], nullptr);
    }
  }
  if (std::get_terminate() == &CrashHandler::OnTerminate) {
    std::set_terminate(CrashHandler::previous_terminate);
  }
  Publish(nullptr);
  CrashHandler::installed = false;
}

void CrashDump::Set(std::string text, TimePoint taken) {
  Publish(std::make_unique<LastWords>(LastWords{
      FileReplacement(path_), format_, now_, pid_, std::move(text), taken}));
}

void CrashDump::Publish(std::unique_ptr<LastWords> words) {
  LastWords* before = published_;
  // Fails if a handler has them (2).
  if (!CrashHandler::last_words.compare_exchange_strong(before, words.get())) {
    return;
  }
  delete published_;
  published_ = words.release();
}

}  // namespace fusebox
