#include "interceptor/export/wakeup.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <system_error>

namespace fusebox {

Wakeup::Wakeup() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!fd_.is_open()) {
    throw std::system_error(errno, std::generic_category(), "eventfd");
  }
}

void Wakeup::Wake() const {
  const std::uint64_t one = 1;
  // Fails only when woken 2^64 - 2 times, which is woken enough.
  [[maybe_unused]] const ssize_t ignored = write(fd_.get(), &one, sizeof(one));
}

void Wakeup::Clear() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t ignored =
      read(fd_.get(), &count, sizeof(count));
}

void Wakeup::Wait(const Awaited& awaited, TimePoint now) const {
  using std::chrono::milliseconds;
  // Rounded up, or the last millisecond would be spent spinning; in an hour
  // it is looked at again.
  const auto patience = std::clamp<milliseconds>(
      awaited.until <= now ? milliseconds::zero()
      : awaited.until - now > std::chrono::hours(1)
          ? milliseconds(std::chrono::hours(1))
          : std::chrono::ceil<milliseconds>(awaited.until - now),
      milliseconds::zero(), std::chrono::hours(1));
  // poll() skips what is below 0.
  std::array<pollfd, 2> files = {
      pollfd{fd_.get(), POLLIN, 0},
      pollfd{awaited.fd, awaited.events, 0},
  };
  poll(files.data(), files.size(), static_cast<int>(patience.count()));
  Clear();
}

}  // namespace fusebox
