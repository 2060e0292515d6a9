// Runs a few threads over the lock-free code in every order that matters.
//
// Relacy (D. Vyukov) explores the interleavings of the C++11 memory model, with
// old values where orders allow them. Here it is asked to
//
//   draw      a stated number of interleavings at random: any number of
//             switches, values up to two stores old;
//   search    all interleavings with at most so many preemptions (switches away
//             from a thread that could have gone on), values up to one store
//             old.
//
// Only words that several threads use, and somebody writes, are switching
// points: the others cannot tell one order from another. Which they are is
// found out: whenever an interleaving shares one more, the exploration starts
// over.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_MODEL_MODEL_CHECK_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_MODEL_MODEL_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include "interceptor/breaker/model/relacy_sync.h"

namespace fusebox::model {

// A few threads over one subject, made anew for each interleaving. The
// constructor prepares it alone. Nothing here may allocate with plain new.
class Scenario {
 public:
  virtual ~Scenario() = default;
  // What thread `index` does, 0 <= index < threads.
  virtual void Thread(int index) = 0;
  // Runs when all threads have ended, and sees all they wrote.
  virtual void After() {}
};

struct Case {
  const char* name;
  int threads;
  int drawn;        // interleavings drawn at random
  int preemptions;  // bound of the search; -1: no search
  std::size_t bytes;
  Scenario* (*make)(void* storage);
};

template <class S>
Case CaseOf(const char* name, int threads, int drawn, int preemptions) {
  return {
      name,      threads,
      drawn,     preemptions,
      sizeof(S), [](void* storage) -> Scenario* { return new (storage) S; }};
}

// What may be done to an operation of the code under test.
enum class Fault : unsigned char {
  kNone,
  kNoAcquire,     // its order no longer acquires
  kNoRelease,     // its order no longer releases
  kNoTotalOrder,  // it is no longer sequentially consistent
  kSecondLook,    // a load returns what the thread already knows of the word
  kTorn,          // a read-modify-write is a load and a store
};

inline const std::vector<Fault> kAllFaults = {
    Fault::kNoAcquire, Fault::kNoRelease, Fault::kNoTotalOrder,
    Fault::kSecondLook, Fault::kTorn};

enum class Operation : unsigned char { kLoad, kStore, kSwap, kModify };

// An operation in the source: "Gather: load 2" is the second load in Gather().
struct Site {
  std::string file;
  std::string function;
  int line;
  Operation operation;
  Order order;
  bool shared;        // met a word that several threads use
  bool looked_again;  // a load by a thread that knew another value
  std::string name;
};

struct Variant {
  Fault fault = Fault::kNone;
  Site site;
};

struct Result {
  bool holds = true;
  std::string failure;
  std::uint64_t drawn = 0;  // interleavings
  std::uint64_t searched = 0;
  double seconds = 0;
  std::vector<Site> sites;  // reached while the threads ran
};

// Explores `test` over the code as it is, or broken by `variant`. Explains a
// failure of the former on standard error, as Relacy tells it.
Result Explore(const Case& test, const Variant& variant = Variant());

// "12,345 interleavings drawn, 678 searched (all with at most 2 preemptions)".
std::string Describe(const Case& test, const Result& result);

// A broken variant that no test can tell from the intact code, and why. It is
// drawn, to keep the list honest, but not searched.
struct Survivor {
  const char* variant;  // "no acquire in SumShard: load 1"
  const char* reason;
};

// Breaks every site that `tests` reach in the files named, with each of
// `faults` that fits it, one at a time, and prints which test caught it.
// Returns what was not as expected: the variants that survived without being
// listed, and those listed that do not exist or were caught.
std::vector<std::string> Surprises(
    const std::vector<Case>& tests, const std::vector<std::string>& files,
    const std::vector<Survivor>& survivors,
    const std::vector<Fault>& faults = kAllFaults);

// Fails the interleaving at hand. Does not return then.
void Check(bool holds, const char* what, Place place = Place::Here());

}  // namespace fusebox::model

#define MODEL_CHECK(condition) ::fusebox::model::Check((condition), #condition)

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_MODEL_MODEL_CHECK_H_
