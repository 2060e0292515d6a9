// From a method that breaks to the message that it is well again, through real
// Prometheus and Alertmanager. They run with copies of the files beside this
// that differ from them in the lengths of time ("for: 2m" and the intervals),
// so that it takes seconds, and in the addresses, and in nothing else.

#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "deploy/monitoring_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/http/http_server.h"
#include "nlohmann/json.hpp"

namespace greeter {
namespace {

using ::testing::HasSubstr;

// Takes Alertmanager's messages: what a team's chat would.
class Webhook {
 public:
  Webhook() {
    http_.Handle("/chat", {"POST"},
                 [this](const fusebox::HttpRequest& request) {
                   const auto message =
                       nlohmann::json::parse(request.body, nullptr,
                                             /*allow_exceptions=*/false);
                   EXPECT_TRUE(message.is_object()) << request.body;
                   const std::lock_guard<std::mutex> lock(mu_);
                   for (const auto& alert : message["alerts"])
                     alerts_.push_back(alert);
                   return fusebox::HttpResponse();
                 });
    EXPECT_TRUE(http_.Start().ok());
  }

  std::string address() const {
    return absl::StrCat("127.0.0.1:", http_.port());
  }

  // The first alert of that name and status that came; null if none did.
  nlohmann::json Find(const std::string& name, const std::string& status) {
    const std::lock_guard<std::mutex> lock(mu_);
    for (const auto& alert : alerts_) {
      if (alert["labels"]["alertname"] == name && alert["status"] == status) {
        return alert;
      }
    }
    return {};
  }

 private:
  std::mutex mu_;
  std::vector<nlohmann::json> alerts_;  // guarded by mu_
  fusebox::HttpServer http_;
};

TEST(AlertingTest, AMethodBreaksAndHealsAndSomebodyIsTold) {
  const std::string kAlert = "FuseboxBreakerOpen";
  Webhook webhook;
  Daemon alertmanager(absl::StrCat(
      "prometheus-alertmanager --cluster.listen-address= --config.file=",
      WriteFile("alertmanager.yml",
                Replace(ReadFile("deploy/alertmanager/alertmanager.yml"),
                        {{"localhost:9095", webhook.address()},
                         {"group_wait: 30s", "group_wait: 1s"},
                         {"group_interval: 5m", "group_interval: 1s"}})),
      " --storage.path=", ::testing::TempDir(), "/alertmanager"));
  GreeterServer greeter;
  WriteFile("fusebox_rules.yml",
            Replace(ReadFile("deploy/prometheus/fusebox_rules.yml"),
                    {{"for: 2m", "for: 2s"}}));
  Prometheus prometheus(WriteFile(
      "prometheus.yml", Replace(ReadFile("deploy/prometheus/prometheus.yml"),
                                {{"15s", "1s"},
                                 {"localhost:8080", greeter.http_address()},
                                 {"localhost:9093", alertmanager.address()}})));

  EXPECT_TRUE(greeter.SayHello().ok());
  prometheus.Await("sum(fusebox_state{state='closed'})", "4");
  EXPECT_EQ(webhook.Find(kAlert, "firing"), nullptr);

  greeter.Break();
  EXPECT_TRUE(Happens([&] {
    EXPECT_FALSE(greeter.SayHello().ok());  // probes that fail, refusals
    return webhook.Find(kAlert, "firing") != nullptr;
  }));
  const nlohmann::json alert = webhook.Find(kAlert, "firing");
  EXPECT_EQ(alert["labels"]["grpc_method"], "greeter.v1.Greeter/SayHello");
  EXPECT_EQ(alert["labels"]["role"], "server");
  EXPECT_EQ(alert["labels"]["job"], "greeter");
  EXPECT_EQ(alert["labels"]["instance"], greeter.http_address());
  EXPECT_EQ(alert["labels"]["severity"], "warning");
  EXPECT_THAT(alert["annotations"]["summary"].get<std::string>(),
              HasSubstr("greeter.v1.Greeter/SayHello does not recover on"));
  EXPECT_EQ(webhook.Find(kAlert, "resolved"), nullptr);

  greeter.Mend();
  EXPECT_TRUE(Happens([&] {
    greeter.SayHello().ok();  // the probe, then the ramp
    return webhook.Find(kAlert, "resolved") != nullptr;
  }));
  EXPECT_EQ(webhook.Find(kAlert, "resolved")["labels"], alert["labels"]);
  EXPECT_EQ(prometheus.Value("sum(fusebox_state{state='closed'})"), "4");
}

}  // namespace
}  // namespace greeter
