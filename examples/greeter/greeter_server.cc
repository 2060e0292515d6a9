// A guarded greeter that can be broken on purpose. See --help.

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "examples/greeter/breaker_text.h"
#include "examples/greeter/command_line.h"
#include "examples/greeter/greeter_service.h"
#include "grpc/grpc.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/flags/settings_flags.h"
#include "interceptor/server_interceptor.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:50051",
          "HOST:PORT to serve on. Port 0 takes any that is free.");

namespace {

constexpr char kUsage[] =
    "greeter_server [flags]\n"
    "\n"
    "Serves greeter.v1.Greeter, guarded by one circuit breaker for each\n"
    "method, and greeter.v1.FaultControl, which makes methods fail. Prints\n"
    "'listening on HOST:PORT' when it is ready; Ctrl-C ends it.\n"
    "Exit status: 0 stopped, 1 cannot start, 2 a bad value on the command "
    "line.";

}  // namespace

int main(int argc, char** argv) {
  greeter::ParseFlags(argc, argv, kUsage);
  const std::string address = absl::GetFlag(FLAGS_listen);
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    greeter::UsageError("--listen: '" + address + "' is not valid: HOST:PORT");
  }
  const fusebox::EffectiveSettings settings = fusebox::SettingsFromFlags();
  greeter::StopSignals stop;

  fusebox::BreakerRegistry breakers(settings.registry);
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
  fusebox::GuardServer(builder, &breakers, std::move(options));
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::fprintf(stderr, "greeter_server: cannot listen on %s\n",
                 address.c_str());
    return 1;
  }
  std::printf("listening on %s:%d\n", address.substr(0, colon).c_str(), port);
  std::fflush(stdout);

  stop.Wait();
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  for (const fusebox::BreakerSnapshot& breaker : breakers.Snapshots()) {
    std::printf("%s %s\n", breaker.method.c_str(),
                greeter::DescribeBreaker(breaker).c_str());
  }
  return 0;
}
