// The ways to make a call in gRPC C++: four kinds, three APIs, and the corners.

#ifndef FUSEBOX_INTERCEPTOR_TESTING_ECHO_CALLS_H_
#define FUSEBOX_INTERCEPTOR_TESTING_ECHO_CALLS_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <memory>
#include <ostream>
#include <vector>

#include "interceptor/testing/echo.pb.h"

namespace fusebox::testing {

inline constexpr char kUnaryMethod[] = "/fusebox.testing.Echo/Unary";
inline constexpr char kClientStreamMethod[] =
    "/fusebox.testing.Echo/ClientStream";
inline constexpr char kServerStreamMethod[] =
    "/fusebox.testing.Echo/ServerStream";
inline constexpr char kBidiMethod[] = "/fusebox.testing.Echo/Bidi";

struct EchoCall {
  // As a test is named: "CallbackBidiCorked".
  const char* name;
  const char* method;
  // Makes the call and sees it to its end: sends `request`, twice if the client
  // streams, reads all there is. Aborts if an event does not come for a minute.
  grpc::Status (*make)(const std::shared_ptr<grpc::Channel>& channel,
                       grpc::ClientContext& context,
                       const EchoRequest& request);
  // Starts the call, sends `request` and, when `await` has returned, drops the
  // call without Finish(). Null where gRPC keeps the call until its end:
  // synchronous unary calls and those with callbacks.
  void (*drop)(const std::shared_ptr<grpc::Channel>& channel,
               grpc::ClientContext& context, const EchoRequest& request,
               const std::function<void()>& await) = nullptr;
};

// How googletest prints it.
inline void PrintTo(const EchoCall& call, std::ostream* out) {
  *out << call.name;
}

const std::vector<EchoCall>& EchoCalls();

}  // namespace fusebox::testing

#endif  // FUSEBOX_INTERCEPTOR_TESTING_ECHO_CALLS_H_
