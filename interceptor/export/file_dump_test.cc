#include "interceptor/export/file_dump.h"

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/breaker/settings.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::UnorderedElementsAre;

// The clock of the dump, which the tests turn.
std::atomic<Duration::rep> time_ns{0};
TimePoint Now() { return TimePoint(Duration(time_ns.load())); }
void Turn(Duration time) { time_ns += time.count(); }

std::string TimeText() { return FormatDuration(Now().time_since_epoch()); }

std::string Read(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class FileDumpTest : public ::testing::Test {
 protected:
  FileDumpTest() {
    time_ns = 0;
    const char* const name =
        ::testing::UnitTest::GetInstance()->current_test_info()->name();
    directory_ = ::testing::TempDir() + "/" + name;
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
    options_.path = directory_ + "/statistics";
    options_.now = &Now;
    options_.on_crash = false;
  }
  ~FileDumpTest() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<FileDump> Start(
      std::function<std::string()> snapshot = &TimeText) {
    auto dump = std::make_unique<FileDump>(options_, std::move(snapshot));
    const absl::Status status = dump->Start();
    EXPECT_TRUE(status.ok()) << status;
    return dump;
  }

  // Waits until the stats are such.
  static FileDumpStats Await(
      const FileDump& dump,
      const std::function<bool(const FileDumpStats&)>& condition) {
    const auto end = std::chrono::steady_clock::now() + minutes(1);
    for (;;) {
      FileDumpStats stats = dump.stats();
      if (condition(stats)) return stats;
      if (std::chrono::steady_clock::now() > end) {
        ADD_FAILURE() << "the stats do not become what is expected";
        return stats;
      }
      // Between two looks: leaves the processor to what is waited for.
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
  static FileDumpStats AwaitWrites(const FileDump& dump, std::uint64_t writes) {
    return Await(dump, [writes](const FileDumpStats& stats) {
      return stats.writes >= writes;
    });
  }
  static FileDumpStats AwaitFailures(const FileDump& dump,
                                     std::uint64_t failures) {
    return Await(dump, [failures](const FileDumpStats& stats) {
      return stats.failed_writes + stats.failed_snapshots >= failures;
    });
  }

  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  std::string directory_;
  FileDumpOptions options_;
};

TEST_F(FileDumpTest, WritesAtTheStartEveryPeriodAndAtTheEnd) {
  const auto dump = Start();
  AwaitWrites(*dump, 1);
  EXPECT_EQ(Read(options_.path), "0s");
  Turn(seconds(10) - Duration(1));
  dump->Wake();
  Turn(Duration(1));
  dump->Wake();
  AwaitWrites(*dump, 2);
  EXPECT_EQ(Read(options_.path), "10s");
  // Periods that were slept through are not made up for.
  Turn(seconds(35));
  dump->Wake();
  AwaitWrites(*dump, 3);
  EXPECT_EQ(Read(options_.path), "45s");
  Turn(seconds(1));
  dump->Stop();
  EXPECT_EQ(Read(options_.path), "46s");
  EXPECT_THAT(Files(), UnorderedElementsAre("statistics"));

  const FileDumpStats stats = dump->stats();
  EXPECT_EQ(stats.writes, 4);
  EXPECT_EQ(stats.failed_writes, 0);
  EXPECT_EQ(stats.failed_snapshots, 0);
  EXPECT_EQ(stats.last_error, "");
  EXPECT_EQ(stats.last_success, Now());
  EXPECT_EQ(stats.bytes, 3);
  dump->Stop();
  EXPECT_EQ(dump->stats().writes, 4);
}

TEST_F(FileDumpTest, ARelativePathStaysWhereItWas) {
  const std::string before = std::filesystem::current_path();
  std::filesystem::current_path(directory_);
  options_.path = "here";
  const auto dump = Start();
  std::filesystem::current_path(before);
  dump->Stop();
  EXPECT_THAT(Files(), UnorderedElementsAre("here"));
}

TEST_F(FileDumpTest, ReadersNeverSeeAPart) {
  // Each snapshot is of one letter, and the next one is due when it is taken.
  constexpr std::size_t kSize = 300'000;
  std::atomic<bool> stop{false};
  const auto dump = Start([&stop, letter = 'a']() mutable {
    if (!stop) Turn(seconds(10));
    letter = letter == 'z' ? 'a' : static_cast<char>(letter + 1);
    return std::string(kSize, letter);
  });
  AwaitWrites(*dump, 1);
  int changes = 0;
  char last = 0;
  while (changes < 50) {
    const std::string text = Read(options_.path);
    ASSERT_EQ(text.size(), kSize);
    ASSERT_EQ(text.find_first_not_of(text[0]), std::string::npos);
    changes += text[0] != last ? 1 : 0;
    last = text[0];
  }
  stop = true;
}

TEST_F(FileDumpTest, AFailedWriteLeavesTheLastGoodFile) {
  const auto dump = Start();
  AwaitWrites(*dump, 1);
  // Nothing can be written in the place of the file beside.
  std::filesystem::create_directory(options_.path + ".tmp");
  Turn(seconds(10));
  dump->Wake();
  const FileDumpStats stats = AwaitFailures(*dump, 1);
  EXPECT_EQ(stats.writes, 1);
  EXPECT_EQ(stats.failed_writes, 1);
  EXPECT_EQ(stats.last_error, options_.path + ": open: Is a directory");
  EXPECT_EQ(stats.last_success, TimePoint());
  EXPECT_EQ(Read(options_.path), "0s");

  std::filesystem::remove(options_.path + ".tmp");
  Turn(seconds(10));
  dump->Wake();
  EXPECT_EQ(AwaitWrites(*dump, 2).last_success, Now());
  EXPECT_EQ(Read(options_.path), "20s");
}

TEST_F(FileDumpTest, ADirectoryThatIsGoneIsAFailure) {
  options_.path = directory_ + "/gone/statistics";
  const auto dump = Start();
  EXPECT_EQ(AwaitFailures(*dump, 1).last_error,
            options_.path + ": open: No such file or directory");
  std::filesystem::create_directory(directory_ + "/gone");
  Turn(seconds(10));
  dump->Wake();
  AwaitWrites(*dump, 1);
  EXPECT_EQ(Read(options_.path), "10s");
}

TEST_F(FileDumpTest, WhatCannotBeRenamedIsRemoved) {
  std::filesystem::create_directory(options_.path);
  const auto dump = Start();
  EXPECT_EQ(AwaitFailures(*dump, 1).last_error,
            options_.path + ": rename: Is a directory");
  EXPECT_THAT(Files(), UnorderedElementsAre("statistics"));
}

// As a full disk: some bytes can be written, and then no more.
TEST_F(FileDumpTest, AFullDiskLeavesTheLastGoodFile) {
  std::atomic<std::size_t> size{1000};
  const auto dump = Start([&size] { return std::string(size, 'x'); });
  AwaitWrites(*dump, 1);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler_before = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small = {10'000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  size = 1'000'000;
  Turn(seconds(10));
  dump->Wake();
  const FileDumpStats stats = AwaitFailures(*dump, 1);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler_before);
  EXPECT_EQ(stats.last_error, options_.path + ": write: File too large");
  EXPECT_EQ(stats.bytes, 1000);
  EXPECT_EQ(Read(options_.path), std::string(1000, 'x'));
  EXPECT_THAT(Files(), UnorderedElementsAre("statistics"));
}

TEST_F(FileDumpTest, ALinkInThePlaceOfTheFileBesideIsNotFollowed) {
  std::ofstream(directory_ + "/victim") << "precious";
  std::filesystem::create_symlink("victim", options_.path + ".tmp");
  const auto dump = Start();
  EXPECT_EQ(AwaitFailures(*dump, 1).failed_writes, 1);
  EXPECT_EQ(Read(directory_ + "/victim"), "precious");
}

TEST_F(FileDumpTest, ASnapshotThatThrowsCostsItsPeriod) {
  const auto dump = Start([]() -> std::string {
    if (Now() == TimePoint() + seconds(10)) throw std::runtime_error("no");
    if (Now() == TimePoint() + seconds(20)) throw 1;
    return TimeText();
  });
  AwaitWrites(*dump, 1);
  Turn(seconds(10));
  dump->Wake();
  EXPECT_EQ(AwaitFailures(*dump, 1).last_error, "the snapshot threw: no");
  EXPECT_EQ(Read(options_.path), "0s");
  Turn(seconds(10));
  dump->Wake();
  EXPECT_EQ(AwaitFailures(*dump, 2).last_error, "the snapshot threw");
  Turn(seconds(10));
  dump->Wake();
  AwaitWrites(*dump, 2);
  EXPECT_EQ(Read(options_.path), "30s");
  EXPECT_EQ(dump->stats().failed_snapshots, 2);
  EXPECT_EQ(dump->stats().failed_writes, 0);
}

TEST_F(FileDumpTest, WithoutAStartNothingHappens) {
  FileDump dump(options_, &TimeText);
  dump.Wake();
  dump.Stop();
  EXPECT_THAT(Files(), UnorderedElementsAre());
}

TEST_F(FileDumpTest, StartsOnce) {
  const auto dump = Start();
  EXPECT_EQ(dump->Start().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(FileDumpTest, ErrorsNameFieldValueAndRange) {
  const auto error = [](const FileDumpOptions& options) {
    const absl::Status status = FileDump(options, &TimeText).Start();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  FileDumpOptions options = options_;
  options.path = "";
  EXPECT_EQ(error(options), "path: '' is not that of a file");
  options.path = "/tmp/";
  EXPECT_EQ(error(options), "path: '/tmp/' is not that of a file");
  options = options_;
  options.period = milliseconds(99);
  EXPECT_EQ(error(options), "period: 99ms is out of range [100ms, 86400s]");
}

}  // namespace
}  // namespace fusebox
