// Settings that change: every way of writing a file, and administrators. Files
// are real, so tests wait for what must come, however long it takes.

#include "interceptor/admin/live_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/settings/effective_settings.h"

namespace fusebox {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using Kind = SettingSource::Kind;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kMethod[] = "/p.S/M";

std::string WithMinRequests(int n) {
  return "defaults { min_requests: " + std::to_string(n) + " }\n";
}

// A directory of its own.
class TestDirectory {
 public:
  TestDirectory() {
    std::string path = ::testing::TempDir() + "/live_XXXXXX";
    path_ = mkdtemp(path.data());
  }
  ~TestDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void Write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::trunc) << text;
}

// Lines of a log, and waiting for them. Thread-safe.
class Lines {
 public:
  void Add(const std::string& line) FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    lines_.push_back(line);
    changed_.notify_all();
  }
  // Waits until `condition`, which is asked anew after each line, holds.
  bool Await(const std::function<bool()>& condition) FUSEBOX_EXCLUDES(mu_) {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!condition()) {
      MutexLock lock(mu_);
      if (changed_.wait_until(
              mu_, std::min(deadline, std::chrono::steady_clock::now() +
                                          10ms)) == std::cv_status::timeout &&
          std::chrono::steady_clock::now() >= deadline) {
        return false;
      }
    }
    return true;
  }
  std::string all() const FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    std::string all;
    for (const std::string& line : lines_) all += line + "\n";
    return all;
  }

 private:
  mutable Mutex mu_;
  std::condition_variable_any changed_;
  std::vector<std::string> lines_ FUSEBOX_GUARDED_BY(mu_);
};

// A registry with one running breaker, and live settings for it.
class Subject {
 public:
  explicit Subject(LiveSettingsOptions options,
                   const EffectiveSettings& in_force = EffectiveSettings())
      : registry_(RegistryOptionsOf(in_force)),
        breaker_(registry_.Pin(Role::kServer, "", kMethod)),
        live_(&registry_, in_force, WithLog(std::move(options))) {}

  LiveSettings* operator->() { return &live_; }
  BreakerRegistry& registry() { return registry_; }
  CircuitBreaker& breaker() { return breaker_; }
  std::string log() const { return lines_.all(); }

  bool AwaitMinRequests(std::int64_t n) {
    return lines_.Await(
        [this, n] { return breaker_.settings().min_requests == n; });
  }
  bool AwaitFailures(std::uint64_t n) {
    return lines_.Await(
        [this, n] { return live_.stats().failed_reloads == n; });
  }
  bool Await(const std::function<bool()>& condition) {
    return lines_.Await(condition);
  }

 private:
  RegistryOptions RegistryOptionsOf(const EffectiveSettings& in_force) {
    RegistryOptions options = in_force.registry;
    options.start_dispatcher = false;
    options.log = [this](const std::string& line) { lines_.Add(line); };
    return options;
  }
  LiveSettingsOptions WithLog(LiveSettingsOptions options) {
    options.log = [this](const std::string& line) { lines_.Add(line); };
    return options;
  }

  Lines lines_;
  BreakerRegistry registry_;
  CircuitBreaker& breaker_;
  LiveSettings live_;
};

// ---- the file, told by the kernel alone or looked at alone

enum class Way { kInotify, kLooking };
std::ostream& operator<<(std::ostream& out, Way way) {
  return out << (way == Way::kInotify ? "Inotify" : "Looking");
}

class WatchedFileTest : public ::testing::TestWithParam<Way> {
 protected:
  LiveSettingsOptions OptionsFor(const fs::path& file) const {
    LiveSettingsOptions options;
    options.file = file.string();
    options.use_inotify = GetParam() == Way::kInotify;
    options.look_period = GetParam() == Way::kInotify ? Duration(24h) : 10ms;
    return options;
  }
  TestDirectory directory_;
};

TEST_P(WatchedFileTest, WrittenInPlace) {
  const fs::path file = directory_ / "settings";
  Write(file, WithMinRequests(1));
  Subject subject(OptionsFor(file));
  EXPECT_EQ(subject.breaker().settings().min_requests, 1);
  EXPECT_EQ(subject->stats().uses_inotify, GetParam() == Way::kInotify);
  EXPECT_EQ(subject->stats().reloads, 0u);
  for (int n = 2; n < 5; ++n) {
    Write(file, WithMinRequests(n));
    ASSERT_TRUE(subject.AwaitMinRequests(n)) << subject.log();
  }
  EXPECT_EQ(subject->last_error(), "");
  EXPECT_TRUE(subject->stats().last_success.has_value());
  EXPECT_EQ(subject.registry().options().settings.min_requests, 4);
  EXPECT_EQ(subject->effective().SourceOf(kMethod, "min_requests"),
            (SettingSource{Kind::kFile, file.string() + ":1:12"}));
  EXPECT_THAT(subject.log(),
              HasSubstr("* min_requests 3 -> 4 (" + file.string() + ":1:12)"));
}

TEST_P(WatchedFileTest, RenamedIntoPlace) {
  const fs::path file = directory_ / "settings";
  Write(file, WithMinRequests(1));
  Subject subject(OptionsFor(file));
  for (int n = 2; n < 5; ++n) {
    Write(directory_ / "settings~new", WithMinRequests(n));
    fs::rename(directory_ / "settings~new", file);
    ASSERT_TRUE(subject.AwaitMinRequests(n)) << subject.log();
  }
}

TEST_P(WatchedFileTest, MovedAwayAndWrittenAnew) {
  const fs::path file = directory_ / "settings";
  Write(file, WithMinRequests(1));
  Subject subject(OptionsFor(file));
  for (int n = 2; n < 5; ++n) {
    fs::rename(file, directory_ / "settings~");
    Write(file, WithMinRequests(n));
    ASSERT_TRUE(subject.AwaitMinRequests(n)) << subject.log();
  }
}

TEST_P(WatchedFileTest, DeletedAndMadeAgain) {
  const fs::path file = directory_ / "settings";
  Write(file, WithMinRequests(1));
  Subject subject(OptionsFor(file));
  fs::remove(file);
  Write(file, WithMinRequests(2));
  ASSERT_TRUE(subject.AwaitMinRequests(2)) << subject.log();
  // For long, it is an error, which changes nothing.
  const std::uint64_t failures = subject->stats().failed_reloads;
  fs::remove(file);
  ASSERT_TRUE(subject.AwaitFailures(failures + 1)) << subject.log();
  EXPECT_EQ(subject.breaker().settings().min_requests, 2);
  EXPECT_EQ(subject->last_error(),
            file.string() + ": No such file or directory");
  // Made again, and the same as it was.
  Write(file, WithMinRequests(2));
  ASSERT_TRUE(subject.Await([&] { return subject->last_error().empty(); }));
}

TEST_P(WatchedFileTest, ALinkToAnotherFile) {
  const fs::path file = directory_ / "settings";
  Write(directory_ / "one", WithMinRequests(1));
  Write(directory_ / "two", WithMinRequests(2));
  fs::create_symlink("one", file);
  Subject subject(OptionsFor(file));
  EXPECT_EQ(subject.breaker().settings().min_requests, 1);
  fs::remove(file);
  fs::create_symlink("two", file);
  ASSERT_TRUE(subject.AwaitMinRequests(2)) << subject.log();
  Write(directory_ / "two", WithMinRequests(3));
  ASSERT_TRUE(subject.AwaitMinRequests(3)) << subject.log();
}

// As kubelet does it.
TEST_P(WatchedFileTest, AConfigMapWhoseDataIsExchanged) {
  const auto publish = [&](int n) {
    const std::string data = "..data_" + std::to_string(n);
    fs::create_directory(directory_ / data);
    Write(directory_ / data / "settings", WithMinRequests(n));
    fs::create_directory_symlink(data, directory_ / "..data_tmp");
    fs::rename(directory_ / "..data_tmp", directory_ / "..data");
    fs::remove_all(directory_ / ("..data_" + std::to_string(n - 1)));
  };
  publish(1);
  fs::create_symlink("..data/settings", directory_ / "settings");
  Subject subject(OptionsFor(directory_ / "settings"));
  EXPECT_EQ(subject.breaker().settings().min_requests, 1);
  for (int n = 2; n < 5; ++n) {
    publish(n);
    ASSERT_TRUE(subject.AwaitMinRequests(n)) << subject.log();
  }
  EXPECT_EQ(subject->last_error(), "");
}

TEST_P(WatchedFileTest, AnInvalidFileChangesNothingUntilItIsMended) {
  const fs::path file = directory_ / "settings";
  Write(file, WithMinRequests(1));
  Subject subject(OptionsFor(file));
  Write(file, "defaults { min_requests: 2 buckets: 0 jitter: 9 }");
  ASSERT_TRUE(subject.AwaitFailures(1)) << subject.log();
  const std::string first =
      file.string() + ":1:28: buckets: 0 is out of range [1, 1000]";
  const std::string second =
      file.string() + ":1:39: jitter: 9 is out of range [0, 0.5]";
  EXPECT_EQ(subject->last_error(), first + "\n" + second);
  EXPECT_THAT(subject.log(), HasSubstr("fusebox: settings: nothing changed: " +
                                       first + "; " + second + "\n"));
  EXPECT_EQ(subject.breaker().settings().min_requests, 1);
  EXPECT_EQ(subject->effective().registry.settings.min_requests, 1);
  EXPECT_EQ(subject.registry().options().settings.buckets, 10);

  Write(file, "defaults { min_requests: 'many' }");
  ASSERT_TRUE(subject.AwaitFailures(2)) << subject.log();
  EXPECT_THAT(subject->last_error(), Not(HasSubstr("jitter")));

  Write(file, WithMinRequests(3));
  ASSERT_TRUE(subject.AwaitMinRequests(3)) << subject.log();
  EXPECT_EQ(subject->last_error(), "");
  EXPECT_EQ(subject->stats().reloads, 1u);
}

INSTANTIATE_TEST_SUITE_P(, WatchedFileTest,
                         ::testing::Values(Way::kInotify, Way::kLooking),
                         ::testing::PrintToStringParamName());

TEST(LiveSettingsTest, TheDirectoryMayBeExchanged) {
  const TestDirectory directory;
  fs::create_directory(directory / "etc");
  Write(directory / "etc" / "settings", WithMinRequests(1));
  LiveSettingsOptions options;
  options.file = (directory / "etc" / "settings").string();
  options.look_period = 10ms;
  Subject subject(options);
  fs::rename(directory / "etc", directory / "old");
  fs::create_directory(directory / "etc");
  Write(directory / "etc" / "settings", WithMinRequests(2));
  ASSERT_TRUE(subject.AwaitMinRequests(2)) << subject.log();
  Write(directory / "etc" / "settings", WithMinRequests(3));
  ASSERT_TRUE(subject.AwaitMinRequests(3)) << subject.log();
}

TEST(LiveSettingsTest, WhatTheFileSaysAtTheStartIsTakenOver) {
  const TestDirectory directory;
  LiveSettingsOptions options;
  options.file = (directory / "settings").string();
  Write(options.file, WithMinRequests(5));
  Subject subject(options);  // made with the defaults
  EXPECT_EQ(subject.breaker().settings().min_requests, 5);
}

TEST(LiveSettingsTest, ABadFileAtTheStartIsToldAndWatched) {
  const TestDirectory directory;
  LiveSettingsOptions options;
  options.file = (directory / "settings").string();
  Subject subject(options);
  EXPECT_EQ(subject->stats().failed_reloads, 1u);
  EXPECT_THAT(subject->last_error(), HasSubstr("No such file or directory"));
  EXPECT_FALSE(subject->stats().last_success.has_value());
  Write(options.file, WithMinRequests(5));
  ASSERT_TRUE(subject.AwaitMinRequests(5)) << subject.log();
}

TEST(LiveSettingsTest, ANonsensicalLookPeriodIsRefused) {
  BreakerRegistry registry;
  LiveSettingsOptions options;
  options.look_period = 9ms;
  try {
    const LiveSettings live(&registry, EffectiveSettings(), options);
    FAIL() << "accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(),
                 "fusebox: look_period: 9ms is out of range [10ms, ...)");
  }
}

TEST(LiveSettingsTest, WhatStatusCodesAmountToNeedsARestart) {
  const TestDirectory directory;
  LiveSettingsOptions options;
  options.file = (directory / "settings").string();
  Write(options.file, WithMinRequests(1));
  Subject subject(options);
  Write(options.file, WithMinRequests(2) +
                          "outcomes { code: NOT_FOUND outcome: SYSTEM_ERROR }");
  const bool changed = subject.Await([&] {
    return subject->stats().outcomes_need_restart ||
           subject->stats().failed_reloads != 0;
  });
  ASSERT_TRUE(changed);
  EXPECT_EQ(subject->last_error(), "");
  EXPECT_THAT(subject.log(), HasSubstr("needs a restart"));
  EXPECT_EQ(subject.breaker().settings().min_requests, 2);
  EXPECT_EQ(subject->effective().server_outcomes.For(kMethod).Of(5),
            Outcome::kUserError);
  Write(options.file, WithMinRequests(3));
  ASSERT_TRUE(subject.AwaitMinRequests(3));
  EXPECT_FALSE(subject->stats().outcomes_need_restart);
}

// ---- administrators

TEST(AdminSettingsTest, StandAboveFlagsAndFlagsAboveTheFile) {
  const TestDirectory directory;
  LiveSettingsOptions options;
  options.file = (directory / "settings").string();
  options.flags.settings["buckets"] = {"20",
                                       {Kind::kFlag, "--fusebox_buckets"}};
  Write(options.file, "defaults { buckets: 5 min_requests: 5 }");
  Subject subject(options);
  EXPECT_EQ(subject.breaker().settings().buckets, 20);
  EXPECT_EQ(subject.breaker().settings().min_requests, 5);

  EXPECT_TRUE(subject->Set("*", "buckets", "30", "alice").ok());
  EXPECT_TRUE(subject->Set("/p.S/*", "min_requests", "40", "bob").ok());
  EXPECT_EQ(subject.breaker().settings().buckets, 30);
  EXPECT_EQ(subject.breaker().settings().min_requests, 40);
  const EffectiveSettings effective = subject->effective();
  EXPECT_EQ(FormatSource(effective.SourceOf(kMethod, "buckets")),
            "admin alice");
  EXPECT_EQ(FormatSource(effective.SourceOf(kMethod, "min_requests")),
            "admin bob");
  EXPECT_EQ(FormatSource(effective.SourceOf("/q.S/M", "min_requests")),
            options.file + ":1:23");
  EXPECT_EQ(FormatSource(effective.SourceOf(kMethod, "jitter")), "default");
  EXPECT_EQ(effective.SettingsOf("/q.S/M").min_requests, 5);
  EXPECT_THAT(subject.log(),
              HasSubstr("by bob: /p.S/* min_requests 5 -> 40 (admin bob)"));

  // A new file changes what is below, and only that.
  Write(options.file, "defaults { min_requests: 6 max_recovery: '33s' }");
  ASSERT_TRUE(subject.Await([&] {
    return subject.breaker().settings().max_recovery == Duration(33s);
  })) << subject.log();
  EXPECT_EQ(subject.breaker().settings().min_requests, 40);

  EXPECT_TRUE(subject->Unset("/p.S/*", "min_requests", "bob").ok());
  EXPECT_TRUE(subject->Unset("*", "buckets", "bob").ok());
  EXPECT_EQ(subject.breaker().settings().min_requests, 6);
  EXPECT_EQ(subject.breaker().settings().buckets, 20);
  EXPECT_TRUE(subject->admin_layer().empty());
  EXPECT_EQ(subject->stats().admin_updates, 4u);
}

TEST(AdminSettingsTest, ServicesAndMethodsOfTheFileTakeThem) {
  const TestDirectory directory;
  LiveSettingsOptions options;
  options.file = (directory / "settings").string();
  Write(options.file,
        "methods { name: '/p.S/M' settings { min_requests: 7 } }");
  Subject subject(options);
  EXPECT_TRUE(subject->Set("/p.S/*", "buckets", "3", "alice").ok());
  EXPECT_EQ(subject.breaker().settings().buckets, 3);
  EXPECT_EQ(subject.breaker().settings().min_requests, 7);
  EXPECT_TRUE(subject->Set("/p.S/M", "buckets", "4", "alice").ok());
  EXPECT_EQ(subject.breaker().settings().buckets, 4);
}

TEST(AdminSettingsTest, AllOrNothing) {
  Subject subject(LiveSettingsOptions{});
  const Settings before = subject.breaker().settings();
  const absl::Status status = subject->Update(
      "*", {{"buckets", "3"}, {"jitter", "9"}, {"min_requests", "x"}}, "eve");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "admin eve: min_requests: 'x' is not valid: [0, ...)\n"
            "admin eve: jitter: 9 is out of range [0, 0.5]");
  EXPECT_EQ(subject.breaker().settings(), before);
  EXPECT_TRUE(subject->admin_layer().empty());
  EXPECT_TRUE(
      subject->Update("*", {{"buckets", "3"}, {"jitter", "0.2"}}, "eve").ok());
  EXPECT_EQ(subject.breaker().settings().buckets, 3);
}

TEST(AdminSettingsTest, ATrialChangesNothing) {
  Subject subject(LiveSettingsOptions{});
  const Settings before = subject.breaker().settings();
  EXPECT_TRUE(
      subject->Set("*", "buckets", "3", "alice", /*validate_only=*/true).ok());
  EXPECT_FALSE(
      subject->Set("*", "buckets", "0", "alice", /*validate_only=*/true).ok());
  EXPECT_EQ(subject.breaker().settings(), before);
  EXPECT_TRUE(subject->admin_layer().empty());
  EXPECT_EQ(subject->stats().admin_updates, 0u);
}

TEST(AdminSettingsTest, WhatIsNoneIsRefused) {
  Subject subject(LiveSettingsOptions{});
  const struct {
    const char* pattern;
    const char* field;
    const char* who;
    const char* error;
  } cases[] = {
      {"*", "buckets", "", "who: must not be empty"},
      {"*", "bucket", "a", "'bucket' is no setting"},
      {"p.S/M", "buckets", "a",
       "'p.S/M' is not valid: *, /pkg.Service/* or /pkg.Service/Method"},
      {"*", "buckets", "a", "admin a: buckets: '1s' is not valid: [1, 1000]"},
  };
  for (const auto& c : cases) {
    const absl::Status status = subject->Set(c.pattern, c.field, "1s", c.who);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.error));
  }
  EXPECT_EQ(subject->Unset("*", "bucket", "a").message(),
            "'bucket' is no setting");
}

TEST(AdminSettingsTest, AFileThatDoesNotGoTogetherWithThemChangesNothing) {
  const TestDirectory directory;
  LiveSettingsOptions options;
  options.file = (directory / "settings").string();
  Write(options.file, WithMinRequests(1));
  Subject subject(options);
  ASSERT_TRUE(subject->Set("*", "min_recovery", "4s", "alice").ok());
  Write(options.file, "defaults { max_recovery: '3s' }");
  ASSERT_TRUE(subject.AwaitFailures(1));
  EXPECT_THAT(subject->last_error(),
              HasSubstr("max_recovery: 3s is out of range (4s (min_recovery), "
                        "...); min_recovery is from admin alice"));
  EXPECT_EQ(subject.breaker().settings().max_recovery, Duration(10s));
}

}  // namespace
}  // namespace fusebox
