// Why this file reaches into gRPC
//
// A server interceptor of gRPC C++ (1.51, and every release since 2018) cannot
// keep a handler from running: Hijack() is for clients only, an interceptor
// that does not Proceed() leaks the call, and cancelling the call or changing
// its status still runs the handler. What decides whether user code runs is the
// grpc::internal::MethodHandler of the method. So that is what is wrapped.
//
// What is used beyond gRPC's documented interface:
//   1. grpc::internal::MethodHandler and RpcServiceMethod, public classes of an
//      internal namespace;
//   2. grpc::ServerBuilder::services(), protected;
//   3. grpc::Service::methods_, private.
// All three have kept their shape since 2016. Nothing is cast blindly, so a
// change cannot go wrong in silence: what stands between the #if and its #else
// does not compile then. The build tries that first (bazel/compile_check.bzl)
// and otherwise warns and takes what follows the #else, which refuses nothing.
// What compiles and yet does not work is seen when a server starts
// (IsRefusable()) or at the first call that is refused (RefusalMark).
//
// Who owns the request of a call (method_handler.h, server_callback_handlers.h)
//   sync unary, server streaming: Deserialize() makes it in the arena of the
//     call; RunHandler() destroys it after the user's function ran, and only
//     then. Given an error it sends that and leaves the request alone, since a
//     request that did not parse has been destroyed already. So whoever skips
//     the user's function destroys the request.
//   sync client streaming, bidi: there is none; messages are read by the
//     user's function.
//   callback unary: a MessageHolder, passed as internal_data, owns it and is
//     released when the call is done, error or not.
//   callback server streaming: the object of the call owns it and destroys it,
//     error or not.
// The arena itself goes with the call.

#include "interceptor/server_refusal.h"

#if !defined(FUSEBOX_COMPILE_CHECK)
#include "interceptor/handler_wrapping.h"
#endif

#include <google/protobuf/descriptor.h>

#include "interceptor/starts_with.h"

#if FUSEBOX_HANDLER_WRAPPING

#include <cxxabi.h>
#include <google/protobuf/message_lite.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/method_handler.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <typeinfo>
#include <utility>

namespace fusebox {
namespace {

using grpc::internal::MethodHandler;
using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;
using ApiType = RpcServiceMethod::ApiType;

// ---------------------------------------------------------------------------
// Reaching the methods of a builder

using Methods = std::vector<std::unique_ptr<RpcServiceMethod>>;

Methods& MethodsOf(grpc::Service& service);

// The names in an explicit instantiation are not subject to access checks
// ([temp.spec]/6): the one place where C++ lets a private member be named.
template <Methods grpc::Service::*kMethods>
struct ExposeMethods {
  friend Methods& MethodsOf(grpc::Service& service) {
    return service.*kMethods;
  }
};
template struct ExposeMethods<&grpc::Service::methods_>;

// A protected member may be named through a derived class.
struct ExposeServices : grpc::ServerBuilder {
  static std::vector<grpc::Service*> Of(grpc::ServerBuilder& builder) {
    std::vector<grpc::Service*> services;
    for (const NamedService* named : (builder.*&ExposeServices::services)()) {
      services.push_back(named->service);
    }
    return services;
  }
};

// The call that is being refused on this thread, between HandlerRefusal and the
// wrapped handler. Compared, never followed.
thread_local const grpc::ServerContextBase* refused_call = nullptr;
thread_local RefusalMark* refused_mark = nullptr;

bool TakeRefusal(const grpc::ServerContextBase& call) {
  if (refused_call != &call) return false;
  refused_call = nullptr;
  refused_mark->Heed();
  return true;
}

// ---------------------------------------------------------------------------
// The wrapper

// Stands for the handler of one method. Knows no server: one service may be on
// several, guarded or not.
class RefusableHandler final : public MethodHandler {
 public:
  // `inner` owns the handler and nothing else of it is used: gRPC offers no
  // way to take a handler out of its method.
  explicit RefusableHandler(std::unique_ptr<RpcServiceMethod> inner)
      : inner_(std::move(inner)) {}

  void* Deserialize(grpc_call* call, grpc_byte_buffer* request,
                    grpc::Status* status, void** handler_data) override {
    return inner_->handler()->Deserialize(call, request, status, handler_data);
  }

  void RunHandler(const HandlerParameter& call) override {
    // An error here means that the request did not parse: the user's function
    // will not run anyway, and there is no request to destroy.
    if (!call.status.ok() || !TakeRefusal(*call.server_context)) {
      inner_->handler()->RunHandler(call);
    } else if (inner_->api_type() == ApiType::SYNC) {
      RefuseSync(call);
    } else {
      RefuseCallback(call);
    }
  }

 private:
  void RefuseSync(const HandlerParameter& call) {
    if (call.request != nullptr) {
      // FreesRequests() has made sure that this is a generated message. Those
      // derive from MessageLite alone, so their addresses are the same.
      static_cast<google::protobuf::MessageLite*>(call.request)->~MessageLite();
    }
    // What gRPC itself answers with, on any kind of synchronous method, when it
    // has no thread for the call: initial metadata and a status.
    grpc::internal::ErrorMethodHandler<grpc::StatusCode::UNAVAILABLE> refusal(
        "");
    refusal.RunHandler(call);
  }

  void RefuseCallback(const HandlerParameter& call) {
    // Given an error, callback handlers ask for no reactor but finish the call
    // (with UNIMPLEMENTED), free what belongs to it, and request the next.
    inner_->handler()->RunHandler(
        HandlerParameter(call.call, call.server_context, call.request,
                         grpc::Status(grpc::StatusCode::UNAVAILABLE, ""),
                         call.internal_data, call.call_requester));
  }

  const std::unique_ptr<RpcServiceMethod> inner_;
};

// ---------------------------------------------------------------------------
// Which handlers can be wrapped

std::string TypeName(const MethodHandler& handler) {
  int error = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(typeid(handler).name(), nullptr, nullptr, &error),
      &std::free);
  return error == 0 ? name.get() : "";
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() &&
         text.substr(text.size() - end.size()) == end;
}

// "pkg::Outer_Inner", the class that protoc makes of pkg.Outer.Inner.
std::string ClassName(const google::protobuf::Descriptor& message) {
  std::string name = message.name();
  for (const google::protobuf::Descriptor* outer = message.containing_type();
       outer != nullptr; outer = outer->containing_type()) {
    name.insert(0, outer->name() + "_");
  }
  std::string scope;
  for (const char c : message.file()->package()) {
    if (c == '.') {
      scope += "::";
    } else {
      scope += c;
    }
  }
  return scope.empty() ? name : scope + "::" + name;
}

// Whether the request of `method`, which is synchronous and has one, is a
// protobuf message.
bool RequestIsMessage(const RpcServiceMethod& method) {
  const std::string type = TypeName(*method.handler());
  if (StartsWith(type, "grpc::internal::RpcMethodHandler<")) {
    // Generated code says it in the last template arguments.
    return EndsWith(type,
                    ", google::protobuf::MessageLite"
                    ", google::protobuf::MessageLite>");
  }
  if (StartsWith(type, "grpc::internal::ServerStreamingHandler<")) {
    // There the request's class is named, but not what it derives from. It is a
    // generated message if the program has a description of this method whose
    // messages have these classes. (Not with optimize_for = LITE_RUNTIME, which
    // has no descriptions.)
    std::string name = method.name();
    if (StartsWith(name, "/")) name.erase(0, 1);
    std::replace(name.begin(), name.end(), '/', '.');
    const google::protobuf::MethodDescriptor* description =
        google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(
            name);
    return description != nullptr &&
           EndsWith(type, ", " + ClassName(*description->input_type()) + ", " +
                              ClassName(*description->output_type()) + ">");
  }
  return false;
}

// Whether a refused call of `method` leaks nothing.
bool FreesRequests(const RpcServiceMethod& method) {
  if (method.api_type() != ApiType::SYNC) {
    return StartsWith(TypeName(*method.handler()), "grpc::internal::Callback");
  }
  const bool has_request = method.method_type() == RpcMethod::NORMAL_RPC ||
                           method.method_type() == RpcMethod::SERVER_STREAMING;
  return !has_request || RequestIsMessage(method);
}

bool IsWrapped(const RpcServiceMethod& method) {
  const MethodHandler* handler = method.handler();
  return dynamic_cast<const RefusableHandler*>(handler) != nullptr;
}

std::unique_ptr<RpcServiceMethod> Wrap(
    std::unique_ptr<RpcServiceMethod> method) {
  const RpcServiceMethod& old = *method;
  const ApiType api = old.api_type();
  // The name must be the same pointer: calls are told apart by it.
  auto wrapped = std::make_unique<RpcServiceMethod>(old.name(),
                                                    old.method_type(), nullptr);
  wrapped->SetHandler(new RefusableHandler(std::move(method)));
  // SYNC is the initial value; setting it again would be logged.
  if (api != ApiType::SYNC) wrapped->SetServerApiType(api);
  return wrapped;
}

}  // namespace

std::vector<RegisteredMethod> MakeRefusable(
    grpc::ServerBuilder& builder,
    const std::function<bool(std::string_view method)>& exempt) {
  std::vector<RegisteredMethod> registered;
  for (grpc::Service* service : ExposeServices::Of(builder)) {
    for (std::unique_ptr<RpcServiceMethod>& method : MethodsOf(*service)) {
      RegisteredMethod& entry = registered.emplace_back();
      if (method == nullptr) {
        entry.coverage = Coverage::kGeneric;
        continue;
      }
      entry.name = method->name();
      if (exempt(entry.name)) {
        entry.coverage = Coverage::kExempt;
      } else if (method->handler() == nullptr) {
        entry.coverage = Coverage::kAsync;
      } else if (IsWrapped(*method)) {
        entry.coverage = Coverage::kGuarded;
      } else if (!FreesRequests(*method)) {
        entry.coverage = Coverage::kForeignHandler;
      } else {
        method = Wrap(std::move(method));
      }
    }
  }
  return registered;
}

bool IsRefusable(grpc::ServerBuilder& builder, const char* method) {
  for (grpc::Service* service : ExposeServices::Of(builder)) {
    for (const std::unique_ptr<RpcServiceMethod>& m : MethodsOf(*service)) {
      if (m != nullptr && m->name() == method) return IsWrapped(*m);
    }
  }
  return false;
}

HandlerRefusal::HandlerRefusal(const grpc::ServerContextBase& context,
                               RefusalMark* mark) {
  refused_call = &context;
  refused_mark = mark;
}

// Taken by now, unless gRPC answered without the handler for want of a thread.
HandlerRefusal::~HandlerRefusal() { refused_call = nullptr; }

}  // namespace fusebox

#else  // !FUSEBOX_HANDLER_WRAPPING

namespace fusebox {

std::vector<RegisteredMethod> MakeRefusable(
    grpc::ServerBuilder& /*builder*/,
    const std::function<bool(std::string_view method)>& /*exempt*/) {
  return {};
}

bool IsRefusable(grpc::ServerBuilder& /*builder*/, const char* /*method*/) {
  return false;
}

HandlerRefusal::HandlerRefusal(const grpc::ServerContextBase& /*context*/,
                               RefusalMark* /*mark*/) {}
HandlerRefusal::~HandlerRefusal() = default;

}  // namespace fusebox

#endif  // FUSEBOX_HANDLER_WRAPPING

namespace fusebox {

bool HandlersCanBeWrapped() { return FUSEBOX_HANDLER_WRAPPING != 0; }

std::vector<std::string> MethodsOfService(const std::string& service) {
  std::vector<std::string> methods;
  const google::protobuf::ServiceDescriptor* description =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
          service);
  if (description == nullptr) return methods;
  for (int i = 0; i < description->method_count(); ++i) {
    methods.push_back("/" + service + "/" + description->method(i)->name());
  }
  return methods;
}

}  // namespace fusebox
