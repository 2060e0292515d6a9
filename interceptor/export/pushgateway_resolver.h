// The addresses behind a name, looked up without waiting.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_PUSHGATEWAY_RESOLVER_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_PUSHGATEWAY_RESOLVER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace fusebox {

// Addresses in figures, IPv6 without brackets.
using Addresses = absl::StatusOr<std::vector<std::string>>;

// Looks up a name, and may take its time. What it throws is an error like any.
using AddressResolver = std::function<Addresses(const std::string& host)>;

// All A and AAAA records of `host`, or what the hosts file has, by
// getaddrinfo(). UNAVAILABLE with its words if there are none.
Addresses ResolveAddresses(const std::string& host);

// Runs a resolver on a thread of its own, one lookup at a time. The destructor
// does not wait for a lookup under way: it is abandoned, and its thread goes on
// by itself, with the resolver and all it owns, until it returns.
//
// Thread-compatible.
class BackgroundResolver {
 public:
  // Calls `on_result` when there is something to take, on that thread, never
  // after destruction. It must not block, nor call this object. Throws
  // std::system_error if there is no thread to be had.
  BackgroundResolver(AddressResolver resolver, std::string host,
                     std::function<void()> on_result);
  ~BackgroundResolver();
  BackgroundResolver(const BackgroundResolver&) = delete;
  BackgroundResolver& operator=(const BackgroundResolver&) = delete;

  // Begins a lookup, unless one is under way or waits to be taken. Whether it
  // began.
  bool Begin();
  // The result of a lookup that has ended, once.
  std::optional<Addresses> Take();

 private:
  class Worker;

  const std::shared_ptr<Worker> worker_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_PUSHGATEWAY_RESOLVER_H_
