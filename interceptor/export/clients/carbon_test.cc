// What the real carbon makes of the lines for Graphite: taken and stored, and
// what becomes of them while it is down, hangs or is killed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/export/graphite.h"
#include "interceptor/export/loopback_testing.h"

namespace fusebox {
namespace {

using ::greeter::ChildProcess;
using ::greeter::Soon;
using std::chrono::seconds;
using ::testing::ElementsAre;

// A carbon with a directory and a port of its own, which it keeps when it is
// started again.
class Carbon {
 public:
  Carbon() {
    const std::string name =
        ::testing::UnitTest::GetInstance()->current_test_info()->name();
    directory_ = absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name, "/");
    std::filesystem::create_directories(directory_);
    std::ofstream(directory_ + "storage-schemas.conf")
        << "[all]\npattern = .*\nretentions = 1s:1h\n";
  }

  // Whether it listens.
  bool Start() {
    // Another program may have taken the port between the two.
    for (int tries = 0; tries < 5; ++tries) {
      if (port_ == 0) port_ = TcpListener().port();
      WriteSettings();
      child_ = std::make_unique<ChildProcess>(std::vector<std::string>{
          "/bin/bash", "-c",
          absl::StrCat("exec /usr/bin/carbon-cache --nodaemon --config=",
                       directory_, "carbon.conf --pidfile=", directory_,
                       "pid --logdir=", directory_, " start 2>&1")});
      while (const auto line = child_->ReadLine(Soon())) {
        if (line->find("CarbonReceiverFactory starting on") !=
            std::string::npos) {
          return true;
        }
        seen_ += *line + "\n";
      }
      Kill();
      port_ = 0;
    }
    ADD_FAILURE() << "carbon does not listen:\n" << seen_;
    return false;
  }
  void Kill() {
    child_.reset();
    // Or it would not start again.
    std::filesystem::remove(directory_ + "pid");
  }
  void Signal(int signal) { child_->Signal(signal); }

  std::string address() {
    if (port_ == 0) port_ = TcpListener().port();
    return absl::StrCat("127.0.0.1:", port_);
  }

  // "time value" of everything that is stored of `path` since `from`.
  std::vector<std::string> Stored(const std::string& path,
                                  std::time_t from) const {
    std::string file = path;
    for (char& c : file) {
      if (c == '.') c = '/';
    }
    ChildProcess reader(
        {"/usr/bin/python3", "interceptor/export/clients/read_whisper.py",
         directory_ + "whisper/" + file + ".wsp", absl::StrCat(from - 1),
         absl::StrCat(std::time(nullptr))});
    const greeter::Ended ended = greeter::End(reader);
    EXPECT_EQ(ended.status, 0) << ended.errors;
    return ended.lines;
  }

 private:
  void WriteSettings() const {
    std::ofstream(directory_ + "carbon.conf")
        << "[cache]\nUSER =\nSTORAGE_DIR = " << directory_
        << "\nLOCAL_DATA_DIR = " << directory_
        << "whisper/\nCONF_DIR = " << directory_ << "\nLOG_DIR = " << directory_
        << "\nPID_DIR = " << directory_
        << "\nLINE_RECEIVER_INTERFACE = 127.0.0.1\nLINE_RECEIVER_PORT = "
        << port_
        << "\nPICKLE_RECEIVER_PORT = 0\nCACHE_QUERY_PORT = 0\n"
           "MAX_CREATES_PER_MINUTE = inf\nMAX_UPDATES_PER_SECOND = inf\n"
           "WHISPER_AUTOFLUSH = True\nCARBON_METRIC_INTERVAL = 0\n"
           "ENABLE_LOGROTATION = False\nENABLE_TAGS = False\n";
  }

  std::string directory_;
  int port_ = 0;
  std::unique_ptr<ChildProcess> child_;
  std::string seen_;
};

// An exporter with one value, the number of the round, and times of its own:
// each round is a second later for carbon and a period later for itself.
class Rounds {
 public:
  explicit Rounds(Carbon& carbon)
      : start_(std::time(nullptr) - 1000),
        graphite_(OptionsFor(carbon), [this] {
          return std::vector<GraphiteValue>{{{"round"}, round_ + 0.00123}};
        }) {
    EXPECT_TRUE(graphite_.Start().ok());
  }

  // The next round begins.
  void Begin() {
    now_ += seconds(60);
    ++round_;
    graphite_.Tick(now_);
  }
  // Goes on until `done`, without time passing.
  template <class F>
  bool Until(F done) {
    return TickUntil([this] { return graphite_.Tick(now_); }, done);
  }
  bool UntilSent(std::uint64_t lines) {
    return Until([&] { return stats().lines_sent == lines; });
  }
  bool UntilFailed() {
    const std::uint64_t before = stats().failed_attempts;
    return Until([&] { return stats().failed_attempts > before; });
  }
  // Lets the time pass that carbon is given.
  bool UntilTimeout() {
    return Until([&] {
      const Duration left = graphite_.Tick(now_).until - now_;
      if (left <= GraphiteOptions().timeout) now_ += left;
      return stats().failed_attempts > 0;
    });
  }
  void Wait(Duration time) { now_ += time; }
  GraphiteExporter::Stats stats() const { return graphite_.stats(); }

  // What carbon has to have of round `i`.
  std::string Line(int i) const {
    return absl::StrCat(start_ + i, " ", i, ".00123");
  }
  // What it has, once that are `count` values.
  std::vector<std::string> Stored(const Carbon& carbon, std::size_t count) {
    std::vector<std::string> stored;
    EXPECT_TRUE(TickUntil([] { return Awaited(); },
                          [&] {
                            stored = carbon.Stored("fusebox.round", start_);
                            return stored.size() >= count;
                          }));
    return stored;
  }

 private:
  GraphiteOptions OptionsFor(Carbon& carbon) {
    GraphiteOptions options;
    options.address = carbon.address();
    options.rules.Allow("round");
    options.wall_clock = [this] { return start_ + round_; };
    options.start_thread = false;
    return options;
  }

  const std::time_t start_;
  int round_ = 0;
  TimePoint now_{std::chrono::hours(1)};
  GraphiteExporter graphite_;
};

TEST(CarbonTest, StoresWhatBreakersCount) {
  RegistryOptions quiet;
  quiet.log = [](const std::string&) {};
  BreakerRegistry breakers(quiet);
  CircuitBreaker& hello = breakers.Pin(Role::kServer, "", "/pkg.S/Say Hello");
  for (int i = 0; i < 3; ++i) {
    hello.Admit(FineNow()).permit.Finish(Outcome::kOk, FineNow());
  }
  Carbon carbon;
  ASSERT_TRUE(carbon.Start());
  GraphiteOptions options;
  options.address = carbon.address();
  options.rules.Allow("server");
  const std::time_t start = std::time(nullptr);
  options.wall_clock = [start] { return start; };
  GraphiteExporter graphite(options, BreakersForGraphite(&breakers));
  ASSERT_TRUE(graphite.Start().ok());
  std::vector<std::string> stored;
  EXPECT_TRUE(TickUntil([] { return Awaited(); },
                        [&] {
                          stored = carbon.Stored(
                              "fusebox.server.pkg-S.Say-Hello.calls.ok", start);
                          return !stored.empty();
                        }));
  EXPECT_THAT(stored, ElementsAre(absl::StrCat(start, " 3.0")));
}

TEST(CarbonTest, WhatWasSampledWhileItWasDownIsStoredWhenItComesUp) {
  Carbon carbon;
  Rounds rounds(carbon);
  for (int i = 1; i <= 3; ++i) {
    rounds.Begin();
    ASSERT_TRUE(rounds.UntilFailed());
  }
  EXPECT_EQ(rounds.stats().last_error, "connect: Connection refused");
  ASSERT_TRUE(carbon.Start());
  rounds.Wait(seconds(10));
  ASSERT_TRUE(rounds.UntilSent(3));
  EXPECT_THAT(rounds.Stored(carbon, 3),
              ElementsAre(rounds.Line(1), rounds.Line(2), rounds.Line(3)));
  EXPECT_EQ(rounds.stats().lines_dropped, 0U);
}

TEST(CarbonTest, NothingIsLostWhenItIsKilledAndStartedAgain) {
  Carbon carbon;
  ASSERT_TRUE(carbon.Start());
  Rounds rounds(carbon);
  rounds.Begin();
  ASSERT_TRUE(rounds.UntilSent(1));
  // What it has in memory only is lost with it, and not ours.
  EXPECT_THAT(rounds.Stored(carbon, 1), ElementsAre(rounds.Line(1)));

  // Killed with a batch that it has not read.
  carbon.Signal(SIGSTOP);
  rounds.Begin();
  carbon.Kill();
  ASSERT_TRUE(rounds.UntilFailed());
  rounds.Begin();
  ASSERT_TRUE(rounds.UntilFailed());
  EXPECT_EQ(rounds.stats().lines_sent, 1U);

  ASSERT_TRUE(carbon.Start());
  rounds.Wait(seconds(10));
  ASSERT_TRUE(rounds.UntilSent(3));
  EXPECT_THAT(rounds.Stored(carbon, 3),
              ElementsAre(rounds.Line(1), rounds.Line(2), rounds.Line(3)));
}

TEST(CarbonTest, ACarbonThatHangsIsGivenUpAndTriedAgain) {
  Carbon carbon;
  ASSERT_TRUE(carbon.Start());
  Rounds rounds(carbon);
  carbon.Signal(SIGSTOP);
  rounds.Begin();
  // The kernel accepts and takes the line; nobody reads it.
  ASSERT_TRUE(rounds.UntilTimeout());
  EXPECT_EQ(rounds.stats().last_error, "await the end: Connection timed out");
  carbon.Signal(SIGCONT);
  rounds.Begin();
  ASSERT_TRUE(rounds.UntilSent(2));
  EXPECT_THAT(rounds.Stored(carbon, 2),
              ElementsAre(rounds.Line(1), rounds.Line(2)));
}

}  // namespace
}  // namespace fusebox
