// From the call path to the dispatcher: a bounded queue that never blocks.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_TRANSITION_QUEUE_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_TRANSITION_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "interceptor/breaker/state.h"

namespace fusebox {

// A state change on its way to the dispatcher.
struct QueuedChange {
  void* source = nullptr;    // whatever the pusher wants back
  std::uint32_t number = 0;  // of this change in its breaker, from 1
  StateChange change;
};

// A bounded multi-producer single-consumer queue (D. Vyukov's array queue: each
// place carries the ticket it is ready for).
//
//   place.ticket == t          free for the producer that takes ticket t
//   place.ticket == t + 1      filled by it, for the consumer
//   place.ticket == t + size   free again, one lap later
//
// Push() is lock-free and does not allocate; when the queue is full it counts
// the change as skipped. Thread-safe, Pop() for one thread at a time.
class TransitionQueue {
 public:
  // Holds `capacity` changes, rounded up to a power of two, at least 2.
  explicit TransitionQueue(std::size_t capacity);
  TransitionQueue(const TransitionQueue&) = delete;
  TransitionQueue& operator=(const TransitionQueue&) = delete;

  // False, and counted, if there was no room.
  bool Push(const QueuedChange& change);
  // False if there is nothing yet.
  bool Pop(QueuedChange& change);

  // Changes that found no room so far.
  std::uint64_t skipped() const {
    return skipped_.load(std::memory_order_acquire);
  }

 private:
  struct Place {
    std::atomic<std::uint64_t> ticket;
    QueuedChange change;
  };

  const std::uint64_t mask_;
  const std::unique_ptr<Place[]> places_;
  alignas(64) std::atomic<std::uint64_t> tail_{0};
  alignas(64) std::uint64_t head_ = 0;  // the consumer's
  std::atomic<std::uint64_t> skipped_{0};
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_TRANSITION_QUEUE_H_
