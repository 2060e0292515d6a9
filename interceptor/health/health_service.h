// grpc.health.v1.Health: what load balancers, probes and people ask.

#ifndef FUSEBOX_INTERCEPTOR_HEALTH_HEALTH_SERVICE_H_
#define FUSEBOX_INTERCEPTOR_HEALTH_HEALTH_SERVICE_H_

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/health/breaker_health.h"
#include "interceptor/health/health_codec.h"

namespace fusebox {

// Serves Check, Watch and List of grpc.health.v1, for names of three kinds:
//
//  - those the application sets. "", the whole server, is one from the start,
//    as serving;
//  - those component checks drive (ComponentChecks in component_checks.h);
//  - those of guarded methods (WatchBreakers): "pkg.Service/Method" serves
//    unless its breaker is open, also when forced (half-open serves, or no
//    probe would ever come; a breaker in mode shadow or off refuses nothing, so
//    it always serves); "pkg.Service" and "" by HealthOptions.
//
// A name of several kinds serves when all of them say so: neither a component
// that heals nor a breaker that closes takes back what the application said.
// Names are compared byte by byte. They are valid UTF-8 of at most
// kMaxNameBytes.
//
// What clients get:
//   Check  the status. An unknown name: NOT_FOUND.
//   Watch  the status at once, then each change, never one status twice in a
//          row; whoever reads slowly gets the latest, not a queue of old ones.
//          An unknown or removed name: SERVICE_UNKNOWN, until it is set. The
//          stream goes on until the client or Drain() ends it, never with OK.
//   List   all known names; more than kMaxListedNames: RESOURCE_EXHAUSTED.
//   A request that is not what it should be, or a longer name:
//          INVALID_ARGUMENT.
// Replies are never compressed.
//
// Serves one server, and must outlive it: use ServeHealth(), which sees to
// both, or GuardServer(), which does all of it.
//
// Thread-safe. Example:
//
//   auto health = std::make_shared<fusebox::HealthService>();
//   health->SetServing("pkg.Service", true);
//   fusebox::ServeHealth(builder, health);
class HealthService final : public grpc::Service {
 public:
  static constexpr std::size_t kMaxNameBytes = 4096;
  static constexpr std::size_t kMaxListedNames = 100;

  explicit HealthService(const HealthOptions& options = {});
  ~HealthService() override;

  // Makes `name` known with this status. False, and nothing happens, if no
  // client could ask for such a name.
  bool SetServing(std::string_view name, bool serving);
  // The same for every name that is known now.
  void SetAllServing(bool serving);
  // Takes back what SetServing() said: the name becomes unknown, or what the
  // breakers and the component checks say. False if nothing was said; "" stays
  // known whatever happens.
  bool Remove(std::string_view name);

  // The same as SetServing() for what component checks say of `name`, beside
  // what the application says of it.
  bool SetComponentHealth(std::string_view name, bool healthy);

  // The last word: all names stop serving, those that become known later do not
  // serve either, and nothing but Drain() changes anything any more. Clients
  // have time to turn elsewhere until the server is shut down.
  void Shutdown();

  // Ends every watch with UNAVAILABLE, and refuses new ones with it; Check and
  // List go on. Returns when they are gone; those that are not after
  // `patience`, because their client takes nothing off its connection, are cut
  // off. Not to be called from a gRPC callback: it waits for others.
  void Drain(Duration patience = std::chrono::seconds(1));

  // Adds the names of `methods` ("/pkg.Service/Method") and keeps them as their
  // server-side breakers are, also when time alone changes those. Each method
  // has a breaker from now on. At most once; `registry` must outlive the
  // watching.
  void WatchBreakers(BreakerRegistry* registry,
                     const std::vector<std::string>& methods);
  // Leaves the names as they are.
  void StopWatchingBreakers();

  // What Watch says of `name` now.
  ServingStatus StatusOf(std::string_view name) const FUSEBOX_EXCLUDES(mu_);

  // Watches that clients have open.
  std::size_t watches() const;

 private:
  class Watcher;

  struct Name {
    // Whether it serves, as far as each of the three knows it.
    std::optional<bool> application;
    std::optional<bool> components;
    std::optional<bool> breakers;
    std::unordered_set<Watcher*> watchers;

    bool known() const {
      return application.has_value() || components.has_value() ||
             breakers.has_value();
    }
  };
  // An entry stays while its name is known or watched.
  using Names = std::map<std::string, Name, std::less<>>;

  struct Guarded {
    std::string method;
    CircuitBreaker* breaker;
  };

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response);
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* request);
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const grpc::ByteBuffer* request,
                                 grpc::ByteBuffer* response);

  ServingStatus StatusOf(const Name& name) const FUSEBOX_REQUIRES(mu_);
  void Tell(Name& name) FUSEBOX_REQUIRES(mu_);
  void DropIfUnused(Names::iterator name) FUSEBOX_REQUIRES(mu_);
  void Apply(const std::vector<BreakerHealth::Change>& changes)
      FUSEBOX_REQUIRES(mu_);
  void OnTransition(const Transition& transition) FUSEBOX_EXCLUDES(mu_);

  // Sends the watcher the status of its name, unless it has it.
  void Update(Watcher& watcher) FUSEBOX_REQUIRES(mu_);
  void End(Watcher& watcher, const grpc::Status& status) FUSEBOX_REQUIRES(mu_);
  void OnWriteDone(Watcher& watcher, bool ok) FUSEBOX_EXCLUDES(mu_);
  void OnCancel(Watcher& watcher) FUSEBOX_EXCLUDES(mu_);
  void OnDone(Watcher& watcher) FUSEBOX_EXCLUDES(mu_);

  mutable Mutex mu_;
  std::condition_variable_any watcher_gone_;
  Names names_ FUSEBOX_GUARDED_BY(mu_);
  std::size_t watches_ FUSEBOX_GUARDED_BY(mu_) = 0;
  bool shut_down_ FUSEBOX_GUARDED_BY(mu_) = false;
  bool drained_ FUSEBOX_GUARDED_BY(mu_) = false;
  BreakerHealth breaker_health_ FUSEBOX_GUARDED_BY(mu_);
  // By the method name of the breaker, which several share in a full registry.
  std::multimap<std::string, Guarded, std::less<>> guarded_
      FUSEBOX_GUARDED_BY(mu_);
  BreakerRegistry::Watch breaker_watch_ FUSEBOX_GUARDED_BY(mu_);
};

// Puts `service` on the server that `builder` builds, in the place of gRPC's
// own, so that Server::GetHealthCheckService() sets its names. The server keeps
// it alive. When Server::Shutdown() is called, with a deadline or without, the
// service is drained. When the server is destroyed, breakers are no longer
// watched.
//
// Call once for each builder, before BuildAndStart(). The server must have no
// other grpc.health.v1.Health, or BuildAndStart() fails.
void ServeHealth(grpc::ServerBuilder& builder,
                 std::shared_ptr<HealthService> service);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HEALTH_HEALTH_SERVICE_H_
