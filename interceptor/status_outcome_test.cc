#include "interceptor/status_outcome.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace fusebox {
namespace {

using std::chrono::milliseconds;

struct Classified {
  int code;
  const char* name;
  Outcome client;
  Outcome server;
};

// The table of the policy, by number so that a renumbered enum would show.
const std::vector<Classified>& Table() {
  static const auto& table = *new std::vector<Classified>{
      {0, "OK", Outcome::kOk, Outcome::kOk},
      {1, "CANCELLED", Outcome::kIgnored, Outcome::kIgnored},
      {2, "UNKNOWN", Outcome::kUnknownError, Outcome::kUnknownError},
      {3, "INVALID_ARGUMENT", Outcome::kUserError, Outcome::kUserError},
      {4, "DEADLINE_EXCEEDED", Outcome::kTimeout, Outcome::kTimeout},
      {5, "NOT_FOUND", Outcome::kUserError, Outcome::kUserError},
      {6, "ALREADY_EXISTS", Outcome::kUserError, Outcome::kUserError},
      {7, "PERMISSION_DENIED", Outcome::kUserError, Outcome::kUserError},
      {8, "RESOURCE_EXHAUSTED", Outcome::kSystemError, Outcome::kUserError},
      {9, "FAILED_PRECONDITION", Outcome::kUserError, Outcome::kUserError},
      {10, "ABORTED", Outcome::kUserError, Outcome::kUserError},
      {11, "OUT_OF_RANGE", Outcome::kUserError, Outcome::kUserError},
      {12, "UNIMPLEMENTED", Outcome::kUserError, Outcome::kUserError},
      {13, "INTERNAL", Outcome::kSystemError, Outcome::kSystemError},
      {14, "UNAVAILABLE", Outcome::kSystemError, Outcome::kSystemError},
      {15, "DATA_LOSS", Outcome::kSystemError, Outcome::kSystemError},
      {16, "UNAUTHENTICATED", Outcome::kUserError, Outcome::kUserError},
      {17, "none", Outcome::kUnknownError, Outcome::kUnknownError},
      {1000, "none", Outcome::kUnknownError, Outcome::kUnknownError},
      {-1, "none", Outcome::kUnknownError, Outcome::kUnknownError},
  };
  return table;
}

CallEnd Ended(int code) {
  CallEnd end;
  end.code = code;
  return end;
}

TEST(StatusOutcomesTest, EveryCodeHasTheOutcomeOfThePolicy) {
  const StatusOutcomes client(Role::kClient);
  const StatusOutcomes server(Role::kServer);
  for (const Classified& row : Table()) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(client.Of(row.code), row.client) << row.code;
    EXPECT_EQ(server.Of(row.code), row.server) << row.code;
    EXPECT_EQ(OutcomeOf(Ended(row.code), client, Settings()), row.client);
    EXPECT_EQ(OutcomeOf(Ended(row.code), server, Settings()), row.server);
  }
}

TEST(StatusOutcomesTest, EveryCodeCanBeOverriddenAlone) {
  for (const Classified& changed : Table()) {
    StatusOutcomes outcomes(Role::kClient);
    const Outcome other =
        changed.client == Outcome::kOk ? Outcome::kTimeout : Outcome::kOk;
    outcomes.Set(changed.code, other);
    const bool unknown = changed.code < 0 || changed.code > 16;
    for (const Classified& row : Table()) {
      const bool same = row.code == changed.code ||
                        (unknown && (row.code < 0 || row.code > 16));
      EXPECT_EQ(outcomes.Of(row.code), same ? other : row.client)
          << changed.code << " changed, " << row.code << " asked";
    }
  }
}

TEST(OutcomeRulesTest, AnExceptionHoldsForItsMethodOnly) {
  OutcomeRules rules(Role::kClient);
  rules.Set("/pkg.S/Lookup", 5, Outcome::kSystemError);
  EXPECT_EQ(rules.For("/pkg.S/Lookup").Of(5), Outcome::kSystemError);
  EXPECT_EQ(rules.For("/pkg.S/Lookup").Of(14), Outcome::kSystemError);
  EXPECT_EQ(rules.For("/pkg.S/Lookup").Of(0), Outcome::kOk);
  EXPECT_EQ(rules.For("/pkg.S/Look").Of(5), Outcome::kUserError);
  EXPECT_EQ(rules.For("").Of(5), Outcome::kUserError);
}

TEST(OutcomeRulesTest, AnExceptionStandsAboveTheRuleWhicheverIsSetFirst) {
  OutcomeRules rules(Role::kClient);
  rules.Set(5, Outcome::kOk);
  rules.Set("/pkg.S/M", 5, Outcome::kSystemError);
  rules.Set(5, Outcome::kTimeout);
  rules.Set(10, Outcome::kIgnored);
  EXPECT_EQ(rules.For("/pkg.S/M").Of(5), Outcome::kSystemError);
  EXPECT_EQ(rules.For("/pkg.S/M").Of(10), Outcome::kIgnored);
  EXPECT_EQ(rules.For("/pkg.S/Other").Of(5), Outcome::kTimeout);
  EXPECT_EQ(rules.For("/pkg.S/Other").Of(10), Outcome::kIgnored);
}

TEST(OutcomeRulesTest, TheMostSpecificWinsWhicheverIsSetFirst) {
  constexpr int kNotFound = 5;
  constexpr int kAborted = 10;
  constexpr int kInternal = 13;
  const auto general = [](OutcomeRules& rules) {
    rules.Set(kNotFound, Outcome::kTimeout);
    rules.Set(kAborted, Outcome::kTimeout);
    rules.Set(kInternal, Outcome::kTimeout);
  };
  const auto service = [](OutcomeRules& rules) {
    rules.Set("/pkg.S/*", kNotFound, Outcome::kSystemError);
    rules.Set("/pkg.S/*", kAborted, Outcome::kSystemError);
  };
  const auto method = [](OutcomeRules& rules) {
    rules.Set("/pkg.S/M", kNotFound, Outcome::kIgnored);
  };
  using Step = std::function<void(OutcomeRules&)>;
  std::vector<std::pair<int, Step>> steps = {
      {0, general}, {1, service}, {2, method}};
  do {
    OutcomeRules rules(Role::kServer);
    for (const auto& [number, step] : steps) step(rules);
    EXPECT_EQ(rules.For("/pkg.S/M").Of(kNotFound), Outcome::kIgnored);
    EXPECT_EQ(rules.For("/pkg.S/M").Of(kAborted), Outcome::kSystemError);
    EXPECT_EQ(rules.For("/pkg.S/M").Of(kInternal), Outcome::kTimeout);
    EXPECT_EQ(rules.For("/pkg.S/N").Of(kNotFound), Outcome::kSystemError);
    EXPECT_EQ(rules.For("/pkg.S/N").Of(kInternal), Outcome::kTimeout);
    EXPECT_EQ(rules.For("/pkg.S2/M").Of(kNotFound), Outcome::kTimeout);
    EXPECT_EQ(rules.For("/pkg.S/M").Of(0), Outcome::kOk);
  } while (std::next_permutation(
      steps.begin(), steps.end(),
      [](const auto& a, const auto& b) { return a.first < b.first; }));
}

TEST(OutcomeRulesTest, CodesWithoutANameShareOneException) {
  OutcomeRules rules(Role::kClient);
  rules.Set("/pkg.S/M", 17, Outcome::kUserError);
  rules.Set(99, Outcome::kSystemError);
  EXPECT_EQ(rules.For("/pkg.S/M").Of(42), Outcome::kUserError);
  EXPECT_EQ(rules.For("/pkg.S/Other").Of(42), Outcome::kSystemError);
}

TEST(OutcomeOfTest, ARejectionFurtherDownIsIgnoredWhateverTheTableSays) {
  StatusOutcomes outcomes(Role::kClient);
  outcomes.Set(14, Outcome::kSystemError);
  CallEnd end = Ended(14);
  end.rejected_downstream = true;
  EXPECT_EQ(OutcomeOf(end, outcomes, Settings()), Outcome::kIgnored);
}

TEST(OutcomeOfTest, ACallOfWhichNothingElseIsSaidWentWell) {
  EXPECT_EQ(OutcomeOf(CallEnd(), StatusOutcomes(Role::kClient), Settings()),
            Outcome::kOk);
}

TEST(OutcomeOfTest, ATimeoutBelowMinCountedDeadlineIsIgnored) {
  Settings settings;
  settings.min_counted_deadline = milliseconds(10);
  const StatusOutcomes outcomes(Role::kClient);
  CallEnd end = Ended(4);
  end.time_budget = milliseconds(10) - Duration(1);
  EXPECT_EQ(OutcomeOf(end, outcomes, settings), Outcome::kIgnored);
  end.time_budget = milliseconds(10);
  EXPECT_EQ(OutcomeOf(end, outcomes, settings), Outcome::kTimeout);

  settings.min_counted_deadline = Duration::zero();
  end.time_budget = -milliseconds(5);  // past when the call began
  EXPECT_EQ(OutcomeOf(end, outcomes, settings), Outcome::kIgnored);
  end.time_budget = Duration::zero();
  EXPECT_EQ(OutcomeOf(end, outcomes, settings), Outcome::kTimeout);
}

TEST(OutcomeOfTest, OtherStatusesCountHoweverShortTheDeadline) {
  const StatusOutcomes outcomes(Role::kClient);
  for (const Classified& row : Table()) {
    if (row.code == 1 || row.code == 4) continue;
    CallEnd end = Ended(row.code);
    end.time_budget = milliseconds(1);
    EXPECT_EQ(OutcomeOf(end, outcomes, Settings()), row.client) << row.name;
  }
}

TEST(OutcomeOfTest, ACancellationAfterSlowCallDurationIsATimeout) {
  Settings settings;
  settings.slow_call_duration = milliseconds(500);
  const StatusOutcomes outcomes(Role::kClient);
  CallEnd end = Ended(1);
  end.latency = milliseconds(500) - Duration(1);
  EXPECT_EQ(OutcomeOf(end, outcomes, settings), Outcome::kIgnored);
  end.latency = milliseconds(500);
  EXPECT_EQ(OutcomeOf(end, outcomes, settings), Outcome::kTimeout);

  settings.slow_call_duration.reset();
  EXPECT_EQ(OutcomeOf(end, outcomes, settings), Outcome::kIgnored);
}

TEST(OutcomeOfTest, AShortTimeBudgetStandsAboveALateCancellation) {
  Settings settings;
  settings.slow_call_duration = milliseconds(5);
  CallEnd end = Ended(1);
  end.time_budget = milliseconds(9);
  end.latency = milliseconds(8);
  EXPECT_EQ(OutcomeOf(end, StatusOutcomes(Role::kClient), settings),
            Outcome::kIgnored);
}

}  // namespace
}  // namespace fusebox
