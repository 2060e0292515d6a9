// Small numbers owned by one live thread at a time.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_THREAD_SLOT_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_THREAD_SLOT_H_

#include <limits>

namespace fusebox {

// Slots are numbered from 0 to kMaxThreadSlots - 1.
inline constexpr int kMaxThreadSlots = 64;
// What a thread gets when every slot is taken, and what it keeps.
inline constexpr int kNoThreadSlot = std::numeric_limits<int>::max();

namespace internal {
inline constexpr int kNotAskedYet = kNoThreadSlot - 1;
inline thread_local int thread_slot = kNotAskedYet;
int AcquireThreadSlot();
}  // namespace internal

// The calling thread's slot: the lowest that was free when it first asked, its
// own until it exits, or kNoThreadSlot. What a thread wrote before it exits
// happens-before what the next owner of its slot does. Thread-safe; locks and
// may allocate the first time a thread calls it, a plain load afterwards.
inline int ThreadSlot() {
  const int slot = internal::thread_slot;
  return slot != internal::kNotAskedYet ? slot : internal::AcquireThreadSlot();
}

// The same if the thread has a slot and has asked for it; otherwise any number
// that is no slot's, and ThreadSlot() tells. Never more than a plain load.
inline int KnownThreadSlot() { return internal::thread_slot; }

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_THREAD_SLOT_H_
