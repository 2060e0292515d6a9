#include "interceptor/breaker/transition_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "interceptor/breaker/test_sync.h"

namespace fusebox {
namespace {

// Queues here are on the heap: AddressSanitizer's fake stack ignores their
// alignment.

QueuedChange Change(std::uint32_t number) {
  QueuedChange change;
  change.number = number;
  change.change.generation = number * 7;
  return change;
}

TEST(TransitionQueueTest, AnEmptyOneGivesNothing) {
  const auto queue = std::make_unique<TransitionQueue>(4);
  QueuedChange change = Change(5);
  EXPECT_FALSE(queue->Pop(change));
  EXPECT_EQ(change.number, 5u);
  EXPECT_EQ(queue->skipped(), 0u);
}

TEST(TransitionQueueTest, ChangesComeOutWholeAndInOrder) {
  const auto queue = std::make_unique<TransitionQueue>(4);
  int source = 0;
  for (std::uint32_t i = 1; i <= 3; ++i) {
    QueuedChange change = Change(i);
    change.source = &source;
    EXPECT_TRUE(queue->Push(change));
  }
  for (std::uint32_t i = 1; i <= 3; ++i) {
    QueuedChange change;
    ASSERT_TRUE(queue->Pop(change));
    EXPECT_EQ(change.number, i);
    EXPECT_EQ(change.change.generation, i * 7);
    EXPECT_EQ(change.source, &source);
  }
  QueuedChange change;
  EXPECT_FALSE(queue->Pop(change));
}

TEST(TransitionQueueTest, HoldsItsCapacityRoundedUpToAPowerOfTwo) {
  const struct {
    std::size_t capacity;
    std::uint32_t places;
  } cases[] = {{1, 2}, {2, 2}, {3, 4}, {4, 4}, {5, 8}, {1024, 1024}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.capacity);
    const auto queue = std::make_unique<TransitionQueue>(c.capacity);
    for (std::uint32_t i = 0; i < c.places; ++i) {
      ASSERT_TRUE(queue->Push(Change(i)));
    }
    EXPECT_FALSE(queue->Push(Change(c.places)));
    EXPECT_EQ(queue->skipped(), 1u);
    QueuedChange change;
    for (std::uint32_t i = 0; i < c.places; ++i) {
      ASSERT_TRUE(queue->Pop(change));
      EXPECT_EQ(change.number, i) << "the skipped one replaced nothing";
    }
    EXPECT_FALSE(queue->Pop(change));
  }
}

TEST(TransitionQueueTest, WhenFullItSkipsAndCountsAndThenGoesOn) {
  for (std::size_t capacity : {1u, 4u}) {
    const auto queue = std::make_unique<TransitionQueue>(capacity);
    std::uint32_t next = 0;
    while (queue->Push(Change(next))) ++next;
    for (int i = 0; i < 9; ++i) EXPECT_FALSE(queue->Push(Change(99)));
    EXPECT_EQ(queue->skipped(), 10u);
    QueuedChange change;
    // A hundred laps with one place free.
    for (std::uint32_t i = 0; i < 100; ++i) {
      ASSERT_TRUE(queue->Pop(change));
      EXPECT_EQ(change.number, i);
      ASSERT_TRUE(queue->Push(Change(next++)));
      EXPECT_FALSE(queue->Push(Change(99)));
    }
    EXPECT_EQ(queue->skipped(), 110u);
  }
}

TEST(TransitionQueueTest, FromManyThreadsEachChangeComesOnceInItsOrder) {
  constexpr int kProducers = 6;
  constexpr std::uint32_t kEach = 20000;
  for (std::size_t capacity : {1u, 8u, 1024u}) {
    SCOPED_TRACE(capacity);
    const auto queue = std::make_unique<TransitionQueue>(capacity);
    std::vector<int> names(kProducers);
    std::vector<std::uint32_t> last(kProducers, 0);
    std::atomic<std::uint64_t> pushed{0};
    std::atomic<int> producing{kProducers};
    std::uint64_t popped = 0;
    RunThreads(kProducers + 1, [&](int thread) {
      if (thread < kProducers) {
        for (std::uint32_t i = 1; i <= kEach; ++i) {
          QueuedChange change = Change(i);
          change.source = &names[static_cast<std::size_t>(thread)];
          if (queue->Push(change)) pushed.fetch_add(1);
        }
        producing.fetch_sub(1);
        return;
      }
      for (;;) {
        const bool done = producing.load() == 0;
        QueuedChange change;
        if (!queue->Pop(change)) {
          if (done) return;
          std::this_thread::yield();
          continue;
        }
        ++popped;
        const auto producer = static_cast<std::size_t>(
            static_cast<int*>(change.source) - names.data());
        ASSERT_GT(change.number, last[producer]);
        ASSERT_EQ(change.change.generation, change.number * 7);
        last[producer] = change.number;
      }
    });
    EXPECT_EQ(popped, pushed);
    EXPECT_EQ(popped + queue->skipped(), std::uint64_t{kProducers} * kEach);
  }
}

}  // namespace
}  // namespace fusebox
