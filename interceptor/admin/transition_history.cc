#include "interceptor/admin/transition_history.h"

#include <algorithm>
#include <utility>

namespace fusebox {
namespace {

// How the transition looks that an act causes.
TransitionReason ReasonOf(OperatorAct::Kind kind) {
  switch (kind) {
    case OperatorAct::Kind::kForceOpen:
    case OperatorAct::Kind::kForceClose:
      return TransitionReason::kForced;
    case OperatorAct::Kind::kRelease:
      return TransitionReason::kReleased;
    case OperatorAct::Kind::kReset:
    case OperatorAct::Kind::kUpdate:  // causes none
      break;
  }
  return TransitionReason::kReset;
}

Override OverrideOf(OperatorAct::Kind kind) {
  switch (kind) {
    case OperatorAct::Kind::kForceOpen:
      return Override::kForcedOpen;
    case OperatorAct::Kind::kForceClose:
      return Override::kForcedClosed;
    case OperatorAct::Kind::kRelease:
    case OperatorAct::Kind::kReset:
    case OperatorAct::Kind::kUpdate:
      break;
  }
  return Override::kNone;
}

}  // namespace

const char* ActName(OperatorAct::Kind kind) {
  switch (kind) {
    case OperatorAct::Kind::kForceOpen:
      return "force_open";
    case OperatorAct::Kind::kForceClose:
      return "force_close";
    case OperatorAct::Kind::kRelease:
      return "release";
    case OperatorAct::Kind::kReset:
      return "reset";
    case OperatorAct::Kind::kUpdate:
      return "update";
  }
  return "invalid";
}

TransitionHistory::TransitionHistory(BreakerRegistry* registry,
                                     WallClock wall_clock)
    : registry_(*registry),
      wall_clock_(std::move(wall_clock)),
      watch_(registry->WatchTransitions([this](const Transition& transition) {
        OnTransition(transition);
      })) {}

TransitionHistory::~TransitionHistory() = default;

std::vector<HistoryEntry> TransitionHistory::Last(std::size_t count) const {
  MutexLock lock(mu_);
  std::vector<HistoryEntry> last;
  const std::size_t begin = kept_.size() - std::min(count, kept_.size());
  last.reserve(kept_.size() - begin);
  for (std::size_t i = begin; i < kept_.size(); ++i) {
    last.push_back(kept_[i].entry);
  }
  return last;
}

std::vector<HistoryEntry> TransitionHistory::LastOf(std::uint64_t breaker_id,
                                                    std::size_t count) const {
  MutexLock lock(mu_);
  std::vector<HistoryEntry> last;
  for (auto it = kept_.rbegin(); it != kept_.rend() && last.size() < count;
       ++it) {
    if (it->entry.transition.breaker_id == breaker_id) {
      last.push_back(it->entry);
    }
  }
  std::reverse(last.begin(), last.end());
  return last;
}

std::optional<HistoryEntry> TransitionHistory::After(
    std::uint64_t sequence, std::uint64_t& skipped) const {
  MutexLock lock(mu_);
  if (sequence_ <= sequence) return std::nullopt;
  // Backwards: whoever follows is near the end.
  const HistoryEntry* next = nullptr;
  for (auto it = kept_.rbegin(); it != kept_.rend(); ++it) {
    const std::uint64_t number = it->entry.transition.sequence;
    if (number == 0) continue;
    if (number <= sequence) break;
    next = &it->entry;
  }
  if (next == nullptr) {
    // Acts have driven them out.
    skipped += sequence_ - sequence;
    return std::nullopt;
  }
  skipped += next->transition.sequence - sequence - 1;
  skipped += next->transition.skipped;
  return *next;
}

std::uint64_t TransitionHistory::sequence() const {
  MutexLock lock(mu_);
  return sequence_;
}

std::optional<OperatorAct> TransitionHistory::StandingForce(
    std::uint64_t breaker_id) const {
  MutexLock lock(mu_);
  const auto found = forces_.find(breaker_id);
  if (found == forces_.end()) return std::nullopt;
  return found->second.act;
}

void TransitionHistory::RecordAct(
    const std::function<std::optional<Performed>()>& perform) {
  {
    MutexLock lock(mu_);
    std::optional<Performed> performed = perform();
    if (!performed.has_value()) return;
    const BreakerSnapshot& before = performed->before;
    const BreakerSnapshot& after = performed->after;
    const OperatorAct::Kind kind = performed->act.kind;
    const bool forces = OverrideOf(kind) != Override::kNone;
    if (forces) {
      forces_[after.id] = {performed->act, after.generation};
    }

    Kept kept;
    Transition& transition = kept.entry.transition;
    transition.breaker_id = after.id;
    transition.role = after.role;
    transition.target = after.target;
    transition.method = after.method;
    transition.from = transition.to = after.state;
    transition.override_from = transition.override_to = after.override_state;
    transition.reason = ReasonOf(kind);
    transition.generation = after.generation;
    transition.at = registry_.Now();
    kept.entry.time = WallTime(transition.at);
    kept.entry.act = std::move(performed->act);
    kept.waiting = kind != OperatorAct::Kind::kUpdate;
    kept.override_to = OverrideOf(kind);
    kept.generation_before = before.generation;
    kept.generation_after = after.generation;
    Keep(std::move(kept));
  }
  TellListeners();
}

void TransitionHistory::OnTransition(const Transition& transition) {
  {
    MutexLock lock(mu_);
    Kept kept;
    kept.entry.transition = transition;
    kept.entry.time = WallTime(transition.at);
    kept.entry.act = TakeCause(transition);
    if (transition.override_to == Override::kNone) {
      // The end of an override begins a generation; that of an earlier one has
      // not gone beyond this one's.
      const auto force = forces_.find(transition.breaker_id);
      if (force != forces_.end() &&
          transition.generation > force->second.generation) {
        forces_.erase(force);
      }
    }
    sequence_ = transition.sequence;
    Keep(std::move(kept));
  }
  TellListeners();
}

std::optional<OperatorAct> TransitionHistory::TakeCause(
    const Transition& transition) {
  auto cause = kept_.end();
  for (auto it = kept_.begin(); it != kept_.end(); ++it) {
    if (it->waiting &&
        it->entry.transition.breaker_id == transition.breaker_id &&
        it->entry.transition.reason == transition.reason &&
        it->override_to == transition.override_to &&
        it->generation_before <= transition.generation &&
        it->generation_after >= transition.generation) {
      cause = it;
      break;
    }
  }
  if (cause == kept_.end()) return std::nullopt;
  for (auto it = kept_.begin(); it != cause; ++it) {
    if (it->entry.transition.breaker_id == transition.breaker_id) {
      it->waiting = false;
    }
  }
  std::optional<OperatorAct> act = std::move(cause->entry.act);
  kept_.erase(cause);
  return act;
}

void TransitionHistory::Keep(Kept kept) {
  kept_.push_back(std::move(kept));
  if (kept_.size() > kCapacity) kept_.pop_front();
}

std::uint64_t TransitionHistory::AddListener(std::function<void()> listener) {
  MutexLock lock(listeners_mu_);
  listeners_[++last_listener_] = std::move(listener);
  return last_listener_;
}

void TransitionHistory::RemoveListener(std::uint64_t id) {
  MutexLock lock(listeners_mu_);
  listeners_.erase(id);
}

void TransitionHistory::TellListeners() {
  MutexLock lock(listeners_mu_);
  for (const auto& [id, listener] : listeners_) listener();
}

std::chrono::system_clock::time_point TransitionHistory::WallTime(
    TimePoint at) const {
  return wall_clock_() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(
             at - registry_.Now());
}

}  // namespace fusebox
