#include "interceptor/breaker/breaker_callbacks.h"

#include <cstddef>
#include <iterator>
#include <string_view>
#include <utility>

#include "interceptor/breaker/policy.h"

namespace fusebox {
namespace {

std::uint64_t Passed(const BreakerSnapshot& snapshot) {
  return snapshot.lifetime.total() + snapshot.ignored + snapshot.stale +
         snapshot.in_flight;
}

// In mode shadow: those that would have been.
std::uint64_t Refused(const BreakerSnapshot& snapshot) {
  std::uint64_t sum = snapshot.shadow_rejected;
  for (const std::uint64_t rejected : snapshot.rejected) sum += rejected;
  return sum;
}

// Whether this opened the breaker. Time alone may show an open one, which would
// have admitted a probe, as open again: that is no opening.
bool Opened(const Transition& transition) {
  return transition.to == State::kOpen && transition.from != State::kOpen &&
         transition.reason != TransitionReason::kRecoveryDeferred;
}

}  // namespace

BreakerCallbacks::BreakerCallbacks(BreakerRegistry* registry,
                                   Callbacks callbacks, Duration period)
    : registry_(*registry),
      callbacks_(std::move(callbacks)),
      tells_tests_(callbacks_.tested || callbacks_.tested_ok ||
                   callbacks_.tested_bad),
      period_(period) {
  if (!tells_tests_ && !callbacks_.locked && !callbacks_.unlocked) return;
  transitions_ = registry_.WatchTransitions(
      [this](const Transition& transition) { OnTransition(transition); });
  if (tells_tests_) rounds_ = registry_.WatchRounds([this] { OnRound(); });
}

void BreakerCallbacks::OnTransition(const Transition& transition) {
  LookForTheFirstTime();
  const auto [found, is_new] = known_.try_emplace(
      transition.breaker_id,
      Known{transition.role, transition.target, transition.method,
            transition.from, transition.at, 0, 0, transition.at});
  Known& known = found->second;
  // Idle breakers close before they are retired, so a later one is not missed.
  const auto snapshot = SnapshotOf(transition.breaker_id, known);
  if (!snapshot.has_value()) return;

  if (transition.from != State::kClosed && !is_new) {
    TellTests(known, *snapshot);
  } else {
    // What a closed breaker let through was no test. It refused nothing, so all
    // that was refused since the last look belongs to the opening.
    known.passed = Passed(*snapshot);
    known.looked_at = transition.at;
  }
  known.state = transition.to;
  known.since = transition.at;
  if (Opened(transition)) {
    Tell(callbacks_.locked, known, *snapshot, /*result=*/false);
  } else if (transition.to == State::kClosed) {
    Tell(callbacks_.unlocked, known, *snapshot, /*result=*/true);
  }
}

void BreakerCallbacks::OnRound() {
  LookForTheFirstTime();
  const TimePoint now = registry_.Now();
  if (now - last_round_ < period_) return;
  last_round_ = now;
  for (auto& [id, known] : known_) {
    if (known.state == State::kClosed) continue;
    const auto snapshot = SnapshotOf(id, known);
    if (snapshot.has_value()) TellTests(known, *snapshot);
  }
  ForgetRetired();
}

void BreakerCallbacks::LookForTheFirstTime() {
  if (std::exchange(looked_, true)) return;
  last_round_ = registry_.Now();
  for (const BreakerSnapshot& snapshot : registry_.Snapshots()) {
    known_.emplace(snapshot.id,
                   Known{snapshot.role, snapshot.target, snapshot.method,
                         snapshot.state, snapshot.since, Passed(snapshot),
                         Refused(snapshot), last_round_});
  }
}

void BreakerCallbacks::ForgetRetired() {
  // Two overflow breakers are not in the number.
  if (known_.size() <= 2 * (registry_.stats().breakers + 2)) return;
  for (auto it = known_.begin(); it != known_.end();) {
    it = SnapshotOf(it->first, it->second).has_value() ? std::next(it)
                                                       : known_.erase(it);
  }
}

std::optional<BreakerSnapshot> BreakerCallbacks::SnapshotOf(
    std::uint64_t id, const Known& known) const {
  auto snapshot = registry_.Snapshot(known.role, known.target, known.method);
  if (snapshot.has_value() && snapshot->id != id) snapshot.reset();
  return snapshot;
}

void BreakerCallbacks::TellTests(Known& known,
                                 const BreakerSnapshot& snapshot) {
  if (!tells_tests_) return;
  CallbackContext context = ContextOf(known, snapshot);
  context.start = known.looked_at;
  context.end = registry_.Now();
  known.looked_at = context.end;
  const auto tell = [&](std::uint64_t now, std::uint64_t& before, bool result,
                        const Callbacks::Callback& by_result) {
    // The sum of several counters may seem to step back for a moment.
    if (now <= before) return;
    context.tests = now - std::exchange(before, now);
    context.result = result;
    if (callbacks_.tested) callbacks_.tested(context);
    if (by_result) by_result(context);
  };
  tell(Passed(snapshot), known.passed, true, callbacks_.tested_ok);
  tell(Refused(snapshot), known.refused, false, callbacks_.tested_bad);
}

void BreakerCallbacks::Tell(const Callbacks::Callback& callback,
                            const Known& known, const BreakerSnapshot& snapshot,
                            bool result) const {
  if (!callback) return;
  CallbackContext context = ContextOf(known, snapshot);
  context.result = result;
  context.start = context.end = known.since;
  callback(context);
}

CallbackContext BreakerCallbacks::ContextOf(const Known& known,
                                            const BreakerSnapshot& snapshot) {
  CallbackContext context;
  context.role = known.role;
  context.target = known.target;
  const std::string_view name = known.method;
  const std::size_t slash = name.rfind('/');
  if (slash == std::string_view::npos) {
    context.method = name;
  } else {
    const std::size_t begin = name.front() == '/' && slash > 0 ? 1 : 0;
    context.service = name.substr(begin, slash - begin);
    context.method = name.substr(slash + 1);
  }
  context.enforced = snapshot.settings.mode == Mode::kEnforce;
  context.state = known.state;
  context.since = known.since;
  context.healthy_now =
      !Policy(snapshot.settings)
           .Unhealthy(snapshot.window, snapshot.state == State::kHalfOpen
                                           ? 0
                                           : snapshot.settings.min_requests)
           .has_value();
  return context;
}

}  // namespace fusebox
