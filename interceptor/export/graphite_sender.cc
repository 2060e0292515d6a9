#include "interceptor/export/graphite_sender.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace fusebox {
namespace {

std::string ErrorText(const std::string& what, int error) {
  return what + ": " + std::generic_category().message(error);
}

std::uint64_t CountLines(const std::string& text, std::size_t size) {
  const auto end = text.begin() + static_cast<std::ptrdiff_t>(size);
  return static_cast<std::uint64_t>(std::count(text.begin(), end, '\n'));
}

bool WouldBlock(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

}  // namespace

GraphiteSender::GraphiteSender(GraphiteSenderOptions options)
    : options_(std::move(options)), retry_(options_.min_retry) {}

void GraphiteSender::Add(const std::string& lines) {
  waiting_ += lines;
  DropOldest();
}

void GraphiteSender::Hurry() {
  if (state_ == State::kWaiting) state_ = State::kIdle;
}

void GraphiteSender::DropOldest() {
  const std::size_t size = batch_.size() + waiting_.size();
  if (size <= options_.max_buffered_bytes) return;
  const std::size_t excess = size - options_.max_buffered_bytes;
  // Behind the line in which the excess ends.
  const std::size_t end = excess > waiting_.size()
                              ? waiting_.size()
                              : waiting_.find('\n', excess - 1) + 1;
  stats_.lines_dropped += CountLines(waiting_, end);
  waiting_.erase(0, end);
}

void GraphiteSender::TakeBatch() {
  std::size_t end = waiting_.size();
  if (end > kBatchBytes) {
    end = waiting_.rfind('\n', kBatchBytes - 1) + 1;
    if (end == 0) end = waiting_.find('\n') + 1;
  }
  batch_ = waiting_.substr(0, end);
  waiting_.erase(0, end);
  written_ = 0;
}

Awaited GraphiteSender::Tick(TimePoint now) {
  while (Step(now)) {
  }
  switch (state_) {
    case State::kIdle:
      return {};
    case State::kLookingUp:
      return {lookup_->fd(), POLLIN, TimePoint::max()};
    case State::kConnecting:
    case State::kWriting:
      return {socket_.get(), POLLOUT, until_};
    case State::kFinishing:
      return {socket_.get(), POLLIN, until_};
    case State::kWaiting:
      return {-1, 0, until_};
  }
  return {};
}

bool GraphiteSender::Step(TimePoint now) {
  switch (state_) {
    case State::kIdle:
      if (waiting_.empty()) return false;
      TakeBatch();
      try {
        lookup_.emplace(options_.look_up, options_.carbon);
      } catch (const std::system_error& error) {
        return Fail(now, error.what());
      }
      state_ = State::kLookingUp;
      return true;
    case State::kLookingUp:
      return TakeAddresses(now);
    case State::kConnecting:
      return AwaitConnected(now);
    case State::kWriting:
      return Write(now);
    case State::kFinishing:
      return AwaitClose(now);
    case State::kWaiting:
      if (now < until_) return false;
      state_ = State::kIdle;
      return true;
  }
  return false;
}

bool GraphiteSender::TakeAddresses(TimePoint now) {
  std::optional<LookupResult> result = lookup_->Take();
  if (!result.has_value()) return false;
  lookup_.reset();
  if (result->addresses.empty()) return Fail(now, result->error);
  addresses_ = std::move(result->addresses);
  next_address_ = 0;
  return Connect(now);
}

bool GraphiteSender::Connect(TimePoint now) {
  int error = 0;
  while (next_address_ < addresses_.size()) {
    const SocketAddress& address = addresses_[next_address_++];
    socket_ =
        FileDescriptor(socket(address.storage.ss_family,
                              SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket_.is_open() &&
        (connect(socket_.get(), address.get(), address.size) == 0 ||
         errno == EINPROGRESS)) {
      state_ = State::kConnecting;
      until_ = now + options_.timeout;
      return true;
    }
    error = errno;
  }
  return Fail(now, ErrorText("connect", error));
}

bool GraphiteSender::AwaitConnected(TimePoint now) {
  pollfd file = {socket_.get(), POLLOUT, 0};
  int error = ETIMEDOUT;
  if (poll(&file, 1, 0) <= 0) {
    if (now < until_) return false;
  } else {
    socklen_t size = sizeof(error);
    getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) {
      state_ = State::kWriting;
      until_ = now + options_.timeout;
      return true;
    }
  }
  if (next_address_ < addresses_.size()) return Connect(now);
  return Fail(now, ErrorText("connect", error));
}

bool GraphiteSender::Write(TimePoint now) {
  while (written_ < batch_.size()) {
    const ssize_t size = send(socket_.get(), batch_.data() + written_,
                              batch_.size() - written_, MSG_NOSIGNAL);
    if (size < 0) {
      if (WouldBlock(errno)) return NothingYet(now, "write");
      return Fail(now, ErrorText("write", errno));
    }
    written_ += static_cast<std::size_t>(size);
    until_ = now + options_.timeout;
  }
  shutdown(socket_.get(), SHUT_WR);
  state_ = State::kFinishing;
  return true;
}

bool GraphiteSender::AwaitClose(TimePoint now) {
  // Nobody should say anything; a few bytes at a time are enough.
  std::array<char, 64> ignored;
  const ssize_t size = recv(socket_.get(), ignored.data(), ignored.size(), 0);
  if (size < 0 && !WouldBlock(errno)) {
    return Fail(now, ErrorText("await the end", errno));
  }
  if (size != 0) return NothingYet(now, "await the end");
  stats_.lines_sent += CountLines(batch_, batch_.size());
  batch_.clear();
  socket_.Close();
  retry_ = options_.min_retry;
  state_ = State::kIdle;
  return true;
}

bool GraphiteSender::NothingYet(TimePoint now, const char* what) {
  if (now < until_) return false;
  return Fail(now, ErrorText(what, ETIMEDOUT));
}

bool GraphiteSender::Fail(TimePoint now, const std::string& error) {
  socket_.Close();
  // Again the oldest of all, and the first to be dropped.
  waiting_.insert(0, batch_);
  batch_.clear();
  ++stats_.failed_attempts;
  stats_.last_error = error;
  until_ = now + retry_;
  retry_ = std::min(2 * retry_, options_.max_retry);
  state_ = State::kWaiting;
  return false;
}

GraphiteSenderStats GraphiteSender::stats() const {
  GraphiteSenderStats stats = stats_;
  stats.buffered_bytes = batch_.size() + waiting_.size();
  return stats;
}

}  // namespace fusebox
