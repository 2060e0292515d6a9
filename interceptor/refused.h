// For handlers that no guard can keep from running: they ask it.

#ifndef FUSEBOX_INTERCEPTOR_REFUSED_H_
#define FUSEBOX_INTERCEPTOR_REFUSED_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

namespace fusebox {

// Whether the server's guard refuses the call. What is served from a completion
// queue asks before anything else, and ends a refused call at once:
//
//   if (fusebox::Refused(context)) {
//     responder.FinishWithError(fusebox::RefusedStatus(), tag);
//     return;
//   }
//
// (Finish(status, tag) where there is no FinishWithError().) Only methods that
// ServerOptions::async_services or ::generic_methods name are refused so; for
// any other call the answer is no.
//
// `context` is of a call that has arrived: its tag came back from the queue
// with ok. Costs an atomic load while no refused call is under way, else a look
// into the call's metadata. Thread-safe for different calls.
bool Refused(const grpc::ServerContextBase& context);

// What a refused call ends with. The guard puts RejectionStatus() and the retry
// pushback in its place on its way to the client.
grpc::Status RefusedStatus();

// A callback generic service whose refused calls do not reach it:
//
//   fusebox::GuardedCallbackGenericService guarded(&generic_service);
//   builder.RegisterCallbackGenericService(&guarded);
//
// The methods to guard are named in ServerOptions::generic_methods. `service`
// must outlive it; it must outlive the server. Thread-safe.
class GuardedCallbackGenericService final
    : public grpc::CallbackGenericService {
 public:
  explicit GuardedCallbackGenericService(grpc::CallbackGenericService* service)
      : service_(*service) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  grpc::CallbackGenericService& service_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_REFUSED_H_
