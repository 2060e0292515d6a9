#include "interceptor/breaker/random.h"

#include <random>

namespace fusebox {

Random& ThreadRandom() {
  thread_local Random random([] {
    std::random_device device;
    return (std::uint64_t{device()} << 32) ^ device();
  }());
  return random;
}

}  // namespace fusebox
