// One call of each method of the greeter, in gRPC's callback API.

#ifndef FUSEBOX_EXAMPLES_GREETER_CALLS_H_
#define FUSEBOX_EXAMPLES_GREETER_CALLS_H_

#include <chrono>
#include <functional>
#include <string>

#include "examples/greeter/greeter.grpc.pb.h"
#include "grpcpp/support/status.h"

namespace greeter {

// Starts a call with the time limit `deadline` and does not wait for it. `done`
// gets its status, once, on any thread, perhaps before this returns. `stub`
// must live until then. Thread-safe.
using StartCall = void (*)(v1::Greeter::Stub& stub,
                           std::chrono::nanoseconds deadline,
                           std::function<void(const grpc::Status&)> done);

// The way to call SayHello, SayHelloStream, CollectNames or Chat; nullptr for
// any other name.
StartCall FindCall(const std::string& method);

}  // namespace greeter

#endif  // FUSEBOX_EXAMPLES_GREETER_CALLS_H_
