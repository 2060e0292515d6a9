#include "interceptor/stats/latency_recorder.h"

#include <algorithm>

#include "interceptor/breaker/sync.h"

namespace fusebox {
namespace {

// What `place` points to, made if there is nothing yet (R2).
template <class T>
T& At(std::atomic<T*>& place) {
  T* there = place.load(std::memory_order_acquire);
  if (there != nullptr) return *there;
  T* const made = new T;
  if (place.compare_exchange_strong(there, made, std::memory_order_acq_rel,
                                    std::memory_order_acquire)) {
    return *made;
  }
  delete made;
  return *there;
}

// Calls `f` for what the places point to, with the index of the place.
template <class Places, class F>
void ForEach(const Places& places, F f) {
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (auto* there = places[i].load(std::memory_order_acquire)) f(i, *there);
  }
}

// Adds to a counter of an owned shard, or of another one (R1).
void Add(std::atomic<std::uint64_t>& counter, std::uint64_t n, bool owned,
         std::memory_order order) {
  if (owned) {
    counter.store(counter.load(std::memory_order_relaxed) + n, order);
  } else {
    counter.fetch_add(n, order);
  }
}

// Replaces a value by one that is `better`; a failed swap looks again.
template <class Better>
void Improve(std::atomic<std::int64_t>& best, std::int64_t value,
             Better better) {
  std::int64_t seen = best.load(std::memory_order_relaxed);
  while (better(value, seen) &&
         !best.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

std::size_t SlotOf(int code) {
  return static_cast<std::size_t>(
      code < 0 || code > CallsOfCode::kOther ? CallsOfCode::kOther : code);
}

}  // namespace

LatencyRecorder::LatencyRecorder(int shards)
    : shards_(shards), owned_(shards / 2) {}

LatencyRecorder::~LatencyRecorder() {
  ForEach(by_code_, [](std::size_t, OfCode& of_code) {
    ForEach(of_code.shards, [](std::size_t, Shard& shard) {
      ForEach(shard.octaves,
              [](std::size_t, Octave& octave) { delete &octave; });
      delete &shard;
    });
    delete &of_code;
  });
}

LatencyRecorder::HeldShard LatencyRecorder::Hold(int code) {
  OfCode& of_code = At(by_code_[SlotOf(code)]);
  const int slot = StdSync::ThreadSlot();
  const bool owned = slot < owned_;
  const int index =
      owned ? slot : owned_ + StdSync::Core() % (shards_ - owned_);
  return {At(of_code.shards[static_cast<std::size_t>(index)]), owned};
}

void LatencyRecorder::Record(int code, Duration latency) {
  const HeldShard held = Hold(code);
  const std::int64_t ns = std::max(latency, Duration::zero()).count();
  Improve(held.shard.min, ns, std::less<>());
  Improve(held.shard.max, ns, std::greater<>());
  Add(held.shard.sum, static_cast<std::uint64_t>(ns), held.owned,
      std::memory_order_relaxed);
  const int index = LatencyBuckets::IndexOf(latency);
  Octave& octave = At(held.shard.octaves[static_cast<std::size_t>(
      index / LatencyBuckets::kPerOctave)]);
  Add(octave
          .counts[static_cast<std::size_t>(index % LatencyBuckets::kPerOctave)],
      1, held.owned, std::memory_order_release);  // R3
}

void LatencyRecorder::RecordWithoutLatency(int code) {
  const HeldShard held = Hold(code);
  Add(held.shard.without_latency, 1, held.owned, std::memory_order_relaxed);
}

std::vector<CallsOfCode> LatencyRecorder::Snapshot() const {
  std::vector<CallsOfCode> all;
  ForEach(by_code_, [&all](std::size_t code, const OfCode& of_code) {
    CallsOfCode calls;
    calls.code = static_cast<int>(code);
    ForEach(of_code.shards, [&calls](std::size_t, const Shard& shard) {
      const std::uint64_t before = calls.latency.count();
      ForEach(shard.octaves, [&calls](std::size_t o, const Octave& octave) {
        for (std::size_t i = 0; i < octave.counts.size(); ++i) {
          // Before the totals (R3).
          const std::uint64_t count =
              octave.counts[i].load(std::memory_order_acquire);
          if (count == 0) continue;
          calls.latency.AddToBucket(
              static_cast<int>(o * octave.counts.size() + i), count);
        }
      });
      if (calls.latency.count() != before) {
        const auto most = static_cast<std::uint64_t>(Duration::max().count());
        calls.latency.AddTotals(
            Duration(static_cast<std::int64_t>(
                std::min(shard.sum.load(std::memory_order_relaxed), most))),
            Duration(shard.min.load(std::memory_order_relaxed)),
            Duration(shard.max.load(std::memory_order_relaxed)));
      }
      calls.calls += shard.without_latency.load(std::memory_order_relaxed);
    });
    calls.calls += calls.latency.count();
    // Empty where somebody is about to count the first.
    if (calls.calls != 0) all.push_back(std::move(calls));
  });
  return all;
}

std::uint64_t LatencyRecorder::calls() const {
  std::uint64_t sum = 0;
  ForEach(by_code_, [&sum](std::size_t, const OfCode& of_code) {
    ForEach(of_code.shards, [&sum](std::size_t, const Shard& shard) {
      sum += shard.without_latency.load(std::memory_order_relaxed);
      ForEach(shard.octaves, [&sum](std::size_t, const Octave& octave) {
        for (const auto& count : octave.counts) {
          sum += count.load(std::memory_order_relaxed);
        }
      });
    });
  });
  return sum;
}

std::size_t LatencyRecorder::memory_bytes() const {
  std::size_t bytes = sizeof(*this);
  ForEach(by_code_, [&bytes](std::size_t, const OfCode& of_code) {
    bytes += sizeof(OfCode);
    ForEach(of_code.shards, [&bytes](std::size_t, const Shard& shard) {
      bytes += sizeof(Shard);
      ForEach(shard.octaves, [&bytes](std::size_t, const Octave&) {
        bytes += sizeof(Octave);
      });
    });
  });
  return bytes;
}

std::size_t LatencyRecorder::MaxBytes(int shards) {
  const auto s = static_cast<std::size_t>(shards);
  return sizeof(LatencyRecorder) +
         kCodes *
             (sizeof(OfCode) +
              s * (sizeof(Shard) + LatencyBuckets::kOctaves * sizeof(Octave)));
}

}  // namespace fusebox
