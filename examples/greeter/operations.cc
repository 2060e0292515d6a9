#include "examples/greeter/operations.h"

#include <chrono>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "examples/greeter/command_line.h"
#include "grpc/grpc.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "interceptor/admin/admin_service.h"
#include "interceptor/admin/breaker_page.h"
#include "interceptor/admin/live_settings.h"
#include "interceptor/admin/operator_acts.h"
#include "interceptor/admin/transition_history.h"
#include "interceptor/export/dogstatsd.h"
#include "interceptor/export/dogstatsd_flags.h"
#include "interceptor/export/file_dump.h"
#include "interceptor/export/file_dump_flags.h"
#include "interceptor/export/graphite.h"
#include "interceptor/export/graphite_flags.h"
#include "interceptor/export/prometheus_metrics.h"
#include "interceptor/export/prometheus_page.h"
#include "interceptor/export/pushgateway.h"
#include "interceptor/export/pushgateway_flags.h"
#include "interceptor/export/settings_metrics.h"
#include "interceptor/flags/settings_flags.h"
#include "interceptor/http/health_pages.h"
#include "interceptor/http/http_server.h"
#include "interceptor/stats/breaker_statistics.h"
#include "interceptor/stats/statistics.h"
#include "interceptor/stats/status_pages.h"
#include "prometheus/text_serializer.h"

ABSL_FLAG(std::string, http_port, "off",
          "Port of the HTTP pages /breakers/, /status/, /metrics, "
          "/healthcheck/, /healthz and /readyz; 0 takes any that is free. With "
          "pages the server is healthy while the breaker of SayHello lets "
          "calls through (component say_hello), also as \"\" of "
          "grpc.health.v1. Valid: [0, 65535] or off.");
ABSL_FLAG(std::string, http_address, "127.0.0.1",
          "IP address to serve the pages on; 0.0.0.0 for all of this host.");
ABSL_FLAG(bool, http_changes, false,
          "Whether breakers may be forced, released and reset from the page "
          "/breakers/, by everyone who can reach it.");
ABSL_FLAG(std::string, admin, "off",
          "Whether operators may look at the breakers, or also act on them, "
          "over fusebox.v1.BreakerAdmin (`fusebox ctl`, `fusebox top`). Valid: "
          "off, read_only or read_write.");
ABSL_FLAG(std::string, admin_listen, "127.0.0.1:0",
          "Where to serve it: HOST:PORT or unix:PATH. A listener of its own, "
          "so that whoever may call the greeter does not reach it.");

namespace greeter {
namespace {

// Nothing if there are to be no pages.
std::optional<int> HttpPort() {
  const std::string text = absl::GetFlag(FLAGS_http_port);
  if (text == "off") return std::nullopt;
  int port = 0;
  if (!absl::SimpleAtoi(text, &port) || port < 0 || port > 65535) {
    UsageError("--http_port: '" + text + "' is not valid: [0, 65535] or off");
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
    UsageError("--admin: '" + text +
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

fusebox::LiveSettingsOptions LiveOptions() {
  fusebox::SettingsFlags given = fusebox::GivenSettingsFlags();
  fusebox::LiveSettingsOptions options;
  options.file = std::move(given.file);
  options.flags = std::move(given.flags);
  return options;
}

// Says why something did not start; the exit status.
int Report(const absl::Status& status) {
  std::fprintf(stderr, "greeter_server: %s\n",
               std::string(status.message()).c_str());
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

}  // namespace

struct OperationsFlags::Values {
  std::optional<int> http_port = HttpPort();
  std::string http_address = absl::GetFlag(FLAGS_http_address);
  bool http_changes = absl::GetFlag(FLAGS_http_changes);
  AdminMode admin = ReadAdminMode();
  std::optional<fusebox::PushgatewayOptions> pushgateway =
      fusebox::PushgatewayOptionsFromFlags();
  std::optional<fusebox::GraphiteOptions> graphite =
      fusebox::GraphiteOptionsFromFlags();
  std::optional<fusebox::DogStatsdOptions> dogstatsd =
      fusebox::DogStatsdOptionsFromFlags();
  std::optional<fusebox::FileDumpOptions> dump =
      fusebox::FileDumpOptionsFromFlags();
};

struct Operations::Parts {
  using Flags = OperationsFlags::Values;

  Parts(fusebox::BreakerRegistry& breakers,
        const fusebox::EffectiveSettings& in_force, const Flags& flags)
      : settings(&breakers, in_force, LiveOptions()),
        history(&breakers),
        acts(&breakers, &history),
        admin(&breakers, &history, &acts, AdminOptions(flags)),
        metrics(std::make_shared<fusebox::PrometheusMetrics>(&breakers)),
        settings_metrics(std::make_shared<fusebox::SettingsMetrics>(&settings)),
        breaker_statistics(&breakers, &statistics),
        http(HttpOptions(flags)) {}

  ~Parts() {
    if (admin_server != nullptr) {
      admin_server->Shutdown(std::chrono::system_clock::now() +
                             std::chrono::seconds(1));
    }
  }

  fusebox::BreakerAdminOptions AdminOptions(const Flags& flags) {
    fusebox::BreakerAdminOptions options;
    options.allow_changes = flags.admin == AdminMode::kReadWrite;
    options.live_settings = &settings;
    return options;
  }

  static fusebox::HttpServerOptions HttpOptions(const Flags& flags) {
    fusebox::HttpServerOptions options;
    options.address = flags.http_address;
    options.port = flags.http_port.value_or(0);
    return options;
  }

  std::string MetricsText() const {
    const prometheus::TextSerializer serializer;
    return serializer.Serialize(metrics->Collect()) +
           serializer.Serialize(settings_metrics->Collect());
  }

  // In the order in which they need each other.
  fusebox::LiveSettings settings;
  fusebox::TransitionHistory history;
  fusebox::OperatorActs acts;
  fusebox::BreakerAdminService admin;
  std::shared_ptr<fusebox::PrometheusMetrics> metrics;
  std::shared_ptr<fusebox::SettingsMetrics> settings_metrics;
  fusebox::Statistics statistics;
  fusebox::BreakerStatistics breaker_statistics;

  std::optional<fusebox::Pushgateway> pushgateway;
  std::optional<fusebox::GraphiteExporter> graphite;
  std::optional<fusebox::DogStatsdExporter> dogstatsd;
  std::optional<fusebox::FileDump> dump;
  fusebox::HttpServer http;
  std::unique_ptr<grpc::Server> admin_server;
};

OperationsFlags::OperationsFlags() : values_(std::make_unique<Values>()) {}
OperationsFlags::~OperationsFlags() = default;

bool OperationsFlags::has_pages() const {
  return values_->http_port.has_value();
}

bool OperationsFlags::wants_call_stats() const {
  return has_pages() || values_->pushgateway.has_value() ||
         values_->dogstatsd.has_value() || values_->dump.has_value();
}

Operations::Operations(const OperationsFlags& flags,
                       fusebox::BreakerRegistry& breakers,
                       const fusebox::EffectiveSettings& in_force)
    : flags_(*flags.values_),
      breakers_(breakers),
      parts_(std::make_unique<Parts>(breakers, in_force, flags_)) {}
Operations::~Operations() = default;

int Operations::Start(fusebox::ComponentChecks& checks,
                      std::shared_ptr<const fusebox::HealthService> health,
                      std::string& places) {
  Parts& parts = *parts_;
  if (flags_.http_port.has_value()) {
    fusebox::HealthPagesOptions health_pages;
    health_pages.health = std::move(health);
    // Cannot fail with these options.
    fusebox::AddHealthPages(parts.http, &checks, health_pages).IgnoreError();
    fusebox::AddMetricsPage(parts.http,
                            {parts.metrics, parts.settings_metrics});
    fusebox::AddStatusPages(parts.http, &parts.statistics);
    fusebox::BreakerPageOptions page;
    page.title = "greeter_server";
    page.link_to_statistics = true;
    page.settings = [&parts] { return parts.settings.effective(); };
    page.settings_error = [&parts] { return parts.settings.last_error(); };
    if (flags_.http_changes) page.acts = &parts.acts;
    fusebox::AddBreakerPage(parts.http, &breakers_, &parts.history,
                            std::move(page));
    if (const absl::Status status = parts.http.Start(); !status.ok()) {
      return Report(status);
    }
    places += "http on " + flags_.http_address + ":" +
              std::to_string(parts.http.port()) + "\n";
  }

  if (flags_.admin != AdminMode::kOff) {
    std::string address = absl::GetFlag(FLAGS_admin_listen);
    parts.admin_server = StartAdmin(parts.admin, address);
    if (parts.admin_server == nullptr) {
      return Report(absl::UnavailableError("cannot listen on " + address));
    }
    places += "admin on " + address + "\n";
  }

  absl::Status status;
  if (flags_.pushgateway.has_value()) {
    parts.pushgateway.emplace(*flags_.pushgateway,
                              [&parts] { return parts.MetricsText(); });
    status.Update(parts.pushgateway->Start());
  }
  if (flags_.graphite.has_value()) {
    parts.graphite.emplace(*flags_.graphite,
                           fusebox::BreakersForGraphite(&breakers_));
    status.Update(parts.graphite->Start());
  }
  if (flags_.dogstatsd.has_value()) {
    parts.dogstatsd.emplace(*flags_.dogstatsd, &breakers_);
    checks.AddListener(parts.dogstatsd->ComponentListener());
    status.Update(parts.dogstatsd->Start());
  }
  if (flags_.dump.has_value()) {
    parts.dump.emplace(*flags_.dump,
                       [&parts] { return parts.statistics.Read().dump(); });
    status.Update(parts.dump->Start());
  }
  return status.ok() ? 0 : Report(status);
}

}  // namespace greeter
