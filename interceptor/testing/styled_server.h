// A guarded server of Echo in any style, and a client of it.

#ifndef FUSEBOX_INTERCEPTOR_TESTING_STYLED_SERVER_H_
#define FUSEBOX_INTERCEPTOR_TESTING_STYLED_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/server_styles.h"

namespace fusebox::testing {

enum class Transport { kNetwork, kInProcess };

// Its clock stands still (guarded_echo.h).
class StyledServer {
 public:
  struct Options {
    Transport transport = Transport::kNetwork;
    // Whether the guard is told what it has to know about the style.
    bool declared = true;
    // The last word on the builder.
    std::function<void(grpc::ServerBuilder&)> configure = nullptr;
  };

  StyledServer(std::unique_ptr<StyledEcho> echo, const Options& options);
  explicit StyledServer(std::unique_ptr<StyledEcho> echo)
      : StyledServer(std::move(echo), Options()) {}
  // Ends the calls that nobody answers.
  ~StyledServer();

  EchoScript& script() { return echo_->script(); }
  BreakerRegistry& registry() { return registry_; }
  const ServerGuard& guard() const { return *guard_; }
  grpc::Server& server() { return *server_; }
  const std::shared_ptr<grpc::Channel>& channel() { return channel_; }
  Echo::Stub& stub() { return *stub_; }

  void ForceOpen(CallKind kind);
  void Release(CallKind kind);
  BreakerSnapshot snapshot(CallKind kind);
  // Returns when no call of the method is under way.
  void AwaitRest(CallKind kind);

 private:
  const std::unique_ptr<StyledEcho> echo_;
  BreakerRegistry registry_;
  std::shared_ptr<const ServerGuard> guard_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Echo::Stub> stub_;
};

// What a breaker has heard in its life, by name, without what is zero:
// {"ok", 1}, {"ignored", 2}, {"rejected", 3}, {"in flight", 1}.
using Counts = std::map<std::string, std::uint64_t>;
Counts CountsOf(const BreakerSnapshot& snapshot);

// Expects what every call that a forced-open breaker of a server refused must
// look like to its caller.
void ExpectRefused(const EchoResult& result, CallKind kind);
// Expects an answer that is no rejection.
void ExpectAnswer(const EchoResult& result, grpc::StatusCode code);

}  // namespace fusebox::testing

#endif  // FUSEBOX_INTERCEPTOR_TESTING_STYLED_SERVER_H_
