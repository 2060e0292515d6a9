// The health of another gRPC server as that of a component.

#ifndef FUSEBOX_INTERCEPTOR_HEALTH_GRPC_HEALTH_CHECK_H_
#define FUSEBOX_INTERCEPTOR_HEALTH_GRPC_HEALTH_CHECK_H_

#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

#include "interceptor/health/component.h"

namespace fusebox {

// Asks grpc.health.v1.Health/Check of `target` ("host:port", or whatever else
// gRPC resolves) for `service` ("" is the whole server). Healthy if it answers
// SERVING; the message names the status otherwise, or what the call failed
// with.
//
// Has a connection of its own, which it keeps, and which it tries anew at every
// run and at most a second after a failure; breakers of the application's
// channels neither see these calls nor refuse them.
Check GrpcHealthCheck(const std::string& target,
                      const std::shared_ptr<grpc::ChannelCredentials>& creds,
                      std::string service = "");

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HEALTH_GRPC_HEALTH_CHECK_H_
