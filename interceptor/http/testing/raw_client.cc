#include "interceptor/http/testing/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "gtest/gtest.h"

namespace fusebox {

RawClient::RawClient(int port)
    : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  EXPECT_GE(socket_, 0) << std::strerror(errno);
  // What no correct run comes near.
  const timeval patience = {60, 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  EXPECT_EQ(
      connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)),
      0)
      << std::strerror(errno);
}

RawClient::~RawClient() {
  if (socket_ >= 0) close(socket_);
}

RawClient::RawClient(RawClient&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)),
      unread_(std::move(other.unread_)) {}

bool RawClient::Send(const std::string& bytes) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t size =
        send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (size < 0) return false;
    sent += static_cast<std::size_t>(size);
  }
  return true;
}

bool RawClient::ReadSome() {
  char buffer[4096];
  const ssize_t size = recv(socket_, buffer, sizeof(buffer), 0);
  EXPECT_FALSE(size < 0 && errno == EAGAIN) << "no answer";
  if (size <= 0) return false;
  unread_.append(buffer, static_cast<std::size_t>(size));
  return true;
}

std::string RawClient::Receive(bool head) {
  constexpr char kEnd[] = "\r\n\r\n";
  constexpr char kLength[] = "\r\nContent-Length: ";
  std::size_t end = unread_.find(kEnd);
  while (end == std::string::npos) {
    if (!ReadSome()) return std::exchange(unread_, "");
    end = unread_.find(kEnd);
  }
  std::size_t size = end + 4;
  const std::size_t length = unread_.find(kLength);
  EXPECT_LT(length, end) << unread_;
  if (!head) {
    size += static_cast<std::size_t>(
        std::atol(unread_.c_str() + length + std::strlen(kLength)));
  }
  while (unread_.size() < size) {
    if (!ReadSome()) return std::exchange(unread_, "");
  }
  std::string response = unread_.substr(0, size);
  unread_.erase(0, size);
  return response;
}

std::string RawClient::ReceiveToEnd() {
  while (ReadSome()) {
  }
  return std::exchange(unread_, "");
}

std::string Request(int port, const std::string& method,
                    const std::string& target) {
  RawClient client(port);
  client.Send(method + " " + target + " HTTP/1.1\r\nHost: test\r\n\r\n");
  return client.Receive(method == "HEAD");
}

int StatusOf(const std::string& response) {
  constexpr char kVersion[] = "HTTP/1.1 ";
  if (response.rfind(kVersion, 0) != 0) return -1;
  return std::atoi(response.c_str() + std::strlen(kVersion));
}

std::string BodyOf(const std::string& response) {
  const std::size_t end = response.find("\r\n\r\n");
  return end == std::string::npos ? "" : response.substr(end + 4);
}

}  // namespace fusebox
