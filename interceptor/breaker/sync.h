// The atomics the lock-free parts are written against.
//
// The window and the breaker are templates over a Sync policy, so that a model
// checker can run the very code that ships. StdSync is the shipping one.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_SYNC_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_SYNC_H_

#include <sched.h>

#include <atomic>

#include "interceptor/breaker/thread_slot.h"

namespace fusebox {

// A Sync policy provides
//   Atomic<T>      load, store, exchange, compare_exchange_strong, fetch_add,
//                  fetch_and, each with an explicit order;
//   kRelaxed, kAcquire, kRelease, kAcqRel, kSeqCst
//                  the orders;
//   ThreadSlot(), KnownThreadSlot()
//                  the calling thread's slot (thread_slot.h);
//   Core()         the core the thread runs on, or any number >= 0: a hint;
//   Pause()        a hint inside a retry loop.
struct StdSync {
  template <class T>
  using Atomic = std::atomic<T>;

  static constexpr std::memory_order kRelaxed = std::memory_order_relaxed;
  static constexpr std::memory_order kAcquire = std::memory_order_acquire;
  static constexpr std::memory_order kRelease = std::memory_order_release;
  static constexpr std::memory_order kAcqRel = std::memory_order_acq_rel;
  static constexpr std::memory_order kSeqCst = std::memory_order_seq_cst;

  static int ThreadSlot() { return fusebox::ThreadSlot(); }
  static int KnownThreadSlot() { return fusebox::KnownThreadSlot(); }
  static int Core() {
#ifdef __linux__
    const int core = sched_getcpu();
    return core < 0 ? 0 : core;
#else
    return 0;
#endif
  }
  static void Pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_SYNC_H_
