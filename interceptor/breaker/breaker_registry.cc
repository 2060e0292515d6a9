#include "interceptor/breaker/breaker_registry.h"

#include <semaphore.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <utility>

#include "interceptor/breaker/method_pattern.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/breaker/transition_queue.h"
#include "interceptor/stats/latency_recorder.h"

namespace fusebox {
namespace {

// A call that found a breaker right before it was retired uses it within this
// time, and within two sweeps, however short the time-out.
constexpr Duration kGrace = std::chrono::seconds(30);

constexpr unsigned kMaxShards = RollingWindow<StdSync>::kMaxShards;

RegistryOptions WithSettings(const Settings& settings) {
  RegistryOptions options;
  options.settings = settings;
  return options;
}

RegistryOptions Validated(RegistryOptions options) {
  std::string errors;
  const auto add = [&errors](const std::string& message) {
    errors += (errors.empty() ? "" : "; ") + message;
  };
  for (const SettingsIssue& issue : ValidateSettings(options.settings)) {
    add(issue.message);
  }
  for (const auto& [pattern, settings] : options.method_settings) {
    if (!IsMethodPattern(pattern)) {
      add("method_settings: '" + pattern +
          "' is not valid: /pkg.Service/Method or /pkg.Service/*");
    }
    for (const SettingsIssue& issue : ValidateSettings(settings)) {
      add(pattern + ": " + issue.message);
    }
  }
  if (options.max_breakers < 1) {
    add("max_breakers: " + std::to_string(options.max_breakers) +
        " is out of range [1, ...)");
  }
  if (options.idle_timeout < std::chrono::seconds(1)) {
    add("idle_timeout: " + FormatDuration(options.idle_timeout) +
        " is out of range [1s, ...)");
  }
  if (options.shards < 0 || options.shards > int{kMaxShards}) {
    add("shards: " + std::to_string(options.shards) + " is out of range [0, " +
        std::to_string(kMaxShards) + "]");
  }
  if (options.queue_capacity < 1)
    add("queue_capacity: 0 is out of range [1, ...)");
  if (options.now == nullptr) add("now: must not be null");
  if (!errors.empty()) throw std::invalid_argument("fusebox: " + errors);

  if (options.shards == 0) {
    const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
    options.shards = static_cast<int>(std::min(2 * cores, kMaxShards));
  }
  if (!options.log) {
    options.log = [](const std::string& line) {
      std::fprintf(stderr, "%s\n", line.c_str());
    };
  }
  return options;
}

std::size_t HashOf(Role role, std::string_view target,
                   std::string_view method) {
  const std::hash<std::string_view> hash;
  return hash(method) + 31 * hash(target) + static_cast<std::size_t>(role);
}

// The settings of breakers, found by method; equal ones are one object.
class Policies {
 public:
  // `options` must be valid.
  explicit Policies(const RegistryOptions& options)
      : others_(std::make_shared<const Policy>(options.settings)) {
    std::vector<std::shared_ptr<const Policy>> distinct = {others_};
    for (const auto& [pattern, settings] : options.method_settings) {
      const auto same = std::find_if(distinct.begin(), distinct.end(),
                                     [&s = settings](const auto& policy) {
                                       return policy->settings == s;
                                     });
      by_pattern_[pattern] =
          same != distinct.end()
              ? *same
              : distinct.emplace_back(std::make_shared<const Policy>(settings));
    }
  }

  const std::shared_ptr<const Policy>& For(std::string_view method) const {
    if (by_pattern_.empty()) return others_;
    auto found = by_pattern_.find(method);
    if (found == by_pattern_.end()) {
      found = by_pattern_.find(std::string(ServicePart(method)) + "*");
    }
    return found == by_pattern_.end() ? others_ : found->second;
  }

 private:
  const std::shared_ptr<const Policy> others_;
  std::map<std::string, std::shared_ptr<const Policy>, std::less<>> by_pattern_;
};

// What readers see while an override stands.
State Shown(fusebox::State state, Override override_state) {
  switch (override_state) {
    case Override::kForcedOpen:
      return State::kOpen;
    case Override::kForcedClosed:
      return State::kClosed;
    case Override::kNone:
      break;
  }
  return state;
}

}  // namespace

// A breaker and its name. Lives in one chain of the table; when retired it
// stays readable for whoever still holds a pointer until nobody can.
struct BreakerScope::Entry {
  Entry(BreakerRegistry::State& registry_state, std::uint64_t entry_id,
        Role entry_role, std::string_view entry_target,
        std::string_view entry_method, const RegistryOptions& options,
        const std::shared_ptr<const Policy>& policy, TimePoint now)
      : registry(registry_state),
        id(entry_id),
        role(entry_role),
        target(entry_target),
        method(entry_method),
        hash(HashOf(role, target, method)),
        short_method(ShortCopy(method)),
        breaker(policy, now, BreakerOptions(options)),
        calls(options.call_stats
                  ? std::make_unique<LatencyRecorder>(options.shards)
                  : nullptr),
        idle_since(now) {}

  CircuitBreaker::Options BreakerOptions(const RegistryOptions& options);

  bool Is(Role other_role, std::string_view other_target,
          std::string_view other_method) const {
    return role == other_role && method == other_method &&
           target == other_target;
  }

  // Whether `name` is the method. Look-ups do nothing else.
  bool IsMethod(const char* name) const {
    return std::strcmp(name, short_method[0] != '\0' ? short_method.data()
                                                     : method.c_str()) == 0;
  }

  GuardedMethod guarded() { return {&breaker, calls.get()}; }

  // Grows while the method is in use. In mode off, nobody asks the breaker.
  std::uint64_t asked_or_ended() const {
    return breaker.asked() + (calls != nullptr ? calls->calls() : 0);
  }

  static constexpr std::size_t kShort = 64;
  static std::array<char, kShort> ShortCopy(const std::string& name) {
    std::array<char, kShort> copy = {};
    if (name.size() < kShort)
      std::memcpy(copy.data(), name.data(), name.size());
    return copy;
  }

  BreakerRegistry::State& registry;
  const std::uint64_t id;
  const Role role;
  const std::string target;
  const std::string method;
  const std::size_t hash;
  // The method again, if it is shorter than a cache line, right in front of the
  // line of the breaker that the call reads next.
  alignas(64) const std::array<char, kShort> short_method;
  CircuitBreaker breaker;

  const std::unique_ptr<LatencyRecorder> calls;  // if they are counted
  std::atomic<Entry*> next{nullptr};             // in its chain
  std::atomic<bool> retired{false};
  // Its next moment of change by time has moved.
  std::atomic<bool> rescheduled{false};

  // The dispatcher's.
  fusebox::State announced = fusebox::State::kClosed;
  Override announced_override = Override::kNone;
  std::uint32_t next_number = 1;
  std::vector<QueuedChange> early;  // overtook a change that is on its way
  TimePoint due = TimePoint::max();
  std::uint64_t asked = 0;  // at the last sweep
  TimePoint idle_since;
  TimePoint retired_at;
  int sweeps_retired = 0;
};

// Table. Chains of entries: readers walk them without a lock; writers hold mu_.
// An entry is unlinked by moving its predecessor's pointer past it; its own
// pointer stays, so a reader standing on it walks on. It is deleted when
//   - two sweeps and kGrace have passed since it was unlinked, so that whoever
//     found it has asked it for a permit by then, and
//   - no permit is out.
//
// Dispatcher. One thread (or the caller of Dispatch()): takes changes from the
// queue, puts those of one breaker in order by number, announces what differs
// from the last announcement, and computes when time alone will change
// something next.
class BreakerRegistry::State {
 public:
  using Entry = BreakerScope::Entry;

  explicit State(RegistryOptions options)
      : options_(Validated(std::move(options))),
        policies_(options_),
        queue_(options_.queue_capacity),
        chain_mask_([this] {
          std::size_t chains = 1;
          while (chains < static_cast<std::size_t>(options_.max_breakers)) {
            chains *= 2;
          }
          return chains - 1;
        }()),
        chains_(new std::atomic<Entry*>[chain_mask_ + 1]()),
        last_sweep_(options_.now()) {
    sem_init(&wake_, /*pshared=*/0, 0);
    {
      MutexLock lock(mu_);
      for (Role role : {Role::kClient, Role::kServer}) {
        overflow_[static_cast<std::size_t>(role)] = NewEntry(role, "", "other");
      }
    }
    for (const SettingsIssue& warning : SettingsWarnings(options_.settings)) {
      options_.log("fusebox: warning: " + warning.message);
    }
    for (const auto& [pattern, settings] : options_.method_settings) {
      for (const SettingsIssue& warning : SettingsWarnings(settings)) {
        options_.log("fusebox: warning: " + pattern + ": " + warning.message);
      }
    }
    if (options_.start_dispatcher) {
      dispatcher_ = std::thread([this] { RunDispatcher(); });
    }
  }

  ~State() {
    if (dispatcher_.joinable()) {
      stopping_.store(true, std::memory_order_release);
      sem_post(&wake_);
      dispatcher_.join();
    }
    sem_destroy(&wake_);
  }

  const RegistryOptions& options() const { return options_; }

  // ---- look-up

  Entry* FindKnown(Role role, std::string_view target,
                   std::string_view method) const {
    const std::size_t hash = HashOf(role, target, method);
    for (Entry* entry =
             chains_[hash & chain_mask_].load(std::memory_order_acquire);
         entry != nullptr;
         entry = entry->next.load(std::memory_order_acquire)) {
      if (entry->hash == hash && entry->Is(role, target, method)) return entry;
    }
    return nullptr;
  }

  // Finds or makes. Null at the limit.
  Entry* FindOrMake(Role role, std::string_view target, std::string_view method,
                    bool pinned) FUSEBOX_EXCLUDES(mu_) {
    Entry* entry = FindKnown(role, target, method);
    if (entry != nullptr && !pinned) return entry;
    if (entry == nullptr && Full()) return nullptr;
    MutexLock lock(mu_);
    entry = FindKnown(role, target, method);
    if (entry == nullptr) {
      if (Full()) return nullptr;
      std::unique_ptr<Entry> made = NewEntry(role, target, method);
      entry = made.get();
      std::atomic<Entry*>& head = chains_[entry->hash & chain_mask_];
      entry->next.store(head.load(std::memory_order_relaxed),
                        std::memory_order_relaxed);
      // Pairs with the acquires in FindKnown().
      head.store(entry, std::memory_order_release);
      entries_[entry->id] = std::move(made);
      count_.fetch_add(1, std::memory_order_relaxed);
    }
    if (pinned) pinned_.push_back(entry);
    return entry;
  }

  Entry& Overflow(Role role) {
    overflowed_.fetch_add(1, std::memory_order_relaxed);
    return *overflow_[static_cast<std::size_t>(role)];
  }

  void AddScope(BreakerScope* scope) FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    scopes_.push_back(scope);
  }
  void RemoveScope(BreakerScope* scope) FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    scopes_.erase(std::find(scopes_.begin(), scopes_.end(), scope));
  }

  // ---- readers

  // Calls `f` for every entry, the overflow ones last and only if used. Entries
  // stay while it runs.
  template <class F>
  void ForEach(F f) FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    std::vector<Entry*> sorted;
    sorted.reserve(entries_.size());
    for (const auto& [id, entry] : entries_) sorted.push_back(entry.get());
    std::sort(sorted.begin(), sorted.end(), [](Entry* a, Entry* b) {
      return std::tie(a->role, a->target, a->method) <
             std::tie(b->role, b->target, b->method);
    });
    for (const auto& entry : overflow_) {
      if (entry->asked_or_ended() != 0) sorted.push_back(entry.get());
    }
    for (Entry* entry : sorted) f(*entry);
  }

  // Calls `f` for the one entry of that name, if there is.
  template <class F>
  bool With(Role role, std::string_view target, std::string_view method, F f)
      FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    Entry* entry = FindKnown(role, target, method);
    if (entry == nullptr) {
      const auto& overflow = overflow_[static_cast<std::size_t>(role)];
      if (!overflow->Is(role, target, method)) return false;
      entry = overflow.get();
    }
    f(*entry);
    return true;
  }

  Stats stats() const FUSEBOX_EXCLUDES(mu_) {
    Stats stats;
    stats.breakers = static_cast<std::size_t>(
        std::max(0, count_.load(std::memory_order_relaxed)));
    stats.overflowed = overflowed_.load(std::memory_order_relaxed);
    stats.retired = retired_total_.load(std::memory_order_relaxed);
    stats.transitions = sequence_.load(std::memory_order_relaxed);
    stats.skipped = queue_.skipped();
    return stats;
  }

  // ---- watchers

  // Called with each transition or, if `of_rounds`, with null after each round.
  struct Called {
    bool of_rounds;
    std::function<void(const Transition*)> call;
  };

  std::uint64_t AddWatcher(Called watcher) FUSEBOX_EXCLUDES(watchers_mu_) {
    const bool of_rounds = watcher.of_rounds;
    std::uint64_t id;
    {
      MutexLock lock(watchers_mu_);
      id = ++last_watcher_;
      watchers_[id] = std::make_shared<const Called>(std::move(watcher));
    }
    if (of_rounds) sem_post(&wake_);
    return id;
  }

  void RemoveWatcher(std::uint64_t id) FUSEBOX_EXCLUDES(watchers_mu_) {
    MutexLock lock(watchers_mu_);
    watchers_.erase(id);
    while (calling_ == id && caller_ != std::this_thread::get_id()) {
      call_ended_.wait(watchers_mu_);
    }
  }

  // ---- dispatch

  void Dispatch() {
    for (;;) {
      const TimePoint now = options_.now();
      bool progress = false;
      QueuedChange change;
      while (queue_.Pop(change)) {
        TakeChange(change);
        progress = true;
      }
      if (queue_.skipped() != skipped_seen_) {
        CatchUp();
        progress = true;
      }
      if (AnnounceDue(now)) progress = true;
      if (!progress) break;
    }
    CallWatchers(nullptr);
    SweepIfDue(options_.now());
  }

 private:
  bool Full() const {
    return count_.load(std::memory_order_relaxed) >= options_.max_breakers;
  }

  std::unique_ptr<Entry> NewEntry(Role role, std::string_view target,
                                  std::string_view method)
      FUSEBOX_REQUIRES(mu_) {
    return std::make_unique<Entry>(*this, ++last_id_, role, target, method,
                                   options_, policies_.For(method),
                                   options_.now());
  }

 public:
  // The listener of every breaker; on the call path.
  static void OnChange(void* context, CircuitBreaker&,
                       const StateChange& change, std::uint32_t number) {
    Entry* entry = static_cast<Entry*>(context);
    QueuedChange queued;
    queued.source = entry;
    queued.number = number;
    queued.change = change;
    entry->registry.queue_.Push(queued);
    sem_post(&entry->registry.wake_);
  }
  static void OnRescheduled(void* context) {
    Entry* entry = static_cast<Entry*>(context);
    entry->rescheduled.store(true, std::memory_order_release);
    sem_post(&entry->registry.wake_);
  }

 private:
  void RunDispatcher() {
    while (!stopping_.load(std::memory_order_acquire)) {
      Dispatch();
      WaitUntilDue();
    }
    Dispatch();
  }

  void WaitUntilDue() {
    // Wakes now and then however far the next moment is: the clock may be one
    // that somebody sets.
    constexpr Duration kLongestWait = std::chrono::milliseconds(500);
    const TimePoint now = options_.now();
    Duration wait = kLongestWait;
    for (const Entry* entry : active_) {
      if (entry->due < now + wait) wait = entry->due - now;
    }
    // The coarse clock may not have reached the moment when the wait ends.
    wait = std::max<Duration>(wait, std::chrono::milliseconds(1));
    timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const std::int64_t ns = until.tv_nsec + wait.count();
    until.tv_sec += static_cast<time_t>(ns / 1'000'000'000);
    until.tv_nsec = static_cast<long>(ns % 1'000'000'000);
    if (sem_clockwait(&wake_, CLOCK_MONOTONIC, &until) == 0) {
      // One round serves all that is posted so far.
      while (sem_trywait(&wake_) == 0) {
      }
    }
  }

  void TakeChange(const QueuedChange& queued) {
    Entry& entry = *static_cast<Entry*>(queued.source);
    if (queued.number < entry.next_number) return;  // CatchUp() spoke for it
    entry.early.push_back(queued);
    for (bool found = true; found;) {
      found = false;
      for (auto it = entry.early.begin(); it != entry.early.end(); ++it) {
        if (it->number != entry.next_number) continue;
        const StateChange change = it->change;
        entry.early.erase(it);
        ++entry.next_number;
        Announce(entry, change);
        found = true;
        break;
      }
    }
    Reschedule(entry);
  }

  // Some changes found no room in the queue: tell where every breaker stands.
  void CatchUp() {
    const std::uint64_t skipped = queue_.skipped();
    pending_skipped_ += skipped - skipped_seen_;
    skipped_seen_ = skipped;
    const TimePoint now = options_.now();
    for (Entry* entry : AllEntries()) {
      const StateView view = entry->breaker.View(now);
      // Whatever is still on its way is older than what this view tells.
      entry->next_number = view.changes + 1;
      entry->early.clear();
      StateChange change;
      change.to = view.state;
      change.override_to = view.override_state;
      change.reason = TransitionReason::kCaughtUp;
      change.generation = view.generation;
      change.at = now;
      Announce(*entry, change);
      Reschedule(*entry);
    }
  }

  // True if anything was announced or committed.
  bool AnnounceDue(TimePoint now) {
    bool progress = false;
    // Announcing changes active_.
    const std::vector<Entry*> active = active_;
    for (Entry* entry : active) {
      const bool rescheduled =
          entry->rescheduled.exchange(false, std::memory_order_acquire);
      if (!rescheduled && entry->due > now) continue;
      const TimePoint due = entry->due;
      const StateView view = entry->breaker.View(now);
      if (view.changes + 1 != entry->next_number) {
        // A change is on its way, perhaps of View()'s own making.
        entry->due = view.next_change;
        progress = true;
        continue;
      }
      if (view.state != entry->announced) {
        StateChange change;
        change.to = view.state;
        change.override_to = view.override_state;
        change.reason = view.state == fusebox::State::kHalfOpen
                            ? TransitionReason::kRecoveryDue
                            : TransitionReason::kRecoveryDeferred;
        change.generation = view.generation;
        change.at = std::min(due, now);
        Announce(*entry, change);
        progress = true;
      }
      Reschedule(*entry, view, now);
    }
    return progress;
  }

  // Tells the watchers, unless they know.
  void Announce(Entry& entry, const StateChange& change) {
    const fusebox::State to = Shown(change.to, change.override_to);
    if (to == entry.announced &&
        change.override_to == entry.announced_override) {
      return;
    }
    Transition transition;
    static_cast<StateChange&>(transition) = change;
    transition.from = entry.announced;
    transition.override_from = entry.announced_override;
    transition.to = to;
    entry.announced = to;
    entry.announced_override = change.override_to;

    transition.sequence = sequence_.fetch_add(1, std::memory_order_relaxed) + 1;
    transition.skipped = std::exchange(pending_skipped_, 0);
    transition.breaker_id = entry.id;
    transition.role = entry.role;
    transition.target = entry.target;
    transition.method = entry.method;
    const bool shadow = entry.breaker.settings().mode == Mode::kShadow;
    options_.log(FormatTransition(transition) + (shadow ? " (shadow)" : ""));
    CallWatchers(&transition);
  }

  // Those of transitions; null: those of rounds.
  void CallWatchers(const Transition* transition)
      FUSEBOX_EXCLUDES(watchers_mu_) {
    std::vector<std::uint64_t> ids;
    {
      MutexLock lock(watchers_mu_);
      for (const auto& [id, watcher] : watchers_) {
        if (watcher->of_rounds == (transition == nullptr)) ids.push_back(id);
      }
    }
    for (std::uint64_t id : ids) {
      std::shared_ptr<const Called> watcher;
      {
        MutexLock lock(watchers_mu_);
        const auto found = watchers_.find(id);
        if (found == watchers_.end()) continue;
        watcher = found->second;
        calling_ = id;
        caller_ = std::this_thread::get_id();
      }
      watcher->call(transition);
      {
        MutexLock lock(watchers_mu_);
        calling_ = 0;
      }
      call_ended_.notify_all();
    }
  }

  void Reschedule(Entry& entry) {
    const TimePoint now = options_.now();
    Reschedule(entry, entry.breaker.View(now), now);
  }
  void Reschedule(Entry& entry, const StateView& view, TimePoint now) {
    // If time has already decided something that is not announced (this thread
    // was late), it is due now: nothing else may ever come.
    entry.due = view.state != entry.announced ? now : view.next_change;
    const bool active = view.state != fusebox::State::kClosed ||
                        view.override_state != Override::kNone ||
                        entry.announced != fusebox::State::kClosed ||
                        entry.announced_override != Override::kNone;
    const auto found = std::find(active_.begin(), active_.end(), &entry);
    if (active && found == active_.end()) active_.push_back(&entry);
    if (!active && found != active_.end()) active_.erase(found);
  }

  std::vector<Entry*> AllEntries() FUSEBOX_EXCLUDES(mu_) {
    // Only the dispatcher deletes entries.
    MutexLock lock(mu_);
    std::vector<Entry*> all;
    for (const auto& [id, entry] : entries_) all.push_back(entry.get());
    for (const auto& entry : overflow_) all.push_back(entry.get());
    return all;
  }

  // ---- retirement

  void SweepIfDue(TimePoint now) {
    if (now - last_sweep_ < options_.idle_timeout / 4) return;
    last_sweep_ = now;
    DeleteRetired(now);
    for (Entry* entry : AllEntries()) {
      const std::uint64_t asked = entry->asked_or_ended();
      if (asked != entry->asked) {
        entry->asked = asked;
        entry->idle_since = now;
        continue;
      }
      if (now - entry->idle_since < options_.idle_timeout ||
          entry->breaker.in_flight() != 0 || MustStay(entry)) {
        continue;
      }
      const StateView view = entry->breaker.View(now);
      if (view.override_state != Override::kNone) continue;
      if (view.state != fusebox::State::kClosed ||
          entry->announced != fusebox::State::kClosed) {
        // Watchers hear that it is over; retired by a later sweep.
        entry->breaker.Reset(now);
        continue;
      }
      Retire(entry, now);
    }
  }

  bool MustStay(Entry* entry) FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return entry->role == Role::kServer ||
           entry == overflow_[static_cast<std::size_t>(entry->role)].get() ||
           std::find(pinned_.begin(), pinned_.end(), entry) != pinned_.end();
  }

  void Retire(Entry* entry, TimePoint now) FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    std::atomic<Entry*>* link = &chains_[entry->hash & chain_mask_];
    while (link->load(std::memory_order_relaxed) != entry) {
      link = &link->load(std::memory_order_relaxed)->next;
    }
    link->store(entry->next.load(std::memory_order_relaxed),
                std::memory_order_release);
    entry->retired.store(true, std::memory_order_seq_cst);
    Forget(entry);
    entry->retired_at = now;
    const auto found = entries_.find(entry->id);
    retired_.push_back(std::move(found->second));
    entries_.erase(found);
    count_.fetch_sub(1, std::memory_order_relaxed);
    retired_total_.fetch_add(1, std::memory_order_relaxed);
  }

  void DeleteRetired(TimePoint now) FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    for (auto it = retired_.begin(); it != retired_.end();) {
      Entry* entry = it->get();
      ++entry->sweeps_retired;
      if (entry->sweeps_retired < 2 || now - entry->retired_at < kGrace ||
          entry->breaker.in_flight() != 0) {
        ++it;
        continue;
      }
      // Somebody may have cached it again while it was being retired.
      Forget(entry);
      active_.erase(std::remove(active_.begin(), active_.end(), entry),
                    active_.end());
      it = retired_.erase(it);
    }
  }

  // Takes the entry out of every scope's cache.
  void Forget(Entry* entry) FUSEBOX_REQUIRES(mu_) {
    for (BreakerScope* scope : scopes_) scope->cache_.Forget(entry);
  }

  const RegistryOptions options_;
  const Policies policies_;
  TransitionQueue queue_;
  sem_t wake_;

  const std::size_t chain_mask_;
  const std::unique_ptr<std::atomic<Entry*>[]> chains_;
  std::array<std::unique_ptr<Entry>, 2> overflow_;  // by Role; never replaced

  Mutex mu_;
  std::map<std::uint64_t, std::unique_ptr<Entry>> entries_
      FUSEBOX_GUARDED_BY(mu_);
  std::vector<std::unique_ptr<Entry>> retired_ FUSEBOX_GUARDED_BY(mu_);
  std::vector<Entry*> pinned_ FUSEBOX_GUARDED_BY(mu_);
  std::vector<BreakerScope*> scopes_ FUSEBOX_GUARDED_BY(mu_);
  std::uint64_t last_id_ FUSEBOX_GUARDED_BY(mu_) = 0;

  std::atomic<int> count_{0};
  std::atomic<std::uint64_t> overflowed_{0};
  std::atomic<std::uint64_t> retired_total_{0};
  std::atomic<std::uint64_t> sequence_{0};

  Mutex watchers_mu_;
  std::map<std::uint64_t, std::shared_ptr<const Called>> watchers_
      FUSEBOX_GUARDED_BY(watchers_mu_);
  std::uint64_t last_watcher_ FUSEBOX_GUARDED_BY(watchers_mu_) = 0;
  std::uint64_t calling_ FUSEBOX_GUARDED_BY(watchers_mu_) = 0;
  std::thread::id caller_ FUSEBOX_GUARDED_BY(watchers_mu_);
  std::condition_variable_any call_ended_;

  // The dispatcher's.
  std::vector<Entry*> active_;  // not plainly closed, or announced otherwise
  std::uint64_t skipped_seen_ = 0;
  std::uint64_t pending_skipped_ = 0;
  TimePoint last_sweep_;

  std::atomic<bool> stopping_{false};
  std::thread dispatcher_;
};

CircuitBreaker::Options BreakerScope::Entry::BreakerOptions(
    const RegistryOptions& options) {
  CircuitBreaker::Options breaker_options;
  breaker_options.shards = options.shards;
  breaker_options.now = options.now;
  static const CircuitBreaker::Listener listener = {
      &BreakerRegistry::State::OnChange,
      &BreakerRegistry::State::OnRescheduled};
  breaker_options.listener = &listener;
  breaker_options.listener_context = this;
  return breaker_options;
}

// ---------------------------------------------------------------------------

BreakerRegistry::BreakerRegistry(const Settings& settings)
    : BreakerRegistry(WithSettings(settings)) {}

BreakerRegistry::BreakerRegistry(const RegistryOptions& options)
    : now_(options.now), state_(std::make_unique<State>(options)) {}

BreakerRegistry::~BreakerRegistry() = default;

const RegistryOptions& BreakerRegistry::options() const {
  return state_->options();
}

std::unique_ptr<BreakerScope> BreakerRegistry::Scope(Role role,
                                                     std::string_view target) {
  return std::unique_ptr<BreakerScope>(new BreakerScope(*this, role, target));
}

GuardedMethod BreakerRegistry::PinMethod(Role role, std::string_view target,
                                         std::string_view method) {
  BreakerScope::Entry* entry =
      state_->FindOrMake(role, target, method, /*pinned=*/true);
  return (entry != nullptr ? *entry : state_->Overflow(role)).guarded();
}

BreakerRegistry::Watch BreakerRegistry::WatchTransitions(Watcher watcher) {
  return Watch(state_.get(),
               state_->AddWatcher(
                   {/*of_rounds=*/false, [watcher = std::move(watcher)](
                                             const Transition* transition) {
                      watcher(*transition);
                    }}));
}

BreakerRegistry::Watch BreakerRegistry::WatchRounds(
    std::function<void()> look) {
  return Watch(state_.get(),
               state_->AddWatcher(
                   {/*of_rounds=*/true,
                    [look = std::move(look)](const Transition*) { look(); }}));
}

void BreakerRegistry::Watch::Stop() {
  if (state_ != nullptr) std::exchange(state_, nullptr)->RemoveWatcher(id_);
}

namespace {

template <class Entry>
BreakerSnapshot NamedSnapshot(Entry& entry, TimePoint now) {
  BreakerSnapshot snapshot = entry.breaker.Snapshot(now);
  snapshot.id = entry.id;
  snapshot.role = entry.role;
  snapshot.target = entry.target;
  snapshot.method = entry.method;
  return snapshot;
}

}  // namespace

std::vector<BreakerSnapshot> BreakerRegistry::Snapshots() {
  std::vector<BreakerSnapshot> snapshots;
  const TimePoint now = Now();
  state_->ForEach([&](BreakerScope::Entry& entry) {
    snapshots.push_back(NamedSnapshot(entry, now));
  });
  return snapshots;
}

std::optional<BreakerSnapshot> BreakerRegistry::Snapshot(
    Role role, std::string_view target, std::string_view method) {
  std::optional<BreakerSnapshot> snapshot;
  state_->With(role, target, method, [&](BreakerScope::Entry& entry) {
    snapshot = NamedSnapshot(entry, Now());
  });
  return snapshot;
}

std::vector<BreakerRegistry::NamedView> BreakerRegistry::Views() {
  std::vector<NamedView> views;
  const TimePoint now = Now();
  state_->ForEach([&](BreakerScope::Entry& entry) {
    views.push_back({entry.id, entry.role, entry.target, entry.method,
                     entry.breaker.View(now)});
  });
  return views;
}

std::vector<MethodCalls> BreakerRegistry::Calls() {
  std::vector<MethodCalls> all;
  if (!options().call_stats) return all;
  state_->ForEach([&](BreakerScope::Entry& entry) {
    all.push_back({entry.id, entry.role, entry.target, entry.method,
                   entry.calls->Snapshot()});
  });
  return all;
}

bool BreakerRegistry::Force(Role role, std::string_view target,
                            std::string_view method, Override override_state,
                            TimePoint until) {
  return state_->With(role, target, method, [&](BreakerScope::Entry& entry) {
    entry.breaker.Force(override_state, until, Now());
  });
}

bool BreakerRegistry::Release(Role role, std::string_view target,
                              std::string_view method) {
  bool released = false;
  state_->With(role, target, method, [&](BreakerScope::Entry& entry) {
    released = entry.breaker.Release(Now());
  });
  return released;
}

bool BreakerRegistry::Reset(Role role, std::string_view target,
                            std::string_view method) {
  return state_->With(role, target, method, [&](BreakerScope::Entry& entry) {
    entry.breaker.Reset(Now());
  });
}

BreakerRegistry::Stats BreakerRegistry::stats() const {
  return state_->stats();
}

void BreakerRegistry::Dispatch() { state_->Dispatch(); }

// ---------------------------------------------------------------------------

BreakerScope::BreakerScope(BreakerRegistry& registry, Role role,
                           std::string_view target)
    : registry_(registry),
      role_(role),
      call_stats_(registry.options().call_stats),
      target_(target) {
  registry_.state_->AddScope(this);
}

BreakerScope::~BreakerScope() { registry_.state_->RemoveScope(this); }

CircuitBreaker& BreakerScope::Find(const char* method) {
  Entry* const known = cache_.Find(method);
  return known != nullptr ? known->breaker : FindOrMake(method).breaker;
}

GuardedMethod BreakerScope::FindMethod(const char* method) {
  Entry* const known = cache_.Find(method);
  Entry& entry = known != nullptr ? *known : FindOrMake(method);
  // Without, the line of the pointer is not touched.
  return call_stats_ ? entry.guarded() : GuardedMethod{&entry.breaker, nullptr};
}

BreakerScope::Entry& BreakerScope::FindOrMake(const char* method) {
  Entry* const entry = registry_.state_->FindOrMake(role_, target_, method,
                                                    /*pinned=*/false);
  if (entry == nullptr) return registry_.state_->Overflow(role_);
  cache_.Insert(method, entry);
  if (entry->retired.load(std::memory_order_seq_cst)) {
    // Retired meanwhile, and perhaps forgotten before it was inserted.
    cache_.Forget(entry);
    return registry_.state_->Overflow(role_);
  }
  return *entry;
}

// ---------------------------------------------------------------------------

BreakerScope::Cache::Cache() {
  tables_.push_back(std::make_unique<Table>(kMinBits));
  table_.store(tables_.back().get(), std::memory_order_release);
}

std::size_t BreakerScope::Cache::Home(const Table& table, const char* method) {
  // Names are literals of generated code, some tens of bytes apart: spread the
  // address by Fibonacci hashing.
  const auto address = reinterpret_cast<std::uintptr_t>(method);
  return static_cast<std::size_t>((address * 0x9e3779b97f4a7c15u) >>
                                  (64 - table.bits));
}

std::uintptr_t BreakerScope::Cache::Mark(const char* method) {
  const auto address = reinterpret_cast<std::uintptr_t>(method);
  return ((address * 0xff51afd7ed558ccdu) >> 32) & kMarkMask;
}

BreakerScope::Entry* BreakerScope::Cache::Find(const char* method) const {
  const Table& table = *table_.load(std::memory_order_acquire);
  const std::size_t home = Home(table, method);
  const std::uintptr_t mark = Mark(method);
  for (std::size_t i = 0; i < kProbes; ++i) {
    const std::uintptr_t slot = table.slots[home + i].load(
        std::memory_order_acquire);  // pairs with the release in Insert()
    if (slot == 0) return nullptr;
    if ((slot & kMarkMask) != mark || slot == kForgotten) continue;
    Entry* entry = EntryOf(slot);
    if (entry->IsMethod(method)) return entry;
  }
  return nullptr;
}

void BreakerScope::Cache::Insert(const char* method, Entry* entry) {
  const std::uintptr_t mark = Mark(method);
  const std::uintptr_t value = reinterpret_cast<std::uintptr_t>(entry) | mark;
  for (;;) {
    Table& table = *table_.load(std::memory_order_acquire);
    std::atomic<std::uintptr_t>* const home = &table.slots[Home(table, method)];
    for (std::size_t i = 0; i < kProbes; ++i) {
      std::uintptr_t slot = home[i].load(std::memory_order_acquire);
      if ((slot == 0 || slot == kForgotten) &&
          home[i].compare_exchange_strong(slot, value,
                                          std::memory_order_seq_cst)) {
        return;
      }
    }
    if (Grow(table)) continue;
    // Rather one that may be this address under an earlier name.
    std::size_t victim = 0;
    for (std::size_t i = 0; i < kProbes; ++i) {
      if ((home[i].load(std::memory_order_relaxed) & kMarkMask) == mark) {
        victim = i;
      }
    }
    home[victim].store(value, std::memory_order_seq_cst);
    return;
  }
}

bool BreakerScope::Cache::Grow(Table& full) {
  if (full.bits == kMaxBits) return false;
  MutexLock lock(mu_);
  if (table_.load(std::memory_order_relaxed) == &full) {
    // What the old table knew is found again through the registry. The old one
    // stays: somebody may be reading it.
    tables_.push_back(std::make_unique<Table>(full.bits + 1));
    table_.store(tables_.back().get(), std::memory_order_release);
  }
  return true;
}

void BreakerScope::Cache::Forget(Entry* entry) {
  MutexLock lock(mu_);
  for (const auto& table : tables_) {
    for (std::atomic<std::uintptr_t>& place : table->slots) {
      std::uintptr_t slot = place.load(std::memory_order_seq_cst);
      if (EntryOf(slot) == entry) {
        place.compare_exchange_strong(slot, kForgotten,
                                      std::memory_order_seq_cst);
      }
    }
  }
}

}  // namespace fusebox
