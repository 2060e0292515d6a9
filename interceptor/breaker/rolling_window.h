// The counters of one breaker: a rolling window and the totals of its lifetime.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_ROLLING_WINDOW_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_ROLLING_WINDOW_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "interceptor/breaker/outcome.h"
#include "interceptor/breaker/state.h"
#include "interceptor/breaker/sync.h"

namespace fusebox {

// Counts outcomes by bucket, thread by thread, without locks.
//
// A bucket is named by its *serial*, a number that grows with time and that the
// caller also moves on by kWindowGap to empty the window: the window of n
// buckets at serial s is made of the serials s - n + 1 to s, so counts of
// before the gap are out of every later window, however late they are written.
//
// The places of buckets make a *ring*. A window of more buckets than it has
// places for needs a wider ring, to which serials lead that are kRingStep
// further (GapBefore()); a serial thus tells its ring, and nothing else does.
// The rings before it stay, for those who are late.
//
// Good outcomes are spread, bad ones are gathered:
//
//   shards         written by one thread at a time: plain loads and stores, no
//                  locked counting, no cache line that others write. One half
//                  belongs to the thread slots 0, 1, ...; the other half is
//                  borrowed for a moment, by core, by threads without a slot
//     good[2]      ok and user errors of the lifetime
//     cells[B]     for each bucket: what good[] was when the bucket began,
//                  each count as tag << 48 | count
//   gathered       written by every thread with compare-and-swap
//     bucket[B]    the serial each ring place is used for
//     words[B][6]  tag (low half of the serial) << 32 | count
//
// The good outcomes in the window are good[] minus the cell of the oldest
// bucket in it: one subtraction per shard, whatever the number of buckets. Bad
// outcomes are rare while a method is healthy, and a judgement needs them all:
// gathering them costs one compare-and-swap and makes judging cheap.
//
// A thread that finds the shard of its core borrowed, or in a newer bucket than
// its own, counts its good outcome in the gathered ring as well: nobody ever
// waits for anybody, and every count is in its own bucket.
//
// Heap bytes: S * (96 + 16 B) + 56 B, each term rounded up to 64, for S shards
// and B buckets. A wider ring has S * 16 P + 56 P more, for P places: as many
// as asked for, and at least twice those of the one before. So there are at
// most 11, all together with less than four times the places asked for at most.
//
// Invariants, each with the test that fails without it: scenarios of
// model/window_model_test.cc, which also drops each memory order and each
// second look below once, or tests of rolling_window_test.cc.
//  W1 A shard and its cells are written by one thread at a time, which sees
//     what the one before wrote. Holds because a slot has one live owner, and
//     the next one synchronizes with it through the slot table's lock; and
//     because a borrower takes `borrowed` with acquire and gives it back with
//     release. Tests: SlotTakenOver, BorrowedShard.
//  W2 A word of cells[s % B] that carries the tag of s (its low 16 bits) holds
//     its count as of the first moment of bucket s in that shard. Each word
//     carries the tag itself, so nothing is torn. A place comes round every B
//     serials, and a reader is never 2^16 serials behind. Tests: TurningTwice,
//     AfterManyJumpsTagsThatRepeatCountOnce.
//  W3 Every serial in [first, last] that the ring has a place for has its
//     cell: the writer fills the cells of the skipped buckets too, and names
//     them in `first` and `last` afterwards, with release. A reader that finds
//     another tag there has met a writer entering the next bucket and reads the
//     window as of that one. So readers never wait for writers. Tests:
//     StartingOver, StartingOverBesideFailures,
//     RandomCountsOfManyThreadsOnManyCores.
//  W4 A word of the gathered ring belongs to serial s iff bucket[s % B] == s
//     and the word's tag is the low half of s. A word is changed only by
//     compare-and-swap, by adding to a matching tag or by replacing another
//     tag that was read before bucket[] still said s. Whoever wrote a newer tag
//     had seen bucket[] move on: the word is read with acquire, so that
//     bucket[] needs no order of its own there. A late writer of an older
//     serial either finds bucket[] moved on, or its swap fails, or it leaves an
//     older tag, which counts as zero. bucket[] never goes back. Tests:
//     RingPlaceTaken, RingPlaceTakenTwice, GatheringTogether.
//  W5 Every word is brought to the new tag when its place is taken for a new
//     serial, so a tag cannot be mistaken for one of 2^32 serials ago. Test:
//     RingPlaceTakenTwice.
//  W6 Gathered counts saturate at 2^32 - 1 for one bucket and class; those of
//     shards are taken modulo 2^48. Test: HugeCountsTest.
//  W7 A sum is of one window in every part: a reader that finds somebody ahead
//     of it starts over with the window at that newer bucket. Otherwise it
//     could miss old successes and still see the failures beside them. It looks
//     again after reading the counts of a shard or place: a count is released
//     after its bucket, so whoever sees the one sees the other. Each look
//     acquires: the new start misses nothing that came before that bucket.
//     Tests: RecordingAgainstRotation, TurningTwice, FailuresTurningTwice.
//  W8 Of two threads that gather a count and then sum, one sees the other's: a
//     judgement is not missed because each waited for the other's failure. The
//     ring is written and summed in the order of sequential consistency. Test:
//     OpeningTogether in model/breaker_model_test.cc.
//  W9 Lifetime totals are added with release and read with acquire: whoever
//     reads the ends of calls before their beginnings finds a beginning for
//     each end, and whoever sums a window first finds no less in the lifetime.
//     Tests: EndsBeforeBeginnings, SlowOutcomes.
// W10 Who knows a serial knows its ring: the ring is made before the first such
//     serial is published, and a serial is heard of only by acquiring it (from
//     the breaker's record, or from `last`, W7). A shard counts in one ring at
//     a time, since `last` tells it. Tests: WiderRing, and
//     SettingsAgainstCounts in model/breaker_model_test.cc.
//
// Thread-safe.
template <class Sync>
class RollingWindow {
 public:
  // Lifetime counters beside the outcomes.
  enum class Total : unsigned char {
    kAdmitted,
    kIgnored,
    kRejectedOpen,
    kRejectedHalfOpenLimit,
    kShadowRejected,
    // Rare ones, gathered:
    kRejectedForcedOpen,
    kStale,
  };

  static constexpr int kMaxShards = 64;

  // Further than the window is wide and than any thread lags behind.
  static constexpr std::int64_t kWindowGap = (std::int64_t{1} << 16) + 1;

  // From a serial to one of the next ring; serials of one ring are closer.
  static constexpr std::int64_t kRingStep = std::int64_t{1} << 48;

  // `buckets` is that of the widest window there will be without GapBefore(). 1
  // <= buckets <= 1000, 0 <= shards <= kMaxShards. The first serial must be
  // below kRingStep.
  RollingWindow(int buckets, int shards)
      : shard_count_(static_cast<std::uint8_t>(shards)),
        owned_(static_cast<std::uint8_t>(shards - shards / 2)),
        places_(static_cast<std::uint16_t>(buckets)),
        shard_bytes_(static_cast<std::uint32_t>(RoundUp(
            sizeof(Shard) + sizeof(Cell) * static_cast<std::size_t>(buckets)))),
        storage_(Allocate(first_bytes())) {
    for (int i = 0; i < shards; ++i) {
      new (storage_.get() + shard_bytes_ * static_cast<std::size_t>(i)) Shard;
    }
    FirstRing().Construct(shards);
  }

  ~RollingWindow() {
    FirstRing().Destroy(shard_count_);
    for (int i = 0; i < shard_count_; ++i) ShardAt(i).~Shard();
  }

  RollingWindow(const RollingWindow&) = delete;
  RollingWindow& operator=(const RollingWindow&) = delete;

  // Heap bytes, beside sizeof(*this). Not during GapBefore().
  std::size_t storage_bytes() const {
    std::size_t bytes = first_bytes();
    for (const WiderRing* ring = wider_.get(); ring != nullptr;
         ring = ring->wider.get()) {
      bytes += WiderRing::Bytes(ring->ring.places, shard_count_);
    }
    return bytes;
  }

  // Whether a window of `buckets` has room at `serial`.
  bool HasRoom(std::int64_t serial, int buckets) const {
    return static_cast<std::uint32_t>(buckets) <= RingOf(serial).places;
  }

  // How far to move on from `serial`, the newest there is, to empty the window
  // and have room for one of `buckets`. Allocates if there has never been room.
  // One call at a time; until one of the serials it leads to is published, the
  // next call must be for the same `buckets`.
  std::int64_t GapBefore(std::int64_t serial, int buckets) {
    if (HasRoom(serial, buckets)) return kWindowGap;
    std::unique_ptr<WiderRing>* next = &wider_;
    for (std::int64_t n = serial / kRingStep; n > 0; --n) {
      next = &(*next)->wider;
    }
    if (*next == nullptr) {
      *next = std::make_unique<WiderRing>(
          std::max(static_cast<std::uint32_t>(buckets),
                   2 * RingOf(serial).places),
          shard_count_);
    }
    return kWindowGap + kRingStep;
  }

  // Adds one to a lifetime counter. Wait-free.
  void Add(Total total) {
    const auto index = static_cast<std::size_t>(total);
    const int slot = Sync::KnownThreadSlot();
    if (slot < owned_ && index < kSpreadTotals) {
      return Increment(ShardAt(slot).totals[index]);
    }
    AddElsewhere(index);
  }

  // Counts a good outcome the short way: if the last one in the shard at hand
  // was counted for the same `epoch` and `now_ns` is in that very bucket, which
  // is `bucket_width_ns` wide. False if nothing was done. Wait-free.
  bool CountGoodAgain(Outcome outcome, std::uint64_t epoch, std::int64_t now_ns,
                      std::int64_t bucket_width_ns) {
    const int slot = Sync::KnownThreadSlot();
    if (slot < owned_) {
      return CountGoodIn(ShardAt(slot), outcome, epoch, now_ns,
                         bucket_width_ns);
    }
    return CountGoodElsewhere(outcome, epoch, now_ns, bucket_width_ns);
  }

  // Counts an outcome (not kIgnored) in the bucket `serial` and in the lifetime
  // totals. `epoch` is any non-zero number that changes whenever serials may
  // jump; `bucket_end_ns` is where the bucket ends: both are kept for
  // CountGoodAgain(). Lock-free.
  void Count(Outcome outcome, bool slow, std::int64_t serial,
             std::uint64_t epoch, std::int64_t bucket_end_ns) {
    if (!slow && !IsFailure(outcome)) {
      const HeldShard shard(*this);
      if (shard && Enter(shard, serial)) {
        shard->epoch.store(epoch, Sync::kRelaxed);
        shard->bucket_end_ns.store(bucket_end_ns, Sync::kRelaxed);
        return Increment(shard->good[static_cast<std::size_t>(outcome)]);
      }
    }
    CountTotalOnly(outcome, slow);
    Gather(static_cast<std::size_t>(outcome), serial);
    if (slow) Gather(kSlowWord, serial);
  }

  // Counts an outcome in the lifetime totals alone. Wait-free.
  void CountTotalOnly(Outcome outcome, bool slow) {
    outcomes_[static_cast<std::size_t>(outcome)].fetch_add(1, Sync::kRelease);
    if (slow) outcomes_[kSlowWord].fetch_add(1, Sync::kRelease);
  }

  // The window of `buckets` at `serial`, or at the newest bucket that anybody
  // has counted in if that is later. `serial` must have room for it. Sees every
  // count that happened-before the call, and some of those under way.
  // Lock-free.
  OutcomeCounts Sum(std::int64_t serial, int buckets) const {
    OutcomeCounts counts;
    while (!TrySum(serial, buckets, counts)) counts = OutcomeCounts();
    return counts;
  }

  // The widest there is room for.
  OutcomeCounts Sum(std::int64_t serial) const {
    return Sum(serial, static_cast<int>(RingOf(serial).places));
  }

  OutcomeCounts Lifetime() const {
    OutcomeCounts counts;
    // First, since it is counted last (W9).
    counts.slow = outcomes_[kSlowWord].load(Sync::kAcquire);
    for (std::size_t i = 0; i < kCountedOutcomes; ++i) {
      counts.by_outcome[i] = outcomes_[i].load(Sync::kAcquire);
    }
    for (int i = 0; i < shard_count_; ++i) {
      for (std::size_t k = 0; k < kGoodOutcomes; ++k) {
        counts.by_outcome[k] += ShardAt(i).good[k].load(Sync::kAcquire);
      }
    }
    return counts;
  }

  std::uint64_t Read(Total total) const {
    const auto index = static_cast<std::size_t>(total);
    std::uint64_t sum = totals_[index].load(Sync::kAcquire);
    if (index >= kSpreadTotals) return sum;
    for (int i = 0; i < shard_count_; ++i) {
      sum += ShardAt(i).totals[index].load(Sync::kAcquire);
    }
    return sum;
  }

 private:
  template <class T>
  using Atomic = typename Sync::template Atomic<T>;

  static constexpr std::size_t kLine = 64;
  static constexpr std::size_t kGoodOutcomes = 2;  // kOk, kUserError
  static constexpr std::size_t kSlowWord = kCountedOutcomes;
  static constexpr std::size_t kWords = kCountedOutcomes + 1;
  static constexpr std::size_t kSpreadTotals = 5;
  static constexpr std::size_t kTotals = 7;
  static constexpr std::int64_t kNoSerial = -1;

  struct Cell {
    std::array<Atomic<std::uint64_t>, kGoodOutcomes> bases{};
  };

  struct Shard {
    // What a good outcome of a closed method touches comes first and shares a
    // cache line. The writer's memory for CountGoodAgain():
    Atomic<std::uint64_t> epoch{0};
    Atomic<std::int64_t> bucket_end_ns{0};
    Atomic<std::uint64_t> borrowed{0};
    // Lifetime totals, read by everybody.
    std::array<Atomic<std::uint64_t>, kGoodOutcomes> good{};
    std::array<Atomic<std::uint64_t>, kSpreadTotals> totals{};
    // The serials that cells[] covers.
    Atomic<std::int64_t> first{0};
    Atomic<std::int64_t> last{kNoSerial};
    // Cell cells[buckets] follows.
  };

  struct GatheredBucket {
    Atomic<std::int64_t> serial{kNoSerial};
    std::array<Atomic<std::uint64_t>, kWords> words{};
  };

  static constexpr std::size_t RoundUp(std::size_t bytes) {
    return (bytes + kLine - 1) / kLine * kLine;
  }

  std::size_t first_bytes() const {
    return std::size_t{shard_bytes_} * shard_count_ +
           RoundUp(sizeof(GatheredBucket) * places_);
  }

  struct Free {
    void operator()(std::byte* storage) const {
      ::operator delete (storage, std::align_val_t{kLine});
    }
  };
  using Storage = std::unique_ptr<std::byte, Free>;
  static Storage Allocate(std::size_t bytes) {
    return Storage(static_cast<std::byte*>(
        ::operator new (bytes, std::align_val_t{kLine})));
  }

  // The places for the buckets of a window: where they are.
  struct Ring {
    std::uint32_t places;
    std::uint32_t stride;  // bytes from the cells of a shard to the next
    std::byte* cells;      // of the first shard
    std::byte* buckets;    // gathered

    Cell& CellOf(int shard, std::int64_t serial) const {
      return CellAt(shard, static_cast<std::uint64_t>(serial) % places);
    }
    GatheredBucket& GatheredOf(std::int64_t serial) const {
      return GatheredAt(static_cast<std::uint64_t>(serial) % places);
    }
    GatheredBucket& GatheredAt(std::uint64_t place) const {
      return std::launder(reinterpret_cast<GatheredBucket*>(buckets))[place];
    }
    Cell& CellAt(int shard, std::uint64_t place) const {
      return std::launder(reinterpret_cast<Cell*>(
          cells +
          std::size_t{stride} * static_cast<std::size_t>(shard)))[place];
    }

    void Construct(int shards) const {
      for (int i = 0; i < shards; ++i) {
        std::byte* const at =
            cells + std::size_t{stride} * static_cast<std::size_t>(i);
        for (std::uint32_t b = 0; b < places; ++b) {
          new (at + sizeof(Cell) * b) Cell;
        }
      }
      for (std::uint32_t b = 0; b < places; ++b) {
        new (buckets + sizeof(GatheredBucket) * b) GatheredBucket;
      }
    }
    void Destroy(int shards) const {
      for (int i = 0; i < shards; ++i) {
        for (std::uint32_t b = 0; b < places; ++b) CellAt(i, b).~Cell();
      }
      for (std::uint32_t b = 0; b < places; ++b)
        GatheredAt(b).~GatheredBucket();
    }
  };
  // One with storage of its own. The first one shares that of the shards.
  struct alignas(kLine) WiderRing {
    WiderRing(std::uint32_t places, int shards)
        : shard_count(shards),
          storage(Allocate(Bytes(places, shards))),
          ring{places, CellBytes(places), storage.get(),
               storage.get() + std::size_t{CellBytes(places)} *
                                   static_cast<std::size_t>(shards)} {
      ring.Construct(shards);
    }
    ~WiderRing() { ring.Destroy(shard_count); }
    WiderRing(const WiderRing&) = delete;
    WiderRing& operator=(const WiderRing&) = delete;

    static std::uint32_t CellBytes(std::uint32_t places) {
      return static_cast<std::uint32_t>(RoundUp(sizeof(Cell) * places));
    }
    static std::size_t Bytes(std::uint32_t places, int shards) {
      return std::size_t{CellBytes(places)} * static_cast<std::size_t>(shards) +
             RoundUp(sizeof(GatheredBucket) * places);
    }

    const int shard_count;
    const Storage storage;
    const Ring ring;
    std::unique_ptr<WiderRing> wider;  // the next one
  };

  // Of the words of cells and of the gathered ring.
  static std::uint64_t CellTag(std::int64_t serial) {
    return static_cast<std::uint64_t>(serial) << 48;
  }
  static constexpr std::uint64_t kCellTagMask = ~std::uint64_t{0} << 48;
  static std::uint64_t Tag(std::int64_t serial) {
    return static_cast<std::uint64_t>(serial) << 32;
  }
  static constexpr std::uint64_t kTagMask = ~std::uint64_t{0} << 32;

  Shard& ShardAt(int i) const {
    return *std::launder(reinterpret_cast<Shard*>(
        storage_.get() + shard_bytes_ * static_cast<std::size_t>(i)));
  }
  Ring FirstRing() const {
    return {places_, shard_bytes_, storage_.get() + sizeof(Shard),
            storage_.get() + std::size_t{shard_bytes_} * shard_count_};
  }
  // W10.
  Ring RingOf(std::int64_t serial) const {
    std::int64_t number = serial / kRingStep;
    if (number == 0) return FirstRing();
    const WiderRing* ring = wider_.get();
    while (--number > 0) ring = ring->wider.get();
    return ring->ring;
  }

  // The shard the calling thread may write while this lives, or none (W1).
  class HeldShard {
   public:
    explicit HeldShard(RollingWindow& window) {
      const int slot = Sync::ThreadSlot();
      if (slot < window.owned_) {
        index_ = slot;
        shard_ = &window.ShardAt(slot);
        return;
      }
      const int lent = window.shard_count_ - window.owned_;
      if (lent == 0) return;
      index_ = window.owned_ + Sync::Core() % lent;
      Shard& shard = window.ShardAt(index_);
      if (shard.borrowed.exchange(1, Sync::kAcquire) != 0) return;
      shard_ = &shard;
      lender_ = &shard;
    }
    ~HeldShard() {
      if (lender_ != nullptr) lender_->borrowed.store(0, Sync::kRelease);
    }
    HeldShard(const HeldShard&) = delete;
    HeldShard& operator=(const HeldShard&) = delete;

    explicit operator bool() const { return shard_ != nullptr; }
    Shard* operator->() const { return shard_; }
    Shard& operator*() const { return *shard_; }
    int index() const { return index_; }

   private:
    int index_ = 0;
    Shard* shard_ = nullptr;
    Shard* lender_ = nullptr;
  };

  // Single writer: a load and a store, not a locked read-modify-write. Whoever
  // sees the count sees its bucket (W7).
  static void Increment(Atomic<std::uint64_t>& counter) {
    counter.store(counter.load(Sync::kRelaxed) + 1, Sync::kRelease);
  }

  // Add() and CountGoodAgain() for threads that do not own a shard, or do not
  // know it yet. Apart, so that what the others run stays short.
  [[gnu::noinline]] void AddElsewhere(std::size_t total) {
    if (total < kSpreadTotals) {
      const HeldShard shard(*this);
      if (shard) return Increment(shard->totals[total]);
    }
    totals_[total].fetch_add(1, Sync::kRelease);
  }
  [[gnu::noinline]] bool CountGoodElsewhere(Outcome outcome,
                                            std::uint64_t epoch,
                                            std::int64_t now_ns,
                                            std::int64_t bucket_width_ns) {
    const HeldShard shard(*this);
    return shard &&
           CountGoodIn(*shard, outcome, epoch, now_ns, bucket_width_ns);
  }

  // Writer only.
  static bool CountGoodIn(Shard& shard, Outcome outcome, std::uint64_t epoch,
                          std::int64_t now_ns, std::int64_t bucket_width_ns) {
    if (shard.epoch.load(Sync::kRelaxed) != epoch) return false;
    const std::int64_t left = shard.bucket_end_ns.load(Sync::kRelaxed) - now_ns;
    if (left <= 0 || left > bucket_width_ns) return false;
    Increment(shard.good[static_cast<std::size_t>(outcome)]);
    return true;
  }

  // Writer only. Makes `serial` the newest bucket of the shard. False if there
  // is a newer one: a borrower before this one had a later clock or had heard
  // of a jump; the count of this one is not to be mixed with theirs.
  bool Enter(const HeldShard& shard, std::int64_t serial) {
    const std::int64_t last = shard->last.load(Sync::kRelaxed);
    if (serial <= last) return serial == last;
    const Ring ring = RingOf(serial);
    // After a long pause nothing before can be in a window with `serial`.
    const bool start_over =
        last == kNoSerial || serial - last > std::int64_t{ring.places};
    for (std::int64_t s = start_over ? serial : last + 1; s <= serial; ++s) {
      Cell& cell = ring.CellOf(shard.index(), s);
      for (std::size_t k = 0; k < kGoodOutcomes; ++k) {
        const std::uint64_t count = shard->good[k].load(Sync::kRelaxed);
        cell.bases[k].store(CellTag(s) | (count & ~kCellTagMask),
                            Sync::kRelease);
      }
    }
    if (start_over) shard->first.store(serial, Sync::kRelease);
    shard->last.store(serial, Sync::kRelease);
    return true;
  }

  // False if somebody is ahead: `serial` becomes a bucket they are in.
  bool TrySum(std::int64_t& serial, int buckets, OutcomeCounts& counts) const {
    const Ring ring = RingOf(serial);
    for (std::uint32_t i = 0; i < ring.places; ++i) {
      if (!SumGathered(ring.GatheredAt(i), serial, buckets, counts))
        return false;
    }
    for (int i = 0; i < shard_count_; ++i) {
      if (!SumShard(ring, i, serial, buckets, counts)) return false;
    }
    return true;
  }

  bool SumShard(const Ring& ring, int index, std::int64_t& serial, int buckets,
                OutcomeCounts& counts) const {
    Shard& shard = ShardAt(index);
    const std::int64_t last = shard.last.load(Sync::kAcquire);
    if (IsAhead(last, serial)) return false;
    const std::int64_t oldest = serial - buckets + 1;
    if (last < oldest) return true;
    const std::int64_t from =
        std::max(oldest, shard.first.load(Sync::kAcquire));
    if (from > last) {  // the writer is starting over there
      serial = from;
      return false;
    }
    const Cell& cell = ring.CellOf(index, from);
    for (std::size_t k = 0; k < kGoodOutcomes; ++k) {
      const std::uint64_t base = cell.bases[k].load(Sync::kAcquire);
      if ((base & kCellTagMask) != CellTag(from)) {
        ++serial;  // W3
        return false;
      }
      counts.by_outcome[k] +=
          (shard.good[k].load(Sync::kAcquire) - base) & ~kCellTagMask;
    }
    // Counts of a later bucket may be among them (W7).
    return !IsAhead(shard.last.load(Sync::kAcquire), serial);
  }

  void Gather(std::size_t word_index, std::int64_t serial) {
    GatheredBucket& place = RingOf(serial).GatheredOf(serial);
    std::int64_t used_for = place.serial.load(Sync::kRelaxed);
    while (used_for < serial) {
      if (place.serial.compare_exchange_strong(used_for, serial,
                                               Sync::kSeqCst)) {
        Retag(place, serial);
        used_for = serial;
      }
    }
    if (used_for > serial) return;  // the bucket has left the window

    Atomic<std::uint64_t>& word = place.words[word_index];
    std::uint64_t seen = word.load(Sync::kAcquire);
    for (;;) {
      std::uint64_t next;
      if ((seen & kTagMask) == Tag(serial)) {
        if ((seen & ~kTagMask) == ~kTagMask) return;  // W6
        next = seen + 1;
      } else {
        if (place.serial.load(Sync::kRelaxed) != serial) return;
        next = Tag(serial) | 1;
      }
      if (word.compare_exchange_strong(seen, next, Sync::kSeqCst)) return;
    }
  }

  // W5. A failed swap means that somebody wrote the word just now.
  void Retag(GatheredBucket& place, std::int64_t serial) {
    for (Atomic<std::uint64_t>& word : place.words) {
      std::uint64_t seen = word.load(Sync::kAcquire);
      if ((seen & kTagMask) == Tag(serial)) continue;
      // Asked after the load: a newer tag must not be taken for an old one.
      if (place.serial.load(Sync::kRelaxed) != serial) return;
      word.compare_exchange_strong(seen, Tag(serial), Sync::kRelease);
    }
  }

  bool SumGathered(const GatheredBucket& place, std::int64_t& serial,
                   int buckets, OutcomeCounts& counts) const {
    const std::int64_t used_for = place.serial.load(Sync::kSeqCst);
    if (IsAhead(used_for, serial)) return false;
    if (used_for <= serial - buckets) return true;
    for (std::size_t k = kWords; k-- > 0;) {  // slow ones, counted last, first
      const std::uint64_t word = place.words[k].load(Sync::kSeqCst);
      if ((word & kTagMask) != Tag(used_for)) continue;
      const std::uint64_t count = word & ~kTagMask;
      if (k == kSlowWord) {
        counts.slow += count;
      } else {
        counts.by_outcome[k] += count;
      }
    }
    // The place may have been taken for a later bucket meanwhile (W7).
    return !IsAhead(place.serial.load(Sync::kAcquire), serial);
  }

  // Whether `newest` is later than `serial`, which is then moved up to it.
  static bool IsAhead(std::int64_t newest, std::int64_t& serial) {
    if (newest <= serial) return false;
    serial = newest;
    return true;
  }

  const std::uint8_t shard_count_;
  const std::uint8_t owned_;
  const std::uint16_t places_;  // of the first ring
  const std::uint32_t shard_bytes_;
  const Storage storage_;             // of shards and first ring
  std::unique_ptr<WiderRing> wider_;  // the next one

  // Gathered lifetime totals.
  std::array<Atomic<std::uint64_t>, kWords> outcomes_{};
  std::array<Atomic<std::uint64_t>, kTotals> totals_{};
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_ROLLING_WINDOW_H_
