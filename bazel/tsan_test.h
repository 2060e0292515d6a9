#ifndef FUSEBOX_BAZEL_TSAN_TEST_H_
#define FUSEBOX_BAZEL_TSAN_TEST_H_

#include <mutex>

namespace fusebox {

// The exit status ThreadSanitizer gives a program it found a race in.
inline constexpr int kRaceFound = 66;

// An int two threads may or may not share properly.
struct Shared {
  std::mutex mutex;
  int value = 0;

  void AddWithLock() {
    std::lock_guard<std::mutex> lock(mutex);
    ++value;
  }
  void AddWithoutLock() { ++value; }
};

}  // namespace fusebox

#endif  // FUSEBOX_BAZEL_TSAN_TEST_H_
