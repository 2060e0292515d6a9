#include "examples/greeter/breaker_text.h"

#include "absl/strings/str_cat.h"

namespace greeter {

std::uint64_t LetThrough(const fusebox::BreakerSnapshot& breaker) {
  return breaker.lifetime.total() + breaker.ignored + breaker.stale +
         breaker.in_flight;
}

std::string DescribeBreaker(const fusebox::BreakerSnapshot& breaker) {
  const std::string state = fusebox::StateLabel(breaker.state);
  if (breaker.settings.mode == fusebox::Mode::kShadow) {
    return absl::StrCat(state, " (shadow): ", LetThrough(breaker),
                        " let through, ", breaker.shadow_rejected,
                        " would have been refused");
  }
  std::uint64_t refused = 0;
  for (const std::uint64_t rejected : breaker.rejected) refused += rejected;
  return absl::StrCat(state, ": ", LetThrough(breaker), " let through, ",
                      refused, " refused");
}

}  // namespace greeter
