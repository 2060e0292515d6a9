// A guarded echo server with a clock that stands still, and a client of it.

#ifndef FUSEBOX_INTERCEPTOR_TESTING_GUARDED_ECHO_H_
#define FUSEBOX_INTERCEPTOR_TESTING_GUARDED_ECHO_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo_services.h"

namespace fusebox::testing {

// A clock for RegistryOptions::now that moves when told. One for the process,
// since it has to be a plain function.
TimePoint StandingNow();
void Advance(Duration duration);

// Options of a registry on that clock, without a dispatcher.
RegistryOptions StandingClockOptions(const Settings& settings);

// Looks every millisecond until `condition` holds; false after a minute.
bool Eventually(const std::function<bool()>& condition);

enum class Api { kSync, kCallback };
inline std::ostream& operator<<(std::ostream& out, Api api) {
  return out << (api == Api::kSync ? "Sync" : "Callback");
}

class GuardedEcho {
 public:
  struct Options {
    Settings settings;
    NowFunction now = &StandingNow;
    bool call_stats = false;
    ServerOptions server;
    // The last word on the builder.
    std::function<void(grpc::ServerBuilder&)> configure;
    grpc::ChannelArguments channel;
  };

  GuardedEcho(Api api, Options options);
  explicit GuardedEcho(Api api) : GuardedEcho(api, Options()) {}
  ~GuardedEcho();

  BreakerRegistry& registry() { return registry_; }
  EchoScript& script();
  Echo::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() { return channel_; }
  const std::string& address() const { return address_; }
  const ServerGuard& guard() const { return *guard_; }
  grpc::Server& server() { return *server_; }

  BreakerSnapshot snapshot(CallKind kind);
  void ForceOpen(CallKind kind);
  void Release(CallKind kind);

 private:
  static RegistryOptions RegistryOptionsOf(const Options& options);

  const Api api_;
  BreakerRegistry registry_;
  SyncEcho sync_;
  CallbackEcho callback_;
  std::shared_ptr<const ServerGuard> guard_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Echo::Stub> stub_;
};

}  // namespace fusebox::testing

#endif  // FUSEBOX_INTERCEPTOR_TESTING_GUARDED_ECHO_H_
