// The words and values in which a breaker is seen: names, defaults, sums and
// the line that announces a transition.

#include "interceptor/breaker/state.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "interceptor/breaker/outcome.h"

namespace fusebox {
namespace {

TEST(OutcomeTest, EachNameIsThatOfItsOutcomeAlone) {
  const std::pair<Outcome, const char*> names[] = {
      {Outcome::kOk, "ok"},
      {Outcome::kUserError, "user_error"},
      {Outcome::kTimeout, "timeout"},
      {Outcome::kSystemError, "system_error"},
      {Outcome::kUnknownError, "unknown_error"},
      {Outcome::kIgnored, "ignored"},
  };
  for (const auto& [outcome, name] : names) {
    EXPECT_EQ(OutcomeName(outcome), name);
    EXPECT_EQ(OutcomeFromName(name), outcome);
  }
  for (const char* name : {"", "OK", "ok ", "invalid"}) {
    EXPECT_EQ(OutcomeFromName(name), std::nullopt) << name;
  }
}

TEST(OutcomeTest, TheFailuresAreThree) {
  EXPECT_FALSE(IsFailure(Outcome::kOk));
  EXPECT_FALSE(IsFailure(Outcome::kUserError));
  EXPECT_TRUE(IsFailure(Outcome::kTimeout));
  EXPECT_TRUE(IsFailure(Outcome::kSystemError));
  EXPECT_TRUE(IsFailure(Outcome::kUnknownError));
  EXPECT_FALSE(IsFailure(Outcome::kIgnored));
}

TEST(OutcomeCountsTest, TheTotalIsOfAllFiveAndFailuresAreThree) {
  OutcomeCounts counts;
  EXPECT_EQ(counts.total(), 0u);
  EXPECT_EQ(counts.failures(), 0u);
  EXPECT_EQ(counts.slow, 0u);
  counts.by_outcome = {1, 20, 300, 4000, 50000};
  counts.slow = 7;
  EXPECT_EQ(counts.total(), 54321u);
  EXPECT_EQ(counts.failures(), 54300u);
  EXPECT_EQ(counts.of(Outcome::kUserError), 20u);
}

TEST(StateViewTest, OnlyOpenIsNotServing) {
  StateView view;
  for (State state : {State::kClosed, State::kOpen, State::kHalfOpen}) {
    view.state = state;
    EXPECT_EQ(view.serving(), state != State::kOpen);
  }
}

TEST(StateViewTest, ANewBreakerIsClosedInItsFirstGeneration) {
  const StateView view;
  EXPECT_EQ(view.state, State::kClosed);
  EXPECT_EQ(view.override_state, Override::kNone);
  EXPECT_EQ(view.next_change, TimePoint::max());
  EXPECT_EQ(view.generation, 1u);
  EXPECT_EQ(view.changes, 0u);
}

TEST(BreakerSnapshotTest, ANewBreakerHasCountedNothing) {
  const BreakerSnapshot snapshot;
  EXPECT_EQ(snapshot.id, 0u);
  EXPECT_EQ(snapshot.generation, 1u);
  EXPECT_EQ(snapshot.next_probe, TimePoint::max());
  EXPECT_EQ(snapshot.next_change, TimePoint::max());
  EXPECT_FALSE(snapshot.proved);
  EXPECT_EQ(snapshot.ignored, 0u);
  EXPECT_EQ(snapshot.stale, 0u);
  EXPECT_EQ(snapshot.shadow_rejected, 0u);
  EXPECT_EQ(snapshot.in_flight, 0u);
}

Transition Opening() {
  Transition transition;
  transition.method = "/pkg.S/M";
  transition.from = State::kClosed;
  transition.to = State::kOpen;
  transition.reason = TransitionReason::kFailureThreshold;
  transition.generation = 3;
  return transition;
}

TEST(TransitionTest, IsUnnumberedUntilARegistryNumbersIt) {
  const Transition transition;
  EXPECT_EQ(transition.sequence, 0u);
  EXPECT_EQ(transition.skipped, 0u);
  EXPECT_EQ(transition.breaker_id, 0u);
  EXPECT_EQ(transition.generation, 1u);
}

TEST(FormatTransitionTest, OnAServer) {
  Transition transition = Opening();
  transition.role = Role::kServer;
  EXPECT_EQ(FormatTransition(transition),
            "fusebox: /pkg.S/M (server): closed -> open: failure_threshold, "
            "generation 3");
}

TEST(FormatTransitionTest, OnAClientItNamesTheTarget) {
  Transition transition = Opening();
  transition.target = "dns:///x";
  EXPECT_EQ(FormatTransition(transition),
            "fusebox: /pkg.S/M (client of dns:///x): closed -> open: "
            "failure_threshold, generation 3");
}

TEST(FormatTransitionTest, AnOverrideStandsForTheState) {
  Transition transition = Opening();
  transition.override_to = Override::kForcedClosed;
  transition.reason = TransitionReason::kForced;
  EXPECT_EQ(FormatTransition(transition),
            "fusebox: /pkg.S/M (client): closed -> forced_closed: forced, "
            "generation 3");
}

TEST(FormatTransitionTest, SaysWhatWasSkipped) {
  Transition transition = Opening();
  transition.skipped = 1;
  EXPECT_EQ(FormatTransition(transition),
            "fusebox: /pkg.S/M (client): closed -> open: failure_threshold, "
            "generation 3, 1 events skipped");
}

}  // namespace
}  // namespace fusebox
