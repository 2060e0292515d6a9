#include "interceptor/export/loopback_testing.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

namespace fusebox {
namespace {

using std::chrono::steady_clock;

int Socket(int family, int type) {
  const int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  EXPECT_GE(fd, 0) << std::strerror(errno);
  return fd;
}

// Returns the port.
int BindToLoopback(int fd, int port) {
  const int yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(fd, any, sizeof(address)), 0) << std::strerror(errno);
  socklen_t size = sizeof(address);
  EXPECT_EQ(getsockname(fd, any, &size), 0);
  return ntohs(address.sin_port);
}

}  // namespace

bool TickUntil(const std::function<Awaited()>& tick,
               const std::function<bool()>& done) {
  const auto end = steady_clock::now() + std::chrono::minutes(1);
  while (steady_clock::now() < end) {
    const Awaited awaited = tick();
    if (done()) return true;
    pollfd file = {awaited.fd, awaited.events, 0};
    // `done` may look at something else, so not for long.
    poll(&file, 1, /*timeout=*/5);
  }
  return false;
}

TcpListener::TcpListener(int port) : socket_(Socket(AF_INET, SOCK_STREAM)) {
  port_ = BindToLoopback(socket_.get(), port);
  EXPECT_EQ(listen(socket_.get(), 16), 0) << std::strerror(errno);
}

std::optional<FileDescriptor> TcpListener::Accept() {
  FileDescriptor connection(
      accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!connection.is_open()) return std::nullopt;
  return connection;
}

bool ReadToEnd(const FileDescriptor& connection, std::string& text) {
  std::array<char, 65536> part;
  while (true) {
    const ssize_t size = recv(connection.get(), part.data(), part.size(), 0);
    if (size <= 0) return size == 0;
    text.append(part.data(), static_cast<std::size_t>(size));
  }
}

void Abort(FileDescriptor& connection) {
  const linger at_once = {1, 0};
  setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &at_once,
             sizeof(at_once));
  connection.Close();
}

DatagramReceiver::DatagramReceiver(int port)
    : socket_(Socket(AF_INET, SOCK_DGRAM)),
      port_(BindToLoopback(socket_.get(), port)) {}

DatagramReceiver::DatagramReceiver(const std::string& path)
    : socket_(Socket(AF_UNIX, SOCK_DGRAM)), path_(path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  EXPECT_LT(path.size(), sizeof(address.sun_path));
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  unlink(path.c_str());
  EXPECT_EQ(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address),
                 sizeof(address)),
            0)
      << std::strerror(errno);
}

DatagramReceiver::~DatagramReceiver() {
  if (!path_.empty()) unlink(path_.c_str());
}

std::string DatagramReceiver::address() const {
  return path_.empty() ? "127.0.0.1:" + std::to_string(port_) : "unix:" + path_;
}

std::optional<std::string> DatagramReceiver::Receive() {
  std::string text(65536, '\0');
  const ssize_t size = recv(socket_.get(), text.data(), text.size(), 0);
  if (size < 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::vector<std::string> DatagramReceiver::ReceiveAll() {
  std::vector<std::string> all;
  while (auto datagram = Receive()) all.push_back(*std::move(datagram));
  return all;
}

std::string DatagramReceiver::Await() {
  pollfd file = {socket_.get(), POLLIN, 0};
  poll(&file, 1, /*timeout=*/60'000);
  return Receive().value_or("");
}

}  // namespace fusebox
