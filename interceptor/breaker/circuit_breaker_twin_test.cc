// The circuit breaker against its slow obvious twin, over random traces.
//
// A failure prints the seed and the whole trace. To see one again:
//   bazel test --test_env=FUSEBOX_SEED=SEED ...

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "interceptor/breaker/settings.h"
#include "interceptor/breaker/twin_trace.h"

namespace fusebox {
namespace {

constexpr std::uint64_t kTraces = 10000;
constexpr int kOperations = 200;

// True if both agree.
bool Agree(std::uint64_t seed) {
  const Dice dice(seed);
  if (TwinTrace(dice, /*verbose=*/false).Run(kOperations).empty()) return true;
  TwinTrace again(dice, /*verbose=*/true);
  const std::string mismatch = again.Run(kOperations);
  std::string text = "seed " + std::to_string(seed) + ": ";
  for (const std::string& line : again.lines()) text += line + "\n";
  ADD_FAILURE() << text << mismatch;
  return false;
}

TEST(CircuitBreakerTwinTest, RandomTracesAgreeDecisionByDecision) {
  if (const char* seed = std::getenv("FUSEBOX_SEED")) {
    Agree(std::strtoull(seed, nullptr, /*base=*/10));
    return;
  }
  for (std::uint64_t seed = 1; seed <= kTraces; ++seed) {
    ASSERT_TRUE(Agree(seed)) << "seed " << seed;
  }
}

TEST(CircuitBreakerTwinTest, TheSettingsOfTheTracesAreValid) {
  for (std::uint64_t seed = 1; seed <= kTraces; ++seed) {
    Dice dice(seed);
    for (const SettingsIssue& issue : ValidateSettings(RandomSettings(dice))) {
      ADD_FAILURE() << "seed " << seed << ": " << issue.message;
    }
  }
}

}  // namespace
}  // namespace fusebox
