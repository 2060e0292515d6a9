#include "interceptor/breaker/thread_slot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "interceptor/breaker/test_sync.h"

namespace fusebox {
namespace {

// The slots of `threads` threads that live at the same time.
std::vector<int> SlotsOf(int threads) {
  std::vector<int> slots(static_cast<std::size_t>(threads));
  Barrier all_have_one(threads);
  RunThreads(threads, [&](int thread) {
    slots[static_cast<std::size_t>(thread)] = ThreadSlot();
    all_have_one.Wait();
  });
  return slots;
}

TEST(ThreadSlotTest, AThreadKeepsItsSlot) {
  const int slot = ThreadSlot();
  EXPECT_GE(slot, 0);
  EXPECT_LT(slot, kMaxThreadSlots);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ThreadSlot(), slot);
}

TEST(ThreadSlotTest, ThreadsThatLiveTogetherHaveDifferentSlots) {
  const int mine = ThreadSlot();
  const std::vector<int> slots = SlotsOf(10);
  const std::set<int> different(slots.begin(), slots.end());
  EXPECT_EQ(different.size(), 10u);
  EXPECT_EQ(different.count(mine), 0u);
  EXPECT_LE(*different.rbegin(), 10) << "the lowest that are free";
}

TEST(ThreadSlotTest, AnExitedThreadGivesItsSlotBack) {
  int first = -1;
  int second = -2;
  std::thread([&] { first = ThreadSlot(); }).join();
  std::thread([&] { second = ThreadSlot(); }).join();
  EXPECT_EQ(first, second);
}

TEST(ThreadSlotTest, WhenAllAreTakenTheRestGetNoneAndKeepNone) {
  ThreadSlot();  // this thread's
  constexpr int kThreads = kMaxThreadSlots + 5;
  const std::vector<int> slots = SlotsOf(kThreads);
  EXPECT_EQ(std::count(slots.begin(), slots.end(), kNoThreadSlot), 6);
  std::set<int> taken(slots.begin(), slots.end());
  taken.erase(kNoThreadSlot);
  EXPECT_EQ(taken.size(), std::size_t{kMaxThreadSlots - 1});
  // All are back.
  const std::vector<int> again = SlotsOf(10);
  EXPECT_EQ(std::count(again.begin(), again.end(), kNoThreadSlot), 0);
}

TEST(ThreadSlotTest, WhatAThreadWroteIsSeenByTheNextOwnerOfItsSlot) {
  // Unsynchronized but for the slot: a race detector would tell.
  std::vector<int> written(kMaxThreadSlots, 0);
  constexpr int kRounds = 50;
  constexpr int kThreads = 8;
  for (int round = 0; round < kRounds; ++round) {
    RunThreads(kThreads, [&](int /*thread*/) {
      ++written[static_cast<std::size_t>(ThreadSlot())];
    });
  }
  int sum = 0;
  for (int n : written) sum += n;
  EXPECT_EQ(sum, kRounds * kThreads);
}

TEST(ThreadSlotTest, ADestructorThatRunsAfterTheSlotWentBackGetsNone) {
  static int seen;
  seen = -1;
  struct AsksAtExit {
    ~AsksAtExit() { seen = ThreadSlot(); }
  };
  std::thread([] {
    // Made before the slot is taken, so destroyed after it is given back.
    thread_local AsksAtExit asks;
    (void)&asks;
    EXPECT_LT(ThreadSlot(), kMaxThreadSlots);
  }).join();
  EXPECT_EQ(seen, kNoThreadSlot);
}

}  // namespace
}  // namespace fusebox
