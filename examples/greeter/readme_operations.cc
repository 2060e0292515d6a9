#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <utility>

#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "interceptor/admin/admin_service.h"
#include "interceptor/admin/breaker_page.h"
#include "interceptor/admin/live_settings.h"
#include "interceptor/admin/operator_acts.h"
#include "interceptor/admin/transition_history.h"
#include "interceptor/export/dogstatsd.h"
#include "interceptor/export/dogstatsd_flags.h"
#include "interceptor/export/prometheus_metrics.h"
#include "interceptor/export/prometheus_page.h"
#include "interceptor/export/settings_metrics.h"
#include "interceptor/flags/settings_flags.h"
#include "interceptor/health/component_checks.h"
#include "interceptor/health/http_check.h"
#include "interceptor/http/health_pages.h"
#include "interceptor/http/http_server.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/stats/breaker_statistics.h"
#include "interceptor/stats/statistics.h"
#include "interceptor/stats/status_pages.h"

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

  fusebox::SettingsFlags given = fusebox::GivenSettingsFlags();
  fusebox::LiveSettingsOptions live_options;
  live_options.file = given.file;
  live_options.flags = given.flags;
  fusebox::LiveSettings live(&breakers, settings, live_options);

  fusebox::Statistics statistics;
  fusebox::BreakerStatistics breaker_statistics(&breakers, &statistics);
  statistics.Integer("/cache/hits").Add();  // one of your own

  fusebox::TransitionHistory history(&breakers);
  fusebox::OperatorActs acts(&breakers, &history);
  fusebox::BreakerPageOptions page;
  page.title = "orders on web-3";
  page.acts = &acts;  // without: read-only
  page.settings = [&live] { return live.effective(); };
  page.settings_error = [&live] { return live.last_error(); };

  fusebox::HttpServer http;  // 127.0.0.1, any free port
  status.Update(fusebox::AddHealthPages(http, &checks));
  fusebox::AddBreakerPage(http, &breakers, &history, page);
  fusebox::AddStatusPages(http, &statistics);
  fusebox::AddMetricsPage(
      http, {std::make_shared<fusebox::PrometheusMetrics>(&breakers),
             std::make_shared<fusebox::SettingsMetrics>(&live)});
  status.Update(http.Start());

  std::optional<fusebox::DogStatsdExporter> dogstatsd;
  if (const auto options = fusebox::DogStatsdOptionsFromFlags()) {
    status.Update(dogstatsd.emplace(*options, &breakers).Start());
    checks.AddListener(dogstatsd->ComponentListener());
  }

  fusebox::BreakerAdminOptions admin_options;
  admin_options.allow_changes = true;  // without: read-only
  admin_options.live_settings = &live;
  fusebox::BreakerAdminService admin(&breakers, &history, &acts, admin_options);
  grpc::ServerBuilder admin_builder;
  admin_builder.AddListeningPort("unix:/run/orders/admin.sock",
                                 grpc::InsecureServerCredentials());
  fusebox::ServeBreakerAdmin(admin_builder, &admin);
  const auto admin_server = admin_builder.BuildAndStart();

  if (!status.ok()) return 1;
  builder.BuildAndStart()->Wait();
}
