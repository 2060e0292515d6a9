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

int Known(int code) {
  return code < 0 || code > CallsOfCode::kOther ? CallsOfCode::kOther : code;
}

}  // namespace

LatencyRecorder::LatencyRecorder(int shards)
    : shards_(shards),
      owned_(shards / 2),
      ok_(new std::atomic<Shard*>[static_cast<std::size_t>(shards)]()) {}

LatencyRecorder::~LatencyRecorder() {
  ForEachShard([](int, Shard& shard) {
    for (const auto& octave : shard.octaves) delete octave.load();
    delete &shard;
  });
}

LatencyRecorder::HeldShard LatencyRecorder::Hold(int code) {
  if (code != 0) {
    return {At(others_[static_cast<std::size_t>(Known(code) - 1)]), false};
  }
  const int slot = StdSync::ThreadSlot();
  const bool owned = slot < owned_;
  const int index =
      owned ? slot : owned_ + StdSync::Core() % (shards_ - owned_);
  return {At(ok_[static_cast<std::size_t>(index)]), owned};
}

template <class F>
void LatencyRecorder::ForEachShard(F f) const {
  const auto call = [&f](int code, const std::atomic<Shard*>& place) {
    if (Shard* const shard = place.load(std::memory_order_acquire)) {
      f(code, *shard);
    }
  };
  for (int i = 0; i < shards_; ++i) call(0, ok_[static_cast<std::size_t>(i)]);
  int code = 0;
  for (const std::atomic<Shard*>& place : others_) call(++code, place);
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
  ForEachShard([&all](int code, const Shard& shard) {
    LatencySnapshot latency;
    for (int o = 0; o < LatencyBuckets::kOctaves; ++o) {
      const Octave* const octave =
          shard.octaves[static_cast<std::size_t>(o)].load(
              std::memory_order_acquire);
      if (octave == nullptr) continue;
      int index = o * LatencyBuckets::kPerOctave;
      for (const auto& counter : octave->counts) {
        // Before the totals (R3).
        const std::uint64_t count = counter.load(std::memory_order_acquire);
        if (count != 0) latency.AddToBucket(index, count);
        ++index;
      }
    }
    if (latency.count() != 0) {
      const auto most = static_cast<std::uint64_t>(Duration::max().count());
      const std::uint64_t sum =
          std::min(shard.sum.load(std::memory_order_relaxed), most);
      latency.AddTotals(Duration(static_cast<std::int64_t>(sum)),
                        Duration(shard.min.load(std::memory_order_relaxed)),
                        Duration(shard.max.load(std::memory_order_relaxed)));
    }
    const std::uint64_t calls =
        latency.count() + shard.without_latency.load(std::memory_order_relaxed);
    // Somebody may be about to count the first.
    if (calls == 0) return;
    if (all.empty() || all.back().code != code) {
      all.push_back({code, 0, LatencySnapshot()});
    }
    all.back().calls += calls;
    all.back().latency.Merge(latency);
  });
  return all;
}

std::uint64_t LatencyRecorder::calls() const {
  std::uint64_t sum = 0;
  ForEachShard([&sum](int, const Shard& shard) {
    sum += shard.without_latency.load(std::memory_order_relaxed);
    for (const auto& place : shard.octaves) {
      const Octave* const octave = place.load(std::memory_order_acquire);
      if (octave == nullptr) continue;
      for (const auto& count : octave->counts) {
        sum += count.load(std::memory_order_relaxed);
      }
    }
  });
  return sum;
}

std::size_t LatencyRecorder::memory_bytes() const {
  std::size_t bytes =
      sizeof(*this) + static_cast<std::size_t>(shards_) * sizeof(ok_[0]);
  ForEachShard([&bytes](int, const Shard& shard) {
    bytes += sizeof(shard);
    for (const auto& octave : shard.octaves) {
      if (octave.load(std::memory_order_relaxed) != nullptr) {
        bytes += sizeof(Octave);
      }
    }
  });
  return bytes;
}

std::size_t LatencyRecorder::MaxBytes(int shards) {
  const auto s = static_cast<std::size_t>(shards);
  return sizeof(LatencyRecorder) + s * sizeof(std::atomic<Shard*>) +
         (s + CallsOfCode::kOther) *
             (sizeof(Shard) + LatencyBuckets::kOctaves * sizeof(Octave));
}

}  // namespace fusebox
