// The two draws the policy makes: whether a ramp admits a call, and the jitter
// of a wait.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_RANDOM_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_RANDOM_H_

#include <cstdint>

namespace fusebox {

// A stream of draws. Thread-compatible; give each thread its own
// (ThreadRandom()).
//
// Either pseudo-random from a seed (SplitMix64: Steele, Lea, Flood, "Fast
// splittable pseudorandom number generators", OOPSLA 2014), or scripted: the
// same two numbers for ever, which is what an exact replay needs.
class Random {
 public:
  constexpr explicit Random(std::uint64_t seed) : state_(seed) { Draw(); }

  // Always draws `admission` (in [0, 1)) and `jitter` (in [-1, 1]).
  static Random Scripted(double admission, double jitter) {
    Random random(0);
    random.scripted_ = true;
    random.admission_ = admission;
    random.jitter_ = jitter;
    return random;
  }

  // Uniform in [0, 1).
  double Admission() { return scripted_ ? admission_ : Uniform(); }
  // Uniform in [-1, 1).
  double Jitter() { return scripted_ ? jitter_ : 2.0 * Uniform() - 1.0; }

 private:
  double Uniform() {
    const double uniform = next_;
    Draw();
    return uniform;
  }

  constexpr void Draw() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    next_ = static_cast<double>(z >> 11) * 0x1.0p-53;
  }

  std::uint64_t state_;
  // Drawn ahead: a decision that waits for it, and its branch, come sooner.
  double next_ = 0;
  bool scripted_ = false;
  double admission_ = 0;
  double jitter_ = 0;
};

namespace internal {
inline thread_local bool thread_random_is_seeded = false;
inline thread_local Random thread_random(0);
void SeedThreadRandom();
}  // namespace internal

// The calling thread's own generator, seeded differently in every thread and
// process.
inline Random& ThreadRandom() {
  if (!internal::thread_random_is_seeded) internal::SeedThreadRandom();
  return internal::thread_random;
}

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_RANDOM_H_
