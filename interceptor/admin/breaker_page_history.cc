#include "interceptor/admin/breaker_page_history.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace fusebox {
namespace {

std::int64_t SecondOf(TimePoint now) {
  return std::chrono::floor<std::chrono::seconds>(now.time_since_epoch())
      .count();
}

}  // namespace

BreakerPageHistory::BreakerPageHistory(BreakerRegistry* registry)
    : registry_(*registry) {
  // What was counted before this began belongs to no second.
  Take(registry_.Snapshots(), registry_.Now());
  transitions_ = registry_.WatchTransitions([this](const Transition& change) {
    MutexLock lock(mu_);
    records_[change.breaker_id].reason = change.reason;
  });
  rounds_ = registry_.WatchRounds([this] {
    const TimePoint now = registry_.Now();
    if (IsDue(now)) Take(registry_.Snapshots(), now);
  });
}

std::int64_t BreakerPageHistory::newest() const {
  MutexLock lock(mu_);
  return newest_;
}

std::vector<BreakerPageHistory::Rates> BreakerPageHistory::RatesOf(
    std::uint64_t breaker_id, std::int64_t after, std::int64_t until) const {
  constexpr auto kKept = static_cast<std::int64_t>(kSeconds);
  MutexLock lock(mu_);
  const auto found = records_.find(breaker_id);
  if (found == records_.end()) return {};
  std::vector<Rates> rates;
  bool idle = true;
  for (std::int64_t second = std::max(after, until - kKept) + 1;
       second <= until; ++second) {
    const bool known =
        second >= 0 && second <= newest_ && second > newest_ - kKept;
    const Rates of_second =
        known ? found->second.rates[static_cast<std::size_t>(second) % kSeconds]
              : Rates();
    idle = idle && of_second.ok == 0 && of_second.failed == 0 &&
           of_second.rejected == 0;
    rates.push_back(of_second);
  }
  if (idle) rates.clear();
  return rates;
}

std::optional<TransitionReason> BreakerPageHistory::LastReasonOf(
    std::uint64_t breaker_id) const {
  MutexLock lock(mu_);
  const auto found = records_.find(breaker_id);
  if (found == records_.end()) return std::nullopt;
  return found->second.reason;
}

BreakerPageHistory::Counts BreakerPageHistory::CountsOf(
    const BreakerSnapshot& breaker) {
  Counts counts;
  counts.failed = breaker.lifetime.failures();
  counts.ok = breaker.lifetime.total() - counts.failed;
  for (const std::uint64_t rejected : breaker.rejected) {
    counts.rejected += rejected;
  }
  return counts;
}

// A rate over a short time would be noise, and rounds can be close together.
bool BreakerPageHistory::IsDue(TimePoint now) const {
  constexpr Duration kShortest = std::chrono::milliseconds(900);
  MutexLock lock(mu_);
  return SecondOf(now) > newest_ && now - *looked_at_ >= kShortest;
}

void BreakerPageHistory::Take(const std::vector<BreakerSnapshot>& breakers,
                              TimePoint now) {
  MutexLock lock(mu_);
  const std::int64_t second = SecondOf(now);
  const double elapsed =
      std::chrono::duration<double>(now - looked_at_.value_or(now)).count();
  // A look that came late tells of all seconds since the last.
  const std::int64_t oldest =
      std::max(newest_ + 1, second - static_cast<std::int64_t>(kSeconds) + 1);

  for (const BreakerSnapshot& breaker : breakers) {
    Record& record = records_[breaker.id];
    record.seen = true;
    const Counts counts = CountsOf(breaker);
    const auto rate = [elapsed](std::uint64_t before, std::uint64_t after) {
      return static_cast<float>(static_cast<double>(after - before) / elapsed);
    };
    if (looked_at_.has_value()) {
      const Rates rates = {rate(record.counts.ok, counts.ok),
                           rate(record.counts.failed, counts.failed),
                           rate(record.counts.rejected, counts.rejected)};
      for (std::int64_t i = oldest; i <= second; ++i) {
        record.rates[static_cast<std::size_t>(i) % kSeconds] = rates;
      }
    }
    record.counts = counts;
  }
  for (auto it = records_.begin(); it != records_.end();) {
    const bool seen = std::exchange(it->second.seen, false);
    it = seen ? std::next(it) : records_.erase(it);
  }
  newest_ = second;
  looked_at_ = now;
}

}  // namespace fusebox
