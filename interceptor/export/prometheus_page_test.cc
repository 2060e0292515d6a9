#include "interceptor/export/prometheus_page.h"

#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/export/prometheus_metrics.h"
#include "interceptor/http/http_server.h"
#include "interceptor/http/testing/raw_client.h"

namespace fusebox {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class PrometheusPageTest : public ::testing::Test {
 protected:
  PrometheusPageTest() {
    registry_.Pin(Role::kServer, "", "/pkg.S/M");
    prometheus::BuildCounter()
        .Name("orders_total")
        .Help("Orders.")
        .Register(*own_)
        .Add({})
        .Increment(7);
    AddMetricsPage(http_,
                   {std::make_shared<PrometheusMetrics>(&registry_), own_});
    EXPECT_TRUE(http_.Start().ok());
  }

  BreakerRegistry registry_;
  const std::shared_ptr<prometheus::Registry> own_ =
      std::make_shared<prometheus::Registry>();
  HttpServer http_;
};

TEST_F(PrometheusPageTest, ShowsBreakersAndMetricsOfOnesOwn) {
  const std::string response = Get(http_.port(), "/metrics");
  EXPECT_EQ(StatusOf(response), 200);
  EXPECT_THAT(response,
              HasSubstr("\r\nContent-Type: text/plain; version=0.0.4; "
                        "charset=utf-8\r\n"));
  const std::string body = BodyOf(response);
  EXPECT_THAT(body, StartsWith("# HELP fusebox_state "));
  EXPECT_THAT(body, HasSubstr("\n# TYPE fusebox_calls_total counter\n"));
  EXPECT_THAT(body, HasSubstr("grpc_method=\"pkg.S/M\",outcome=\"ok\"} 0\n"));
  EXPECT_THAT(body, HasSubstr("\n# HELP orders_total Orders.\n"
                              "# TYPE orders_total counter\n"
                              "orders_total 7\n"));
}

TEST_F(PrometheusPageTest, IsReadOnly) {
  EXPECT_EQ(StatusOf(Request(http_.port(), "HEAD", "/metrics")), 200);
  EXPECT_EQ(StatusOf(Request(http_.port(), "POST", "/metrics")), 405);
  EXPECT_EQ(StatusOf(Get(http_.port(), "/metrics/more")), 404);
}

TEST_F(PrometheusPageTest, AThousandMethods) {
  for (int i = 0; i < 1000; ++i) {
    registry_.Pin(Role::kClient, "dns:///orders:443",
                  "/orders.v1.Orders/Method" + std::to_string(i));
  }
  const std::string body = BodyOf(Get(http_.port(), "/metrics"));
  EXPECT_THAT(body, HasSubstr("Method999"));
  EXPECT_THAT(body, HasSubstr("\norders_total 7\n"));
  EXPECT_GT(body.size(), 1000u * 34 * 100);
}

}  // namespace
}  // namespace fusebox
