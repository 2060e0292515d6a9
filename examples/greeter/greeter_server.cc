// A guarded greeter that can be broken on purpose. See --help.

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "examples/greeter/breaker_text.h"
#include "examples/greeter/command_line.h"
#include "examples/greeter/greeter_service.h"
#include "grpc/grpc.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "interceptor/admin/admin_service.h"
#include "interceptor/admin/breaker_page.h"
#include "interceptor/admin/live_settings.h"
#include "interceptor/admin/operator_acts.h"
#include "interceptor/admin/transition_history.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/state.h"
#include "interceptor/export/prometheus_metrics.h"
#include "interceptor/export/prometheus_page.h"
#include "interceptor/flags/settings_flags.h"
#include "interceptor/health/breaker_check.h"
#include "interceptor/health/component.h"
#include "interceptor/health/component_checks.h"
#include "interceptor/health/grpc_health_check.h"
#include "interceptor/health/http_check.h"
#include "interceptor/http/health_pages.h"
#include "interceptor/http/http_server.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/settings/effective_settings.h"
#include "interceptor/stats/breaker_statistics.h"
#include "interceptor/stats/statistics.h"
#include "interceptor/stats/status_pages.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:50051",
          "HOST:PORT to serve on. Port 0 takes any that is free.");
ABSL_FLAG(
    std::string, http_port, "off",
    "Port of the HTTP pages /breakers/, /status/, /metrics, "
    "/healthcheck/, /healthz and /readyz; 0 takes any that is free. With "
    "pages the server is healthy while the breaker of SayHello lets calls "
    "through (component say_hello), also as \"\" of grpc.health.v1. "
    "Valid: [0, 65535] or off.");
ABSL_FLAG(std::string, http_address, "127.0.0.1",
          "IP address to serve the pages on; 0.0.0.0 for all of this host.");
ABSL_FLAG(bool, http_changes, false,
          "Whether breakers may be forced, released and reset from the page "
          "/breakers/, by everyone who can reach it.");
ABSL_FLAG(
    std::string, admin, "off",
    "Whether operators may look at the breakers, or also act on them, over "
    "fusebox.v1.BreakerAdmin (`fusebox ctl`, `fusebox top`). Valid: off, "
    "read_only or read_write.");
ABSL_FLAG(
    std::string, admin_listen, "127.0.0.1:0",
    "Where to serve it: HOST:PORT or unix:PATH. A listener of its own, so "
    "that whoever may call the greeter does not reach it.");
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

// Nothing if there are to be no pages.
std::optional<int> HttpPort() {
  const std::string text = absl::GetFlag(FLAGS_http_port);
  if (text == "off") return std::nullopt;
  int port = 0;
  if (!absl::SimpleAtoi(text, &port) || port < 0 || port > 65535) {
    greeter::UsageError("--http_port: '" + text +
                        "' is not valid: [0, 65535] or off");
  }
  return port;
}

// Whether there is to be an admin service, and whether it may change anything.
enum class AdminMode : unsigned char { kOff, kReadOnly, kReadWrite };

AdminMode ReadAdminMode() {
  const std::string text = absl::GetFlag(FLAGS_admin);
  if (text == "read_only") return AdminMode::kReadOnly;
  if (text == "read_write") return AdminMode::kReadWrite;
  if (text != "off") {
    greeter::UsageError("--admin: '" + text +
                        "' is not valid: off, read_only or read_write");
  }
  return AdminMode::kOff;
}

// Serves `admin` at `address`, which is then where it really is; null if that
// is not possible.
std::unique_ptr<grpc::Server> StartAdmin(fusebox::BreakerAdminService& admin,
                                         std::string& address) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  fusebox::ServeBreakerAdmin(builder, &admin);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) return nullptr;
  if (address.rfind("unix:", 0) != 0) {
    address.replace(address.rfind(':') + 1, std::string::npos,
                    std::to_string(port));
  }
  return server;
}

// What the health of this server depends on, as far as the flags say so.
void RegisterChecks(fusebox::ComponentChecks& checks,
                    fusebox::BreakerRegistry& breakers) {
  fusebox::CheckOptions every_second;
  every_second.deadline = std::chrono::seconds(1);
  every_second.refresh_period = std::chrono::seconds(1);
  const auto add = [&](const char* name, fusebox::Check check) {
    const absl::Status status =
        checks.Register(name, every_second, std::move(check));
    if (!status.ok()) greeter::UsageError(std::string(status.message()));
  };
  if (HttpPort().has_value()) {
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
  const std::optional<int> http_port = HttpPort();
  const AdminMode admin_mode = ReadAdminMode();
  const fusebox::EffectiveSettings settings = fusebox::SettingsFromFlags();
  greeter::StopSignals stop;

  fusebox::RegistryOptions registry = settings.registry;
  registry.call_stats = http_port.has_value();  // the pages show them
  fusebox::BreakerRegistry breakers(registry);
  fusebox::SettingsFlags given = fusebox::GivenSettingsFlags();
  fusebox::LiveSettingsOptions live_options;
  live_options.file = std::move(given.file);
  live_options.flags = std::move(given.flags);
  fusebox::LiveSettings live_settings(&breakers, settings,
                                      std::move(live_options));
  fusebox::TransitionHistory history(&breakers);
  fusebox::OperatorActs acts(&breakers, &history);
  fusebox::BreakerAdminOptions admin_options;
  admin_options.allow_changes = admin_mode == AdminMode::kReadWrite;
  admin_options.live_settings = &live_settings;
  fusebox::BreakerAdminService admin(&breakers, &history, &acts, admin_options);

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
  RegisterChecks(checks, breakers);
  checks.DriveHealth(guard->health());
  checks.AwaitFirstResults(std::chrono::seconds(1));

  fusebox::Statistics statistics;
  const fusebox::BreakerStatistics breakers_shown(&breakers, &statistics);
  fusebox::TransitionHistory history(&breakers);
  fusebox::OperatorActs acts(&breakers, &history);

  fusebox::HttpServerOptions http_options;
  http_options.address = absl::GetFlag(FLAGS_http_address);
  http_options.port = http_port.value_or(0);
  fusebox::HttpServer http(http_options);
  fusebox::HealthPagesOptions pages;
  pages.health = guard->health();
  // Cannot fail with these options.
  fusebox::AddHealthPages(http, &checks, pages).IgnoreError();
  fusebox::AddMetricsPage(
      http, {std::make_shared<fusebox::PrometheusMetrics>(&breakers)});
  fusebox::AddStatusPages(http, &statistics);

  if (http_port.has_value()) {
    fusebox::BreakerPageOptions page;
    page.title = "greeter_server";
    page.settings = [&settings] { return settings; };
    if (absl::GetFlag(FLAGS_http_changes)) page.acts = &acts;
    fusebox::AddBreakerPage(http, &breakers, &history, std::move(page));
  }

  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::fprintf(stderr, "greeter_server: cannot listen on %s\n",
                 address.c_str());
    return 1;
  }
  if (http_port.has_value()) {
    const absl::Status status = http.Start();
    if (!status.ok()) {
      std::fprintf(stderr, "greeter_server: %s\n",
                   std::string(status.message()).c_str());
      return absl::IsInvalidArgument(status) ? 2 : 1;
    }
  }
  std::printf("listening on %s:%d\n", address.substr(0, colon).c_str(), port);
  if (http_port.has_value()) {
    std::printf("http on %s:%d\n", http_options.address.c_str(), http.port());
  }
  std::unique_ptr<grpc::Server> admin_server;
  if (admin_mode != AdminMode::kOff) {
    std::string admin_address = absl::GetFlag(FLAGS_admin_listen);
    admin_server = StartAdmin(admin, admin_address);
    if (admin_server == nullptr) {
      std::fprintf(stderr, "greeter_server: cannot listen on %s\n",
                   admin_address.c_str());
      return 1;
    }
    std::printf("admin on %s\n", admin_address.c_str());
  }
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
