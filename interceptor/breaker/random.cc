#include "interceptor/breaker/random.h"

#include <random>

namespace fusebox::internal {

void SeedThreadRandom() {
  std::random_device device;
  thread_random = Random((std::uint64_t{device()} << 32) ^ device());
  thread_random_is_seeded = true;
}

}  // namespace fusebox::internal
