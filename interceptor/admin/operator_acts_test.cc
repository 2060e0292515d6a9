// Acts of operators, and how the history tells of them.

#include "interceptor/admin/operator_acts.h"

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/admin/transition_history.h"

namespace fusebox {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kMethod[] = "/pkg.S/M";
constexpr std::chrono::system_clock::time_point kWallStart{
    std::chrono::hours(480000)};

std::atomic<std::int64_t> clock_ns{0};
TimePoint TestNow() { return TimePoint(Duration(clock_ns.load())); }
void Advance(Duration duration) { clock_ns.fetch_add(duration.count()); }

class OperatorActsTest : public ::testing::Test {
 protected:
  OperatorActsTest()
      : registry_([this] {
          RegistryOptions options;
          options.now = &TestNow;
          options.start_dispatcher = false;
          options.log = [this](const std::string& line) {
            log_.push_back(line);
          };
          return options;
        }()),
        history_(&registry_,
                 [] { return kWallStart + TestNow().time_since_epoch(); }),
        acts_(&registry_, &history_) {
    registry_.Pin(Role::kServer, "", kMethod);
    registry_.Pin(Role::kServer, "", "/pkg.S/Other");
  }

  static OperatorActs::Request By(const std::string& who,
                                  const std::string& comment = "",
                                  const std::string& etag = "") {
    return {{Role::kServer, "", kMethod}, who, comment, etag};
  }
  std::string Etag() {
    return BreakerEtag(*registry_.Snapshot(Role::kServer, "", kMethod));
  }

  // "5 closed -> forced_open force_open alice", a line for each entry.
  std::vector<std::string> Told() {
    registry_.Dispatch();
    std::vector<std::string> told;
    const auto shown = [](State state, Override override_state) {
      return override_state == Override::kNone ? StateName(state)
                                               : OverrideName(override_state);
    };
    for (const HistoryEntry& entry : history_.Last()) {
      const Transition& t = entry.transition;
      std::string line = std::to_string(t.sequence) + " " +
                         shown(t.from, t.override_from) + " -> " +
                         shown(t.to, t.override_to);
      if (entry.act.has_value()) {
        line +=
            std::string(" ") + ActName(entry.act->kind) + " " + entry.act->who;
      }
      told.push_back(line);
    }
    return told;
  }

  std::vector<std::string> log_;
  BreakerRegistry registry_;
  TransitionHistory history_;
  OperatorActs acts_;
};

TEST_F(OperatorActsTest, AnActBecomesPartOfItsTransition) {
  Advance(seconds(90));
  const auto forced =
      acts_.Force(By("alice", "INC-7"), Override::kForcedOpen, minutes(10));
  ASSERT_TRUE(forced.ok());
  EXPECT_EQ(forced->state, State::kOpen);
  EXPECT_EQ(forced->override_state, Override::kForcedOpen);
  EXPECT_EQ(forced->next_change, TestNow() + minutes(10));

  EXPECT_THAT(Told(), ElementsAre("1 closed -> forced_open force_open alice"));
  const HistoryEntry entry = history_.Last().front();
  EXPECT_EQ(entry.act->comment, "INC-7");
  EXPECT_EQ(entry.act->detail, "for 10m");
  EXPECT_EQ(entry.transition.method, kMethod);
  EXPECT_EQ(entry.transition.reason, TransitionReason::kForced);
  EXPECT_EQ(entry.time, kWallStart + TestNow().time_since_epoch());
  EXPECT_THAT(log_, ElementsAre("fusebox: /pkg.S/M (server): force_open for "
                                "10m by alice: INC-7",
                                HasSubstr("closed -> forced_open")));
}

TEST_F(OperatorActsTest, AnActThatChangesNothingIsKeptAlone) {
  ASSERT_TRUE(acts_.Reset(By("alice")).ok());
  EXPECT_THAT(Told(), ElementsAre("0 closed -> closed reset alice"));
  ASSERT_TRUE(acts_.Force(By("bob"), Override::kForcedOpen, std::nullopt).ok());
  ASSERT_TRUE(
      acts_.Force(By("carol"), Override::kForcedOpen, std::nullopt).ok());
  EXPECT_THAT(Told(),
              ElementsAre("0 closed -> closed reset alice",
                          "0 forced_open -> forced_open force_open carol",
                          "1 closed -> forced_open force_open bob"));
}

TEST_F(OperatorActsTest, ActsFindTheirOwnTransitions) {
  // All before the registry tells of any.
  ASSERT_TRUE(acts_.Force(By("a"), Override::kForcedOpen, minutes(1)).ok());
  ASSERT_TRUE(acts_.Force(By("b"), Override::kForcedOpen, minutes(1)).ok());
  ASSERT_TRUE(acts_.Force(By("c"), Override::kForcedClosed, minutes(1)).ok());
  ASSERT_TRUE(acts_.Force(By("d"), Override::kForcedOpen, minutes(1)).ok());
  ASSERT_TRUE(acts_.Release(By("e")).ok());
  ASSERT_TRUE(acts_.Reset(By("f")).ok());
  ASSERT_TRUE(acts_.Force(By("g"), Override::kForcedOpen, minutes(1)).ok());
  ASSERT_TRUE(acts_.Reset(By("h")).ok());
  EXPECT_THAT(Told(),
              ElementsAre("0 forced_open -> forced_open force_open b",
                          "0 closed -> closed reset f",
                          "1 closed -> forced_open force_open a",
                          "2 forced_open -> forced_closed force_close c",
                          "3 forced_closed -> forced_open force_open d",
                          "4 forced_open -> closed release e",
                          "5 closed -> forced_open force_open g",
                          "6 forced_open -> closed reset h"));
}

TEST_F(OperatorActsTest, OthersChangesAreNobodysAct) {
  ASSERT_TRUE(acts_.Reset(By("alice")).ok());  // changes nothing
  registry_.Force(Role::kServer, "", kMethod, Override::kForcedOpen,
                  TestNow() + seconds(5));
  registry_.Force(Role::kServer, "", "/pkg.S/Other", Override::kForcedOpen,
                  TimePoint::max());
  registry_.Reset(Role::kServer, "", kMethod);
  EXPECT_THAT(
      Told(),
      ElementsAre("0 closed -> closed reset alice", "1 closed -> forced_open",
                  "2 closed -> forced_open", "3 forced_open -> closed"));
}

TEST_F(OperatorActsTest, AForceStandsUntilItsEnd) {
  const std::uint64_t id = registry_.Snapshot(Role::kServer, "", kMethod)->id;
  EXPECT_FALSE(history_.StandingForce(id).has_value());
  // Released and forced anew before anything is told.
  for (const char* who : {"alice", "bob", "carol"}) {
    ASSERT_TRUE(acts_.Force(By(who), Override::kForcedOpen, minutes(1)).ok());
    if (who != std::string("carol")) {
      ASSERT_TRUE(acts_.Release(By(who)).ok());
    }
  }
  registry_.Dispatch();
  ASSERT_TRUE(history_.StandingForce(id).has_value());
  EXPECT_EQ(history_.StandingForce(id)->who, "carol");
  Advance(minutes(1));
  EXPECT_THAT(Told().back(), "6 forced_open -> closed");
  EXPECT_FALSE(history_.StandingForce(id).has_value());
}

TEST_F(OperatorActsTest, OfTwoWithOneEtagTheSecondIsAborted) {
  const std::string etag = Etag();
  EXPECT_TRUE(
      acts_.Force(By("a", "", etag), Override::kForcedOpen, minutes(1)).ok());
  const absl::Status second =
      acts_.Force(By("b", "", etag), Override::kForcedClosed, minutes(1))
          .status();
  EXPECT_EQ(second.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(second.message()), HasSubstr("etag"));
  EXPECT_EQ(acts_.Release(By("b", "", etag)).status().code(),
            absl::StatusCode::kAborted);
  EXPECT_TRUE(acts_.Release(By("b", "", Etag())).ok());
}

TEST_F(OperatorActsTest, RacingForOneEtagOneWins) {
  for (int round = 0; round < 20; ++round) {
    const std::string etag = Etag();
    std::atomic<int> won{0};
    std::atomic<int> aborted{0};
    std::vector<std::thread> operators;
    for (int i = 0; i < 4; ++i) {
      operators.emplace_back([&, i] {
        const auto result = acts_.Force(
            By(std::to_string(i), "", etag),
            i % 2 == 0 ? Override::kForcedOpen : Override::kForcedClosed,
            minutes(1));
        ++(result.ok() ? won : aborted);
        if (!result.ok()) {
          EXPECT_EQ(result.status().code(), absl::StatusCode::kAborted);
        }
      });
    }
    for (std::thread& op : operators) op.join();
    EXPECT_EQ(won, 1);
    EXPECT_EQ(aborted, 3);
    ASSERT_TRUE(acts_.Reset(By("judge")).ok());
  }
}

TEST_F(OperatorActsTest, AnEtagShowsEveryChangeThatMatters) {
  std::string last = Etag();
  EXPECT_EQ(Etag(), last);
  const auto changed = [&] { return std::exchange(last, Etag()) != last; };
  Advance(seconds(1));
  EXPECT_EQ(Etag(), last);
  ASSERT_TRUE(acts_.Force(By("a"), Override::kForcedOpen, minutes(1)).ok());
  EXPECT_TRUE(changed());
  ASSERT_TRUE(acts_.Force(By("a"), Override::kForcedOpen, minutes(2)).ok());
  EXPECT_TRUE(changed());
  Advance(minutes(2));
  EXPECT_TRUE(changed());
  BreakerSnapshot breaker = *registry_.Snapshot(Role::kServer, "", kMethod);
  breaker.settings.min_requests += 1;
  EXPECT_NE(BreakerEtag(breaker), last);
}

TEST_F(OperatorActsTest, BadValuesAreNamedWithTheirRange) {
  const auto force = [&](Duration ttl) {
    return std::string(
        acts_.Force(By("a"), Override::kForcedOpen, ttl).status().message());
  };
  EXPECT_EQ(force(seconds(0)), "ttl_duration: 0 is out of range (0, 2400h]");
  EXPECT_THAT(force(-seconds(1)), HasSubstr(": -1s is out of range"));
  EXPECT_THAT(force(OperatorActs::kMaxTtl + Duration(1)),
              HasSubstr("out of range"));
  EXPECT_EQ(force(OperatorActs::kMaxTtl), "");
  EXPECT_EQ(force(Duration(1)), "");

  EXPECT_TRUE(acts_.Reset(By("a", std::string(1024, 'x'))).ok());
  const absl::Status status =
      acts_.Reset(By("a", std::string(1025, 'x'))).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()),
            "comment: 1025 bytes are out of range [0, 1024]");
}

TEST_F(OperatorActsTest, WhatIsNotThereCannotBeActedOn) {
  const OperatorActs::Request nobody = {
      {Role::kClient, "dns:///x", kMethod}, "a", "", ""};
  const absl::Status status = acts_.Reset(nobody).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(status.message()),
            "no breaker /pkg.S/M (client of dns:///x)");
  EXPECT_EQ(acts_.Release(By("a")).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_THAT(log_, IsEmpty());
}

TEST_F(OperatorActsTest, NewSettingsAreRecordedOrTheirErrorIsReturned) {
  EXPECT_TRUE(
      acts_.Update(By("alice"), "buckets=5", [] { return absl::OkStatus(); })
          .ok());
  EXPECT_EQ(acts_
                .Update(By("alice"), "buckets=0",
                        [] { return absl::InvalidArgumentError("buckets: 0"); })
                .status(),
            absl::InvalidArgumentError("buckets: 0"));
  EXPECT_THAT(Told(), ElementsAre("0 closed -> closed update alice"));
  EXPECT_EQ(history_.Last().front().act->detail, "buckets=5");
}

TEST_F(OperatorActsTest, NobodyWritesLinesIntoTheLog) {
  ASSERT_TRUE(acts_.Reset(By("eve\nfusebox: all is well", "\x1b[2J")).ok());
  EXPECT_THAT(log_, ElementsAre("fusebox: /pkg.S/M (server): reset by "
                                "eve\\x0afusebox: all is well: \\x1b[2J"));
}

TEST_F(OperatorActsTest, WhoFollowsHearsOfEachAndOfWhatIsLost) {
  int told = 0;
  const std::uint64_t listener = history_.AddListener([&] { ++told; });
  std::uint64_t skipped = 0;
  EXPECT_FALSE(history_.After(0, skipped).has_value());
  constexpr int kRounds = TransitionHistory::kCapacity / 2 + 5;
  for (int i = 0; i < kRounds; ++i) {
    ASSERT_TRUE(acts_.Force(By("a"), Override::kForcedOpen, minutes(1)).ok());
    ASSERT_TRUE(acts_.Release(By("b")).ok());
    registry_.Dispatch();
  }
  EXPECT_EQ(told, 4 * kRounds);
  EXPECT_EQ(history_.sequence(), 2 * kRounds);
  EXPECT_EQ(history_.After(0, skipped)->transition.sequence, 11);
  EXPECT_EQ(skipped, 10);
  EXPECT_EQ(history_.After(11, skipped)->transition.sequence, 12);
  EXPECT_EQ(skipped, 10);
  EXPECT_FALSE(history_.After(std::uint64_t{2} * kRounds, skipped).has_value());
  EXPECT_EQ(history_.Last().size(), 100);
  EXPECT_EQ(history_.Last(1).front().transition.sequence, 2 * kRounds);
  EXPECT_EQ(history_.Last(5000).size(), TransitionHistory::kCapacity);
  EXPECT_THAT(history_.LastOf(12345), IsEmpty());

  history_.RemoveListener(listener);
  ASSERT_TRUE(acts_.Reset(By("a")).ok());
  EXPECT_EQ(told, 4 * kRounds);
}

TEST_F(OperatorActsTest, ActsMayDriveTransitionsOut) {
  ASSERT_TRUE(acts_.Force(By("a"), Override::kForcedOpen, minutes(1)).ok());
  registry_.Dispatch();
  for (std::size_t i = 0; i < TransitionHistory::kCapacity; ++i) {
    ASSERT_TRUE(acts_.Force(By("b"), Override::kForcedOpen, minutes(1)).ok());
  }
  std::uint64_t skipped = 0;
  EXPECT_FALSE(history_.After(0, skipped).has_value());
  EXPECT_EQ(skipped, 1);
}

}  // namespace
}  // namespace fusebox
