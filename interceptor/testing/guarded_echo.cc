#include "interceptor/testing/guarded_echo.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

namespace fusebox::testing {
namespace {

// Any moment will do.
std::atomic<Duration::rep> standing_now{
    std::chrono::nanoseconds(std::chrono::hours(1)).count()};

}  // namespace

TimePoint StandingNow() { return TimePoint(Duration(standing_now.load())); }

void Advance(Duration duration) { standing_now += duration.count(); }

RegistryOptions StandingClockOptions(const Settings& settings) {
  RegistryOptions options;
  options.settings = settings;
  options.now = &StandingNow;
  options.start_dispatcher = false;
  return options;
}

bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 60'000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

RegistryOptions GuardedEcho::RegistryOptionsOf(const Options& options) {
  RegistryOptions registry = StandingClockOptions(options.settings);
  registry.now = options.now;
  registry.call_stats = options.call_stats;
  return registry;
}

GuardedEcho::GuardedEcho(Api api, Options options)
    : api_(api), registry_(RegistryOptionsOf(options)) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  guard_ = GuardServer(builder, &registry_, std::move(options.server));
  if (api == Api::kSync) {
    builder.RegisterService(&sync_);
  } else {
    builder.RegisterService(&callback_);
  }
  if (options.configure) options.configure(builder);
  server_ = builder.BuildAndStart();
  address_ = "127.0.0.1:" + std::to_string(port);
  channel_ = grpc::CreateCustomChannel(
      address_, grpc::InsecureChannelCredentials(), options.channel);
  stub_ = Echo::NewStub(channel_);
}

GuardedEcho::~GuardedEcho() {
  script().Release();
  server_->Shutdown(std::chrono::system_clock::now() +
                    std::chrono::seconds(10));
  server_->Wait();
}

EchoScript& GuardedEcho::script() {
  return api_ == Api::kSync ? sync_.script() : callback_.script();
}

BreakerSnapshot GuardedEcho::snapshot(CallKind kind) {
  return registry_.Snapshot(Role::kServer, "", MethodOf(kind)).value();
}

void GuardedEcho::ForceOpen(CallKind kind) {
  registry_.Force(Role::kServer, "", MethodOf(kind), Override::kForcedOpen,
                  TimePoint::max());
}

void GuardedEcho::Release(CallKind kind) {
  registry_.Release(Role::kServer, "", MethodOf(kind));
}

}  // namespace fusebox::testing
