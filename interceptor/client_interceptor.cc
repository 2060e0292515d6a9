#include "interceptor/client_interceptor.h"

#include <grpc/grpc.h>
#include <grpc/support/time.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/support/interceptor.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <new>
#include <utility>

#include "interceptor/breaker/circuit_breaker.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/breaker/outcome.h"
#include "interceptor/breaker/random.h"
#include "interceptor/handoff/handoff.h"
#include "interceptor/never_guarded.h"
#include "interceptor/rejection.h"
#include "interceptor/stats/latency_recorder.h"

namespace fusebox {
namespace {

using Factory = grpc::experimental::ClientInterceptorFactoryInterface;
using Hook = grpc::experimental::InterceptionHookPoints;
using Methods = grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ClientRpcInfo;

// What the calls of one channel share.
struct Guard {
  Guard(BreakerRegistry& r, std::string_view target, const ClientOptions& o)
      : registry(r),
        scope(r.Scope(Role::kClient, target)),
        options(o),
        call_stats(r.options().call_stats),
        latency_now(r.options().now == &CoarseNow ? &FineNow
                                                  : r.options().now) {}

  BreakerRegistry& registry;
  const std::unique_ptr<BreakerScope> scope;
  const ClientOptions options;
  const bool call_stats;
  // The registry's clock, if that is fine enough for latencies.
  const NowFunction latency_now;
};

// Time from `now` to a deadline, at most kFar.
Duration TimeLeft(const gpr_timespec& deadline, const timespec& now) {
  // Keeps the sum below the ends of the nanosecond line.
  constexpr std::int64_t kFar = 1'000'000'000;
  if (deadline.tv_sec <= 0) return Duration::zero();
  if (deadline.tv_sec - now.tv_sec > kFar) return Duration::max();
  return std::chrono::seconds(deadline.tv_sec - now.tv_sec) +
         std::chrono::nanoseconds(deadline.tv_nsec - now.tv_nsec);
}

// The time that the caller gives a call which begins now. A deadline inherited
// from a server call or set by the service config cannot be seen here and reads
// as none. Exact where it is near `threshold`; elsewhere a tick too long at
// most, for a tenth of the price.
Duration TimeBudget(const grpc::ClientContext& context, Duration threshold) {
  gpr_timespec deadline = context.raw_deadline();
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) {
    return Duration::max();
  }
  deadline = gpr_convert_clock_type(deadline, GPR_CLOCK_REALTIME);
  timespec now;
#ifdef CLOCK_REALTIME_COARSE
  constexpr Duration kLongestTick = std::chrono::milliseconds(10);
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  const Duration at_most = TimeLeft(deadline, now);
  if (at_most - kLongestTick > threshold) return at_most;
#endif
  clock_gettime(CLOCK_REALTIME, &now);
  return TimeLeft(deadline, now);
}

// The guard of one call.
//
// gRPC enters Intercept() from several threads at once (a read may end while
// the status arrives or the caller cancels) and, when a call is cancelled, from
// within itself. It keeps only the making and the destruction apart from all
// else, which two marks tell ThreadSanitizer: &decision_ stands for "made",
// this for "used". One mark for both would hide races between uses.
class GuardedCall final : public grpc::experimental::Interceptor {
 public:
  static GuardedCall* Make(const Guard& guard, ClientRpcInfo& info) {
    const char* method = info.method();
    const std::size_t size = std::strlen(method);
    return new (NameSize{size}) GuardedCall(guard, info, method, size);
  }

  ~GuardedCall() override {
    AcquireFromGrpc(this);
    // No status came: the call was dropped before its end. That says nothing,
    // unless the caller had waited for long and then given up.
    if (!cancelled_) return;
    CallEnd end;
    end.code = grpc::StatusCode::CANCELLED;
    End(end);
  }

  void Intercept(Methods* methods) override {
    AcquireFromGrpc(&decision_);
    if (methods->QueryInterceptionHookPoint(Hook::PRE_SEND_CANCEL)) {
      Cancelled();
    }
    // Streams of the completion queue report this hook twice.
    if (methods->QueryInterceptionHookPoint(Hook::PRE_SEND_INITIAL_METADATA) &&
        decision_.load() == Decision::kNone) {
      if (!Decide()) {
        FailMessages(methods);
        // Nothing was sent, so this ends only what a corked stream has started
        // before: its batch that waits for the status, which no hijacking
        // reaches.
        ReleaseToGrpc(this);
        grpc_call_cancel(info_.client_context()->c_call(), nullptr);
        methods->Hijack();
        return;
      }
    }
    if (decision_.load() == Decision::kRefused) {
      FailMessages(methods);
      GiveStatus(methods);
    } else {
      Observe(methods);
    }
    ReleaseToGrpc(this);
    methods->Proceed();
  }

  // gRPC deletes interceptors as their base class.
  static void operator delete(void* memory) { ::operator delete(memory); }

 private:
  static constexpr TimePoint kNever = TimePoint::max();

  enum class Decision : unsigned char { kNone, kAdmitted, kRefused };

  // The name of the method stands right behind the object, in the same
  // allocation: callers of generic stubs may free theirs before the call
  // starts.
  struct NameSize {
    std::size_t value;
  };
  static void* operator new(std::size_t size, NameSize name) {
    return ::operator new(size + name.value + 1);
  }
  static void operator delete(void* memory, NameSize) {
    ::operator delete(memory);
  }
  const char* name() const { return reinterpret_cast<const char*>(this + 1); }

  GuardedCall(const Guard& guard, ClientRpcInfo& info, const char* method,
              std::size_t size)
      : guard_(guard),
        info_(info),
        outcomes_(guard.options.outcomes.For({method, size})),
        retired_(guard.registry.stats().retired),
        guarded_(guard.scope->FindMethod(method)) {
    std::memcpy(reinterpret_cast<char*>(this + 1), method, size + 1);
    ReleaseToGrpc(&decision_);
  }

  bool sends_stream() const {
    return info_.type() == ClientRpcInfo::Type::CLIENT_STREAMING ||
           info_.type() == ClientRpcInfo::Type::BIDI_STREAMING;
  }
  bool receives_stream() const {
    return info_.type() == ClientRpcInfo::Type::SERVER_STREAMING ||
           info_.type() == ClientRpcInfo::Type::BIDI_STREAMING;
  }

  // ---- before the call

  // Whether the call may be made. Reads no clock for a closed breaker, but the
  // one for deadlines and, if latencies matter, the one for those.
  bool Decide() FUSEBOX_EXCLUDES(mu_) {
    if (guard_.registry.stats().retired != retired_) {
      // The call was prepared long ago; its breaker may be gone.
      guarded_ = guard_.scope->FindMethod(name());
    }
    CircuitBreaker& breaker = *guarded_.breaker;
    Permit permit = breaker.AdmitIfClosed();
    if (!permit) {
      Admission admission = breaker.Admit(guard_.registry.Now());
      if (!admission.admitted()) {
        rejection_ = *admission.rejection;
        rejection_.retry_after =
            SpreadRetry(rejection_.retry_after, ThreadRandom().Admission());
        decision_.store(Decision::kRefused);
        return false;
      }
      permit = std::move(admission.permit);
    }
    // Without a permit, in modes shadow and off, only the call itself counts.
    if (permit || guard_.call_stats) {
      const Settings& settings = breaker.settings();
      MutexLock lock(mu_);
      ended_ = false;
      permit_ = std::move(permit);
      if (permit_) {
        time_budget_ =
            TimeBudget(*info_.client_context(), settings.min_counted_deadline);
      }
      if (info_.type() == ClientRpcInfo::Type::UNARY &&
          (guard_.call_stats || settings.slow_call_duration.has_value())) {
        start_ = guard_.latency_now();
        if (cancelled_) cancelled_at_ = start_;
      }
    }
    decision_.store(Decision::kAdmitted);
    return true;
  }

  // ---- a refused call

  void FailMessages(Methods* methods) {
    // A failed message would end the batch of a unary call as failed, and with
    // it the one event its caller waits for.
    if (sends_stream() &&
        methods->QueryInterceptionHookPoint(Hook::PRE_SEND_MESSAGE)) {
      methods->FailHijackedSendMessage();
    }
    if (methods->QueryInterceptionHookPoint(Hook::PRE_RECV_MESSAGE)) {
      methods->FailHijackedRecvMessage();
    }
  }

  void GiveStatus(Methods* methods) {
    // The second is for batches that a corked stream started before it was
    // refused; the others have got their status by then.
    if (methods->QueryInterceptionHookPoint(Hook::PRE_RECV_STATUS) ||
        (methods->QueryInterceptionHookPoint(Hook::POST_RECV_STATUS) &&
         !status_given_.load())) {
      *methods->GetRecvStatus() =
          RejectionStatus(rejection_, name(), rejection_.retry_after);
      status_given_.store(true);
    }
  }

  // ---- an admitted call

  void Observe(Methods* methods) FUSEBOX_EXCLUDES(mu_) {
    if (receives_stream() &&
        methods->QueryInterceptionHookPoint(Hook::POST_RECV_MESSAGE) &&
        methods->GetRecvMessage() != nullptr && !message_received_.load()) {
      message_received_.store(true);
      MutexLock lock(mu_);
      permit_.Prove(guard_.registry.Now());
    }
    if (methods->QueryInterceptionHookPoint(Hook::POST_RECV_STATUS)) {
      const grpc::Status& status = *methods->GetRecvStatus();
      CallEnd end;
      end.code = status.error_code();
      end.rejected_downstream = IsRejection(status);
      End(end);
    }
  }

  void Cancelled() FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (cancelled_) return;
    cancelled_ = true;
    if (start_ != kNever) cancelled_at_ = guard_.latency_now();
  }

  // The first end counts. A cancellation is as old as it was when the caller
  // gave up: it may look for the status, or drop the call, much later.
  void End(CallEnd end) FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (std::exchange(ended_, true)) return;
    end.time_budget = time_budget_;
    if (start_ != kNever) {
      const bool gave_up =
          cancelled_at_ != kNever && end.code == grpc::StatusCode::CANCELLED;
      end.latency = (gave_up ? cancelled_at_ : guard_.latency_now()) - start_;
    }
    if (guard_.call_stats) Record(end.code, end.latency);
    if (!permit_) return;
    permit_.Finish(OutcomeOf(end, outcomes_, guarded_.breaker->settings()),
                   guard_.registry.Now(), end.latency);
  }

  // Before the permit ends, which keeps the recorder. Without a permit it may
  // be gone, and is found anew.
  void Record(int code, Duration latency) FUSEBOX_REQUIRES(mu_) {
    LatencyRecorder& calls =
        permit_ ? *guarded_.calls : *guard_.scope->FindMethod(name()).calls;
    if (start_ == kNever) {
      calls.RecordWithoutLatency(code);
    } else {
      calls.Record(code, latency);
    }
  }

  const Guard& guard_;
  ClientRpcInfo& info_;
  const StatusOutcomes& outcomes_;
  // Breakers that had been retired when this one was found.
  const std::uint64_t retired_;
  GuardedMethod guarded_;

  std::atomic<Decision> decision_{Decision::kNone};
  std::atomic<bool> message_received_{false};

  // Of a refused call.
  Rejection rejection_;  // written before decision_
  std::atomic<bool> status_given_{false};

  // Of an admitted call.
  Mutex mu_;
  Permit permit_ FUSEBOX_GUARDED_BY(mu_);
  bool ended_ FUSEBOX_GUARDED_BY(mu_) = true;  // or nothing counts
  Duration time_budget_ FUSEBOX_GUARDED_BY(mu_) = Duration::max();
  bool cancelled_ FUSEBOX_GUARDED_BY(mu_) = false;
  // If latency matters:
  TimePoint start_ FUSEBOX_GUARDED_BY(mu_) = kNever;
  TimePoint cancelled_at_ FUSEBOX_GUARDED_BY(mu_) = kNever;
};

class GuardFactory final : public Factory {
 public:
  GuardFactory(BreakerRegistry& registry, std::string_view target,
               const ClientOptions& options)
      : guard_(registry, target, options) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      ClientRpcInfo* info) override {
    if (IsNeverGuarded(info->method())) return nullptr;
    return GuardedCall::Make(guard_, *info);
  }

 private:
  const Guard guard_;
};

}  // namespace

std::unique_ptr<Factory> GuardedClientInterceptorFactory(
    BreakerRegistry* registry, std::string_view target,
    const ClientOptions& options) {
  return std::make_unique<GuardFactory>(*registry, target, options);
}

std::shared_ptr<grpc::Channel> CreateGuardedChannel(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const grpc::ChannelArguments& arguments, BreakerRegistry* registry,
    std::vector<std::unique_ptr<Factory>> interceptors,
    const ClientOptions& options) {
  interceptors.insert(interceptors.begin(), GuardedClientInterceptorFactory(
                                                registry, target, options));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, credentials, arguments, std::move(interceptors));
}

}  // namespace fusebox
