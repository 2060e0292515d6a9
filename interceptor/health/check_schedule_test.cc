#include "interceptor/health/check_schedule.h"

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

using Indexes = std::vector<std::size_t>;

// A second of the test's own time.
TimePoint At(double s) {
  return TimePoint(std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(1000 + s)));
}

// Deadline 5 s, refreshed every 10 s.
CheckOptions Options() { return {}; }

CheckResult Good(std::string message = "fine") {
  return {true, std::move(message), {}};
}
CheckResult Bad(std::string message = "broken") {
  return {false, std::move(message), {}};
}

std::string Message(const CheckSchedule& schedule, TimePoint now) {
  const ServiceHealth health = schedule.Health(now);
  EXPECT_EQ(health.components.size(), 1u);
  return health.components.at(0).message;
}

TEST(CheckScheduleTest, WithoutChecksTheServiceIsHealthyAndNothingIsDue) {
  CheckSchedule schedule;
  EXPECT_TRUE(schedule.Health(At(0)).healthy);
  EXPECT_THAT(schedule.Health(At(0)).components, IsEmpty());
  EXPECT_THAT(schedule.Names(), IsEmpty());
  EXPECT_EQ(schedule.Next(), TimePoint::max());
  EXPECT_TRUE(schedule.AllChecked());
}

TEST(CheckScheduleTest, ANewCheckIsDueAtOnceAndUnhealthyUntilItsResult) {
  CheckSchedule schedule;
  schedule.Add("db", Options(), At(0));
  EXPECT_TRUE(schedule.Has("db"));
  EXPECT_FALSE(schedule.Has("d"));
  EXPECT_EQ(schedule.Next(), At(0));
  EXPECT_EQ(schedule.Start(At(0)), Indexes{0});
  EXPECT_FALSE(schedule.AllChecked());
  ServiceHealth health = schedule.Health(At(1));
  EXPECT_FALSE(health.healthy);
  EXPECT_FALSE(health.components[0].healthy);
  EXPECT_FALSE(health.components[0].checked);
  EXPECT_EQ(health.components[0].message, "not checked yet");
  EXPECT_EQ(health.components[0].response_time, Duration::zero());

  schedule.Finish(0, {true, "fine", {{"rows", std::int64_t{3}}}}, At(2));
  EXPECT_TRUE(schedule.AllChecked());
  health = schedule.Health(At(3));
  EXPECT_TRUE(health.healthy);
  EXPECT_TRUE(health.components[0].checked);
  EXPECT_EQ(health.components[0].message, "fine");
  EXPECT_EQ(health.components[0].response_time, seconds(2));
  EXPECT_THAT(health.components[0].fields,
              ElementsAre(Pair("rows", ComponentField(std::int64_t{3}))));
}

TEST(CheckScheduleTest, AResultHoldsForTheRefreshPeriodAfterTheEndOfItsRun) {
  CheckSchedule schedule;
  schedule.Add("db", Options(), At(0));
  schedule.Start(At(0));
  EXPECT_EQ(schedule.Start(At(1)), Indexes{});  // it is under way
  schedule.Finish(0, Good(), At(2));
  EXPECT_EQ(schedule.Next(), At(12));
  EXPECT_EQ(schedule.Start(At(12) - Duration(1)), Indexes{});
  EXPECT_EQ(schedule.Start(At(12)), Indexes{0});
  // The old one is shown until there is a new one.
  EXPECT_EQ(Message(schedule, At(13)), "fine");
  schedule.Finish(0, Bad(), At(13));
  EXPECT_EQ(Message(schedule, At(13)), "broken");
}

TEST(CheckScheduleTest, PastItsDeadlineAComponentIsUnhealthy) {
  CheckSchedule schedule;
  schedule.Add("db", Options(), At(0));
  schedule.Start(At(0));
  schedule.Finish(0, Good(), At(0));
  schedule.Start(At(10));
  EXPECT_EQ(schedule.Next(), At(15));

  const TimePoint before = At(15) - Duration(1);
  schedule.Expire(before);
  EXPECT_FALSE(schedule.Overdue(0));
  EXPECT_TRUE(schedule.Health(before).healthy);

  // A reader sees it whether or not Expire() was called by then.
  EXPECT_FALSE(schedule.Health(At(15)).healthy);
  EXPECT_EQ(Message(schedule, At(15)), "no answer within 5s");
  EXPECT_EQ(schedule.Health(At(17)).components[0].response_time, seconds(7));
  EXPECT_FALSE(schedule.HasTurns());

  schedule.Expire(At(15));
  EXPECT_TRUE(schedule.Overdue(0));
  schedule.Expire(At(16));
  const auto turns = schedule.TakeTurns();
  ASSERT_EQ(turns.size(), 1u);
  EXPECT_EQ(turns[0].name, "db");
  EXPECT_FALSE(turns[0].healthy);
  EXPECT_EQ(turns[0].message, "no answer within 5s");
}

TEST(CheckScheduleTest, AHungCheckIsNotStartedAgain) {
  CheckSchedule schedule;
  schedule.Add("db", Options(), At(0));
  schedule.Start(At(0));
  schedule.Expire(At(5));
  EXPECT_TRUE(schedule.AllChecked());
  EXPECT_EQ(schedule.Next(), TimePoint::max());
  EXPECT_EQ(schedule.Start(At(1000)), Indexes{});

  // It returns after all: too late to count, but it can be asked again.
  schedule.Finish(0, Good(), At(1001));
  EXPECT_EQ(Message(schedule, At(1001)), "no answer within 5s");
  EXPECT_EQ(schedule.Health(At(1002)).components[0].response_time,
            seconds(1001));
  EXPECT_EQ(schedule.Next(), At(1011));
  EXPECT_EQ(schedule.Start(At(1011)), Indexes{0});
  schedule.Finish(0, Good(), At(1012));
  EXPECT_EQ(Message(schedule, At(1012)), "fine");
}

TEST(CheckScheduleTest, ALateResultDoesNotCountEvenIfNobodyNoticedYet) {
  for (const Duration late : {Duration(0), Duration(1)}) {
    CheckSchedule schedule;
    schedule.Add("db", Options(), At(0));
    schedule.Start(At(0));
    schedule.Finish(0, Good(), At(5) + late);
    EXPECT_EQ(Message(schedule, At(6)), "no answer within 5s");
    EXPECT_FALSE(schedule.Overdue(0));
  }
  CheckSchedule schedule;
  schedule.Add("db", Options(), At(0));
  schedule.Start(At(0));
  schedule.Finish(0, Good(), At(5) - Duration(1));
  EXPECT_EQ(Message(schedule, At(6)), "fine");
}

TEST(CheckScheduleTest, OnlyTurnsAreEventsInTheirOrder) {
  CheckSchedule schedule;
  schedule.Add("a", Options(), At(0));
  schedule.Add("b", Options(), At(0));
  double now = 0;
  const auto run = [&](CheckResult a, CheckResult b) {
    schedule.Start(At(now));
    schedule.Finish(1, std::move(b), At(now));
    schedule.Finish(0, std::move(a), At(now));
    now += 10;
    std::vector<std::string> turns;
    for (const ComponentTurn& turn : schedule.TakeTurns()) {
      turns.push_back(turn.name + (turn.healthy ? " good: " : " bad: ") +
                      turn.message);
    }
    return turns;
  };
  // Coming up well is no event, coming up badly is one.
  EXPECT_THAT(run(Good(), Bad()), ElementsAre("b bad: broken"));
  EXPECT_THAT(run(Good(), Bad("still broken")), IsEmpty());
  EXPECT_THAT(run(Bad("gone"), Good("back")),
              ElementsAre("b good: back", "a bad: gone"));
  EXPECT_THAT(run(Good("back"), Good()), ElementsAre("a good: back"));
}

TEST(CheckScheduleTest, OnlyCriticalComponentsCountForTheService) {
  CheckSchedule schedule;
  CheckOptions not_critical;
  not_critical.critical = false;
  schedule.Add("cache", not_critical, At(0));
  EXPECT_TRUE(schedule.Health(At(0)).healthy);
  EXPECT_THAT(schedule.Names(), IsEmpty());
  schedule.Add("a db", Options(), At(0));
  EXPECT_FALSE(schedule.Health(At(0)).healthy);

  schedule.Start(At(0));
  schedule.Finish(0, Bad(), At(0));
  schedule.Finish(1, Good(), At(0));
  const ServiceHealth health = schedule.Health(At(0));
  EXPECT_TRUE(health.healthy);
  ASSERT_EQ(health.components.size(), 2u);
  EXPECT_EQ(health.components[0].name, "a db");  // in the order of the names
  EXPECT_TRUE(health.components[0].critical);
  EXPECT_EQ(health.components[1].name, "cache");
  EXPECT_FALSE(health.components[1].critical);
  EXPECT_FALSE(health.components[1].healthy);
  EXPECT_THAT(schedule.Names(), ElementsAre(Pair("", true)));
}

TEST(CheckScheduleTest, ANameServesWhileAllComponentsBehindItAreHealthy) {
  CheckSchedule schedule;
  CheckOptions db;
  db.health_names = {"pkg.Read", "pkg.Write"};
  CheckOptions queue;
  queue.critical = false;
  queue.health_names = {"pkg.Write"};
  schedule.Add("db", db, At(0));
  schedule.Add("queue", queue, At(0));
  EXPECT_THAT(schedule.Names(),
              ElementsAre(Pair("", false), Pair("pkg.Read", false),
                          Pair("pkg.Write", false)));
  double now = 0;
  for (const bool db_healthy : {false, true}) {
    for (const bool queue_healthy : {false, true}) {
      schedule.Start(At(now));
      schedule.Finish(0, db_healthy ? Good() : Bad(), At(now));
      schedule.Finish(1, queue_healthy ? Good() : Bad(), At(now));
      EXPECT_THAT(
          schedule.Names(),
          ElementsAre(Pair("", db_healthy), Pair("pkg.Read", db_healthy),
                      Pair("pkg.Write", db_healthy && queue_healthy)));
      now += 10;
    }
  }
}

TEST(CheckScheduleTest, NextIsTheEarliestOfDueTimesAndDeadlines) {
  CheckSchedule schedule;
  CheckOptions fast;
  fast.deadline = milliseconds(100);
  fast.refresh_period = seconds(1);
  schedule.Add("slow", Options(), At(0));
  schedule.Add("fast", fast, At(0));
  EXPECT_EQ(schedule.Start(At(0)), (Indexes{0, 1}));
  EXPECT_EQ(schedule.Next(), At(0.1));
  schedule.Finish(1, Good(), At(0));
  EXPECT_EQ(schedule.Next(), At(1));
  EXPECT_EQ(schedule.Start(At(1)), Indexes{1});
  schedule.Expire(At(2));
  EXPECT_EQ(schedule.Next(), At(5));
}

}  // namespace
}  // namespace fusebox
