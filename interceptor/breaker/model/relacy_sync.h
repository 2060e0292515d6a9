// A Sync policy whose threads and atomics are played by a model checker.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_MODEL_RELACY_SYNC_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_MODEL_RELACY_SYNC_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace fusebox::model {

enum class Order : unsigned char {
  kRelaxed,
  kAcquire,
  kRelease,
  kAcqRel,
  kSeqCst
};

inline constexpr int kMaxThreads = 3;

// Where in the code under test an operation stands.
struct Place {
  static constexpr Place Here(const char* file_here = __builtin_FILE(),
                              const char* function_here = __builtin_FUNCTION(),
                              int line_here = __builtin_LINE()) {
    return {file_here, function_here, line_here};
  }
  const char* file;
  const char* function;
  int line;
};

// An atomic word as Relacy models it: a load may return an older value unless
// the orders forbid it, and every operation is a point where another thread may
// take over. Relacy itself is kept out of this header: it redefines new, delete
// and the standard memory orders as macros.
//
// A word that only one thread uses, or that nobody writes while the threads
// run, needs neither; it is a plain number until the exploration finds
// otherwise (model_check.h).
class Word {
 public:
  explicit Word(std::uint64_t value);
  ~Word();
  Word(const Word&) = delete;
  Word& operator=(const Word&) = delete;

  std::uint64_t Load(Order order, Place place) const;
  void Store(std::uint64_t value, Order order, Place place);
  std::uint64_t Exchange(std::uint64_t value, Order order, Place place);
  bool CompareExchange(std::uint64_t& expected, std::uint64_t value,
                       Order order, Place place);
  std::uint64_t FetchAdd(std::uint64_t value, Order order, Place place);
  std::uint64_t FetchAnd(std::uint64_t value, Order order, Place place);

 private:
  enum class Rmw : unsigned char { kExchange, kAdd, kAnd };
  std::uint64_t ReadModifyWrite(Rmw kind, std::uint64_t value, Order order,
                                Place place);
  // Whether Relacy is to be asked. Notes who uses the word, and how.
  bool Modelled(bool writes) const;

  static constexpr std::size_t kModelBytes = 64;

  const int index_;  // in the order of construction
  const bool modelled_;
  mutable int user_;  // the thread that used it, or one of the two below
  mutable bool written_ = false;  // while the threads run
  std::uint64_t plain_;
  // What each thread last read or wrote here, for Fault::kSecondLook.
  mutable std::array<std::uint64_t, kMaxThreads> known_ = {};
  mutable std::array<bool, kMaxThreads> knows_ = {};
  alignas(8) mutable std::array<std::byte, kModelBytes> model_;
};

template <class T>
class Atomic {
 public:
  Atomic() : word_(0) {}
  explicit Atomic(T value) : word_(ToBits(value)) {}

  T load(Order order, Place place = Place::Here()) const {
    return FromBits(word_.Load(order, place));
  }
  void store(T value, Order order, Place place = Place::Here()) {
    word_.Store(ToBits(value), order, place);
  }
  T exchange(T value, Order order, Place place = Place::Here()) {
    return FromBits(word_.Exchange(ToBits(value), order, place));
  }
  bool compare_exchange_strong(T& expected, T value, Order order,
                               Place place = Place::Here()) {
    std::uint64_t seen = ToBits(expected);
    const bool done = word_.CompareExchange(seen, ToBits(value), order, place);
    expected = FromBits(seen);
    return done;
  }
  T fetch_add(T value, Order order, Place place = Place::Here()) {
    return FromBits(word_.FetchAdd(ToBits(value), order, place));
  }
  T fetch_and(T value, Order order, Place place = Place::Here()) {
    return FromBits(word_.FetchAnd(ToBits(value), order, place));
  }

 private:
  static std::uint64_t ToBits(T value) {
    if constexpr (std::is_pointer_v<T>) {
      return reinterpret_cast<std::uintptr_t>(value);
    } else {
      return static_cast<std::uint64_t>(value);
    }
  }
  static T FromBits(std::uint64_t bits) {
    if constexpr (std::is_pointer_v<T>) {
      return reinterpret_cast<T>(static_cast<std::uintptr_t>(bits));
    } else {
      return static_cast<T>(bits);
    }
  }

  Word word_;
};

struct RelacySync {
  template <class T>
  using Atomic = model::Atomic<T>;

  static constexpr Order kRelaxed = Order::kRelaxed;
  static constexpr Order kAcquire = Order::kAcquire;
  static constexpr Order kRelease = Order::kRelease;
  static constexpr Order kAcqRel = Order::kAcqRel;
  static constexpr Order kSeqCst = Order::kSeqCst;

  // Of each thread; while no threads run, that of thread 0. Set by scenarios.
  static inline std::array<int, kMaxThreads> slots = {};

  // Whether kSeqCst is more than kAcqRel. Relacy's total order is that of its
  // own execution, stricter than the standard's: it hides orders that are
  // missing elsewhere, so code that needs it in one respect is better explored
  // without it in all others.
  static inline bool total_order = true;

  static int ThreadSlot();
  static int KnownThreadSlot() { return ThreadSlot(); }
  static int Core() { return 0; }
  static void Pause();
};

}  // namespace fusebox::model

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_MODEL_RELACY_SYNC_H_
