// A guarded greeter in the process of a test, which breaks and heals it.

#ifndef FUSEBOX_EXAMPLES_GREETER_BACKEND_TESTING_H_
#define FUSEBOX_EXAMPLES_GREETER_BACKEND_TESTING_H_

#include <cstdint>
#include <memory>
#include <string>

#include "examples/greeter/greeter_service.h"
#include "grpcpp/server.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/server_interceptor.h"

namespace greeter {

inline constexpr char kSayHello[] = "greeter.v1.Greeter/SayHello";

// Serves on a port of its own on 127.0.0.1. Its breakers open at the third
// failure and are on testing::StandingNow(), so an open one stays so until the
// test moves that clock. Thread-compatible.
class Backend {
 public:
  Backend();
  ~Backend();
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  // "127.0.0.1:PORT".
  const std::string& address() const { return address_; }
  fusebox::BreakerRegistry& breakers() { return registry_; }
  const std::shared_ptr<fusebox::HealthService>& health() {
    return guard_->health();
  }

  // Every SayHello that reaches its handler fails from now on; or no more.
  void Break();
  void Mend();
  // The calls of SayHello that came here: handled or refused.
  std::uint64_t calls();

  // Whether the health of SayHello is `serving`, once what its breaker went
  // through has been told.
  bool Serves();
  // Returns when it does not serve any more; fails the test after a minute.
  void AwaitOpen();
  // Lets the wait of open methods pass, here and at all other backends.
  void PassTheWait();

 private:
  fusebox::BreakerRegistry registry_;
  GreeterService greeter_;
  std::shared_ptr<const fusebox::ServerGuard> guard_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace greeter

#endif  // FUSEBOX_EXAMPLES_GREETER_BACKEND_TESTING_H_
