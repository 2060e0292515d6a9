// Settings that change a thousand times under the calls of a real server.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "interceptor/admin/live_settings.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/rejection.h"
#include "interceptor/settings/effective_settings.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using testing::Api;
using testing::CallEcho;
using testing::CallKind;
using testing::Eventually;
using testing::GuardedEcho;

// Opens, probes and recovers all the time.
Settings Hasty() {
  Settings settings;
  settings.bucket_width = milliseconds(10);
  settings.min_requests = 3;
  settings.min_recovery = milliseconds(10);
  settings.max_recovery = milliseconds(30);
  settings.max_open_duration = milliseconds(20);
  return settings;
}

TEST(LiveSettingsLoadTest, EveryCallIsCountedOnceThroughAThousandChanges) {
  constexpr int kChanges = 1000;
  constexpr int kCallers = 3;
  GuardedEcho::Options echo_options;
  echo_options.settings = Hasty();
  echo_options.now = &FineNow;
  GuardedEcho echo(Api::kCallback, std::move(echo_options));
  EffectiveSettings in_force;
  in_force.registry.settings = Hasty();
  LiveSettingsOptions options;
  options.log = [](const std::string&) {};
  LiveSettings live(&echo.registry(), in_force, options);

  std::atomic<bool> done{false};
  std::array<std::atomic<std::uint64_t>, 3> ended{};  // OK, INTERNAL, rejected
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = caller; !done.load(); ++i) {
        const grpc::Status status = CallEcho(echo.stub(), CallKind::kUnary,
                                             i % 5 == 0 ? "status 13" : "echo")
                                        .status;
        const bool rejected = IsRejection(status);
        if (!status.ok() && !rejected) {
          EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
        }
        ++ended[rejected ? 2 : status.ok() ? 0 : 1];
      }
    });
  }

  const char* const failure_thresholds[] = {"0.1", "off", "0.9"};
  const char* const widths[] = {"10ms", "10ms", "10ms", "20ms"};
  const char* const modes[] = {"enforce", "enforce", "shadow"};
  for (int i = 0; i < kChanges; ++i) {
    const int min_recovery = 10 + i % 7;
    const absl::Status status = live.Update(
        "*",
        {{"buckets", std::to_string(1 + i % 90)},
         {"bucket_width", widths[i % 4]},
         {"failure_threshold", failure_thresholds[i % 3]},
         {"min_recovery", std::to_string(min_recovery) + "ms"},
         {"max_recovery", std::to_string(min_recovery + 1 + i % 11) + "ms"},
         {"slow_call_duration", i % 2 == 0 ? "off" : "1h"},
         {"mode", modes[i % 3]}},
        "test");
    ASSERT_TRUE(status.ok()) << status;
    const BreakerSnapshot snapshot = echo.snapshot(CallKind::kUnary);
    ASSERT_EQ(snapshot.settings.buckets, 1 + i % 90);
    ASSERT_LE(snapshot.window.total(), snapshot.lifetime.total());
  }
  done = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(Eventually(
      [&] { return echo.snapshot(CallKind::kUnary).in_flight == 0; }));

  const BreakerSnapshot snapshot = echo.snapshot(CallKind::kUnary);
  std::uint64_t rejected = 0;
  for (std::uint64_t n : snapshot.rejected) rejected += n;
  EXPECT_EQ(rejected, ended[2].load());
  // Those that shadow mode let pass have no permit.
  EXPECT_EQ(snapshot.lifetime.total() + snapshot.stale + snapshot.ignored +
                snapshot.shadow_rejected,
            ended[0].load() + ended[1].load());
  EXPECT_LE(snapshot.lifetime.of(Outcome::kOk), ended[0].load());
  EXPECT_LE(snapshot.lifetime.of(Outcome::kSystemError), ended[1].load());
  EXPECT_EQ(snapshot.lifetime.slow, 0u);
  EXPECT_GT(ended[0].load(), 0u);
}

}  // namespace
}  // namespace fusebox
