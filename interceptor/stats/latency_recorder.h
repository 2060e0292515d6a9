// Counts the calls of one method by status code and latency.

#ifndef FUSEBOX_INTERCEPTOR_STATS_LATENCY_RECORDER_H_
#define FUSEBOX_INTERCEPTOR_STATS_LATENCY_RECORDER_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "interceptor/breaker/clock.h"
#include "interceptor/stats/latency_buckets.h"
#include "interceptor/stats/latency_snapshot.h"

namespace fusebox {

// Counts calls without locks; who reads adds up what the threads have counted.
//
//   ok[S]         calls that ended with OK: a shard for a thread or a few
//   others[17]    calls that ended otherwise: a shard for each code
//     a shard     made when it is first written
//       without_latency, sum, min, max
//       octaves[58] for each power of two of nanoseconds, when it first occurs:
//         counts[64]
//
// Of the S shards, one half belongs to the thread slots 0, 1, ...
// (thread_slot.h) and is written with plain loads and stores. All else is
// shared and written with atomic additions: the other half by the threads
// without such a slot, by core, so that they seldom meet; and what did not end
// with OK, which is rarer and would take the memory of S shards for each code.
//
// Heap bytes: 8 S; 512 for each shard that is made and 512 for each octave that
// occurs there. (Calls that take 1 to 32 ms and end with OK: 14 KiB with 4
// shards, all in use.) At most MaxBytes().
//
// Invariants:
//  R1 An owned shard is written by one thread at a time, which sees what the
//     one before wrote: a slot has one live owner, and the next one
//     synchronizes with it (thread_slot.h). All other shards are changed by
//     atomic read-modify-write operations. So no count is lost. Test:
//     TotalsOfManyThreadsAreExact.
//  R2 A pointer is set once, by compare-and-swap with release, when what it
//     points to is made; whoever loses frees its own. It is read with acquire
//     and stays until the recorder is destroyed. Test: ThreadsThatMeetAtFirst.
//  R3 A latency is counted after it went into sum, min and max, with release; a
//     reader acquires the counts first. So the sum and the extremes include
//     every latency that is counted, and perhaps some that are not yet. Test:
//     ASnapshotIsOfWholeCalls.
//  R4 No count ever falls, so of two snapshots of which one ends before the
//     other begins, the later includes the earlier. Test:
//     ASnapshotIncludesTheOneBefore.
//
// Thread-safe; recording is lock-free, but for the allocations.
class LatencyRecorder {
 public:
  static constexpr int kMaxShards = 64;

  // 1 <= shards <= kMaxShards.
  explicit LatencyRecorder(int shards);
  ~LatencyRecorder();
  LatencyRecorder(const LatencyRecorder&) = delete;
  LatencyRecorder& operator=(const LatencyRecorder&) = delete;

  // A call that took `latency` has ended with `code`, a grpc::StatusCode.
  void Record(int code, Duration latency);
  // A call whose latency says nothing, as that of a stream.
  void RecordWithoutLatency(int code);

  // The codes that have occurred, in ascending order.
  std::vector<CallsOfCode> Snapshot() const;

  // Of all codes together.
  std::uint64_t calls() const;

  // Bytes of this recorder, heap included: now, and at most.
  std::size_t memory_bytes() const;
  static std::size_t MaxBytes(int shards);

 private:
  template <class T, std::size_t size>
  using AtomicArray = std::array<std::atomic<T>, size>;

  struct alignas(64) Octave {
    AtomicArray<std::uint64_t, LatencyBuckets::kPerOctave> counts{};
  };
  struct alignas(64) Shard {
    std::atomic<std::uint64_t> without_latency{0};
    std::atomic<std::uint64_t> sum{0};  // ns
    std::atomic<std::int64_t> min{Duration::max().count()};
    std::atomic<std::int64_t> max{0};
    AtomicArray<Octave*, LatencyBuckets::kOctaves> octaves{};
  };

  // A shard that the calling thread may write.
  struct HeldShard {
    Shard& shard;
    bool owned;
  };
  HeldShard Hold(int code);

  // Calls `f` with each shard and its code, in ascending order.
  template <class F>
  void ForEachShard(F f) const;

  const int shards_;
  const int owned_;
  const std::unique_ptr<std::atomic<Shard*>[]> ok_;
  AtomicArray<Shard*, CallsOfCode::kOther> others_{};  // of the codes from 1 on
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STATS_LATENCY_RECORDER_H_
