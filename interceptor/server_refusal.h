// Lets a server interceptor answer a call in place of the method's handler.
//
// gRPC C++ has no such thing: an interceptor on a server can look, but the
// handler runs whatever it does. So each handler is wrapped in one that first
// looks whether its call is being refused. server_refusal.cc is the only file
// of this library that reaches into gRPC; the reasons stand there.

#ifndef FUSEBOX_INTERCEPTOR_SERVER_REFUSAL_H_
#define FUSEBOX_INTERCEPTOR_SERVER_REFUSAL_H_

#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "interceptor/refusal_mark.h"

namespace fusebox {

// Whether calls of a method can be refused, or why not.
enum class Coverage : unsigned char {
  kGuarded = 0,
  // Of a service that is never guarded, or that the application left out.
  kExempt = 1,
  // Served from a completion queue by the application.
  kAsync = 2,
  // Served by a generic service; gRPC does not keep its name.
  kGeneric = 3,
  // Served by a handler that is not known to free a request it did not handle:
  // a synchronous one whose request is not a protobuf message that this
  // program knows, or one that gRPC did not make.
  kForeignHandler = 4,
  // Served from a completion queue or by a generic service that asks Refused(),
  // as ServerOptions says. MakeRefusable() cannot know.
  kAsks = 5,
  // Its outcomes are counted, but no call is refused: this release of gRPC, or
  // another plugin of the server's, keeps its handler from being wrapped.
  kObserved = 6,
};

// False if the gRPC that this library was built with keeps handlers from being
// wrapped: then MakeRefusable() finds no methods.
bool HandlersCanBeWrapped();

// The methods of a service ("pkg.Service") that this program has a description
// of: "/pkg.Service/Method"... For when MakeRefusable() finds none.
std::vector<std::string> MethodsOfService(const std::string& service);

// A method as a server has it.
struct RegisteredMethod {
  // "/pkg.Service/Method"; ServerRpcInfo::method() returns this very address
  // for calls of the method, and for no others. Owned by its service. Null if
  // generic.
  const char* name = nullptr;
  Coverage coverage = Coverage::kGuarded;
};

// Wraps the handlers of the services that `builder` has now, except those of
// methods of which `exempt` is true, and lists all methods in the order of
// their registration. A wrapped handler does as before unless there is a
// HandlerRefusal. A service that is wrapped already stays as it is, so one
// service can be on several servers.
//
// To be called once gRPC builds the server (ServerBuilderPlugin::
// UpdateServerBuilder) and not earlier: until then generated code casts the
// handlers back to their types.
std::vector<RegisteredMethod> MakeRefusable(
    grpc::ServerBuilder& builder,
    const std::function<bool(std::string_view method)>& exempt);

// Whether the handler of a method is still the one that MakeRefusable() made.
// `method` as it was listed. To be asked when all plugins have had their way
// with the builder: ServerBuilderPlugin::InitServer().
bool IsRefusable(grpc::ServerBuilder& builder, const char* method);

// While it lives, the handler of the call with that context does not run on
// this thread: the call ends with some error instead, which the interceptor
// replaces at PRE_SEND_STATUS; and `mark` is heeded. For wrapped methods only.
//
// To be around Proceed() with POST_RECV_INITIAL_METADATA, in the interceptor
// that is first in the server's list. On the way in that one runs last, and
// gRPC runs the handler inside its Proceed(). So nothing has to be kept with
// the call, and admitted calls pay for one look at a thread-local.
class HandlerRefusal {
 public:
  HandlerRefusal(const grpc::ServerContextBase& context, RefusalMark* mark);
  ~HandlerRefusal();
  HandlerRefusal(const HandlerRefusal&) = delete;
  HandlerRefusal& operator=(const HandlerRefusal&) = delete;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_SERVER_REFUSAL_H_
