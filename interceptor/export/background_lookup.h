// Names of hosts, looked up without waiting.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_BACKGROUND_LOOKUP_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_BACKGROUND_LOOKUP_H_

#include <sys/socket.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fusebox {

struct HostPort {
  std::string host;
  int port = 0;
};

// "host:port", "host", "1.2.3.4:port", "[::1]:port" or "[::1]". Nothing if
// `text` is none of these, the host is empty or the port not in [1, 65535].
std::optional<HostPort> ParseHostPort(std::string_view text, int default_port);

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;

  const sockaddr* get() const {
    return reinterpret_cast<const sockaddr*>(&storage);
  }
};
bool operator==(const SocketAddress& a, const SocketAddress& b);

struct LookupResult {
  std::vector<SocketAddress> addresses;  // in the order to try; each once
  std::string error;                     // why there are none
};

// Must be thread-safe. May block.
using LookupFunction = std::function<LookupResult(const HostPort&)>;

// All addresses that getaddrinfo() knows, IPv4 and IPv6. Blocks, for tens of
// seconds if the name servers do not answer.
LookupResult LookUp(const HostPort& name);

// One look-up on a thread of its own, because getaddrinfo() cannot be
// interrupted. When this object is destroyed before, the thread ends by itself
// later and touches nothing but `look_up` and `name`.
//
// Thread-compatible.
class BackgroundLookup {
 public:
  // Throws std::system_error if the process is out of file descriptors; without
  // a thread to be had the result says so.
  BackgroundLookup(LookupFunction look_up, HostPort name);

  // Readable once the result is there.
  int fd() const;
  // The result, once; nothing while there is none.
  std::optional<LookupResult> Take();

 private:
  struct Shared;

  const std::shared_ptr<Shared> shared_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_BACKGROUND_LOOKUP_H_
