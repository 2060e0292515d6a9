// Prometheus before a greeter, with the configuration beside this.

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "deploy/monitoring_testing.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "gtest/gtest.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/export/prometheus_metrics.h"
#include "interceptor/export/prometheus_page.h"
#include "interceptor/http/http_server.h"
#include "nlohmann/json.hpp"

namespace greeter {
namespace {

// What promtool says of a page, and how it ends: "0" if all is well.
std::string CheckMetrics(int port) {
  const std::string path = WriteFile("page", HttpGet(port, "/metrics"));
  ChildProcess promtool(
      {"/bin/bash", "-c",
       absl::StrCat("promtool check metrics < ", path, " 2>&1")});
  const Ended ended = End(promtool);
  std::string said;
  for (const std::string& line : ended.lines)
    absl::StrAppend(&said, line, "\n");
  return absl::StrCat(said, ended.status);
}

class PrometheusTest : public ::testing::Test {
 protected:
  PrometheusTest() {
    WriteFile("fusebox_rules.yml",
              ReadFile("deploy/prometheus/fusebox_rules.yml"));
    prometheus_ = std::make_unique<Prometheus>(WriteFile(
        "prometheus.yml", Replace(ReadFile("deploy/prometheus/prometheus.yml"),
                                  {{"15s", "1s"},
                                   {"localhost:8080", greeter_.http_address()},
                                   // Nobody; no alert is due here.
                                   {"localhost:9093", "127.0.0.1:1"}})));
  }

  GreeterServer greeter_;
  std::unique_ptr<Prometheus> prometheus_;
};

TEST_F(PrometheusTest, ScrapesAGreeterAndAnswers) {
  for (int i = 0; i < 7; ++i) EXPECT_TRUE(greeter_.SayHello().ok());
  prometheus_->Await("up", "1");
  prometheus_->Await(
      "fusebox_calls_total{job='greeter', role='server', outcome='ok', "
      "grpc_method='greeter.v1.Greeter/SayHello'}",
      "7");
  const std::string state =
      "fusebox_state{grpc_method='greeter.v1.Greeter/SayHello', state=~'";
  EXPECT_EQ(prometheus_->Value(state + "closed'}"), "1");
  EXPECT_EQ(prometheus_->Value("sum(fusebox_state)"), "4");
  EXPECT_EQ(prometheus_->Value("fusebox_breakers"), "4");
  prometheus_->Await("sum(fusebox_call_duration_seconds_count)", "7");
  prometheus_->Await("sum(fusebox_status_calls_total)", "7");
  EXPECT_EQ(CheckMetrics(greeter_.http_port()), "0");

  greeter_.Break();
  EXPECT_TRUE(Happens([this] {
    return absl::StrContains(greeter_.SayHello().error_message(), "breaker");
  }));
  // Without calls it reads as half-open soon.
  prometheus_->Await("sum(" + state + "open|half_open'})", "1");
  EXPECT_EQ(prometheus_->Value(state + "closed'}"), "0");
  prometheus_->Await(
      "sum(fusebox_calls_total{outcome='system_error'}) > bool 0", "1");
  prometheus_->Await("sum(fusebox_rejected_calls_total) > bool 0", "1");
  prometheus_->Await("sum(fusebox_transitions_total{from='closed', to='open'})",
                     "1");
  prometheus_->Await(
      "abs(time() - min(fusebox_last_transition_timestamp_seconds)) < bool 600",
      "1");
  EXPECT_EQ(CheckMetrics(greeter_.http_port()), "0");
}

TEST_F(PrometheusTest, EveryPanelOfTheDashboardShowsSomething) {
  EXPECT_TRUE(greeter_.SayHello().ok());
  int panels = 0;
  const auto dashboard =
      nlohmann::json::parse(ReadFile("deploy/grafana/fusebox.json"));
  for (const auto& panel : dashboard["panels"]) {
    ++panels;
    for (const auto& target : panel["targets"]) {
      const std::string expr = absl::StrReplaceAll(
          target["expr"].get<std::string>(), {{"$__rate_interval", "1m"},
                                              {"$job", "greeter"},
                                              {"$instance", ".*"},
                                              {"$role", "server"},
                                              {"$grpc_method", ".*"}});
      // Rates need two scrapes.
      EXPECT_TRUE(Happens([&] {
        const nlohmann::json result = prometheus_->Query(expr);
        return result.is_array() && !result.empty();
      })) << panel["title"]
          << ": " << expr;
    }
  }
  EXPECT_GT(panels, 10);
}

TEST(PromtoolTest, IsContentWithAThousandMethods) {
  fusebox::RegistryOptions options;
  options.call_stats = true;
  fusebox::BreakerRegistry registry(options);
  for (int i = 0; i < 1000; ++i) {
    registry.Pin(fusebox::Role::kClient, "dns:///\"orders\"\\:443",
                 absl::StrCat("/orders.v1.Orders/Method", i));
  }
  fusebox::HttpServer http;
  fusebox::AddMetricsPage(
      http, {std::make_shared<fusebox::PrometheusMetrics>(&registry)});
  ASSERT_TRUE(http.Start().ok());
  EXPECT_EQ(CheckMetrics(http.port()), "0");
}

}  // namespace
}  // namespace greeter
