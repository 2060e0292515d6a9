#include "interceptor/breaker/transition_queue.h"

namespace fusebox {
namespace {

// At least 2: with one place "filled" and "free a lap later" would be the same
// ticket.
std::size_t PlacesFor(std::size_t n) {
  std::size_t power = 2;
  while (power < n) power *= 2;
  return power;
}

}  // namespace

TransitionQueue::TransitionQueue(std::size_t capacity)
    : mask_(PlacesFor(capacity) - 1), places_(new Place[mask_ + 1]) {
  for (std::uint64_t i = 0; i <= mask_; ++i) {
    places_[i].ticket.store(i, std::memory_order_relaxed);
  }
}

bool TransitionQueue::Push(const QueuedChange& change) {
  std::uint64_t ticket = tail_.load(std::memory_order_relaxed);
  for (;;) {
    Place& place = places_[ticket & mask_];
    const std::uint64_t ready = place.ticket.load(std::memory_order_acquire);
    if (ready == ticket) {
      if (tail_.compare_exchange_weak(ticket, ticket + 1,
                                      std::memory_order_relaxed)) {
        place.change = change;
        // Pairs with the acquire in Pop().
        place.ticket.store(ticket + 1, std::memory_order_release);
        return true;
      }
    } else if (ready < ticket) {
      skipped_.fetch_add(1, std::memory_order_release);
      return false;
    } else {
      ticket = tail_.load(std::memory_order_relaxed);
    }
  }
}

bool TransitionQueue::Pop(QueuedChange& change) {
  Place& place = places_[head_ & mask_];
  if (place.ticket.load(std::memory_order_acquire) != head_ + 1) return false;
  change = place.change;
  // Pairs with the acquire in Push(), a lap later.
  place.ticket.store(head_ + mask_ + 1, std::memory_order_release);
  ++head_;
  return true;
}

}  // namespace fusebox
