// fusebox.v1.BreakerAdmin: what operators ask and order over gRPC.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_ADMIN_SERVICE_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_ADMIN_SERVICE_H_

#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "interceptor/admin/operator_acts.h"
#include "interceptor/admin/transition_history.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/mutex.h"
#include "proto/fusebox/v1/admin.grpc.pb.h"

namespace fusebox {

class LiveSettings;

// A call of the service, before anything is done.
struct AdminCall {
  std::string_view method;   // "ForceOpenBreaker"
  bool changes = false;      // whether it is to change something
  std::string_view breaker;  // "breakers/server/pkg.Service/Method", as the
                             // client wrote it; empty if it is about several
  // auth_context(), peer() and client_metadata() of the call.
  const grpc::ServerContextBase& context;
};

struct BreakerAdminOptions {
  // Whether acts and new settings are accepted at all; without, they are
  // PERMISSION_DENIED. Reading is possible in any case.
  bool allow_changes = false;

  // Asked for every call that would be accepted otherwise; its status is the
  // answer unless OK. Empty: everybody may. `who` is who seems to ask; for the
  // log and the history it may be replaced by who that really is, such as the
  // subject of a token. Called on gRPC's threads, several at once; must not
  // block for long, nor throw.
  std::function<grpc::Status(const AdminCall& call, std::string& who)>
      authorize;

  // What UpdateBreaker changes and config_sources comes from; must outlive the
  // service. Null: neither is to be had.
  LiveSettings* live_settings = nullptr;

  // Gets a line for each call that was denied, and each permitted one that
  // changes something: who, what, the decision. Never metadata, nor the texts
  // of the authoriser. Empty: the log of the registry.
  OperatorActs::Log log;
};

// Serves BreakerAdmin as proto/fusebox/v1/admin.proto describes it.
//
// Who may call it: whoever reaches the server. So serve it on a listener of its
// own, on loopback or a Unix socket, or with TLS that asks for certificates, or
// give it an authoriser. Who somebody is (Transition.operator):
//
//   an authenticated peer      its identity, such as the name in its
//                              certificate
//   others                     what they say in the metadata
//                              "fusebox-operator", marked as not verified, with
//                              their address
//
// No breaker guards it, on either side of a call (IsNeverGuarded()). Watches
// that lag behind by more than TransitionHistory keeps are told how many
// transitions they lost.
//
// Serves one server, by ServeBreakerAdmin(), and must outlive it. Thread-safe.
// Example:
//
//   fusebox::TransitionHistory history(&breakers);
//   fusebox::OperatorActs acts(&breakers, &history);
//   fusebox::BreakerAdminService admin(&breakers, &history, &acts);
//   fusebox::ServeBreakerAdmin(builder, &admin);
class BreakerAdminService final : public v1::BreakerAdmin::CallbackService {
 public:
  static constexpr int kDefaultPageSize = 100;
  static constexpr int kMaxPageSize = 1000;
  static constexpr std::size_t kMaxWatches = 100;

  // All must outlive it.
  BreakerAdminService(BreakerRegistry* registry, TransitionHistory* history,
                      OperatorActs* acts, BreakerAdminOptions options = {});
  ~BreakerAdminService() override;

  // Ends every watch with UNAVAILABLE, and refuses new ones with it; other
  // calls go on. Returns when they are gone; those that are not after
  // `patience`, because their client takes nothing off its connection, are cut
  // off. Not to be called from a gRPC callback: it waits for others.
  void Drain(Duration patience = std::chrono::seconds(1));

  // Watches that clients have open.
  std::size_t watches() const;

  grpc::ServerUnaryReactor* ListBreakers(
      grpc::CallbackServerContext* context,
      const v1::ListBreakersRequest* request,
      v1::ListBreakersResponse* response) override;
  grpc::ServerUnaryReactor* GetBreaker(grpc::CallbackServerContext* context,
                                       const v1::GetBreakerRequest* request,
                                       v1::Breaker* response) override;
  grpc::ServerUnaryReactor* UpdateBreaker(
      grpc::CallbackServerContext* context,
      const v1::UpdateBreakerRequest* request, v1::Breaker* response) override;
  grpc::ServerUnaryReactor* ForceOpenBreaker(
      grpc::CallbackServerContext* context,
      const v1::ForceOpenBreakerRequest* request,
      v1::Breaker* response) override;
  grpc::ServerUnaryReactor* ForceCloseBreaker(
      grpc::CallbackServerContext* context,
      const v1::ForceCloseBreakerRequest* request,
      v1::Breaker* response) override;
  grpc::ServerUnaryReactor* ReleaseBreaker(
      grpc::CallbackServerContext* context,
      const v1::ReleaseBreakerRequest* request, v1::Breaker* response) override;
  grpc::ServerUnaryReactor* ResetBreaker(grpc::CallbackServerContext* context,
                                         const v1::ResetBreakerRequest* request,
                                         v1::Breaker* response) override;
  grpc::ServerWriteReactor<v1::WatchBreakersResponse>* WatchBreakers(
      grpc::CallbackServerContext* context,
      const v1::WatchBreakersRequest* request) override;

 private:
  class Watcher;

  // Whether the call may go on; `who` is set if so.
  grpc::Status Permit(const AdminCall& call, std::string& who) const;
  // Finishes a call with what `answer` makes of it, if it may go on.
  template <class Answer>
  grpc::ServerUnaryReactor* Reply(grpc::CallbackServerContext* context,
                                  const char* method, bool changes,
                                  const std::string& breaker, Answer answer);
  template <class Request>
  grpc::ServerUnaryReactor* ReplyToForce(grpc::CallbackServerContext* context,
                                         const char* method,
                                         Override override_state,
                                         const Request& request,
                                         v1::Breaker* response);
  void FillWhole(const BreakerSnapshot& breaker, v1::Breaker& message) const;

  // Sends the watcher what it has not had, if it is ready for it.
  void Update(Watcher& watcher) FUSEBOX_REQUIRES(mu_);
  // Puts that into its message; false if there is nothing.
  bool Compose(Watcher& watcher) const FUSEBOX_REQUIRES(mu_);
  void UpdateAll() FUSEBOX_EXCLUDES(mu_);
  void End(Watcher& watcher, const grpc::Status& status) FUSEBOX_REQUIRES(mu_);
  void OnWriteDone(Watcher& watcher, bool ok) FUSEBOX_EXCLUDES(mu_);
  void OnCancel(Watcher& watcher) FUSEBOX_EXCLUDES(mu_);
  void OnDone(Watcher& watcher) FUSEBOX_EXCLUDES(mu_);

  BreakerRegistry& registry_;
  TransitionHistory& history_;
  OperatorActs& acts_;
  const BreakerAdminOptions options_;
  const OperatorActs::Log log_;
  const std::uint64_t listener_;

  mutable Mutex mu_;
  std::condition_variable_any watcher_gone_;
  std::unordered_set<Watcher*> watchers_ FUSEBOX_GUARDED_BY(mu_);
  bool drained_ FUSEBOX_GUARDED_BY(mu_) = false;
};

// Puts `service` on the server that `builder` builds, drained when
// Server::Shutdown() is called, with a deadline or without. Call before
// BuildAndStart().
void ServeBreakerAdmin(grpc::ServerBuilder& builder,
                       BreakerAdminService* service);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_ADMIN_SERVICE_H_
