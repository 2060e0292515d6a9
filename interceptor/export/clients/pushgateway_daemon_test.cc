// What arrives in real Pushgateways.

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/export/background_lookup.h"
#include "interceptor/export/pushgateway.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

// The clock of the pushing, which the tests turn.
std::atomic<Duration::rep> time_ns{0};
TimePoint Now() { return TimePoint(Duration(time_ns.load())); }

// A Pushgateway of this machine; any port if it is 0.
class Daemon {
 public:
  Daemon(const std::string& address, int port)
      : host_(address.find(':') == std::string::npos ? address
                                                     : "[" + address + "]"),
        child_({"/bin/bash", "-c",
                absl::StrCat("exec prometheus-pushgateway 2>&1"
                             " --persistence.file= --web.listen-address=",
                             host_, ":", port)}) {
    const std::string before_port = "\"Listening on\" address=" + host_ + ":";
    while (const auto line = child_.ReadLine(greeter::Soon())) {
      const std::size_t found = line->find(before_port);
      if (found == std::string::npos) continue;
      port_ = std::stoi(line->substr(found + before_port.size()));
      return;
    }
  }

  // False if the port is taken.
  bool started() const { return port_ != 0; }
  int port() const { return port_; }

  // What Prometheus would scrape.
  std::string Metrics() const {
    std::string body;
    CURL* const curl = curl_easy_init();
    const std::string url =
        absl::StrCat("http://", host_, ":", port_, "/metrics");
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Append);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    EXPECT_EQ(curl_easy_perform(curl), CURLE_OK);
    curl_easy_cleanup(curl);
    return body;
  }

 private:
  static std::size_t Append(char* data, std::size_t size, std::size_t count,
                            void* body) {
    static_cast<std::string*>(body)->append(data, size * count);
    return size * count;
  }

  const std::string host_;
  greeter::ChildProcess child_;
  int port_ = 0;
};

// A socket that takes connections and says nothing; -1 if the port is taken.
int ListenAndSayNothing(const char* address, int port) {
  sockaddr_in name = {};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<std::uint16_t>(port));
  inet_pton(AF_INET, address, &name.sin_addr);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) ==
          0 &&
      listen(listener, 100) == 0) {
    return listener;
  }
  close(listener);
  return -1;
}

class PushgatewayDaemonTest : public ::testing::Test {
 protected:
  PushgatewayDaemonTest() {
    time_ns = 0;
    options_.host = "gateways.test";
    options_.job = "greeter";
    options_.now = &Now;
    options_.stop_timeout = minutes(1);
    options_.look_up = [this](const HostPort&) {
      const std::lock_guard<std::mutex> lock(mutex_);
      return found_;
    };
  }

  void Find(const std::vector<std::string>& addresses) {
    const std::lock_guard<std::mutex> lock(mutex_);
    found_ = {};
    for (const std::string& address : addresses) {
      found_.addresses.push_back(LookUp({address, 1}).addresses.at(0));
    }
  }

  std::string Text() const {
    return prometheus::TextSerializer().Serialize(registry_.Collect());
  }

  static PushgatewayStats::Gateway Of(const Pushgateway& pushgateway,
                                      const std::string& address) {
    for (const auto& gateway : pushgateway.stats().gateways) {
      if (gateway.address == address) return gateway;
    }
    return {};
  }
  // Waits until a push to `address` has ended so often, well or not.
  static void AwaitPushes(const Pushgateway& pushgateway,
                          const std::string& address, std::uint64_t ended) {
    const auto end = greeter::Soon();
    for (;;) {
      const PushgatewayStats::Gateway stats = Of(pushgateway, address);
      if (stats.pushes + stats.failures >= ended) return;
      ASSERT_LT(std::chrono::steady_clock::now(), end) << address;
      // Between two looks: leaves the processor to what is waited for.
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  PushgatewayOptions options_;
  prometheus::Registry registry_;
  prometheus::Gauge& gauge_ = prometheus::BuildGauge()
                                  .Name("greetings")
                                  .Register(registry_)
                                  .Add({{"language", "en"}});

 private:
  std::mutex mutex_;
  LookupResult found_;
};

TEST_F(PushgatewayDaemonTest, GatewaysComeGoAndHangAndNoOtherMissesAPeriod) {
  // .4 hangs.
  std::unique_ptr<Daemon> a;
  std::unique_ptr<Daemon> b;
  int hung = -1;
  for (int attempt = 0; attempt < 10 && hung < 0; ++attempt) {
    b = nullptr;
    a = std::make_unique<Daemon>("127.0.0.2", 0);
    ASSERT_TRUE(a->started());
    b = std::make_unique<Daemon>("127.0.0.3", a->port());
    if (b->started()) hung = ListenAndSayNothing("127.0.0.4", a->port());
  }
  ASSERT_GE(hung, 0) << "there is no port that all can have";
  options_.port = a->port();
  options_.timeout = seconds(25);
  options_.delete_on_stop = true;

  const auto holds = [](int greetings) {
    return HasSubstr(absl::StrCat(
        "\ngreetings{instance=\"\",job=\"greeter\",language=\"en\"} ",
        greetings, "\n"));
  };
  Find({"127.0.0.2", "127.0.0.3", "127.0.0.4"});
  gauge_.Set(1);
  Pushgateway pushgateway(options_, [this] { return Text(); });
  ASSERT_TRUE(pushgateway.Start().ok());
  AwaitPushes(pushgateway, "127.0.0.2", 1);
  AwaitPushes(pushgateway, "127.0.0.3", 1);
  EXPECT_THAT(a->Metrics(), holds(1));
  EXPECT_THAT(b->Metrics(), holds(1));

  const auto begin_period = [&](int greetings) {
    gauge_.Set(greetings);
    time_ns += Duration(seconds(10)).count();
    pushgateway.Wake();
  };
  b = nullptr;  // killed
  begin_period(2);
  AwaitPushes(pushgateway, "127.0.0.2", 2);
  AwaitPushes(pushgateway, "127.0.0.3", 2);
  EXPECT_THAT(a->Metrics(), holds(2));
  EXPECT_EQ(Of(pushgateway, "127.0.0.3").failures, 1);
  EXPECT_EQ(Of(pushgateway, "127.0.0.4").skipped, 1);

  Daemon added("127.0.0.5", options_.port);
  ASSERT_TRUE(added.started());
  Find({"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"});
  begin_period(3);
  AwaitPushes(pushgateway, "127.0.0.2", 3);
  AwaitPushes(pushgateway, "127.0.0.3", 3);
  AwaitPushes(pushgateway, "127.0.0.5", 1);
  EXPECT_THAT(a->Metrics(), holds(3));
  EXPECT_THAT(added.Metrics(), holds(3));
  EXPECT_EQ(Of(pushgateway, "127.0.0.4").skipped, 2);

  b = std::make_unique<Daemon>("127.0.0.3", options_.port);  // back
  ASSERT_TRUE(b->started());
  begin_period(4);
  AwaitPushes(pushgateway, "127.0.0.2", 4);
  AwaitPushes(pushgateway, "127.0.0.3", 4);
  AwaitPushes(pushgateway, "127.0.0.5", 2);
  for (Daemon* daemon : {a.get(), b.get(), &added}) {
    EXPECT_THAT(daemon->Metrics(), holds(4));
  }
  EXPECT_EQ(Of(pushgateway, "127.0.0.4").failures, 1);
  EXPECT_EQ(Of(pushgateway, "127.0.0.2").failures, 0);
  EXPECT_EQ(Of(pushgateway, "127.0.0.5").failures, 0);

  // So that it is not waited for at the end.
  Find({"127.0.0.2", "127.0.0.3", "127.0.0.5"});
  pushgateway.Stop();
  for (Daemon* daemon : {a.get(), b.get(), &added}) {
    EXPECT_THAT(daemon->Metrics(), Not(HasSubstr("greeter")));
    EXPECT_THAT(daemon->Metrics(), HasSubstr("pushgateway_build_info"));
  }
  close(hung);
}

TEST_F(PushgatewayDaemonTest, TheLastPushStaysIfItIsNotDeleted) {
  const Daemon daemon("127.0.0.2", 0);
  ASSERT_TRUE(daemon.started());
  options_.port = daemon.port();
  options_.push_at_start = false;
  Find({"127.0.0.2"});
  Pushgateway pushgateway(options_, [this] { return Text(); });
  ASSERT_TRUE(pushgateway.Start().ok());
  gauge_.Set(7);
  pushgateway.Stop();
  EXPECT_THAT(daemon.Metrics(), HasSubstr("language=\"en\"} 7\n"));
}

TEST_F(PushgatewayDaemonTest, AnyGroupArrives) {
  const Daemon daemon("127.0.0.2", 0);
  ASSERT_TRUE(daemon.started());
  options_.port = daemon.port();
  options_.job = "greeter/eu west";
  options_.labels = {{"empty", ""},
                     {"instance", "10.0.0.7:50051"},
                     {"path", "/a b"},
                     {"text", "\"gr\u00fc\u00df\" 100%?>"},
                     {"up", ".."}};
  options_.delete_on_stop = true;
  Find({"127.0.0.2"});
  gauge_.Set(1);
  Pushgateway pushgateway(options_, [this] { return Text(); });
  ASSERT_TRUE(pushgateway.Start().ok());
  AwaitPushes(pushgateway, "127.0.0.2", 1);
  EXPECT_EQ(Of(pushgateway, "127.0.0.2").last_error, "");
  EXPECT_THAT(
      daemon.Metrics(),
      HasSubstr("\ngreetings{empty=\"\",instance=\"10.0.0.7:50051\","
                "job=\"greeter/eu west\",language=\"en\","
                "path=\"/a b\","
                "text=\"\\\"gr\u00fc\u00df\\\" 100%?>\",up=\"..\"} 1\n"));
  pushgateway.Stop();
  EXPECT_THAT(daemon.Metrics(), Not(HasSubstr("greetings{")));
}

TEST_F(PushgatewayDaemonTest, WhatItSaysOfABadTextIsKept) {
  const Daemon daemon("127.0.0.2", 0);
  ASSERT_TRUE(daemon.started());
  options_.port = daemon.port();
  Find({"127.0.0.2"});
  Pushgateway pushgateway(options_, [] { return "not a metric"; });
  ASSERT_TRUE(pushgateway.Start().ok());
  AwaitPushes(pushgateway, "127.0.0.2", 1);
  EXPECT_THAT(Of(pushgateway, "127.0.0.2").last_error,
              HasSubstr("status 400: text format parsing error"));
}

TEST_F(PushgatewayDaemonTest, IPv6) {
  const int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 name = {};
  name.sin6_family = AF_INET6;
  name.sin6_addr = in6addr_loopback;
  const bool has_ipv6 =
      bind(probe, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0;
  close(probe);
  if (!has_ipv6) GTEST_SKIP() << "this machine has no ::1";

  const Daemon daemon("::1", 0);
  ASSERT_TRUE(daemon.started());
  options_.host = "::1";
  options_.port = daemon.port();
  options_.look_up = &LookUp;
  gauge_.Set(6);
  Pushgateway pushgateway(options_, [this] { return Text(); });
  ASSERT_TRUE(pushgateway.Start().ok());
  AwaitPushes(pushgateway, "::1", 1);
  EXPECT_THAT(daemon.Metrics(), HasSubstr("language=\"en\"} 6\n"));
}

}  // namespace
}  // namespace fusebox
