#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "interceptor/flags/settings_flags.h"
#include "interceptor/health/component_checks.h"
#include "interceptor/health/http_check.h"
#include "interceptor/http/health_pages.h"
#include "interceptor/http/http_server.h"
#include "interceptor/server_interceptor.h"

// A server without services, with all that operators ask for.
int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  fusebox::ServerOptions server_options;

  const fusebox::EffectiveSettings settings = fusebox::SettingsFromFlags();
  fusebox::BreakerRegistry breakers(settings.registry);
  server_options.outcomes = settings.server_outcomes;  // and client_outcomes

  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials());
  const auto guard =
      fusebox::GuardServer(builder, &breakers, std::move(server_options));

  fusebox::ComponentChecks checks;
  fusebox::CheckOptions every_10s;  // deadline 5s, critical
  absl::Status status = checks.Register(
      "search", every_10s, fusebox::HttpCheck("http://search:8080/healthz"));
  checks.DriveHealth(guard->health());  // "" serves while "search" is well
  fusebox::HttpServer http;             // 127.0.0.1, any free port
  status = fusebox::AddHealthPages(http, &checks);
  status = http.Start();

  if (!status.ok()) return 1;
  builder.BuildAndStart()->Wait();
}
