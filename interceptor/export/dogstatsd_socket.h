// The way of datagrams to a DogStatsD server.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_SOCKET_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "interceptor/breaker/clock.h"
#include "interceptor/export/background_lookup.h"
#include "interceptor/export/file_descriptor.h"
#include "interceptor/export/wakeup.h"

namespace fusebox {

// Where a server listens: a UDP port or a datagram socket in the file system.
struct DogStatsdAddress {
  HostPort udp;  // if `unix_path` is empty
  std::string unix_path;

  // A packet that fits into one frame of Ethernet (1500 bytes, less what IP,
  // UDP and tunnels need), or that servers take from a socket of their host.
  std::size_t max_packet_bytes() const {
    return unix_path.empty() ? 1432 : 8192;
  }
};

// "HOST:PORT" as ParseHostPort() has it, or "unix:/path". Nothing if `text` is
// neither, or the path longer than sockets can have (107 bytes).
std::optional<DogStatsdAddress> ParseDogStatsdAddress(std::string_view text);

struct DogStatsdSocketStats {
  std::uint64_t packets_sent = 0;     // taken by the kernel; UDP knows no more
  std::uint64_t packets_dropped = 0;  // not taken: no address, queue full, ...
  // Refusals of the kernel, also those where a second try helped, failures to
  // open a socket, and look-ups that found nothing.
  std::uint64_t errors = 0;
  std::string last_error;
};

// Sends datagrams and never blocks: what the kernel does not take at once is
// dropped and counted.
//
// A name is looked up on a thread of its own: at first, then a `lookup_period`
// after the last time, and as soon as sending fails; while that has no answer
// the last good address is used. When sending fails the next address of the
// name is taken. A Unix socket is opened again when its server has gone.
//
// A refusal for UDP is about an earlier packet, so the packet at hand is tried
// once more.
//
// Thread-compatible; `now` must not decrease.
class DogStatsdSocket {
 public:
  DogStatsdSocket(DogStatsdAddress address, LookupFunction look_up,
                  Duration lookup_period);

  // Takes up what has been found, looks up what is due. Returns when to call
  // again.
  Awaited Refresh(TimePoint now);

  // Whether the first look-up is still under way, so that a packet would be
  // lost.
  bool starting() const { return starting_; }

  void Send(const std::string& packet);

  const DogStatsdSocketStats& stats() const { return stats_; }

 private:
  // Opens the socket to the present address. False: it cannot be had.
  bool Open();
  void TakeAddresses(LookupResult found);
  void Error(const std::string& what, int error);

  const DogStatsdAddress address_;
  const LookupFunction look_up_;
  const Duration lookup_period_;
  bool starting_;
  std::optional<BackgroundLookup> lookup_;
  TimePoint next_lookup_ = TimePoint::min();
  bool failed_ = false;  // since the last look-up
  std::vector<SocketAddress> addresses_;
  std::size_t present_ = 0;  // of addresses_
  FileDescriptor socket_;
  DogStatsdSocketStats stats_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_SOCKET_H_
