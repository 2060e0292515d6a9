// The call path allocates nothing once a thread has been here before.

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "interceptor/breaker/circuit_breaker.h"

namespace {

thread_local std::uint64_t allocations = 0;

void* Allocate(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  // A multiple of the alignment, as aligned_alloc() demands.
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  if (void* memory =
          std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded)) {
    return memory;
  }
  throw std::bad_alloc();
}

// Not inlined: where only one of the pair is, GCC takes free() for a mismatch.
[[gnu::noinline]] void Free(void* memory) noexcept { std::free(memory); }

}  // namespace

void* operator new(std::size_t bytes) {
  return Allocate(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new[](std::size_t bytes) {
  return Allocate(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { Free(memory); }
void operator delete[](void* memory) noexcept { Free(memory); }
void operator delete(void* memory, std::size_t) noexcept { Free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { Free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { Free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept {
  Free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  Free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  Free(memory);
}

namespace fusebox {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart = TimePoint(1000s);

Settings QuickSettings() {
  Settings settings;
  settings.min_requests = 0;
  settings.jitter = 0;
  return settings;
}

// How often `body` allocates.
template <class Body>
std::uint64_t AllocationsOf(Body body) {
  const std::uint64_t before = allocations;
  body();
  return allocations - before;
}

class AllocationTest : public testing::Test {
 protected:
  AllocationTest() : breaker_(QuickSettings(), kStart) {
    // The thread's first use takes a slot and a generator.
    Call(Outcome::kOk, kStart);
    ThreadRandom().Admission();
  }
  void Call(Outcome outcome, TimePoint now) {
    breaker_.Admit(now).permit.Finish(outcome, now);
  }
  void Open() {
    Call(Outcome::kSystemError, kStart);  // 1 of 2
    ASSERT_EQ(breaker_.View(kStart).state, State::kOpen);
  }

  CircuitBreaker breaker_;
};

TEST_F(AllocationTest, TheCounterCounts) {
  EXPECT_GE(
      AllocationsOf([] { delete new CircuitBreaker(Settings(), kStart); }), 1u);
}

TEST_F(AllocationTest, ClosedCalls) {
  EXPECT_EQ(AllocationsOf([&] {
              for (int i = 0; i < 1000; ++i) {
                breaker_.AdmitIfClosed().Finish(Outcome::kOk,
                                                kStart + i * 10ms);
                for (Outcome outcome :
                     {Outcome::kOk, Outcome::kUserError, Outcome::kIgnored}) {
                  Call(outcome, kStart + i * 10ms);
                }
              }
            }),
            0u);
}

TEST_F(AllocationTest, ADroppedPermit) {
  EXPECT_EQ(AllocationsOf([&] { Permit permit = breaker_.AdmitIfClosed(); }),
            0u);
}

TEST_F(AllocationTest, AFailureThatOpens) {
  EXPECT_EQ(AllocationsOf([&] { Call(Outcome::kSystemError, kStart); }), 0u);
  EXPECT_EQ(breaker_.View(kStart).state, State::kOpen);
}

TEST_F(AllocationTest, Rejections) {
  Open();
  EXPECT_EQ(AllocationsOf([&] {
              for (int i = 0; i < 100; ++i) {
                const Admission admission = breaker_.Admit(kStart);
                if (admission.admitted()) std::abort();
              }
            }),
            0u);
}

TEST_F(AllocationTest, ARecovery) {
  Open();
  EXPECT_EQ(AllocationsOf([&] {
              Permit probe = breaker_.Admit(kStart + 1s).permit;
              if (breaker_.Admit(kStart + 1s).admitted()) std::abort();
              probe.Prove(kStart + 1s);
              probe.Finish(Outcome::kOk, kStart + 1s);
              for (Duration t = 1s; t < 12s; t += 10ms) {
                Call(Outcome::kOk, kStart + t);
              }
            }),
            0u);
  EXPECT_EQ(breaker_.View(kStart + 12s).state, State::kClosed);
}

TEST_F(AllocationTest, AnOperatorsActsAndViews) {
  EXPECT_EQ(AllocationsOf([&] {
              breaker_.Force(Override::kForcedOpen, kStart + 1s, kStart);
              (void)breaker_.View(kStart);
              breaker_.Release(kStart);
              breaker_.Reset(kStart);
            }),
            0u);
}

}  // namespace
}  // namespace fusebox
