#include "interceptor/health/health_service.h"

#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/support/slice.h>

#include <utility>

#include "interceptor/handoff/handoff.h"
#include "interceptor/health/shutdown_notice.h"

namespace fusebox {
namespace {

// The name under which a full registry keeps the methods it has no place for.
constexpr char kOverflowMethod[] = "other";

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  if (buffer.Length() == 0 || !buffer.DumpToSingleSlice(&slice).ok()) return "";
  return std::string(reinterpret_cast<const char*>(slice.begin()),
                     slice.size());
}

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Reads the name out of a request; the status says what is wrong with it.
grpc::Status ReadName(const grpc::ByteBuffer& request, std::string& name) {
  const std::string bytes = BytesOf(request);
  const auto decoded = DecodeHealthRequest(bytes);
  if (!decoded.has_value()) {
    return grpc::Status(
        grpc::StatusCode::INVALID_ARGUMENT,
        "the request is not a grpc.health.v1.HealthCheckRequest");
  }
  if (decoded->size() > HealthService::kMaxNameBytes) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                        "the service name is longer than " +
                            std::to_string(HealthService::kMaxNameBytes) +
                            " bytes");
  }
  name = std::string(*decoded);
  return grpc::Status::OK;
}

bool Serves(const CircuitBreaker& breaker, State state) {
  return state != State::kOpen || breaker.settings().mode != Mode::kEnforce;
}

grpc::Status Draining() {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE,
                      "the server is shutting down");
}

// A watch that is refused.
class RefusedWatch final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit RefusedWatch(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

// One open watch. All but what gRPC calls is guarded by the service's lock.
class HealthService::Watcher final
    : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  Watcher(HealthService& service, grpc::CallbackServerContext& call,
          Names::iterator watched)
      : context(call), name(watched), service_(service) {
    ReleaseToGrpc(this);
  }

  void OnWriteDone(bool ok) override {
    AcquireFromGrpc(this);
    service_.OnWriteDone(*this, ok);
  }
  void OnCancel() override {
    AcquireFromGrpc(this);
    service_.OnCancel(*this);
  }
  void OnDone() override {
    AcquireFromGrpc(this);
    service_.OnDone(*this);
    delete this;
  }

  grpc::CallbackServerContext& context;
  const Names::iterator name;
  std::optional<ServingStatus> sent;
  bool writing = false;
  bool ending = false;
  grpc::ByteBuffer message;  // gRPC's while writing

 private:
  HealthService& service_;
};

HealthService::HealthService(const HealthOptions& options)
    : breaker_health_(options) {
  using grpc::ByteBuffer;
  using grpc::CallbackServerContext;
  using grpc::internal::RpcMethod;
  using grpc::internal::RpcServiceMethod;

  AddMethod(new RpcServiceMethod("/grpc.health.v1.Health/Check",
                                 RpcMethod::NORMAL_RPC, /*handler=*/nullptr));
  MarkMethodCallback(
      0, new grpc::internal::CallbackUnaryHandler<ByteBuffer, ByteBuffer>(
             [this](CallbackServerContext* context, const ByteBuffer* request,
                    ByteBuffer* response) {
               return Check(context, request, response);
             }));
  AddMethod(new RpcServiceMethod("/grpc.health.v1.Health/Watch",
                                 RpcMethod::SERVER_STREAMING,
                                 /*handler=*/nullptr));
  MarkMethodCallback(
      1, new grpc::internal::CallbackServerStreamingHandler<ByteBuffer,
                                                            ByteBuffer>(
             [this](CallbackServerContext* context, const ByteBuffer* request) {
               return Watch(context, request);
             }));
  AddMethod(new RpcServiceMethod("/grpc.health.v1.Health/List",
                                 RpcMethod::NORMAL_RPC, /*handler=*/nullptr));
  MarkMethodCallback(
      2, new grpc::internal::CallbackUnaryHandler<ByteBuffer, ByteBuffer>(
             [this](CallbackServerContext* context, const ByteBuffer* request,
                    ByteBuffer* response) {
               return List(context, request, response);
             }));

  names_[""].application = true;
}

HealthService::~HealthService() { StopWatchingBreakers(); }

// ---------------------------------------------------------------------------
// What the application says

bool HealthService::SetServing(std::string_view name, bool serving) {
  if (name.size() > kMaxNameBytes || !IsUtf8(name)) return false;
  MutexLock lock(mu_);
  Name& entry = names_[std::string(name)];
  if (shut_down_ && entry.known()) return true;
  entry.application = serving;
  Tell(entry);
  return true;
}

bool HealthService::SetComponentHealth(std::string_view name, bool healthy) {
  if (name.size() > kMaxNameBytes || !IsUtf8(name)) return false;
  MutexLock lock(mu_);
  Name& entry = names_[std::string(name)];
  entry.components = healthy;
  Tell(entry);
  return true;
}

void HealthService::SetAllServing(bool serving) {
  MutexLock lock(mu_);
  if (shut_down_) return;
  for (auto& [name, entry] : names_) {
    if (!entry.known()) continue;
    entry.application = serving;
    Tell(entry);
  }
}

bool HealthService::Remove(std::string_view name) {
  MutexLock lock(mu_);
  const auto found = names_.find(name);
  if (name.empty() || shut_down_ || found == names_.end() ||
      !found->second.application.has_value()) {
    return false;
  }
  found->second.application.reset();
  Tell(found->second);
  DropIfUnused(found);
  return true;
}

void HealthService::Shutdown() {
  MutexLock lock(mu_);
  shut_down_ = true;
  for (auto& [name, entry] : names_) Tell(entry);
}

void HealthService::Drain(Duration patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  MutexLock lock(mu_);
  drained_ = true;
  for (auto& [name, entry] : names_) {
    for (Watcher* watcher : entry.watchers) End(*watcher, Draining());
  }
  while (watches_ != 0) {
    if (watcher_gone_.wait_until(mu_, deadline) == std::cv_status::timeout) {
      for (auto& [name, entry] : names_) {
        for (Watcher* watcher : entry.watchers) watcher->context.TryCancel();
      }
      return;
    }
  }
}

ServingStatus HealthService::StatusOf(std::string_view name) const {
  MutexLock lock(mu_);
  const auto found = names_.find(name);
  return found == names_.end() ? ServingStatus::kServiceUnknown
                               : StatusOf(found->second);
}

std::size_t HealthService::watches() const {
  MutexLock lock(mu_);
  return watches_;
}

ServingStatus HealthService::StatusOf(const Name& name) const {
  if (!name.known()) return ServingStatus::kServiceUnknown;
  return !shut_down_ && name.application.value_or(true) &&
                 name.components.value_or(true) && name.breakers.value_or(true)
             ? ServingStatus::kServing
             : ServingStatus::kNotServing;
}

void HealthService::Tell(Name& name) {
  for (Watcher* watcher : name.watchers) Update(*watcher);
}

void HealthService::DropIfUnused(Names::iterator name) {
  if (!name->second.known() && name->second.watchers.empty()) {
    names_.erase(name);
  }
}

// ---------------------------------------------------------------------------
// What the breakers say

void HealthService::WatchBreakers(BreakerRegistry* registry,
                                  const std::vector<std::string>& methods) {
  std::multimap<std::string, Guarded, std::less<>> guarded;
  for (const std::string& method : methods) {
    CircuitBreaker& breaker = registry->Pin(Role::kServer, "", method);
    const bool has_its_own =
        registry->Snapshot(Role::kServer, "", method).has_value();
    guarded.emplace(has_its_own ? method : kOverflowMethod,
                    Guarded{method, &breaker});
  }

  // First the watch, then the view: whatever this view does not show yet comes
  // as a transition, and has to wait for the lock.
  BreakerRegistry::Watch watch = registry->WatchTransitions(
      [this](const Transition& transition) { OnTransition(transition); });
  MutexLock lock(mu_);
  breaker_watch_ = std::move(watch);
  guarded_ = std::move(guarded);
  for (const auto& [name, method] : guarded_) {
    breaker_health_.Add(method.method);
    breaker_health_.Set(
        method.method,
        Serves(*method.breaker, method.breaker->View(registry->Now()).state));
  }
  Apply(breaker_health_.All());
}

void HealthService::StopWatchingBreakers() {
  BreakerRegistry::Watch watch;
  {
    MutexLock lock(mu_);
    watch = std::move(breaker_watch_);
  }
  // Waits for a transition under way, which may wait for the lock.
  watch.Stop();
}

void HealthService::OnTransition(const Transition& transition) {
  if (transition.role != Role::kServer) return;
  MutexLock lock(mu_);
  const auto [first, last] = guarded_.equal_range(transition.method);
  for (auto it = first; it != last; ++it) {
    const Guarded& guarded = it->second;
    Apply(breaker_health_.Set(guarded.method,
                              Serves(*guarded.breaker, transition.to)));
  }
}

void HealthService::Apply(const std::vector<BreakerHealth::Change>& changes) {
  for (const BreakerHealth::Change& change : changes) {
    Name& entry = names_[change.name];
    entry.breakers = change.healthy;
    Tell(entry);
  }
}

// ---------------------------------------------------------------------------
// What clients ask

grpc::ServerUnaryReactor* HealthService::Check(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  context->set_compression_algorithm(GRPC_COMPRESS_NONE);
  std::string name;
  grpc::Status result = ReadName(*request, name);
  if (result.ok()) {
    const ServingStatus status = StatusOf(name);
    if (status == ServingStatus::kServiceUnknown) {
      result = grpc::Status(grpc::StatusCode::NOT_FOUND, "unknown service");
    } else {
      *response = BufferOf(EncodeHealthResponse(status));
    }
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(result);
  return reactor;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* HealthService::Watch(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  context->set_compression_algorithm(GRPC_COMPRESS_NONE);
  std::string name;
  const grpc::Status result = ReadName(*request, name);
  if (!result.ok()) return new RefusedWatch(result);

  MutexLock lock(mu_);
  if (drained_) {
    return new RefusedWatch(Draining());
  }
  const auto entry = names_.try_emplace(std::move(name)).first;
  auto* watcher = new Watcher(*this, *context, entry);
  entry->second.watchers.insert(watcher);
  ++watches_;
  Update(*watcher);
  return watcher;
}

grpc::ServerUnaryReactor* HealthService::List(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  context->set_compression_algorithm(GRPC_COMPRESS_NONE);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (!IsHealthListRequest(BytesOf(*request))) {
    reactor->Finish(
        grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                     "the request is not a grpc.health.v1.HealthListRequest"));
    return reactor;
  }
  std::vector<std::pair<std::string_view, ServingStatus>> statuses;
  std::string encoded;
  {
    MutexLock lock(mu_);
    for (const auto& [name, entry] : names_) {
      if (entry.known()) statuses.emplace_back(name, StatusOf(entry));
    }
    if (statuses.size() <= kMaxListedNames) {
      encoded = EncodeHealthList(statuses);
    }
  }
  if (statuses.size() > kMaxListedNames) {
    reactor->Finish(grpc::Status(
        grpc::StatusCode::RESOURCE_EXHAUSTED,
        "more than " + std::to_string(kMaxListedNames) + " names are known"));
    return reactor;
  }
  *response = BufferOf(encoded);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

// ---------------------------------------------------------------------------
// An open watch
//
// There is no queue of what is to be sent: when a write is done, the service
// looks what the status is by then. Operations may be started with the lock
// held, because gRPC reports their end on another stack.

void HealthService::Update(Watcher& watcher) {
  const ServingStatus status = StatusOf(watcher.name->second);
  if (watcher.ending || watcher.writing || watcher.sent == status) return;
  watcher.sent = status;
  watcher.writing = true;
  watcher.message = BufferOf(EncodeHealthResponse(status));
  watcher.StartWrite(&watcher.message,
                     grpc::WriteOptions().set_no_compression());
}

void HealthService::End(Watcher& watcher, const grpc::Status& status) {
  if (watcher.ending) return;
  watcher.ending = true;
  watcher.Finish(status);
}

void HealthService::OnWriteDone(Watcher& watcher, bool ok) {
  MutexLock lock(mu_);
  watcher.writing = false;
  if (ok) {
    Update(watcher);
  } else {
    End(watcher, grpc::Status::CANCELLED);
  }
}

void HealthService::OnCancel(Watcher& watcher) {
  MutexLock lock(mu_);
  End(watcher, grpc::Status::CANCELLED);
}

void HealthService::OnDone(Watcher& watcher) {
  MutexLock lock(mu_);
  watcher.name->second.watchers.erase(&watcher);
  DropIfUnused(watcher.name);
  --watches_;
  watcher_gone_.notify_all();
}

// ---------------------------------------------------------------------------
// On a server

namespace {

// The service as one server has it. Owned by the server, which destroys it when
// it has shut down.
class ServedHealth final : public grpc::HealthCheckServiceInterface {
 public:
  ServedHealth(std::shared_ptr<HealthService> service,
               grpc::ServerBuilder& builder)
      : service_(std::move(service)),
        notice_(builder, [this] { service_->Drain(); }) {
    builder.RegisterService(service_.get());
  }
  // The registry may be gone before whoever else holds the service.
  ~ServedHealth() override { service_->StopWatchingBreakers(); }

  void OnServerStarted() { notice_.Start(); }

  void SetServingStatus(const std::string& name, bool serving) override {
    service_->SetServing(name, serving);
  }
  void SetServingStatus(bool serving) override {
    service_->SetAllServing(serving);
  }
  void Shutdown() override { service_->Shutdown(); }

 private:
  const std::shared_ptr<HealthService> service_;
  ShutdownNotice notice_;
};

// What gRPC calls in BuildAndStart(), in the order of the functions below.
class HealthPlugin final : public grpc::ServerBuilderPlugin {
 public:
  explicit HealthPlugin(std::shared_ptr<HealthService> service)
      : service_(std::move(service)) {}

  std::string name() override { return "fusebox_health"; }
  void UpdateServerBuilder(grpc::ServerBuilder* builder) override {
    served_ = std::make_unique<ServedHealth>(std::move(service_), *builder);
    started_ = served_.get();
  }
  void UpdateChannelArguments(grpc::ChannelArguments* arguments) override {
    // The way to hand it over to the server.
    arguments->SetPointer(grpc::kHealthCheckServiceInterfaceArg,
                          served_.release());
  }
  void InitServer(grpc::ServerInitializer* /*initializer*/) override {}
  void Finish(grpc::ServerInitializer* /*initializer*/) override {
    started_->OnServerStarted();
  }
  void ChangeArguments(const std::string& /*name*/, void* /*value*/) override {}

 private:
  std::shared_ptr<HealthService> service_;
  std::unique_ptr<ServedHealth> served_;
  ServedHealth* started_ = nullptr;
};

class HealthOption final : public grpc::ServerBuilderOption {
 public:
  explicit HealthOption(std::shared_ptr<HealthService> service)
      : service_(std::move(service)) {}

  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    plugins->push_back(std::make_unique<HealthPlugin>(std::move(service_)));
  }

 private:
  std::shared_ptr<HealthService> service_;
};

}  // namespace

void ServeHealth(grpc::ServerBuilder& builder,
                 std::shared_ptr<HealthService> service) {
  builder.SetOption(std::make_unique<HealthOption>(std::move(service)));
}

}  // namespace fusebox
