// Calls a greeter at a steady rate through a circuit breaker. See --help.

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "examples/greeter/breaker_text.h"
#include "examples/greeter/calls.h"
#include "examples/greeter/command_line.h"
#include "examples/greeter/greeter.grpc.pb.h"
#include "examples/greeter/health.grpc.pb.h"
#include "examples/greeter/load.h"
#include "grpcpp/client_context.h"
#include "grpcpp/security/credentials.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/client_interceptor.h"
#include "interceptor/flags/settings_flags.h"

ABSL_FLAG(std::string, target, "127.0.0.1:50051", "The server to call.");
ABSL_FLAG(std::string, method, "SayHello",
          "SayHello, SayHelloStream, CollectNames or Chat.");
// Texts: Abseil would end the program with status 1 where one is no number, and
// GCC warns about its absl::Duration flags under ThreadSanitizer.
ABSL_FLAG(std::string, rate, "20", "Calls a second. Valid: (0, 10000].");
ABSL_FLAG(std::string, deadline, "1s",
          "Time limit of each call. Valid: [1ms, 1m].");
ABSL_FLAG(std::string, duration, "0s",
          "How long to go on; 0s: until Ctrl-C. Valid: [0s, ...).");

namespace greeter {
namespace {

using std::chrono::steady_clock;

constexpr char kUsage[] =
    "greeter_client [flags]\n"
    "\n"
    "Calls a method of greeter.v1.Greeter at a steady rate through a circuit\n"
    "breaker. Prints a line each second: the calls sent, and those that ended\n"
    "ok, failed or rejected by a breaker; the state of its own breaker; and\n"
    "what the server's health service says of the method. A line with '**'\n"
    "tells a change of its breaker and how many calls it let through so far.\n"
    "Ctrl-C ends it with a summary.\n"
    "Exit status: 0 stopped, 2 a bad value on the command line.";

struct Flags {
  std::string target;
  std::string method;
  StartCall start_call;
  double rate;
  std::chrono::nanoseconds deadline;
  absl::Duration duration;
  fusebox::EffectiveSettings settings;
};

[[noreturn]] void BadValue(const std::string& flag, const std::string& text,
                           const std::string& valid) {
  UsageError("--" + flag + ": '" + text + "' is not valid: " + valid);
}

Flags ReadFlags() {
  Flags flags;
  flags.target = absl::GetFlag(FLAGS_target);
  flags.method = absl::GetFlag(FLAGS_method);
  flags.start_call = FindCall(flags.method);
  if (flags.start_call == nullptr) {
    BadValue("method", flags.method,
             "SayHello, SayHelloStream, CollectNames or Chat");
  }
  const std::string rate = absl::GetFlag(FLAGS_rate);
  if (!absl::SimpleAtod(rate, &flags.rate) ||
      !(flags.rate > 0 && flags.rate <= 10000)) {
    BadValue("rate", rate, "(0, 10000]");
  }
  const std::string deadline = absl::GetFlag(FLAGS_deadline);
  absl::Duration limit;
  if (!absl::ParseDuration(deadline, &limit) || limit < absl::Milliseconds(1) ||
      limit > absl::Minutes(1)) {
    BadValue("deadline", deadline, "[1ms, 1m]");
  }
  flags.deadline = absl::ToChronoNanoseconds(limit);
  const std::string duration = absl::GetFlag(FLAGS_duration);
  if (!absl::ParseDuration(duration, &flags.duration) ||
      flags.duration < absl::ZeroDuration()) {
    BadValue("duration", duration, "[0s, ...)");
  }
  flags.settings = fusebox::SettingsFromFlags();
  return flags;
}

// What the client's breaker of the method says; nothing before the first call.
class OwnBreaker {
 public:
  OwnBreaker(fusebox::BreakerRegistry& registry, const Flags& flags)
      : registry_(registry),
        target_(flags.target),
        method_("/greeter.v1.Greeter/" + flags.method) {}

  std::optional<fusebox::BreakerSnapshot> Snapshot() const {
    return registry_.Snapshot(fusebox::Role::kClient, target_, method_);
  }

 private:
  fusebox::BreakerRegistry& registry_;
  const std::string target_;
  const std::string method_;
};

std::string CheckHealth(grpc::health::v1::Health::Stub& stub,
                        const std::string& service) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(500));
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status = stub.Check(&context, request, &response);
  return status.ok()
             ? grpc::health::v1::HealthCheckResponse::ServingStatus_Name(
                   response.status())
             : StatusCodeName(status.error_code());
}

void PrintLine(const std::string& line) {
  // One write, so that lines of two threads do not mix.
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void PrintSummary(const LoadCounts& counts, absl::Duration elapsed,
                  const std::optional<fusebox::BreakerSnapshot>& breaker) {
  PrintLine(absl::StrFormat("sent %d in %.1fs: ok %d, failed %d, rejected %d",
                            counts.sent, absl::ToDoubleSeconds(elapsed),
                            counts.ok, counts.failed, counts.rejected));
  if (counts.not_sent != 0) {
    PrintLine(absl::StrFormat("not sent %d: %d calls in flight",
                              counts.not_sent, Load::kMaxInFlight));
  }
  for (const auto& [code, count] : counts.failures) {
    PrintLine(
        absl::StrFormat("failed with %s: %d", StatusCodeName(code), count));
  }
  if (counts.failed != 0) PrintLine("last failure: " + counts.last_failure);
  if (breaker.has_value()) {
    PrintLine("breaker " + DescribeBreaker(*breaker));
  }
}

void Run(const Flags& flags, StopSignals& stop) {
  const steady_clock::time_point start = steady_clock::now();

  fusebox::RegistryOptions options = flags.settings.registry;
  // Its changes stand between the lines below; the log would repeat them.
  options.log = [](const std::string& line) {
    if (absl::StartsWith(line, "fusebox: warning: ")) {
      std::fprintf(stderr, "%s\n", line.c_str());
    }
  };
  fusebox::BreakerRegistry breakers(options);
  const OwnBreaker own_breaker(breakers, flags);
  const auto watch =
      breakers.WatchTransitions([&](const fusebox::Transition& change) {
        const auto breaker = own_breaker.Snapshot();
        PrintLine(absl::StrFormat(
            "%6.1fs  ** %s -> %s: %s, %d let through",
            std::chrono::duration<double>(change.at - start).count(),
            fusebox::StateLabel(change.from), fusebox::StateLabel(change.to),
            fusebox::TransitionReasonName(change.reason),
            breaker.has_value() ? LetThrough(*breaker) : 0));
      });

  fusebox::ClientOptions client_options;
  client_options.outcomes = flags.settings.client_outcomes;
  const std::shared_ptr<grpc::Channel> channel = fusebox::CreateGuardedChannel(
      flags.target, grpc::InsecureChannelCredentials(),
      grpc::ChannelArguments(), &breakers, {}, client_options);
  const auto stub = v1::Greeter::NewStub(channel);
  const auto health = grpc::health::v1::Health::NewStub(channel);
  const std::string health_name = "greeter.v1.Greeter/" + flags.method;

  Load load(flags.rate, [&](Load::Done done) {
    flags.start_call(*stub, flags.deadline, std::move(done));
  });

  PrintLine("   time    sent      ok  failed  rejected  state      health");
  LoadCounts last;
  for (int second = 1;; ++second) {
    const absl::Duration at =
        flags.duration == absl::ZeroDuration()
            ? absl::Seconds(second)
            : std::min(absl::Seconds(second), flags.duration);
    if (stop.WaitUntil(start + absl::ToChronoNanoseconds(at))) break;
    const LoadCounts now = load.counts();
    const auto breaker = own_breaker.Snapshot();
    PrintLine(absl::StrFormat(
        "%6.1fs %7d %7d %7d %9d  %-9s  %s", absl::ToDoubleSeconds(at),
        now.sent - last.sent, now.ok - last.ok, now.failed - last.failed,
        now.rejected - last.rejected,
        fusebox::StateLabel(breaker.has_value() ? breaker->state
                                                : fusebox::State::kClosed),
        CheckHealth(*health, health_name)));
    last = now;
    if (at == flags.duration) break;
  }
  load.Stop();
  PrintSummary(load.counts(), absl::FromChrono(steady_clock::now() - start),
               own_breaker.Snapshot());
}

}  // namespace
}  // namespace greeter

int main(int argc, char** argv) {
  greeter::ParseFlags(argc, argv, greeter::kUsage);
  const greeter::Flags flags = greeter::ReadFlags();
  greeter::StopSignals stop;
  greeter::Run(flags, stop);
  return 0;
}
