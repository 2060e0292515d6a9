// A guarded greeter that can be broken on purpose. See --help.

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "examples/greeter/breaker_text.h"
#include "examples/greeter/command_line.h"
#include "examples/greeter/greeter_service.h"
#include "examples/greeter/operations.h"
#include "grpc/grpc.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/state.h"
#include "interceptor/flags/settings_flags.h"
#include "interceptor/health/breaker_check.h"
#include "interceptor/health/component.h"
#include "interceptor/health/component_checks.h"
#include "interceptor/health/grpc_health_check.h"
#include "interceptor/health/http_check.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/settings/effective_settings.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:50051",
          "HOST:PORT to serve on. Port 0 takes any that is free.");
ABSL_FLAG(std::string, backend_url, "",
          "URL without which this server is not healthy (component "
          "backend_url): asked every second, it has to answer 200 within a "
          "second. Empty: none.");
ABSL_FLAG(std::string, backend_grpc, "",
          "HOST:PORT of a gRPC server without which this one is not healthy "
          "(component backend_grpc): asked for its health every second. Empty: "
          "none.");

namespace {

constexpr char kUsage[] =
    "greeter_server [flags]\n"
    "\n"
    "Serves greeter.v1.Greeter, guarded by one circuit breaker for each\n"
    "method, and greeter.v1.FaultControl, which makes methods fail. Prints\n"
    "'listening on HOST:PORT' when it is ready, and with --http_port then\n"
    "'http on ADDRESS:PORT', and with --admin 'admin on ADDRESS'; Ctrl-C ends\n"
    "it.\n"
    "Exit status: 0 stopped, 1 cannot start, 2 a bad value on the command "
    "line.";

// What the health of this server depends on, as far as the flags say so.
void RegisterChecks(fusebox::ComponentChecks& checks,
                    fusebox::BreakerRegistry& breakers, bool has_pages) {
  fusebox::CheckOptions every_second;
  every_second.deadline = std::chrono::seconds(1);
  every_second.refresh_period = std::chrono::seconds(1);
  const auto add = [&](const char* name, fusebox::Check check) {
    const absl::Status status =
        checks.Register(name, every_second, std::move(check));
    if (!status.ok()) greeter::UsageError(std::string(status.message()));
  };
  if (has_pages) {
    add("say_hello", fusebox::BreakerCheck(&breakers, fusebox::Role::kServer,
                                           "", "/greeter.v1.Greeter/SayHello"));
  }
  if (const std::string url = absl::GetFlag(FLAGS_backend_url); !url.empty()) {
    add("backend_url", fusebox::HttpCheck(url));
  }
  if (const std::string target = absl::GetFlag(FLAGS_backend_grpc);
      !target.empty()) {
    add("backend_grpc",
        fusebox::GrpcHealthCheck(target, grpc::InsecureChannelCredentials()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  greeter::ParseFlags(argc, argv, kUsage);
  const std::string address = absl::GetFlag(FLAGS_listen);
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    greeter::UsageError("--listen: '" + address + "' is not valid: HOST:PORT");
  }
  const greeter::OperationsFlags operations_flags;
  const fusebox::EffectiveSettings settings = fusebox::SettingsFromFlags();
  greeter::StopSignals stop;

  fusebox::RegistryOptions registry = settings.registry;
  registry.call_stats = operations_flags.wants_call_stats();
  fusebox::BreakerRegistry breakers(registry);
  greeter::GreeterService greeter;
  greeter::FaultControlService fault_control(greeter);

  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  // A port in use is an error; by default the two servers would share it.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(&greeter);
  builder.RegisterService(&fault_control);
  fusebox::ServerOptions options;
  options.outcomes = settings.server_outcomes;
  options.unguarded_services = {"greeter.v1.FaultControl"};
  const auto guard =
      fusebox::GuardServer(builder, &breakers, std::move(options));

  // Ready from the first moment, if the components are.
  fusebox::ComponentChecks checks;
  RegisterChecks(checks, breakers, operations_flags.has_pages());
  checks.DriveHealth(guard->health());
  checks.AwaitFirstResults(std::chrono::seconds(1));

  greeter::Operations operations(operations_flags, breakers, settings);

  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::fprintf(stderr, "greeter_server: cannot listen on %s\n",
                 address.c_str());
    return 1;
  }
  std::string places;
  if (const int status = operations.Start(checks, guard->health(), places);
      status != 0) {
    return status;
  }
  std::printf("listening on %s:%d\n%s", address.substr(0, colon).c_str(), port,
              places.c_str());
  std::fflush(stdout);

  stop.Wait();
  guard->health()->Shutdown();  // /readyz says so while calls end
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  for (const fusebox::BreakerSnapshot& breaker : breakers.Snapshots()) {
    std::printf("%s %s\n", breaker.method.c_str(),
                greeter::DescribeBreaker(breaker).c_str());
  }
  return 0;
}
