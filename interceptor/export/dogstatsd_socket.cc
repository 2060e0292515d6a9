#include "interceptor/export/dogstatsd_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace fusebox {
namespace {

constexpr int kServerPort = 8125;
constexpr std::string_view kUnix = "unix:";

SocketAddress UnixAddress(const std::string& path) {
  SocketAddress address;
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.data(), path.size());
  std::memcpy(&address.storage, &name, sizeof(name));
  address.size = sizeof(name);
  return address;
}

// The server is there and has no room, or the packet is too long for it.
bool OnlyThisPacket(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS ||
         error == EMSGSIZE;
}

}  // namespace

std::optional<DogStatsdAddress> ParseDogStatsdAddress(std::string_view text) {
  DogStatsdAddress address;
  if (text.substr(0, kUnix.size()) == kUnix) {
    address.unix_path = text.substr(kUnix.size());
    if (address.unix_path.empty() ||
        address.unix_path.size() >= sizeof(sockaddr_un::sun_path)) {
      return std::nullopt;
    }
    return address;
  }
  std::optional<HostPort> udp = ParseHostPort(text, kServerPort);
  if (!udp.has_value()) return std::nullopt;
  address.udp = *std::move(udp);
  return address;
}

DogStatsdSocket::DogStatsdSocket(DogStatsdAddress address,
                                 LookupFunction look_up, Duration lookup_period)
    : address_(std::move(address)),
      look_up_(std::move(look_up)),
      lookup_period_(lookup_period),
      starting_(address_.unix_path.empty()) {
  if (!starting_) addresses_.push_back(UnixAddress(address_.unix_path));
}

Awaited DogStatsdSocket::Refresh(TimePoint now) {
  if (!address_.unix_path.empty()) return {};
  if (lookup_.has_value()) {
    if (std::optional<LookupResult> found = lookup_->Take()) {
      TakeAddresses(*std::move(found));
      lookup_.reset();
      next_lookup_ = now + lookup_period_;
      starting_ = false;
    }
  } else if (failed_ || now >= next_lookup_) {
    failed_ = false;
    next_lookup_ = now + lookup_period_;
    try {
      lookup_.emplace(look_up_, address_.udp);
    } catch (const std::system_error& error) {
      ++stats_.errors;
      stats_.last_error = error.what();
    }
  }
  if (!lookup_.has_value()) return {-1, 0, next_lookup_};
  return {lookup_->fd(), POLLIN, TimePoint::max()};
}

void DogStatsdSocket::TakeAddresses(LookupResult found) {
  if (found.addresses.empty()) {
    ++stats_.errors;
    stats_.last_error = found.error;
    return;
  }
  // What works is kept as long as the name has it.
  if (present_ < addresses_.size()) {
    const auto same = std::find(found.addresses.begin(), found.addresses.end(),
                                addresses_[present_]);
    if (same != found.addresses.end()) {
      present_ = static_cast<std::size_t>(same - found.addresses.begin());
      addresses_ = std::move(found.addresses);
      return;
    }
  }
  addresses_ = std::move(found.addresses);
  present_ = 0;
  socket_.Close();
}

void DogStatsdSocket::Error(const std::string& what, int error) {
  ++stats_.errors;
  stats_.last_error = what + ": " + std::generic_category().message(error);
}

bool DogStatsdSocket::Open() {
  if (socket_.is_open()) return true;
  if (addresses_.empty()) return false;
  const SocketAddress& address = addresses_[present_];
  socket_ = FileDescriptor(socket(
      address.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket_.is_open() &&
      connect(socket_.get(), address.get(), address.size) == 0) {
    return true;
  }
  Error("connect", errno);
  socket_.Close();
  return false;
}

void DogStatsdSocket::Send(const std::string& packet) {
  for (int attempt = 0; attempt < 2 && Open(); ++attempt) {
    if (send(socket_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) >= 0) {
      ++stats_.packets_sent;
      return;
    }
    const int error = errno;
    Error("send", error);
    if (OnlyThisPacket(error)) break;
    socket_.Close();
    failed_ = true;
    present_ = (present_ + 1) % addresses_.size();
  }
  ++stats_.packets_dropped;
  // Also where no socket was to be had.
  if (!socket_.is_open()) failed_ = true;
}

}  // namespace fusebox
