#include "interceptor/breaker/model/model_check.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <map>
#include <new>
#include <numeric>
#include <ostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

// Last, and its macros are taken back: nothing below may mean what it says.
#include <relacy/relacy.hpp>
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

namespace fusebox::model {
namespace {

using ModelledWord = rl::atomic<std::uint64_t>;

constexpr int kMaxWords = 1024;
constexpr int kMaxSites = 512;
constexpr std::size_t kStorage = std::size_t{256} << 10;

// At the first try of a broken variant.
constexpr int kFewDraws = 1000;

constexpr int kNobody = -1;
constexpr int kSeveral = -2;

// A site as it is noted while Relacy runs, when nothing may allocate.
struct NotedSite {
  Place place;
  Operation operation;
  Order order;
  bool shared;
  bool looked_again;
};

// The one exploration under way: Relacy knows no second one either.
struct Exploration {
  const Case* test = nullptr;
  Scenario* scenario = nullptr;
  bool threads_run = false;
  int words = 0;
  std::array<bool, kMaxWords> shared = {};        // of this exploration
  std::array<bool, kMaxWords> found_shared = {};  // for the next one
  bool start_over = false;
  Fault fault = Fault::kNone;
  Place broken = {};
  Operation broken_operation = Operation::kLoad;
  bool note_sites = false;
  int noted = 0;
  std::array<NotedSite, kMaxSites> sites = {};
  std::array<char, 256> failure = {};
};
Exploration now;
alignas(64) std::array<std::byte, kStorage> storage;

int CurrentThread() { return now.threads_run ? rl::ctx().current_thread() : 0; }

bool Loads(Operation operation) { return operation != Operation::kStore; }
bool Stores(Operation operation) { return operation != Operation::kLoad; }
bool Acquires(Operation operation, Order order) {
  return Loads(operation) &&
         (order == Order::kAcquire || order == Order::kAcqRel ||
          order == Order::kSeqCst);
}
bool Releases(Operation operation, Order order) {
  return Stores(operation) &&
         (order == Order::kRelease || order == Order::kAcqRel ||
          order == Order::kSeqCst);
}
Order OrderOf(bool acquires, bool releases) {
  if (acquires) return releases ? Order::kAcqRel : Order::kAcquire;
  return releases ? Order::kRelease : Order::kRelaxed;
}

rl::memory_order RelacyOrder(Order order) {
  switch (order) {
    case Order::kRelaxed:
      return rl::mo_relaxed;
    case Order::kAcquire:
      return rl::mo_acquire;
    case Order::kRelease:
      return rl::mo_release;
    case Order::kAcqRel:
      return rl::mo_acq_rel;
    case Order::kSeqCst:
      return rl::mo_seq_cst;
  }
  return rl::mo_relaxed;
}

bool Same(const Place& a, const Place& b) {
  return a.line == b.line && std::strcmp(a.function, b.function) == 0 &&
         std::strcmp(a.file, b.file) == 0;
}

bool IsBroken(Fault fault, Operation operation, const Place& place) {
  return now.fault == fault && now.broken_operation == operation &&
         now.threads_run && Same(now.broken, place);
}

Order OrderAt(Operation operation, Order order, const Place& place) {
  const bool acquires = Acquires(operation, order);
  const bool releases = Releases(operation, order);
  if (IsBroken(Fault::kNoAcquire, operation, place)) {
    return OrderOf(false, releases);
  }
  if (IsBroken(Fault::kNoRelease, operation, place)) {
    return OrderOf(acquires, false);
  }
  if (order == Order::kSeqCst &&
      (!RelacySync::total_order ||
       IsBroken(Fault::kNoTotalOrder, operation, place))) {
    return OrderOf(acquires, releases);
  }
  return order;
}

void Note(Operation operation, Order order, const Place& place, bool shared,
          bool looked_again) {
  if (!now.note_sites || !now.threads_run) return;
  for (int i = 0; i < now.noted; ++i) {
    NotedSite& site = now.sites[static_cast<std::size_t>(i)];
    if (site.operation == operation && Same(site.place, place)) {
      site.shared |= shared;
      site.looked_again |= looked_again;
      return;
    }
  }
  if (now.noted == kMaxSites) std::abort();
  now.sites[static_cast<std::size_t>(now.noted++)] = {place, operation, order,
                                                      shared, looked_again};
}

rl::debug_info Info(const Place& place) {
  return rl::debug_info(place.function, place.file,
                        static_cast<unsigned>(place.line));
}

template <int kThreads>
struct Suite : rl::test_suite<Suite<kThreads>, kThreads> {
  void before() {
    now.words = 0;
    now.scenario = now.test->make(storage.data());
    now.threads_run = true;
  }
  void thread(unsigned index) { now.scenario->Thread(static_cast<int>(index)); }
  void after() {
    now.threads_run = false;
    now.scenario->After();
    now.scenario->~Scenario();
    if (now.start_over) rl::ctx().rl_until("", rl::debug_info());
  }
};

template <int kThreads>
rl::test_result_e Run(rl::test_params& params, std::ostream& state) {
  using Test = Suite<kThreads>;
  return params.search_type == rl::random_scheduler_type
             ? rl::run_test<Test, rl::random_scheduler<kThreads>>(params, state,
                                                                  false)
             : rl::run_test<Test, rl::context_bound_scheduler<kThreads>>(
                   params, state, false);
}

rl::test_result_e Run(const Case& test, rl::test_params& params,
                      std::ostream& state) {
  now.threads_run = false;
  return test.threads == 2 ? Run<2>(params, state) : Run<3>(params, state);
}

// Explores at random or by search until no new word turns out to be shared.
// Returns whether it held.
bool ExploreOneWay(const Case& test, rl::test_params params, bool explain,
                   std::uint64_t& interleavings) {
  std::ostream silent(nullptr);
  params.output_stream = &silent;
  params.progress_stream = &silent;
  for (;;) {
    now.shared = now.found_shared;
    now.start_over = false;
    rl::ostringstream state;
    rl::test_params attempt = params;
    const rl::test_result_e result = Run(test, attempt, state);
    interleavings = attempt.stop_iteration;
    if (result == rl::test_result_success) return true;
    if (result == rl::test_result_until_condition_hit) continue;
    if (now.failure[0] == '\0') {
      std::strncpy(now.failure.data(), rl::test_result_str(result),
                   now.failure.size() - 1);
    }
    if (explain) {
      attempt = params;
      attempt.initial_state = state.str();
      attempt.collect_history = true;
      attempt.output_stream = &std::cerr;
      rl::ostringstream ignored;
      Run(test, attempt, ignored);
    }
    return false;
  }
}

std::string WithCommas(std::uint64_t n) {
  std::string text = std::to_string(n);
  for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, ",");
  return text;
}

const char* OperationName(Operation operation) {
  switch (operation) {
    case Operation::kLoad:
      return "load";
    case Operation::kStore:
      return "store";
    case Operation::kSwap:
      return "compare-and-swap";
    case Operation::kModify:
      return "read-modify-write";
  }
  return "";
}

const char* FaultName(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "nothing wrong";
    case Fault::kNoAcquire:
      return "no acquire";
    case Fault::kNoRelease:
      return "no release";
    case Fault::kNoTotalOrder:
      return "no total order";
    case Fault::kSecondLook:
      return "no second look";
    case Fault::kTorn:
      return "torn";
  }
  return "";
}

bool Fits(Fault fault, const Site& site) {
  switch (fault) {
    case Fault::kNone:
      return false;
    case Fault::kNoAcquire:
      return Acquires(site.operation, site.order);
    case Fault::kNoRelease:
      return Releases(site.operation, site.order);
    case Fault::kNoTotalOrder:
      return site.order == Order::kSeqCst && RelacySync::total_order;
    case Fault::kSecondLook:
      return site.looked_again;
    case Fault::kTorn:
      return site.operation == Operation::kSwap ||
             site.operation == Operation::kModify;
  }
  return false;
}

bool SameSite(const Site& a, const Site& b) {
  return a.operation == b.operation && a.line == b.line &&
         a.function == b.function && a.file == b.file;
}

}  // namespace

// ---------------------------------------------------------------------------
// The word

Word::Word(std::uint64_t value)
    : index_(now.words++),
      modelled_(now.shared[static_cast<std::size_t>(index_)]),
      user_(kNobody),
      plain_(value) {
  static_assert(sizeof(ModelledWord) <= kModelBytes);
  static_assert(alignof(ModelledWord) <= 8);
  if (index_ >= kMaxWords) std::abort();
  if (modelled_) new (model_.data()) ModelledWord(value);
}

namespace {
ModelledWord& ModelOf(void* bytes) {
  return *std::launder(reinterpret_cast<ModelledWord*>(bytes));
}
}  // namespace

Word::~Word() {
  if (modelled_) ModelOf(model_.data()).~ModelledWord();
}

bool Word::Modelled(bool writes) const {
  if (modelled_) return true;
  if (!now.threads_run) return false;
  const int thread = CurrentThread();
  user_ = user_ == kNobody || user_ == thread ? thread : kSeveral;
  written_ |= writes;
  if (user_ == kSeveral && written_) {
    now.found_shared[static_cast<std::size_t>(index_)] = true;
    now.start_over = true;
  }
  return false;
}

std::uint64_t Word::Load(Order order, Place place) const {
  if (!Modelled(false)) {
    Note(Operation::kLoad, order, place, false, false);
    return plain_;
  }
  const auto thread = static_cast<std::size_t>(CurrentThread());
  if (knows_[thread] && IsBroken(Fault::kSecondLook, Operation::kLoad, place)) {
    rl::ctx().sched();
    return known_[thread];
  }
  const std::uint64_t value =
      ModelOf(model_.data())
          .load(RelacyOrder(OrderAt(Operation::kLoad, order, place)),
                Info(place));
  Note(Operation::kLoad, order, place, true,
       knows_[thread] && known_[thread] != value);
  knows_[thread] = now.threads_run;
  known_[thread] = value;
  return value;
}

void Word::Store(std::uint64_t value, Order order, Place place) {
  const bool modelled = Modelled(true);
  Note(Operation::kStore, order, place, modelled, false);
  plain_ = value;
  if (!modelled) return;
  const auto thread = static_cast<std::size_t>(CurrentThread());
  ModelOf(model_.data())
      .store(value, RelacyOrder(OrderAt(Operation::kStore, order, place)),
             Info(place));
  knows_[thread] = now.threads_run;
  known_[thread] = value;
}

bool Word::CompareExchange(std::uint64_t& expected, std::uint64_t value,
                           Order order, Place place) {
  const bool modelled = Modelled(true);
  Note(Operation::kSwap, order, place, modelled, false);
  if (!modelled) {
    const bool same = plain_ == expected;
    expected = plain_;
    if (same) plain_ = value;
    return same;
  }
  const auto thread = static_cast<std::size_t>(CurrentThread());
  ModelledWord& word = ModelOf(model_.data());
  const std::uint64_t wanted = expected;
  bool done;
  if (IsBroken(Fault::kTorn, Operation::kSwap, place)) {
    expected = word.load(
        RelacyOrder(OrderOf(Acquires(Operation::kModify, order), false)),
        Info(place));
    done = expected == wanted;
    if (done) {
      word.store(
          value,
          RelacyOrder(OrderOf(false, Releases(Operation::kModify, order))),
          Info(place));
    }
  } else {
    done = word.compare_exchange_strong(
        expected, value, RelacyOrder(OrderAt(Operation::kSwap, order, place)),
        Info(place));
  }
  knows_[thread] = now.threads_run;
  known_[thread] = done ? value : expected;
  return done;
}

std::uint64_t Word::ReadModifyWrite(Rmw kind, std::uint64_t value, Order order,
                                    Place place) {
  const auto next = [kind, value](std::uint64_t old) {
    return kind == Rmw::kAdd   ? old + value
           : kind == Rmw::kAnd ? old & value
                               : value;
  };
  const bool modelled = Modelled(true);
  Note(Operation::kModify, order, place, modelled, false);
  if (!modelled) return std::exchange(plain_, next(plain_));
  const auto thread = static_cast<std::size_t>(CurrentThread());
  ModelledWord& word = ModelOf(model_.data());
  std::uint64_t old = 0;
  if (IsBroken(Fault::kTorn, Operation::kModify, place)) {
    old = word.load(
        RelacyOrder(OrderOf(Acquires(Operation::kModify, order), false)),
        Info(place));
    word.store(next(old),
               RelacyOrder(OrderOf(false, Releases(Operation::kModify, order))),
               Info(place));
  } else {
    const rl::memory_order relacy_order =
        RelacyOrder(OrderAt(Operation::kModify, order, place));
    switch (kind) {
      case Rmw::kExchange:
        old = word.exchange(value, relacy_order, Info(place));
        break;
      case Rmw::kAdd:
        old = word.fetch_add(value, relacy_order, Info(place));
        break;
      case Rmw::kAnd:
        old = word.fetch_and(value, relacy_order, Info(place));
        break;
    }
  }
  knows_[thread] = now.threads_run;
  known_[thread] = next(old);
  return old;
}

std::uint64_t Word::Exchange(std::uint64_t value, Order order, Place place) {
  return ReadModifyWrite(Rmw::kExchange, value, order, place);
}
std::uint64_t Word::FetchAdd(std::uint64_t value, Order order, Place place) {
  return ReadModifyWrite(Rmw::kAdd, value, order, place);
}
std::uint64_t Word::FetchAnd(std::uint64_t value, Order order, Place place) {
  return ReadModifyWrite(Rmw::kAnd, value, order, place);
}

int RelacySync::ThreadSlot() {
  return slots[static_cast<std::size_t>(CurrentThread())];
}

void RelacySync::Pause() {
  // Alone nobody has anything to wait for.
  Check(now.threads_run, "waits for ever");
  rl::ctx().yield(1, rl::debug_info());
}

// ---------------------------------------------------------------------------
// The exploration

void Check(bool holds, const char* what, Place place) {
  if (holds) return;
  std::strncpy(now.failure.data(), what, now.failure.size() - 1);
  rl::ctx().fail_test(what, rl::test_result_user_assert_failed, Info(place));
}

namespace {

// As many draws as said, and a search if `test` has one and it is wanted.
Result Explore(const Case& test, const Variant& variant, int drawn,
               bool search) {
  if (test.bytes > kStorage) std::abort();
  // Words found shared stay so from one variant of a test to the next.
  static std::map<std::string, std::array<bool, kMaxWords>> learnt;
  const auto start = std::chrono::steady_clock::now();
  now.test = &test;
  now.found_shared = learnt[test.name];
  now.fault = variant.fault;
  now.broken = {variant.site.file.c_str(), variant.site.function.c_str(),
                variant.site.line};
  now.broken_operation = variant.site.operation;
  now.failure = {};
  const bool intact = variant.fault == Fault::kNone;
  now.note_sites = intact;
  now.noted = 0;

  Result result;
  rl::test_params params;
  if (drawn > 0) {
    params.search_type = rl::random_scheduler_type;
    params.iteration_count = static_cast<rl::iteration_t>(drawn);
    result.holds = ExploreOneWay(test, params, intact, result.drawn);
  }
  if (search && result.holds && test.preemptions >= 0) {
    params.search_type = rl::fair_context_bound_scheduler_type;
    params.context_bound = static_cast<unsigned>(test.preemptions);
    result.holds = ExploreOneWay(test, params, intact, result.searched);
  }
  learnt[test.name] = now.found_shared;
  result.failure = now.failure.data();
  for (int i = 0; i < now.noted; ++i) {
    const NotedSite& site = now.sites[static_cast<std::size_t>(i)];
    result.sites.push_back({site.place.file, site.place.function,
                            site.place.line, site.operation, site.order,
                            site.shared, site.looked_again, ""});
  }
  result.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  return result;
}

}  // namespace

Result Explore(const Case& test, const Variant& variant) {
  return Explore(test, variant, test.drawn, true);
}

std::string Describe(const Case& test, const Result& result) {
  std::ostringstream text;
  text << test.name << ": ";
  if (result.drawn > 0) {
    text << WithCommas(result.drawn)
         << " interleavings drawn at random (seeds 1 to "
         << WithCommas(result.drawn) << ")";
  }
  if (result.searched > 0) {
    text << (result.drawn > 0 ? ", " : "") << WithCommas(result.searched)
         << " searched, all with at most " << test.preemptions
         << " preemptions";
  }
  text.setf(std::ios::fixed);
  text.precision(1);
  text << "; " << result.seconds << " s";
  return text.str();
}

std::vector<std::string> Surprises(const std::vector<Case>& tests,
                                   const std::vector<std::string>& files,
                                   const std::vector<Survivor>& survivors,
                                   const std::vector<Fault>& faults) {
  // What each test reaches.
  std::vector<std::vector<Site>> reached;
  std::vector<Site> all;
  for (const Case& test : tests) {
    reached.push_back(
        Explore(test, Variant(), std::min(test.drawn, kFewDraws), false).sites);
    for (const Site& site : reached.back()) {
      const std::string file = site.file.substr(site.file.rfind('/') + 1);
      if (std::find(files.begin(), files.end(), file) == files.end()) continue;
      const auto known =
          std::find_if(all.begin(), all.end(),
                       [&](const Site& s) { return SameSite(s, site); });
      if (known == all.end()) {
        all.push_back(site);
      } else {
        known->shared |= site.shared;
        known->looked_again |= site.looked_again;
      }
    }
  }
  std::sort(all.begin(), all.end(), [](const Site& a, const Site& b) {
    return std::pair(a.function, a.line) < std::pair(b.function, b.line);
  });
  std::map<std::pair<std::string, Operation>, int> ordinals;
  for (Site& site : all) {
    const int ordinal = ++ordinals[{site.function, site.operation}];
    site.name = site.function + ": " + OperationName(site.operation) + " " +
                std::to_string(ordinal);
  }

  std::vector<std::size_t> order(tests.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<std::string> surprises;
  std::map<std::string, bool> listed;
  for (const Survivor& survivor : survivors) listed[survivor.variant] = false;
  for (const Site& site : all) {
    for (Fault fault : faults) {
      if (!Fits(fault, site)) continue;
      const std::string name =
          std::string(FaultName(fault)) + " in " + site.name;
      std::string caught;
      const auto start = std::chrono::steady_clock::now();
      // Most are caught by a few draws, often by what caught the last one.
      for (std::size_t n = 0; n < 2 * order.size() && caught.empty(); ++n) {
        const auto at =
            order.begin() + static_cast<std::ptrdiff_t>(n % order.size());
        const std::size_t i = *at;
        const bool few = n < order.size();
        const bool reaches = std::any_of(
            reached[i].begin(), reached[i].end(),
            [&](const Site& s) { return SameSite(s, site) && s.shared; });
        if (!reaches || (!few && listed.count(name) != 0)) continue;
        const Result result = Explore(
            tests[i], {fault, site},
            few ? std::min(tests[i].drawn, kFewDraws) : tests[i].drawn, !few);
        if (!result.holds) {
          caught = std::string(tests[i].name) + " (" + result.failure + ")";
          std::rotate(order.begin(), at, at + 1);
        }
      }
      const double seconds = std::chrono::duration<double>(
                                 std::chrono::steady_clock::now() - start)
                                 .count();
      const auto entry = listed.find(name);
      std::cout << "  " << name << " (line " << site.line << "): "
                << (caught.empty() ? "survives" : "caught by " + caught)
                << (site.shared ? "" : ", not shared in any test");
      if (seconds > 0.5) std::cout << ", " << seconds << " s";
      std::cout << std::endl;
      if (entry != listed.end()) entry->second = true;
      if (caught.empty() && entry == listed.end()) {
        surprises.push_back(name + " survives");
      } else if (!caught.empty() && entry != listed.end()) {
        surprises.push_back(name + " is listed as a survivor, but caught by " +
                            caught);
      }
    }
  }
  for (const auto& [name, met] : listed) {
    if (!met) surprises.push_back(name + " is listed, but there is no such");
  }
  return surprises;
}

}  // namespace fusebox::model
