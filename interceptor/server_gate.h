// Refuses calls before the server has matched them with a method.

#ifndef FUSEBOX_INTERCEPTOR_SERVER_GATE_H_
#define FUSEBOX_INTERCEPTOR_SERVER_GATE_H_

#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/support/status.h>

#include <memory>

#include "interceptor/server_interceptor.h"

namespace fusebox {

struct GateOptions {
  // The application's own processor. It must be handed over here: credentials
  // keep one, and the last to set it wins. The gate looks first; what it lets
  // pass is the processor's to decide.
  std::shared_ptr<grpc::AuthMetadataProcessor> processor;

  // What a refused call ends with, beside a message that names the method. The
  // gate can send neither details nor a retry pushback. So the default is a
  // code that retry policies do not list ("should not retry until the system
  // state has been explicitly fixed") and that breakers of callers do not take
  // for a failure: a refusal must not open one breaker after the other up the
  // call tree. Not OK.
  grpc::StatusCode code = grpc::StatusCode::FAILED_PRECONDITION;
};

// Credentials for a port whose calls of open methods are refused while gRPC
// still checks their authority: cheaper than by the guard alone, which has to
// let each call be received, parsed and started first. For servers that drown
// in calls, and for releases of gRPC whose handlers cannot be wrapped.
//
//   auto guard = fusebox::GuardServer(builder, &breakers);
//   builder.AddListeningPort(
//       address, fusebox::GatedServerCredentials(credentials, guard));
//
// The gate only looks: it refuses what the breaker would refuse for certain
// (open before its next probe, or forced open; in mode enforce), and counts it
// in ServerGuard::gated() alone. Everything else, also half-open methods, is
// the guard's to decide. Unknown methods, and those that are not guarded, pass.
// Calls over in-process channels do not come by.
//
// `credentials` may be InsecureServerCredentials(); gRPC 1.51 has no processors
// for those, so there the gate calls the application's itself, on the thread of
// the connection: one that IsBlocking() throws std::invalid_argument. Use them
// for nothing else afterwards.
//
// The gate itself is lock-free, never blocks and allocates nothing for calls
// that pass (but for other than insecure credentials gRPC copies the metadata
// for it).
std::shared_ptr<grpc::ServerCredentials> GatedServerCredentials(
    const std::shared_ptr<grpc::ServerCredentials>& credentials,
    std::shared_ptr<const ServerGuard> guard, GateOptions options = {});

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_SERVER_GATE_H_
