// Circuit breakers on servers.

#ifndef FUSEBOX_INTERCEPTOR_SERVER_INTERCEPTOR_H_
#define FUSEBOX_INTERCEPTOR_SERVER_INTERCEPTOR_H_

#include <grpcpp/server_builder.h>
#include <grpcpp/support/server_interceptor.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/health/health_service.h"
#include "interceptor/refused.h"
#include "interceptor/server_refusal.h"
#include "interceptor/status_outcome.h"

namespace grpc {
class ServerInitializer;
}  // namespace grpc

namespace fusebox {

struct ServerOptions {
  OutcomeRules outcomes = OutcomeRules(Role::kServer);
  // The application's own interceptors, which run behind the guard: they see
  // refused calls end with the rejection. They must be handed over here: gRPC
  // keeps one list and the last to set it wins.
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      interceptors;
  // Services that are not guarded, by full name ("pkg.Service"), beside
  // health, reflection, channelz and Fusebox's own.
  std::vector<std::string> unguarded_services;
  // What is served from completion queues by code that asks Refused()
  // (refused.h) for each call: services ("pkg.Service") or single methods
  // ("pkg.Service/Method"). gRPC cannot keep these handlers from running and
  // Fusebox cannot see what they ask, so they are not guarded unless named
  // here. A refused call whose handler answers without having asked is told to
  // the log once and counted: ServerGuard::unheeded().
  std::vector<std::string> async_services;
  // The same for methods ("pkg.Service/Method") of generic services: an async
  // one that asks Refused(), a callback one that asks or is wrapped in
  // GuardedCallbackGenericService. All other names are the client's choice, and
  // not guarded.
  std::vector<std::string> generic_methods;
  // How grpc.health.v1 shows the guarded methods. Nothing: the server gets no
  // health service from here, and may have another one.
  std::optional<HealthOptions> health = HealthOptions();
};

// A method of a guarded server.
struct ServedMethod {
  std::string name;  // "/pkg.Service/Method"; empty if generic
  Coverage coverage = Coverage::kGuarded;
};

// What GuardServer() did for one server. Complete, and thread-safe, once
// BuildAndStart() has returned; nobody needs to keep it.
class ServerGuard {
 public:
  ~ServerGuard();
  ServerGuard(const ServerGuard&) = delete;
  ServerGuard& operator=(const ServerGuard&) = delete;

  // Every method of the builder's services, in the order of registration.
  // Services that are added later (health, reflection) and the one for unknown
  // names are not among them, and not guarded.
  const std::vector<ServedMethod>& methods() const { return methods_; }

  // Methods that should be guarded and cannot be.
  std::size_t uncovered() const;

  // Calls that were refused and handled all the same, because the application
  // did not ask Refused() where it said it would, or because this release of
  // gRPC does not run handlers as Fusebox knows it. Their answers are those of
  // the handlers; their outcomes are not counted. Grows while the server runs.
  std::uint64_t unheeded() const;

  // Calls that GatedServerCredentials() refused; no breaker counts them.
  std::uint64_t gated() const { return gated_.load(std::memory_order_relaxed); }

  // Asked by GatedServerCredentials() for each call: the message to refuse a
  // call of `method` with, which lives as long as the guard, or null to let it
  // pass. Lock-free; allocates nothing.
  const char* AskGate(std::string_view method) const;

  // The health service of the server, to set names of the application's own and
  // to shut down with. Null if there is none.
  const std::shared_ptr<HealthService>& health() const { return health_; }

 private:
  friend std::shared_ptr<const ServerGuard> GuardServer(
      grpc::ServerBuilder& builder, BreakerRegistry* registry,
      ServerOptions options);
  class Call;
  class CallFactory;
  class Installer;
  class Plugin;
  struct Method;

  ServerGuard(BreakerRegistry* registry, OutcomeRules outcomes,
              std::vector<std::string> unguarded_services,
              std::vector<std::string> async_services,
              std::vector<std::string> generic_methods);

  // Fill the members below, before the server starts; they are not changed
  // afterwards. The second looks at what has become of the builder's services.
  void Install(grpc::ServerBuilder& builder);
  void Check(grpc::ServerBuilder& builder, grpc::ServerInitializer& server);
  void AddGenericMethods();
  std::unique_ptr<Method> MakeMethod(const std::string& name,
                                     Coverage coverage);
  bool IsExempt(std::string_view method) const;
  bool AsksRefused(std::string_view async_method) const;
  // The guarded method of a call, or null.
  Method* Find(const char* name) const;
  const char* WhyGated(std::string_view method) const;

  BreakerRegistry& registry_;
  const NowFunction latency_clock_;
  const OutcomeRules outcomes_;
  const std::vector<std::string> unguarded_services_;
  const std::vector<std::string> async_services_;
  const std::vector<std::string> generic_methods_;
  std::shared_ptr<HealthService> health_;
  std::vector<ServedMethod> methods_;
  // The methods that have a breaker. Those that are registered, by the address
  // of the name: names that come over the wire have other addresses, and are
  // not found here.
  std::unordered_map<const char*, std::unique_ptr<Method>> guarded_;
  // Those whose address is not known, by name: generic ones.
  std::map<std::string, std::unique_ptr<Method>, std::less<>> by_name_;
  // All of them, for the gate.
  std::unordered_map<std::string_view, Method*> gate_;
  mutable std::atomic<std::uint64_t> gated_{0};
};

// Guards every method of every synchronous and callback service that `builder`
// has when BuildAndStart() is called: a call whose breaker does not admit it is
// answered with RejectionStatus() and "grpc-retry-pushback-ms" before any user
// code runs; the others report their outcome once. So are methods that are
// served from completion queues or by generic services, if `options` names
// them: their code asks Refused(). The server gets a health service that shows
// how the methods are (health/health_service.h), also as its
// GetHealthCheckService().
//
// Call once for each builder, before BuildAndStart(); the order relative to
// RegisterService() does not matter. Do not call SetInterceptorCreators() as
// well. `registry` must outlive the server. A service may be on several
// servers, each with its own guard and registry, or without. Message allocators
// must be set before the first BuildAndStart().
//
// Not guarded, and logged through gRPC's log: methods served asynchronously
// from a completion queue or by a generic service that `options` does not name,
// and synchronous ones whose requests are not protobuf messages.
//
// What cannot be seen of calls that are served from a completion queue: a
// request that does not parse (gRPC answers it by itself), and, where reads
// and writes of a stream fail because its client has gone, that they did.
std::shared_ptr<const ServerGuard> GuardServer(grpc::ServerBuilder& builder,
                                               BreakerRegistry* registry,
                                               ServerOptions options = {});

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_SERVER_INTERCEPTOR_H_
