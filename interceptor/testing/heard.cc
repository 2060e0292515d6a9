#include "interceptor/testing/heard.h"

namespace fusebox::testing {

bool operator==(const Heard& a, const Heard& b) {
  return a.outcome == b.outcome && a.slow == b.slow;
}

std::ostream& operator<<(std::ostream& out, const Heard& heard) {
  if (!heard.outcome.has_value()) return out << "not one outcome";
  return out << OutcomeName(*heard.outcome) << (heard.slow ? ", slow" : "");
}

Heard HeardBy(const BreakerSnapshot& snapshot) {
  Heard heard;
  if (snapshot.lifetime.total() + snapshot.ignored != 1) return heard;
  heard.slow = snapshot.lifetime.slow == 1;
  heard.outcome = Outcome::kIgnored;
  for (Outcome outcome : kAllOutcomes) {
    if (outcome != Outcome::kIgnored && snapshot.lifetime.of(outcome) == 1) {
      heard.outcome = outcome;
    }
  }
  return heard;
}

}  // namespace fusebox::testing
