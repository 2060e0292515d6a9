// Circuit breakers on channels.

#ifndef FUSEBOX_INTERCEPTOR_CLIENT_INTERCEPTOR_H_
#define FUSEBOX_INTERCEPTOR_CLIENT_INTERCEPTOR_H_

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_interceptor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/status_outcome.h"

namespace fusebox {

struct ClientOptions {
  OutcomeRules outcomes = OutcomeRules(Role::kClient);
};

// Makes the interceptor that guards each call of a channel to `target`: it asks
// the breaker of (target, method) for a permit before anything is sent, refuses
// the call with RejectionStatus() otherwise, and tells the breaker once what
// came of it.
//
// Put it among the channel's other interceptors, in any position: those before
// it see refused calls end with the rejection, those after it do not see them.
// Health checking, reflection, channelz and Fusebox's own services are never
// guarded. `registry` must outlive the channel. Thread-safe.
std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>
GuardedClientInterceptorFactory(BreakerRegistry* registry,
                                std::string_view target,
                                const ClientOptions& options = {});

// grpc::CreateCustomChannel() with a guard in front of `interceptors`.
std::shared_ptr<grpc::Channel> CreateGuardedChannel(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const grpc::ChannelArguments& arguments, BreakerRegistry* registry,
    std::vector<
        std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
        interceptors = {},
    const ClientOptions& options = {});

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_CLIENT_INTERCEPTOR_H_
