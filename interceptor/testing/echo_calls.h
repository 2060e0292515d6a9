// The ways to make a call in gRPC C++: four kinds, three APIs, and the corners.

#ifndef FUSEBOX_INTERCEPTOR_TESTING_ECHO_CALLS_H_
#define FUSEBOX_INTERCEPTOR_TESTING_ECHO_CALLS_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <ostream>
#include <vector>

#include "interceptor/testing/echo.pb.h"

namespace fusebox::testing {

inline constexpr char kUnary[] = "/fusebox.testing.Echo/Unary";
inline constexpr char kClientStream[] = "/fusebox.testing.Echo/ClientStream";
inline constexpr char kServerStream[] = "/fusebox.testing.Echo/ServerStream";
inline constexpr char kBidi[] = "/fusebox.testing.Echo/Bidi";

struct EchoCall {
  // As a test is named: "CallbackBidiCorked".
  const char* name;
  const char* method;
  // Makes the call and sees it to its end: sends `request`, twice if the client
  // streams, reads all there is. Aborts if an event does not come for a minute.
  grpc::Status (*make)(const std::shared_ptr<grpc::Channel>& channel,
                       grpc::ClientContext& context,
                       const EchoRequest& request);
};

// How googletest prints it.
inline void PrintTo(const EchoCall& call, std::ostream* out) {
  *out << call.name;
}

const std::vector<EchoCall>& EchoCalls();

}  // namespace fusebox::testing

#endif  // FUSEBOX_INTERCEPTOR_TESTING_ECHO_CALLS_H_
