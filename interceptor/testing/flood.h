// What a hostile client sends: many calls at once, of which a server learns
// nothing about its methods.

#ifndef FUSEBOX_INTERCEPTOR_TESTING_FLOOD_H_
#define FUSEBOX_INTERCEPTOR_TESTING_FLOOD_H_

#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace fusebox::testing {

struct HostileCall {
  std::string method;
  std::string request = {};  // bytes, as they go over the wire
  // The server's deadline, as "grpc-timeout" writes it ("5m" is 5 ms); the
  // client itself waits as long as it takes. Empty: none.
  std::string timeout = {};
  bool cancel = false;
};

// Calls that ended with each status code.
using StatusCounts = std::array<int, 17>;

// Makes all calls at once, with one request each; when all have started and
// `before_cancel` has returned, cancels those that are to be, and awaits the
// end of all. Thread-safe.
StatusCounts Flood(const std::shared_ptr<grpc::Channel>& channel,
                   const std::vector<HostileCall>& calls,
                   const std::function<void()>& before_cancel = {});

// A channel with a connection of its own.
std::shared_ptr<grpc::Channel> OwnConnection(const std::string& address);

// Streams that are opened and then left alone, with as much metadata as asked
// for. Cancels them when destroyed, and awaits their end. Thread-compatible.
class IdleStreams {
 public:
  IdleStreams(const std::shared_ptr<grpc::Channel>& channel,
              const std::string& method, int count, std::size_t metadata_bytes);
  ~IdleStreams();
  IdleStreams(const IdleStreams&) = delete;
  IdleStreams& operator=(const IdleStreams&) = delete;

 private:
  struct Stream;
  void AwaitAll(std::size_t events);

  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Stream>> streams_;
};

// Bytes of this process in memory; 0 where /proc does not tell.
std::size_t ResidentBytes();

}  // namespace fusebox::testing

#endif  // FUSEBOX_INTERCEPTOR_TESTING_FLOOD_H_
