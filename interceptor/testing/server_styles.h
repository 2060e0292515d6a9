// The ways to write a service in gRPC C++, each of them serving Echo.

#ifndef FUSEBOX_INTERCEPTOR_TESTING_SERVER_STYLES_H_
#define FUSEBOX_INTERCEPTOR_TESTING_SERVER_STYLES_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <ostream>
#include <vector>

#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo_services.h"

namespace fusebox::testing {

// Echo as it is served in one of the ways. Register(), BuildAndStart(), Start()
// if the server is there, and, once it shuts down, Stop().
class StyledEcho {
 public:
  virtual ~StyledEcho() = default;
  virtual void Register(grpc::ServerBuilder& builder) = 0;
  // What the guard has to be told about the style.
  virtual void Declare(ServerOptions& /*options*/) const {}
  virtual void Start() {}
  virtual void Stop() {}
  virtual EchoScript& script() = 0;
};

struct ServerStyle {
  // As a test is named: "AsyncGeneric".
  const char* name;
  std::unique_ptr<StyledEcho> (*make)();
  // Handlers can learn that their call is cancelled: "cancelled" of EchoScript.
  bool knows_cancellation = true;
  // Handlers can let a call go unanswered: a request with the text "drop".
  bool can_drop = false;
};

// How googletest prints it.
inline void PrintTo(const ServerStyle& style, std::ostream* out) {
  *out << style.name;
}

const std::vector<ServerStyle>& ServerStyles();

// A service whose handlers, on a completion queue, never ask Refused().
std::unique_ptr<StyledEcho> CarelessAsyncEcho();
// The same, in a callback generic service.
std::unique_ptr<StyledEcho> CarelessGenericEcho();

}  // namespace fusebox::testing

#endif  // FUSEBOX_INTERCEPTOR_TESTING_SERVER_STYLES_H_
