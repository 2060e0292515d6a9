// How processes die that have a dump, and what they leave behind. Each test
// lets children of its own die.

#include "interceptor/export/file_dump_crash.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/export/file_dump.h"
#include "nlohmann/json.hpp"

namespace {
// On this thread an allocation is a mistake, as in a signal handler.
thread_local bool allocation_is_a_mistake = false;

void* Allocate(std::size_t bytes) {
  if (allocation_is_a_mistake) _exit(77);
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
// Not inlined: where only one of the pair is, GCC takes free() for a mismatch.
[[gnu::noinline]] void Free(void* memory) noexcept {
  if (allocation_is_a_mistake) _exit(78);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t bytes) { return Allocate(bytes); }
void operator delete(void* memory) noexcept { Free(memory); }
void operator delete(void* memory, std::size_t) noexcept { Free(memory); }

namespace fusebox {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::MatchesRegex;

// The clock of the dump.
std::atomic<Duration::rep> time_ns{0};
TimePoint Now() { return TimePoint(Duration(time_ns.load())); }
void Turn(Duration time) { time_ns += time.count(); }

std::string Read(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

constexpr std::array<int, 5> kSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                                         SIGABRT};

// The page of a file that has none.
void ReadBeyondAFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  void* const page = mmap(nullptr, 1, PROT_READ, MAP_SHARED, file, 0);
  (void)*static_cast<volatile char*>(page);
}

void WriteToForbiddenMemory() {
  void* const page =
      mmap(nullptr, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *static_cast<volatile char*>(page) = 1;
}

// As good as without end; what it returns is of no use.
// NOLINTNEXTLINE(misc-no-recursion)
int OverflowStack(int depth) {
  if (depth == 1'000'000'000) return 0;
  std::array<volatile char, 4096> frame;
  frame[static_cast<std::size_t>(depth) % frame.size()] = 1;
  return OverflowStack(depth + 1) + frame[0];
}

void EndThread() { throw std::runtime_error("nobody catches this"); }

class CrashTest : public ::testing::Test {
 protected:
  CrashTest() {
    time_ns = 0;
    const char* const name =
        ::testing::UnitTest::GetInstance()->current_test_info()->name();
    directory_ = ::testing::TempDir() + "/" + name;
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
    options_.path = directory_ + "/statistics";
    options_.now = &Now;
  }
  ~CrashTest() override { std::filesystem::remove_all(directory_); }

  // Runs `life` in a child, with the signals as a program finds them at its
  // start. How the child ended, as waitpid() says it; 0 if `life` returned.
  static int StatusOf(const std::function<void()>& life) {
    const pid_t child = fork();
    if (child == 0) {
      // The sanitizers have handlers of their own.
      for (const int signal : kSignals) std::signal(signal, SIG_DFL);
      life();
      _exit(0);
    }
    child_ = child;
    int status = -1;
    waitpid(child, &status, 0);
    return status;
  }

  // Long enough not to fit into a std::string itself.
  static std::string Snapshot(int n) {
    return json{{"taken", n}, {"text", std::string(100, 'x')}}.dump();
  }
  // A dump whose first snapshot has been taken and written.
  static std::unique_ptr<FileDump> StartedDump(const FileDumpOptions& options) {
    auto dump = std::make_unique<FileDump>(
        options, [n = 0]() mutable { return Snapshot(++n); });
    StartAndWrite(*dump);
    return dump;
  }
  // In a child, so without GoogleTest.
  static void StartAndWrite(FileDump& dump) {
    if (!dump.Start().ok()) _exit(90);
    while (dump.stats().writes == 0) std::this_thread::yield();
  }

  std::string crash_path() const { return options_.path + ".crash"; }

  // What the crash of the last child left; an empty object if that is not JSON.
  json Crash() const {
    json crash = json::parse(Read(crash_path()), nullptr,
                             /*allow_exceptions=*/false);
    return crash.is_object() ? crash : json::object();
  }

  // The text of the snapshot in there, for those that are too long for a parser
  // under a sanitizer; empty if the file is not whole.
  std::string CrashSnapshot() const {
    const std::string text = Read(crash_path());
    const std::string before = "},\n\"snapshot\":";
    const std::string after = "}\n";
    const std::size_t begin = text.find(before) + before.size();
    if (begin < before.size() || text.size() < begin + after.size() ||
        text.substr(text.size() - after.size()) != after) {
      return "";
    }
    return text.substr(begin, text.size() - after.size() - begin);
  }

  // The death of a process with a dump is that of one without, and leaves the
  // last snapshot.
  void ExpectSameDeath(const std::function<void()>& death, int signal,
                       const std::string& reason, int told_signal) {
    SCOPED_TRACE(reason);
    std::filesystem::remove(crash_path());
    const int without = StatusOf(death);
    EXPECT_TRUE(WIFSIGNALED(without) && WTERMSIG(without) == signal) << without;
    EXPECT_FALSE(std::filesystem::exists(crash_path()));

    const int with = StatusOf([&] {
      const auto dump = StartedDump(options_);
      Turn(milliseconds(3210));
      allocation_is_a_mistake = true;
      death();
    });
    EXPECT_EQ(with, without);
    const json crash = Crash();
    EXPECT_EQ(crash.value("snapshot", json()).dump(), Snapshot(1));
    const json about = crash.value("crash", json::object());
    EXPECT_EQ(about.value("reason", ""), reason);
    EXPECT_EQ(about.value("signal", -1), told_signal);
    EXPECT_EQ(about.value("pid", -1), child_);
    EXPECT_EQ(about.value("snapshot_age_seconds", -1.0), 3.21);
    EXPECT_GT(about.value("time", 0.0), 1.6e9);
    EXPECT_EQ(about.size(), 5);
    EXPECT_FALSE(std::filesystem::exists(crash_path() + ".tmp"));
    EXPECT_EQ(Read(options_.path), Snapshot(1));
  }

  static pid_t child_;
  std::string directory_;
  FileDumpOptions options_;
};
pid_t CrashTest::child_ = 0;

TEST_F(CrashTest, FaultsAreAsTheyWere) {
  ExpectSameDeath(&WriteToForbiddenMemory, SIGSEGV, "SIGSEGV", SIGSEGV);
  const std::string empty = directory_ + "/empty";
  ExpectSameDeath([&empty] { ReadBeyondAFile(empty); }, SIGBUS, "SIGBUS",
                  SIGBUS);
  ExpectSameDeath([] { __builtin_trap(); }, SIGILL, "SIGILL", SIGILL);
}

TEST_F(CrashTest, SignalsThatAreSentAreAsTheyWere) {
  for (const auto& [signal, name] :
       {std::pair(SIGSEGV, "SIGSEGV"), std::pair(SIGBUS, "SIGBUS"),
        std::pair(SIGFPE, "SIGFPE"), std::pair(SIGILL, "SIGILL"),
        std::pair(SIGABRT, "SIGABRT")}) {
    const int sent = signal;
    ExpectSameDeath([sent] { std::raise(sent); }, sent, name, sent);
    ExpectSameDeath([sent] { kill(getpid(), sent), pause(); }, sent, name,
                    sent);
  }
}

TEST_F(CrashTest, AbortIsAsItWas) {
  ExpectSameDeath([] { std::abort(); }, SIGABRT, "SIGABRT", SIGABRT);
}

TEST_F(CrashTest, TerminateIsAsItWas) {
  ExpectSameDeath([] { std::terminate(); }, SIGABRT, "std::terminate", 0);
  ExpectSameDeath(
      [] {
        allocation_is_a_mistake = false;
        std::thread(&EndThread).join();
      },
      SIGABRT, "std::terminate", 0);
}

TEST_F(CrashTest, AFullStackIsAsItWas) {
  ExpectSameDeath([] { OverflowStack(0); }, SIGSEGV, "SIGSEGV", SIGSEGV);
  ExpectSameDeath(
      [] {
        allocation_is_a_mistake = false;
        std::thread([] {
          UseSignalStack();
          allocation_is_a_mistake = true;
          OverflowStack(0);
        }).join();
      },
      SIGSEGV, "SIGSEGV", SIGSEGV);
}

TEST_F(CrashTest, TextHasItsLineInFront) {
  options_.format = DumpFormat::kText;
  StatusOf([this] {
    FileDump dump(options_, [] { return "a 1\nb 2\n"; });
    StartAndWrite(dump);
    std::abort();
  });
  EXPECT_THAT(Read(crash_path()),
              MatchesRegex("# crash: reason=SIGABRT signal=6 pid=[0-9]+ "
                           "time=[0-9]+\\.[0-9][0-9][0-9] "
                           "snapshot_age_seconds=0\\.000\na 1\nb 2\n"));
}

TEST_F(CrashTest, BeforeTheFirstSnapshotThereIsNone) {
  for (const DumpFormat format : {DumpFormat::kJson, DumpFormat::kText}) {
    options_.format = format;
    const int status = StatusOf([this] {
      std::promise<void> begun;
      FileDump dump(options_, [&begun]() -> std::string {
        begun.set_value();
        for (;;) pause();
      });
      if (!dump.Start().ok()) _exit(90);
      begun.get_future().wait();
      std::abort();
    });
    EXPECT_TRUE(WIFSIGNALED(status)) << status;
    if (format == DumpFormat::kJson) {
      EXPECT_EQ(Crash()["snapshot"], json());
      EXPECT_EQ(Crash()["crash"]["snapshot_age_seconds"], json());
    } else {
      EXPECT_THAT(Read(crash_path()),
                  MatchesRegex("# crash: .* snapshot_age_seconds=none\n"));
    }
  }
}

TEST_F(CrashTest, WhileASnapshotIsMadeTheOneBeforeIsTheLast) {
  const int status = StatusOf([this] {
    std::promise<void> begun;
    FileDump dump(options_, [&begun, n = 0]() mutable -> std::string {
      if (++n == 1) return "1";
      begun.set_value();
      for (;;) pause();
    });
    StartAndWrite(dump);
    Turn(seconds(10));
    dump.Wake();
    begun.get_future().wait();
    WriteToForbiddenMemory();
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << status;
  EXPECT_EQ(Crash()["snapshot"], 1);
  EXPECT_EQ(Crash()["crash"]["snapshot_age_seconds"], 10.0);
}

TEST_F(CrashTest, ASnapshotThatCrashesLeavesTheOneBefore) {
  const int status = StatusOf([this] {
    FileDump dump(options_, [n = 0]() mutable -> std::string {
      if (++n == 2) OverflowStack(0);
      return "1";
    });
    StartAndWrite(dump);
    Turn(seconds(10));
    dump.Wake();
    for (;;) pause();
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << status;
  EXPECT_EQ(Crash()["snapshot"], 1);
}

// At any moment of taking, publishing and writing.
TEST_F(CrashTest, WhatIsWrittenIsWholeWhenSnapshotsComeFast) {
  constexpr std::size_t kSize = 1'000'000;
  for (std::uint64_t writes = 1; writes <= 10; ++writes) {
    const int status = StatusOf([this, writes] {
      FileDump dump(options_, [letter = 'a']() mutable {
        Turn(seconds(10));  // so the next one is due
        letter = letter == 'z' ? 'a' : static_cast<char>(letter + 1);
        return std::string(kSize, letter);
      });
      StartAndWrite(dump);
      while (dump.stats().writes < writes) std::this_thread::yield();
      std::abort();
    });
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << status;
    const std::string text = CrashSnapshot();
    ASSERT_EQ(text.size(), kSize);
    EXPECT_EQ(text.find_first_not_of(text[0]), std::string::npos);
  }
}

// The first must not be cut off by the end of the second.
TEST_F(CrashTest, ThreadsThatCrashTogetherLeaveOneWholeFile) {
  constexpr std::size_t kSize = 30'000'000;
  const int status = StatusOf([this] {
    FileDump dump(options_, [] { return std::string(kSize, 'x'); });
    StartAndWrite(dump);
    std::atomic<int> ready{0};
    const auto crash = [&ready] {
      ++ready;
      while (ready < 4) std::this_thread::yield();
      WriteToForbiddenMemory();
    };
    std::thread a(crash);
    std::thread b(crash);
    std::thread c(crash);
    crash();
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << status;
  EXPECT_EQ(CrashSnapshot().size(), kSize);
}

TEST_F(CrashTest, TheHandlersFromBeforeAreRun) {
  const auto own = [](int, siginfo_t* info, void*) {
    // What the signal brought is still there.
    _exit(info->si_code == SI_QUEUE && info->si_value.sival_int == 7 ? 42 : 43);
  };
  const int status = StatusOf([&] {
    struct sigaction action = {};
    action.sa_sigaction = own;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGFPE, &action, nullptr);
    const auto dump = StartedDump(options_);
    sigval value;
    value.sival_int = 7;
    sigqueue(getpid(), SIGFPE, value);
    pause();
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42) << status;
  EXPECT_EQ(Crash()["crash"]["reason"], "SIGFPE");
}

TEST_F(CrashTest, TheTerminateHandlerFromBeforeIsRun) {
  const int status = StatusOf([this] {
    std::set_terminate([] { _exit(42); });
    const auto dump = StartedDump(options_);
    std::terminate();
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42) << status;
  EXPECT_EQ(Crash()["crash"]["reason"], "std::terminate");
}

struct sigaction chained;

TEST_F(CrashTest, AHandlerThatStandsOnBothSidesEndsNevertheless) {
  const int status = StatusOf([this] {
    auto first = StartedDump(options_);
    // Somebody comes later, calls us, and stays when we go and come again.
    struct sigaction theirs = {};
    theirs.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
      chained.sa_sigaction(signal, info, context);
    };
    theirs.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &theirs, &chained);
    first = nullptr;
    const auto second = StartedDump(options_);
    WriteToForbiddenMemory();
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << status;
  EXPECT_EQ(Crash()["crash"]["reason"], "SIGSEGV");
}

TEST_F(CrashTest, AProcessMayLiveOn) {
  const int status = StatusOf([this] {
    struct sigaction shrug = {};
    shrug.sa_handler = [](int) {};
    sigaction(SIGFPE, &shrug, nullptr);
    const auto dump = StartedDump(options_);
    std::raise(SIGFPE);
    std::raise(SIGFPE);
    // Snapshots go on.
    Turn(seconds(10));
    dump->Wake();
    while (dump->stats().writes < 2) std::this_thread::yield();
    dump->Stop();
    std::raise(SIGFPE);
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Crash()["snapshot"].dump(), Snapshot(1));
  EXPECT_EQ(Read(options_.path), Snapshot(3));
}

TEST_F(CrashTest, IgnoredSignalsStayIgnored) {
  const int status = StatusOf([this] {
    std::signal(SIGFPE, SIG_IGN);
    const auto dump = StartedDump(options_);
    std::raise(SIGFPE);
  });
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(std::filesystem::exists(crash_path()));
}

TEST_F(CrashTest, AForkedChildHasNoPartInIt) {
  const int status = StatusOf([this] {
    const auto dump = StartedDump(options_);
    const pid_t child = fork();
    if (child == 0) std::abort();
    int status_of_child = 0;
    waitpid(child, &status_of_child, 0);
    const bool killed =
        WIFSIGNALED(status_of_child) && WTERMSIG(status_of_child) == SIGABRT;
    _exit(killed && !std::filesystem::exists(crash_path()) ? 0 : 1);
  });
  EXPECT_EQ(status, 0);
}

TEST_F(CrashTest, AfterStopACrashLeavesNothing) {
  const int status = StatusOf([this] {
    StartedDump(options_)->Stop();
    std::abort();
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << status;
  EXPECT_FALSE(std::filesystem::exists(crash_path()));
}

TEST_F(CrashTest, WhatCannotBeWrittenChangesNothing) {
  std::filesystem::create_directory(crash_path() + ".tmp");
  const int status = StatusOf([this] {
    const auto dump = StartedDump(options_);
    WriteToForbiddenMemory();
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << status;
}

TEST_F(CrashTest, StopPutsTheHandlersBack) {
  const auto handlers = [] {
    std::vector<void (*)(int)> present;
    for (const int signal : kSignals) {
      struct sigaction action = {};
      sigaction(signal, nullptr, &action);
      present.push_back(action.sa_handler);
    }
    return present;
  };
  const auto before = handlers();
  const std::terminate_handler terminate = std::get_terminate();
  FileDump dump(options_, [] { return "1"; });
  ASSERT_TRUE(dump.Start().ok());
  EXPECT_NE(handlers(), before);
  EXPECT_NE(std::get_terminate(), terminate);
  dump.Stop();
  EXPECT_EQ(handlers(), before);
  EXPECT_EQ(std::get_terminate(), terminate);
}

TEST_F(CrashTest, OneDumpAtATimeHasTheHandlers) {
  FileDumpOptions other = options_;
  other.path += "2";
  FileDump first(options_, [] { return "1"; });
  FileDump second(other, [] { return "2"; });
  ASSERT_TRUE(first.Start().ok());
  EXPECT_EQ(second.Start().code(), absl::StatusCode::kFailedPrecondition);
  first.Stop();
  EXPECT_TRUE(second.Start().ok());
  other.on_crash = false;
  other.path += "3";
  EXPECT_TRUE(FileDump(other, [] { return "3"; }).Start().ok());
}

}  // namespace
}  // namespace fusebox
