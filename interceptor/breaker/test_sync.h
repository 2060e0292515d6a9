// What tests of several threads need.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_TEST_SYNC_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_TEST_SYNC_H_

#include <condition_variable>
#include <thread>
#include <vector>

#include "interceptor/breaker/mutex.h"
#include "interceptor/breaker/sync.h"

namespace fusebox {

// A Sync policy by which one thread plays many on many cores: `slot` and `core`
// are whatever the test last set.
struct TestSync : StdSync {
  static inline thread_local int slot = 0;
  static inline thread_local int core = 0;
  static int ThreadSlot() { return slot; }
  static int KnownThreadSlot() { return slot; }
  static int Core() { return core; }
};

// Lets threads wait for each other, again and again. Thread-safe.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}

  // Blocks until every thread has called it.
  void Wait() FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    const int round = round_;
    if (++waiting_ == threads_) {
      waiting_ = 0;
      ++round_;
      changed_.notify_all();
      return;
    }
    while (round == round_) changed_.wait(mu_);
  }

 private:
  const int threads_;
  Mutex mu_;
  std::condition_variable_any changed_;
  int waiting_ FUSEBOX_GUARDED_BY(mu_) = 0;
  int round_ FUSEBOX_GUARDED_BY(mu_) = 0;
};

// Runs `body(0)` to `body(threads - 1)`, each on a thread of its own, which all
// start together; returns when all have ended.
template <class Body>
void RunThreads(int threads, Body body) {
  Barrier start(threads);
  std::vector<std::thread> running;
  for (int i = 0; i < threads; ++i) {
    running.emplace_back([&start, &body, i] {
      start.Wait();
      body(i);
    });
  }
  for (std::thread& thread : running) thread.join();
}

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_TEST_SYNC_H_
