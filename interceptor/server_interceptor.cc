#include "interceptor/server_interceptor.h"

#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/impl/server_initializer.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "interceptor/breaker/circuit_breaker.h"
#include "interceptor/breaker/random.h"
#include "interceptor/handoff/handoff.h"
#include "interceptor/health/shutdown_notice.h"
#include "interceptor/never_guarded.h"
#include "interceptor/rejection.h"
#include "interceptor/starts_with.h"
#include "interceptor/stats/latency_recorder.h"

namespace fusebox {
namespace {

using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

// What gRPC answers a synchronous call with when it has no thread to run the
// handler on; there is no other sign that the handler was not entered.
constexpr char kNoThread[] = "Server Threadpool Exhausted";

// A client that waits no longer than its deadline cancels a little before the
// server's: deadlines travel as the time left, rounded up to 1 %, and start
// anew when the server gets to them (on a busy machine 5 ms late).
constexpr Duration kDeadlineDelay = std::chrono::milliseconds(5);
constexpr int kDeadlineRounding = 100;

// When the call's time is up, on the line of FineNow(); TimePoint::max() if it
// has all the time in the world. Not ServerContext::deadline(): that is a time
// of the wall clock, so it moves when that is set, and it is late by as long as
// the thread was held up between gRPC's readings of the two clocks.
TimePoint DeadlineOf(const grpc::ServerContextBase& context) {
  // Keeps the sum below the end of the nanosecond line.
  constexpr std::int64_t kFar = 1'000'000'000;
  const gpr_timespec deadline =
      gpr_convert_clock_type(context.raw_deadline(), GPR_CLOCK_MONOTONIC);
  if (deadline.tv_sec > kFar) return TimePoint::max();
  return TimePoint(std::chrono::seconds(deadline.tv_sec) +
                   std::chrono::nanoseconds(deadline.tv_nsec));
}

const char* WhyNotGuarded(Coverage coverage) {
  switch (coverage) {
    case Coverage::kGuarded:
    case Coverage::kExempt:
    case Coverage::kAsks:
      return nullptr;
    case Coverage::kAsync:
      return "it is served from a completion queue; let its handler ask "
             "fusebox::Refused(), and name it in ServerOptions::async_services";
    case Coverage::kGeneric:
      return "it is served by a generic service; let that ask "
             "fusebox::Refused(), and name it in "
             "ServerOptions::generic_methods";
    case Coverage::kObserved:
      return "its handler cannot be wrapped, so its calls are only counted; "
             "let fusebox::GatedServerCredentials() refuse them";
    case Coverage::kForeignHandler:
      return "its handler may not free the requests of refused calls";
  }
  return nullptr;
}

}  // namespace

// A guarded method.
struct ServerGuard::Method {
  Method(const std::string& n, const GuardedMethod& g, const StatusOutcomes& o,
         Coverage c)
      : name(n),
        gate_message("circuit breaker of " + n + " is open"),
        breaker(*g.breaker),
        calls(g.calls),
        outcomes(o),
        coverage(c) {}

  const std::string name;
  const std::string gate_message;

  CircuitBreaker& breaker;
  LatencyRecorder* const calls;  // null if calls are not counted
  const StatusOutcomes& outcomes;
  Coverage coverage;  // kGuarded, kAsks or kObserved
  // Whether the application has ever answered with something else than an empty
  // UNIMPLEMENTED. See Call::HandlerThrew().
  std::atomic<bool> implemented{false};
  std::atomic<std::uint64_t> unheeded{0};
};

// One guarded call.
//
// On callback servers Intercept() is entered by several threads at once: a
// status or message may be sent while the client disconnects. Everything but
// the phase and the permit is written before the handler can run and never
// again. The phase says who may touch the permit (which is empty if only the
// call itself counts) and who records the call:
//
//   kUncounted  nobody: nothing of the call counts
//   kRefused    nobody: the call was not admitted
//   kHeld       whoever changes the phase
//   kProving    the thread that is sending the first message of a stream
//   kProved     whoever changes the phase; the first message has been sent
//   kEnded + o  who changed it to that, once; with outcome o. If it was
//               kProving, the proving thread, which then finds it changed.
class ServerGuard::Call final : public grpc::experimental::Interceptor {
 public:
  Call(const ServerGuard& guard, Method& method, ServerRpcInfo* info)
      : guard_(guard), method_(method), info_(*info) {
    ReleaseToGrpc(this);
  }

  // A call that comes to no end that was seen was dropped: the permit reports
  // itself as ignored.
  ~Call() override { AcquireFromGrpc(this); }

  void Intercept(InterceptorBatchMethods* batch) override {
    using Hook = grpc::experimental::InterceptionHookPoints;
    AcquireFromGrpc(this);
    // The same one comes before and after an operation, on two threads.
    AcquireFromGrpc(batch);
    if (batch->QueryInterceptionHookPoint(Hook::POST_RECV_INITIAL_METADATA)) {
      const bool admitted = Arrive(*batch);
      ReleaseToGrpc(this);
      if (!admitted && method_.coverage == Coverage::kGuarded) {
        const HandlerRefusal refusal(*info_.server_context(), &mark_);
        batch->Proceed();
        return;
      }
    }
    if (batch->QueryInterceptionHookPoint(Hook::PRE_SEND_MESSAGE)) {
      SendMessage();
    }
    if (batch->QueryInterceptionHookPoint(Hook::PRE_SEND_STATUS)) {
      SendStatus(*batch);
    }
    if (batch->QueryInterceptionHookPoint(Hook::POST_RECV_CLOSE)) {
      Disconnect();
    }
    ReleaseToGrpc(batch);
    batch->Proceed();
  }

 private:
  using Phase = unsigned char;
  static constexpr Phase kUncounted = 0;
  static constexpr Phase kRefused = 1;
  static constexpr Phase kHeld = 2;
  static constexpr Phase kProving = 3;
  static constexpr Phase kProved = 4;
  static constexpr Phase kEnded = 8;

  static constexpr TimePoint kNever = TimePoint::max();

  // Whether the call has yet to end.
  static bool IsLive(Phase phase) {
    return phase == kHeld || phase == kProving || phase == kProved;
  }

  bool HasRequest() const {
    return info_.type() == ServerRpcInfo::Type::UNARY ||
           info_.type() == ServerRpcInfo::Type::SERVER_STREAMING;
  }
  bool StreamsReplies() const {
    return info_.type() == ServerRpcInfo::Type::SERVER_STREAMING ||
           info_.type() == ServerRpcInfo::Type::BIDI_STREAMING;
  }

  // Whether the call may go on to the handler.
  bool Arrive(InterceptorBatchMethods& batch) {
    BreakerRegistry& registry = guard_.registry_;
    CircuitBreaker& breaker = method_.breaker;
    if (HasRequest() && batch.GetRecvMessage() == nullptr) {
      // The request did not parse, or did not come in time, or there is no
      // thread: gRPC will answer without the handler. Nothing to admit; above
      // all, garbage must not take the place of a probe.
      breaker.Report(Outcome::kIgnored, registry.Now(), Duration::zero(),
                     ThreadRandom());
      return true;
    }

    permit_ = breaker.AdmitIfClosed();
    if (!permit_) {
      Admission admission = breaker.Admit(registry.Now());
      // Where handlers cannot be wrapped, nothing can refuse it here.
      if (!admission.admitted() && method_.coverage != Coverage::kObserved) {
        rejection_ = *admission.rejection;
        deadline_ = DeadlineOf(*info_.server_context());
        if (method_.coverage == Coverage::kAsks) {
          mark_.Put(*batch.GetRecvInitialMetadata());
        }
        phase_.store(kRefused, std::memory_order_release);
        return false;
      }
      permit_ = std::move(admission.permit);
      // Modes shadow and off, or nothing can refuse it: only the call itself
      // counts.
      if (!permit_ && method_.calls == nullptr) return true;
    }

    counts_ = static_cast<bool>(permit_);
    deadline_ = DeadlineOf(*info_.server_context());
    time_budget_ = TimeLeft();
    if (TakesLatency()) arrived_ = guard_.latency_clock_();
    phase_.store(kHeld, std::memory_order_release);
    return true;
  }

  void SendMessage() {
    if (!StreamsReplies()) return;
    Phase phase = kHeld;
    if (!phase_.compare_exchange_strong(phase, kProving,
                                        std::memory_order_acq_rel)) {
      return;
    }
    permit_.Prove(guard_.registry_.Now());
    phase = kProving;
    if (!phase_.compare_exchange_strong(phase, kProved,
                                        std::memory_order_acq_rel)) {
      // Streams have no latency.
      permit_.Finish(static_cast<Outcome>(phase - kEnded),
                     guard_.registry_.Now());
      ReleaseToGrpc(this);
    }
  }

  void SendStatus(InterceptorBatchMethods& batch) {
    const Phase phase = phase_.load(std::memory_order_acquire);
    if (phase == kRefused) {
      if (mark_.heeded() || !HandlerWasEntered(batch.GetSendStatus())) {
        SendRejection(batch);
      } else {
        NoteUnheeded();
      }
    } else if (IsLive(phase)) {
      const grpc::Status status = batch.GetSendStatus();
      if (HandlerWasEntered(status)) {
        const bool rejected_downstream = !status.ok() && IsRejection(status);
        if (rejected_downstream && counts_) PassPushbackOn(batch, status);
        End(CodeOf(status), rejected_downstream);
      } else {
        Finish(Outcome::kIgnored, Duration::zero(), std::nullopt);
      }
    }
  }

  void SendRejection(InterceptorBatchMethods& batch) {
    const Duration retry_after =
        SpreadRetry(rejection_.retry_after, ThreadRandom().Admission());
    batch.ModifySendStatus(
        RejectionStatus(rejection_, info_.method(), retry_after));
    SendPushback(batch, retry_after);
  }

  // A handler passes on what it was told as a client, but not the trailers, if
  // there were any: without them the retries of its caller, and of the caller's
  // caller, would multiply.
  void PassPushbackOn(InterceptorBatchMethods& batch,
                      const grpc::Status& rejection) {
    const auto details = DecodeRejection(rejection.error_details());
    if (details.has_value() && details->retry_after > Duration::zero() &&
        batch.GetSendTrailingMetadata()->count(kRetryPushbackKey) == 0) {
      SendPushback(batch, details->retry_after);
    }
  }

  // A client that has to wait beyond its deadline does so, and what it then
  // reports to its own breaker is a timeout. So it is told not to retry.
  void SendPushback(InterceptorBatchMethods& batch, Duration retry_after) {
    const Duration wait =
        retry_after < TimeLeft() ? retry_after : Duration::max();
    batch.GetSendTrailingMetadata()->emplace(kRetryPushbackKey,
                                             RetryPushback(wait));
  }

  // The handler ran although the call was refused. What it answers is true, so
  // the client gets that: a rejection would say that nothing was done.
  void NoteUnheeded() {
    if (method_.unheeded.fetch_add(1, std::memory_order_relaxed) != 0) return;
    gpr_log(GPR_ERROR,
            "fusebox: a refused call of %s was handled: %s. Further ones are "
            "counted only.",
            info_.method(),
            method_.coverage == Coverage::kAsks
                ? "its handler answered without asking fusebox::Refused()"
                : "this release of gRPC does not run handlers as Fusebox "
                  "knows it");
  }

  // The call is over for the client. Before a status was sent, that is so only
  // if the client gave up or the deadline passed. (On a synchronous server it
  // is seen when the handler asks whether it is cancelled, else after the
  // status.)
  void Disconnect() {
    if (IsLive(phase_.load(std::memory_order_acquire))) {
      End(CodeOfCancellation(), /*rejected_downstream=*/false);
    }
  }

  static bool HandlerWasEntered(const grpc::Status& status) {
    return status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED ||
           status.error_message() != kNoThread;
  }

  // What the handler's status amounts to.
  grpc::StatusCode CodeOf(const grpc::Status& status) {
    // Whatever the handler says: it did not say it in time.
    if (TimeLeft() <= Duration::zero()) {
      return grpc::StatusCode::DEADLINE_EXCEEDED;
    }
    const grpc::StatusCode code =
        HandlerThrew(status) ? grpc::StatusCode::UNKNOWN : status.error_code();
    // A handler may fail because its client has gone, and in a stream, where
    // reads and writes fail then, it may take that for a good end. The answer
    // to a single request is an answer even if nobody waits for it any longer;
    // so it is not asked for then: on a synchronous server, asking polls the
    // network and takes as much processor time as a whole small call. (It may
    // also re-enter Intercept(), which then ends the call in the same way.)
    const Outcome outcome = method_.outcomes.Of(code);
    const bool answered =
        info_.type() == ServerRpcInfo::Type::UNARY &&
        (outcome == Outcome::kOk || outcome == Outcome::kUserError);
    if (!answered && IsCancelled()) return CodeOfCancellation();
    return code;
  }

  // Whether gRPC has heard that the client has gone. Of calls from a completion
  // queue it may be asked that only if the application asked to be told; it
  // tells those calls itself, by POST_RECV_CLOSE.
  bool IsCancelled() const {
    return (method_.coverage == Coverage::kGuarded || IsCallback()) &&
           info_.server_context()->IsCancelled();
  }

  bool IsCallback() const {
    return dynamic_cast<grpc::CallbackServerContext*>(info_.server_context()) !=
           nullptr;
  }

  // For a callback handler that throws, gRPC answers UNIMPLEMENTED with no
  // message, as for a method that nobody wrote. A method that has answered
  // otherwise before is not one of those. (For a synchronous one that throws,
  // it answers UNKNOWN.)
  bool HandlerThrew(const grpc::Status& status) {
    if (status.error_code() != grpc::StatusCode::UNIMPLEMENTED ||
        !status.error_message().empty()) {
      // Looked at first: the line is shared by all calls of the method.
      if (!method_.implemented.load(std::memory_order_relaxed)) {
        method_.implemented.store(true, std::memory_order_relaxed);
      }
      return false;
    }
    return method_.implemented.load(std::memory_order_relaxed) && IsCallback();
  }

  grpc::StatusCode CodeOfCancellation() const {
    const Duration margin = kDeadlineDelay + time_budget_ / kDeadlineRounding;
    return TimeLeft() <= margin ? grpc::StatusCode::DEADLINE_EXCEEDED
                                : grpc::StatusCode::CANCELLED;
  }

  // Until the deadline; Duration::max() if there is none.
  Duration TimeLeft() const {
    if (deadline_ == TimePoint::max()) return Duration::max();
    return deadline_ - FineNow();
  }

  bool TakesLatency() const {
    return info_.type() == ServerRpcInfo::Type::UNARY &&
           (method_.calls != nullptr ||
            method_.breaker.settings().slow_call_duration.has_value());
  }

  void End(grpc::StatusCode code, bool rejected_downstream) {
    CallEnd end;
    end.code = code;
    end.rejected_downstream = rejected_downstream;
    end.time_budget = time_budget_;
    if (arrived_ != kNever) end.latency = guard_.latency_clock_() - arrived_;
    // A deadline that had passed on arrival says nothing about the method.
    const Outcome outcome =
        time_budget_ <= Duration::zero()
            ? Outcome::kIgnored
            : OutcomeOf(end, method_.outcomes, method_.breaker.settings());
    Finish(outcome, end.latency, code);
  }

  // The first end counts. Without a code, the call itself is not recorded.
  void Finish(Outcome outcome, Duration latency,
              std::optional<grpc::StatusCode> code) {
    // Looked at before the phase changes: from kProving, it is the other thread
    // that is the last to touch the call.
    LatencyRecorder* const calls = code.has_value() ? method_.calls : nullptr;
    const bool has_latency = arrived_ != kNever;
    Phase phase = phase_.load(std::memory_order_acquire);
    do {
      if (!IsLive(phase)) return;
    } while (!phase_.compare_exchange_weak(
        phase, static_cast<Phase>(kEnded + static_cast<Phase>(outcome)),
        std::memory_order_acq_rel, std::memory_order_acquire));
    if (calls != nullptr) {
      if (has_latency) {
        calls->Record(*code, latency);
      } else {
        calls->RecordWithoutLatency(*code);
      }
    }
    if (phase != kProving) {
      permit_.Finish(outcome, guard_.registry_.Now(), latency);
      ReleaseToGrpc(this);
    }
  }

  const ServerGuard& guard_;
  Method& method_;
  ServerRpcInfo& info_;
  std::atomic<Phase> phase_{kUncounted};
  RefusalMark mark_;
  Permit permit_;
  bool counts_ = false;  // whether it came with a permit
  Rejection rejection_;
  TimePoint deadline_ = TimePoint::max();
  Duration time_budget_ = Duration::max();
  TimePoint arrived_ = kNever;  // if latency matters
};

class ServerGuard::CallFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallFactory(std::shared_ptr<const ServerGuard> guard)
      : guard_(std::move(guard)) {}

  // Null, that is no interceptor at all, unless the method is guarded.
  grpc::experimental::Interceptor* CreateServerInterceptor(
      ServerRpcInfo* info) override {
    Method* const method = guard_->Find(info->method());
    return method == nullptr ? nullptr : new Call(*guard_, *method, info);
  }

 private:
  const std::shared_ptr<const ServerGuard> guard_;
};

// gRPC runs it in BuildAndStart(), when the services are known and nothing has
// started.
class ServerGuard::Plugin final : public grpc::ServerBuilderPlugin {
 public:
  explicit Plugin(std::shared_ptr<ServerGuard> guard)
      : guard_(std::move(guard)) {}

  std::string name() override { return "fusebox"; }
  void UpdateServerBuilder(grpc::ServerBuilder* builder) override {
    builder_ = builder;
    guard_->Install(*builder);
  }
  void InitServer(grpc::ServerInitializer* initializer) override {
    guard_->Check(*builder_, *initializer);
    // Before gRPC starts the server, and so before any call.
    ReleaseToGrpc(&guard_->gate_);
  }
  void Finish(grpc::ServerInitializer* /*initializer*/) override {}
  void ChangeArguments(const std::string& /*name*/, void* /*value*/) override {}

 private:
  const std::shared_ptr<ServerGuard> guard_;
  grpc::ServerBuilder* builder_ = nullptr;  // while it builds
};

class ServerGuard::Installer final : public grpc::ServerBuilderOption {
 public:
  explicit Installer(std::shared_ptr<ServerGuard> guard)
      : guard_(std::move(guard)) {}

  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    plugins->push_back(std::make_unique<Plugin>(guard_));
  }

 private:
  const std::shared_ptr<ServerGuard> guard_;
};

ServerGuard::ServerGuard(BreakerRegistry* registry, OutcomeRules outcomes,
                         std::vector<std::string> unguarded_services,
                         std::vector<std::string> async_services,
                         std::vector<std::string> generic_methods)
    : registry_(*registry),
      // The coarse clock counts in ticks; a latency needs more.
      latency_clock_(registry->options().now == &CoarseNow
                         ? &FineNow
                         : registry->options().now),
      outcomes_(std::move(outcomes)),
      unguarded_services_(std::move(unguarded_services)),
      async_services_(std::move(async_services)),
      generic_methods_(std::move(generic_methods)) {}

ServerGuard::~ServerGuard() { AcquireFromGrpc(this); }

bool ServerGuard::IsExempt(std::string_view method) const {
  return IsNeverGuarded(method) || method == kShutdownNoticeMethod ||
         method == kAdminShutdownNoticeMethod ||
         std::any_of(unguarded_services_.begin(), unguarded_services_.end(),
                     [method](const std::string& service) {
                       return StartsWith(method, "/" + service + "/");
                     });
}

bool ServerGuard::AsksRefused(std::string_view async_method) const {
  return std::any_of(async_services_.begin(), async_services_.end(),
                     [async_method](const std::string& name) {
                       return async_method == "/" + name ||
                              StartsWith(async_method, "/" + name + "/");
                     });
}

std::unique_ptr<ServerGuard::Method> ServerGuard::MakeMethod(
    const std::string& name, Coverage coverage) {
  return std::make_unique<Method>(name,
                                  registry_.PinMethod(Role::kServer, "", name),
                                  outcomes_.For(name), coverage);
}

void ServerGuard::Install(grpc::ServerBuilder& builder) {
  for (const RegisteredMethod& method : MakeRefusable(
           builder, [this](std::string_view name) { return IsExempt(name); })) {
    ServedMethod& served = methods_.emplace_back();
    served.coverage = method.coverage;
    if (method.name == nullptr) continue;
    served.name = method.name;
    if (served.coverage == Coverage::kAsync && AsksRefused(served.name)) {
      served.coverage = Coverage::kAsks;
    }
    if (served.coverage == Coverage::kGuarded ||
        served.coverage == Coverage::kAsks) {
      guarded_.emplace(method.name, MakeMethod(served.name, served.coverage));
    }
  }
}

void ServerGuard::Check(grpc::ServerBuilder& builder,
                        grpc::ServerInitializer& server) {
  for (const auto& [name, method] : guarded_) {
    if (method->coverage != Coverage::kGuarded || IsRefusable(builder, name)) {
      continue;
    }
    method->coverage = Coverage::kObserved;
    for (ServedMethod& served : methods_) {
      if (served.name == name) served.coverage = Coverage::kObserved;
    }
  }
  if (!HandlersCanBeWrapped()) {
    // Nor can they be listed, but by description.
    for (const std::string& service : *server.GetServiceList()) {
      for (const std::string& name : MethodsOfService(service)) {
        if (IsExempt(name)) continue;
        const Coverage coverage =
            AsksRefused(name) ? Coverage::kAsks : Coverage::kObserved;
        methods_.push_back({name, coverage});
        by_name_.emplace(name, MakeMethod(name, coverage));
      }
    }
  }
  AddGenericMethods();
  for (const auto& [address, method] : guarded_) {
    gate_.emplace(method->name, method.get());
  }
  for (const auto& [name, method] : by_name_) {
    gate_.emplace(method->name, method.get());
  }

  std::vector<std::string> names;
  for (const ServedMethod& method : methods_) {
    switch (method.coverage) {
      case Coverage::kGuarded:
      case Coverage::kAsks:
      case Coverage::kObserved:
        names.push_back(method.name);
        break;
      case Coverage::kExempt:
      case Coverage::kAsync:
      case Coverage::kGeneric:
      case Coverage::kForeignHandler:
        break;
    }
    if (const char* why = WhyNotGuarded(method.coverage)) {
      gpr_log(GPR_ERROR, "fusebox: %s is not guarded: %s",
              method.name.empty() ? "a method" : method.name.c_str(), why);
    }
  }
  if (health_ != nullptr) health_->WatchBreakers(&registry_, names);
}

void ServerGuard::AddGenericMethods() {
  std::unordered_set<std::string> taken;
  for (const ServedMethod& method : methods_) taken.insert(method.name);
  for (const std::string& generic : generic_methods_) {
    const std::string name = "/" + generic;
    // Calls of a registered method do not get to a generic service.
    if (IsExempt(name) || !taken.insert(name).second) {
      gpr_log(GPR_ERROR,
              "fusebox: %s is no method of a generic service that can be "
              "guarded",
              name.c_str());
      continue;
    }
    // It may be one of those that gRPC has forgotten the names of.
    const auto nameless =
        std::find_if(methods_.begin(), methods_.end(),
                     [](const ServedMethod& m) { return m.name.empty(); });
    ServedMethod& served =
        nameless == methods_.end() ? methods_.emplace_back() : *nameless;
    served = {name, Coverage::kAsks};
    by_name_.emplace(name, MakeMethod(name, Coverage::kAsks));
  }
}

ServerGuard::Method* ServerGuard::Find(const char* name) const {
  AcquireFromGrpc(&gate_);
  const auto registered = guarded_.find(name);
  if (registered != guarded_.end()) return registered->second.get();
  if (by_name_.empty()) return nullptr;
  const auto named = by_name_.find(std::string_view(name));
  return named == by_name_.end() ? nullptr : named->second.get();
}

const char* ServerGuard::AskGate(std::string_view method) const {
  AcquireFromGrpc(&gate_);
  const char* const why = WhyGated(method);
  // Who ends the server, and then the registry, comes after: to
  // ThreadSanitizer, &gate_ stands for "made" and this for "asked".
  ReleaseToGrpc(this);
  return why;
}

const char* ServerGuard::WhyGated(std::string_view method) const {
  const auto found = gate_.find(method);
  if (found == gate_.end()) return nullptr;
  CircuitBreaker& breaker = found->second->breaker;
  if (breaker.settings().mode != Mode::kEnforce ||
      breaker.View(registry_.Now()).serving()) {
    return nullptr;
  }
  gated_.fetch_add(1, std::memory_order_relaxed);
  return found->second->gate_message.c_str();
}

std::uint64_t ServerGuard::unheeded() const {
  std::uint64_t sum = 0;
  for (const auto& [address, method] : guarded_) sum += method->unheeded.load();
  for (const auto& [name, method] : by_name_) sum += method->unheeded.load();
  return sum;
}

std::size_t ServerGuard::uncovered() const {
  return static_cast<std::size_t>(std::count_if(
      methods_.begin(), methods_.end(), [](const ServedMethod& method) {
        return WhyNotGuarded(method.coverage) != nullptr;
      }));
}

std::shared_ptr<const ServerGuard> GuardServer(grpc::ServerBuilder& builder,
                                               BreakerRegistry* registry,
                                               ServerOptions options) {
  const std::shared_ptr<ServerGuard> guard(new ServerGuard(
      registry, std::move(options.outcomes),
      std::move(options.unguarded_services), std::move(options.async_services),
      std::move(options.generic_methods)));
  builder.SetOption(std::make_unique<ServerGuard::Installer>(guard));
  if (options.health.has_value()) {
    guard->health_ = std::make_shared<HealthService>(*options.health);
    ServeHealth(builder, guard->health_);
  }

  // First in the list: nearest to the handlers, so that the others see what a
  // refused call ends with.
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      interceptors;
  interceptors.reserve(options.interceptors.size() + 1);
  interceptors.push_back(std::make_unique<ServerGuard::CallFactory>(guard));
  std::move(options.interceptors.begin(), options.interceptors.end(),
            std::back_inserter(interceptors));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  return guard;
}

}  // namespace fusebox
