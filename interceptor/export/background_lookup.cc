#include "interceptor/export/background_lookup.h"

#include <netdb.h>

#include <algorithm>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/export/wakeup.h"

namespace fusebox {

std::optional<HostPort> ParseHostPort(std::string_view text, int default_port) {
  HostPort parsed;
  parsed.port = default_port;
  std::string_view port;
  bool has_port = false;
  if (!text.empty() && text[0] == '[') {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    parsed.host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    has_port = !port.empty();
    if (has_port && port[0] != ':') return std::nullopt;
  } else {
    const std::size_t colon = text.find(':');
    parsed.host = text.substr(0, colon);
    has_port = colon != std::string_view::npos;
    if (has_port) port = text.substr(colon);
  }
  if (parsed.host.empty()) return std::nullopt;
  if (has_port) {
    port.remove_prefix(1);
    const bool digits = std::all_of(
        port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits ||
        !absl::SimpleAtoi(absl::string_view(port.data(), port.size()),
                          &parsed.port)) {
      return std::nullopt;
    }
  }
  if (parsed.port < 1 || parsed.port > 65535) return std::nullopt;
  return parsed;
}

bool operator==(const SocketAddress& a, const SocketAddress& b) {
  return a.size == b.size && std::memcmp(&a.storage, &b.storage, a.size) == 0;
}

LookupResult LookUp(const HostPort& name) {
  LookupResult result;
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  // Any one kind, or each address would come once for each.
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(
      name.host.c_str(), std::to_string(name.port).c_str(), &hints, &found);
  if (error != 0) {
    result.error = name.host + ": " + gai_strerror(error);
    return result;
  }
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    SocketAddress address;
    if (each->ai_addrlen > sizeof(address.storage)) continue;
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.size = each->ai_addrlen;
    if (std::find(result.addresses.begin(), result.addresses.end(), address) ==
        result.addresses.end()) {
      result.addresses.push_back(address);
    }
  }
  freeaddrinfo(found);
  return result;
}

struct BackgroundLookup::Shared {
  void Set(LookupResult found) {
    {
      const MutexLock lock(mu);
      result = std::move(found);
    }
    ready.Wake();
  }

  Mutex mu;
  std::optional<LookupResult> result FUSEBOX_GUARDED_BY(mu);
  const Wakeup ready;
};

BackgroundLookup::BackgroundLookup(LookupFunction look_up, HostPort name)
    : shared_(std::make_shared<Shared>()) {
  try {
    std::thread([shared = shared_, look_up = std::move(look_up),
                 name = std::move(name)] {
      LookupResult found;
      try {
        found = look_up(name);
      } catch (...) {
        found.error = name.host + ": the look-up threw";
      }
      shared->Set(std::move(found));
    }).detach();
  } catch (const std::system_error& error) {
    shared_->Set({{}, std::string("no thread to look up: ") + error.what()});
  }
}

int BackgroundLookup::fd() const { return shared_->ready.fd(); }

std::optional<LookupResult> BackgroundLookup::Take() {
  const MutexLock lock(shared_->mu);
  return std::exchange(shared_->result, std::nullopt);
}

}  // namespace fusebox
