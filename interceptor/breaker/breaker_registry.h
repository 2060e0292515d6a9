// The breakers of a process: found by (role, target, method), bounded, watched.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_BREAKER_REGISTRY_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_BREAKER_REGISTRY_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "interceptor/breaker/circuit_breaker.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/breaker/settings.h"
#include "interceptor/breaker/state.h"
#include "interceptor/stats/latency_snapshot.h"

namespace fusebox {

class BreakerScope;
class LatencyRecorder;

struct RegistryOptions {
  // Of every breaker without others in `method_settings`. Must be valid.
  Settings settings;

  // Settings of some methods, whatever their role and target, by pattern
  // (method_pattern.h): "/pkg.Service/Method", or "/pkg.Service/*" for the
  // methods of a service that have none of their own. Each must be valid and
  // stands alone: nothing is taken over from `settings`. Looked at only when a
  // breaker is made; breakers with equal settings share them.
  std::map<std::string, Settings> method_settings;

  // Breakers held at most; further methods share one overflow breaker for each
  // role (target "", method "other"). At least 1.
  int max_breakers = 4096;

  // A client breaker that was asked nothing for this long, has no permit out
  // and stands under no override gives its place up. At least 1 s.
  Duration idle_timeout = std::chrono::minutes(10);

  // The clock of every breaker and of the glue.
  NowFunction now = &CoarseNow;

  // Counter shards of each breaker; 0: two per core, at most 64. Each costs 96
  // + 16 * buckets bytes, rounded up to 64.
  int shards = 0;

  // Whether calls are counted by status code and latency: Calls(). Costs two
  // readings of the fine clock for each call and memory for each method in use
  // (stats/latency_recorder.h); without, nothing.
  bool call_stats = false;

  // State changes that may wait for the dispatcher; beyond it they are skipped
  // and counted. At least 1.
  std::size_t queue_capacity = 1024;

  // Without, nothing is delivered until Dispatch() is called: for tests with a
  // clock of their own.
  bool start_dispatcher = true;

  // Gets one line for each transition (in mode shadow it says so) and warning;
  // empty: standard error.
  // Called on the dispatcher thread. Must not block for long.
  std::function<void(const std::string& line)> log;
};

// What came of the calls of one method that were admitted and have ended,
// whatever its breaker made of them: how many for each status, and how long the
// unary ones took. The status is the one that a client saw, or that a server's
// handler gave (UNKNOWN if it threw); CANCELLED or DEADLINE_EXCEEDED if the
// call was over before.
//
// Not among them: refused calls; those that a client dropped without asking for
// their status or cancelling them; those that a server answered without the
// handler.
struct MethodCalls {
  using OfCode = CallsOfCode;

  std::uint64_t breaker_id = 0;  // as in BreakerSnapshot: new counts, new id
  Role role = Role::kClient;
  std::string target;
  std::string method;
  std::vector<OfCode> codes;  // those that have occurred, in ascending order
};

// A breaker and what records its calls, which lives as long. Without
// RegistryOptions::call_stats the latter is null.
struct GuardedMethod {
  CircuitBreaker* breaker = nullptr;
  LatencyRecorder* calls = nullptr;
};

// Owns breakers and tells what happens to them.
//
// The caller must keep it alive longer than every scope, permit, channel and
// server that uses it, and destroy it on a thread that is not delivering one of
// its events.
//
// Guarantees: one breaker per (role, target, method); never more than
// max_breakers and two overflow breakers; finding a known one takes no lock and
// allocates nothing (BreakerScope::Find). Transitions are numbered in one
// sequence and delivered one at a time by one thread, those of one breaker in
// the order in which they happened; each change appears once, also those that
// time alone decides, or is counted as skipped.
//
// Thread-safe. Example:
//
//   fusebox::BreakerRegistry breakers(settings);
//   auto watch = breakers.Watch([](const fusebox::Transition& t) { ... });
class BreakerRegistry {
 public:
  using Watcher = std::function<void(const Transition&)>;

  // Ends a watch when destroyed; afterwards the watcher is not called again. If
  // that happens on another thread than the dispatcher, a call under way is
  // waited for. Must not outlive the registry.
  class [[nodiscard]] Watch;

  // Throws std::invalid_argument, naming each bad field, its value and its
  // range.
  explicit BreakerRegistry(const Settings& settings = Settings());
  explicit BreakerRegistry(const RegistryOptions& options);
  ~BreakerRegistry();
  BreakerRegistry(const BreakerRegistry&) = delete;
  BreakerRegistry& operator=(const BreakerRegistry&) = delete;

  const RegistryOptions& options() const;
  TimePoint Now() const { return now_(); }

  // The breakers of one target (client) or of the servers of this process.
  // Cheap enough for each channel, not for each call.
  std::unique_ptr<BreakerScope> Scope(Role role, std::string_view target);

  // The breaker of one method, kept for the life of the registry however idle.
  // At the limit, the overflow breaker.
  CircuitBreaker& Pin(Role role, std::string_view target,
                      std::string_view method) {
    return *PinMethod(role, target, method).breaker;
  }
  GuardedMethod PinMethod(Role role, std::string_view target,
                          std::string_view method);

  // Calls `watcher` for every transition from now on, on the dispatcher
  // thread. It may call the registry and its breakers, and end its own watch.
  Watch WatchTransitions(Watcher watcher);

  // Calls `look` on the dispatcher thread whenever that has delivered what was
  // due, at least every 500 ms; the first time soon. It may do what a watcher
  // of transitions may. For those who follow counters beside transitions.
  Watch WatchRounds(std::function<void()> look);

  // As of now. Order: by role, target, method; overflow breakers last, if used.
  std::vector<BreakerSnapshot> Snapshots();
  std::optional<BreakerSnapshot> Snapshot(Role role, std::string_view target,
                                          std::string_view method);
  // Without counters, much cheaper. Names as Snapshot().
  struct NamedView {
    std::uint64_t id;
    Role role;
    std::string target;
    std::string method;
    StateView view;
  };
  std::vector<NamedView> Views();
  // Order and names as Snapshots(). Empty without RegistryOptions::call_stats.
  std::vector<MethodCalls> Calls();

  // An operator's acts, by name. False if there is no such breaker (for
  // Release(): or no override).
  bool Force(Role role, std::string_view target, std::string_view method,
             Override override_state, TimePoint until);
  bool Release(Role role, std::string_view target, std::string_view method);
  bool Reset(Role role, std::string_view target, std::string_view method);

  struct Stats {
    std::size_t breakers = 0;       // overflow breakers not included
    std::uint64_t overflowed = 0;   // look-ups answered by an overflow breaker
    std::uint64_t retired = 0;      // idle breakers that gave their place up
    std::uint64_t transitions = 0;  // delivered, that is the last sequence
    std::uint64_t skipped = 0;      // changes lost: queue full
  };
  Stats stats() const;

  // Delivers what is due, on this thread. Only without the dispatcher thread.
  void Dispatch();

 private:
  friend class BreakerScope;
  class State;

  const NowFunction now_;
  const std::unique_ptr<State> state_;
};

class [[nodiscard]] BreakerRegistry::Watch {
 public:
  Watch() = default;
  ~Watch() { Stop(); }
  Watch(Watch&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)), id_(other.id_) {}
  Watch& operator=(Watch&& other) noexcept {
    if (this != &other) {
      Stop();
      state_ = std::exchange(other.state_, nullptr);
      id_ = other.id_;
    }
    return *this;
  }
  void Stop();

 private:
  friend class BreakerRegistry;
  Watch(State* state, std::uint64_t id) : state_(state), id_(id) {}
  State* state_ = nullptr;
  std::uint64_t id_ = 0;
};

// The way from a call to its breaker.
//
// Thread-safe. Must not outlive its registry.
class BreakerScope {
 public:
  ~BreakerScope();
  BreakerScope(const BreakerScope&) = delete;
  BreakerScope& operator=(const BreakerScope&) = delete;

  // The breaker of `method`, which is made if it is new; at the limit the
  // overflow breaker. Once a method is known: no lock, no allocation. Ask for
  // each call anew: a breaker may be retired when idle; a permit keeps it.
  CircuitBreaker& Find(const char* method);
  // The same with what records its calls. A permit keeps that as well.
  GuardedMethod FindMethod(const char* method);

  const std::string& target() const { return target_; }
  BreakerRegistry& registry() const { return registry_; }

 private:
  friend class BreakerRegistry;
  friend class BreakerRegistry::State;
  struct Entry;

  BreakerScope(BreakerRegistry& registry, Role role, std::string_view target);

  // For what the cache does not know.
  Entry& FindOrMake(const char* method);

  // Breakers by the address of the method's name. The name is compared as well,
  // since generic stubs reuse addresses. Lock-free but for growing.
  //
  // A slot holds the address of an entry and, in the bits that its alignment
  // leaves free, a mark made of the address of the name. Open addressing over
  // kProbes neighbours; grows while a newcomer finds them taken, then replaces
  // one of them.
  class Cache {
   public:
    Cache();
    Entry* Find(const char* method) const;
    void Insert(const char* method, Entry* entry) FUSEBOX_EXCLUDES(mu_);
    // Takes out every slot that leads to `entry`.
    void Forget(Entry* entry) FUSEBOX_EXCLUDES(mu_);

   private:
    static constexpr int kMinBits = 5;
    static constexpr int kMaxBits = 13;
    static constexpr std::size_t kProbes = 8;
    static constexpr std::uintptr_t kMarkMask = 63;   // entries: 64-byte lines
    static constexpr std::uintptr_t kForgotten = 64;  // the address of nothing

    struct Table {
      explicit Table(int table_bits)
          : bits(table_bits), slots((std::size_t{1} << bits) + kProbes) {}
      const int bits;
      std::vector<std::atomic<std::uintptr_t>> slots;
    };
    static std::size_t Home(const Table& table, const char* method);
    static std::uintptr_t Mark(const char* method);
    static Entry* EntryOf(std::uintptr_t slot) {
      return reinterpret_cast<Entry*>(slot & ~kMarkMask);
    }
    // False if it is as large as it gets.
    bool Grow(Table& full) FUSEBOX_EXCLUDES(mu_);

    Mutex mu_;
    std::vector<std::unique_ptr<Table>> tables_ FUSEBOX_GUARDED_BY(mu_);
    std::atomic<Table*> table_;
  };

  BreakerRegistry& registry_;
  const Role role_;
  const bool call_stats_;
  const std::string target_;
  Cache cache_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_BREAKER_REGISTRY_H_
