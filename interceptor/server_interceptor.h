// Circuit breakers on servers.

#ifndef FUSEBOX_INTERCEPTOR_SERVER_INTERCEPTOR_H_
#define FUSEBOX_INTERCEPTOR_SERVER_INTERCEPTOR_H_

#include <grpcpp/server_builder.h>
#include <grpcpp/support/server_interceptor.h>

#include <memory>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/status_outcome.h"

namespace fusebox {

struct ServerOptions {
  OutcomeRules outcomes = OutcomeRules(Role::kServer);
  // The application's own interceptors, which run behind the guard. They must
  // be handed over here: gRPC keeps one list and the last to set it wins.
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      interceptors;
  // Services that are not guarded, by full name ("pkg.Service"), beside
  // health, reflection, channelz and Fusebox's own.
  std::vector<std::string> unguarded_services;
};

// Guards every method of every sync and callback service that `builder` has
// when BuildAndStart() is called: a call whose breaker does not admit it is
// answered with RejectionStatus() and "grpc-retry-pushback-ms" before any user
// code runs; the others report their outcome once.
//
// Call once for each builder, before BuildAndStart(); the order relative to
// RegisterService() does not matter. Do not call SetInterceptorCreators() as
// well. `registry` must outlive the server. What could not be guarded (a method
// whose messages are not protobuf, an async method) is logged once through
// gRPC's log and counted.
void GuardServer(grpc::ServerBuilder& builder, BreakerRegistry* registry,
                 ServerOptions options = {});

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_SERVER_INTERCEPTOR_H_
