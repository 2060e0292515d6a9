#include "interceptor/admin/breaker_page_history.h"

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/state.h"

namespace fusebox {

bool operator==(const BreakerPageHistory::Rates& a,
                const BreakerPageHistory::Rates& b) {
  return a.ok == b.ok && a.failed == b.failed && a.rejected == b.rejected;
}
std::ostream& operator<<(std::ostream& out,
                         const BreakerPageHistory::Rates& rates) {
  return out << rates.ok << " ok " << rates.failed << " failed "
             << rates.rejected << " rejected";
}

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Rates = BreakerPageHistory::Rates;

std::atomic<std::int64_t> now_ns;
TimePoint Now() { return TimePoint(Duration(now_ns)); }

class BreakerPageHistoryTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kStart = 5000;

  BreakerPageHistoryTest() : registry_(Options()), history_(&registry_) {}

  static RegistryOptions Options() {
    now_ns = Duration(seconds(kStart)).count();
    RegistryOptions options;
    options.now = &Now;
    options.start_dispatcher = false;
    options.settings.min_requests = 3;
    options.idle_timeout = seconds(300);
    options.log = [](const std::string&) {};
    return options;
  }

  void Pass(Duration time) {
    now_ns += time.count();
    registry_.Dispatch();
  }

  void Call(const char* method, Outcome outcome, int calls) {
    auto scope = registry_.Scope(Role::kServer, "");
    for (int i = 0; i < calls; ++i) {
      Admission admission = scope->Find(method).Admit(Now());
      admission.permit.Finish(outcome, Now());
    }
  }

  std::uint64_t IdOf(const std::string& method) {
    return registry_.Snapshot(Role::kServer, "", method)->id;
  }

  std::vector<Rates> Last(const std::string& method, int count) {
    const std::int64_t newest = history_.newest();
    return history_.RatesOf(IdOf(method), newest - count, newest);
  }

  BreakerRegistry registry_;
  BreakerPageHistory history_;
};

TEST_F(BreakerPageHistoryTest, CountsTheCallsOfEachSecond) {
  Call("/a.B/C", Outcome::kOk, 2);
  Pass(seconds(1));
  Call("/a.B/C", Outcome::kUserError, 1);
  Call("/a.B/C", Outcome::kTimeout, 1);
  Pass(seconds(1));
  EXPECT_EQ(history_.newest(), kStart + 2);
  EXPECT_EQ(Last("/a.B/C", 3),
            (std::vector<Rates>{{0, 0, 0}, {2, 0, 0}, {1, 1, 0}}));
}

TEST_F(BreakerPageHistoryTest, RejectedCallsStandApart) {
  Call("/a.B/C", Outcome::kSystemError, 4);  // opens it
  Call("/a.B/C", Outcome::kOk, 6);
  Pass(seconds(1));
  EXPECT_EQ(Last("/a.B/C", 1), (std::vector<Rates>{{0, 4, 6}}));
}

TEST_F(BreakerPageHistoryTest, WhatWasBeforeItBeganIsInNoSecond) {
  Call("/a.B/C", Outcome::kOk, 50);
  BreakerPageHistory later(&registry_);
  Call("/a.B/C", Outcome::kOk, 3);
  Pass(seconds(1));
  EXPECT_EQ(later.RatesOf(IdOf("/a.B/C"), kStart, kStart + 1),
            (std::vector<Rates>{{3, 0, 0}}));
}

TEST_F(BreakerPageHistoryTest, ALateLookTellsOfAllSecondsBefore) {
  Pass(seconds(1));
  Call("/a.B/C", Outcome::kOk, 12);
  Pass(seconds(3));
  EXPECT_EQ(Last("/a.B/C", 4),
            (std::vector<Rates>{{0, 0, 0}, {4, 0, 0}, {4, 0, 0}, {4, 0, 0}}));
}

TEST_F(BreakerPageHistoryTest, RoundsCloseToEachOtherAreOneLook) {
  Pass(milliseconds(1900));
  Call("/a.B/C", Outcome::kOk, 1);
  Pass(milliseconds(200));  // a new second, but hardly any time
  EXPECT_EQ(history_.newest(), kStart + 1);
  Pass(milliseconds(800));  // 2.9 s: a second long
  EXPECT_EQ(history_.newest(), kStart + 2);
  EXPECT_EQ(Last("/a.B/C", 1), (std::vector<Rates>{{1, 0, 0}}));
}

TEST_F(BreakerPageHistoryTest, KeepsTwoMinutes) {
  Call("/a.B/C", Outcome::kOk, 7);
  Pass(seconds(1));
  for (int i = 1; i < 120; ++i) Pass(seconds(1));
  EXPECT_EQ(history_.newest(), kStart + 120);
  std::vector<Rates> all(120);
  all[0] = {7, 0, 0};
  EXPECT_EQ(Last("/a.B/C", 120), all);
  EXPECT_EQ(Last("/a.B/C", 1000), all);  // no more than there is
  Pass(seconds(1));
  EXPECT_EQ(Last("/a.B/C", 120), std::vector<Rates>());
  // A gap longer than all that is kept.
  Call("/a.B/C", Outcome::kOk, 250);
  Pass(seconds(250));
  EXPECT_EQ(Last("/a.B/C", 120), std::vector<Rates>(120, Rates{1, 0, 0}));
}

TEST_F(BreakerPageHistoryTest, SecondsThatAreNotKnownAreZero) {
  Call("/a.B/C", Outcome::kOk, 1);
  Pass(seconds(1));
  const std::uint64_t id = IdOf("/a.B/C");
  EXPECT_EQ(history_.RatesOf(id, kStart, kStart + 2),
            (std::vector<Rates>{{1, 0, 0}, {0, 0, 0}}));
  EXPECT_EQ(history_.RatesOf(id, kStart + 1, kStart + 1), std::vector<Rates>());
  EXPECT_EQ(history_.RatesOf(id, -500, -400), std::vector<Rates>());
  EXPECT_EQ(history_.RatesOf(id + 1, kStart, kStart + 1), std::vector<Rates>());
}

TEST_F(BreakerPageHistoryTest, KnowsWhyABreakerChangedLast) {
  Call("/a.B/C", Outcome::kOk, 1);
  const std::uint64_t id = IdOf("/a.B/C");
  EXPECT_EQ(history_.LastReasonOf(id), std::nullopt);
  Call("/a.B/C", Outcome::kSystemError, 4);
  registry_.Dispatch();
  EXPECT_EQ(history_.LastReasonOf(id), TransitionReason::kSystemErrorThreshold);
  ASSERT_TRUE(registry_.Reset(Role::kServer, "", "/a.B/C"));
  registry_.Dispatch();
  EXPECT_EQ(history_.LastReasonOf(id), TransitionReason::kReset);
  EXPECT_EQ(history_.LastReasonOf(id + 1), std::nullopt);
}

TEST_F(BreakerPageHistoryTest, ForgetsBreakersThatAreGone) {
  auto scope = registry_.Scope(Role::kClient, "x");
  scope->Find("/a.B/C").Admit(Now()).permit.Finish(Outcome::kOk, Now());
  const std::uint64_t id = registry_.Snapshot(Role::kClient, "x", "/a.B/C")->id;
  Pass(seconds(1));
  EXPECT_EQ(history_.RatesOf(id, kStart, kStart + 1).size(), 1u);
  for (int i = 0; i < 20; ++i) Pass(seconds(60));
  ASSERT_EQ(registry_.Snapshot(Role::kClient, "x", "/a.B/C"), std::nullopt);
  EXPECT_EQ(history_.LastReasonOf(id), std::nullopt);
  EXPECT_EQ(history_.RatesOf(id, kStart, kStart + 1), std::vector<Rates>());
}

}  // namespace
}  // namespace fusebox
