// What other programs make of the datagrams for DogStatsD: the statsd server,
// which reads metrics with tags (not events, sample rates of histograms as
// those of counters, no Unix sockets), and hot-shots, a client that writes all
// of them. What neither checks, such as the order of tags and events with more
// than ASCII in them, is read back by rules of our own in dogstatsd_test.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/export/dogstatsd.h"
#include "interceptor/export/dogstatsd_format.h"
#include "interceptor/export/dogstatsd_socket.h"
#include "interceptor/export/loopback_testing.h"
#include "interceptor/stats/latency_recorder.h"
#include "nlohmann/json.hpp"

namespace fusebox {
namespace {

using ::greeter::ChildProcess;
using ::greeter::Soon;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::Pair;

constexpr char kHere[] = "interceptor/export/clients/";

// The statsd server, on ports of its own.
class Statsd {
 public:
  Statsd() {
    const std::string directory = std::getenv("TEST_TMPDIR");
    // Other programs may have taken the ports meanwhile.
    for (int tries = 0; child_ == nullptr && tries < 5; ++tries) {
      port_ = DatagramReceiver().port();
      const std::string settings = directory + "/statsd_settings.js";
      std::ofstream(settings) << nlohmann::json(
          {{"address", "127.0.0.1"},
           {"port", port_},
           {"mgmt_address", "127.0.0.1"},
           {"mgmt_port", TcpListener().port()},
           {"flushInterval", 50},
           {"keyNameSanitize", false},
           {"backends",
            {std::filesystem::absolute(absl::StrCat(kHere, "statsd_server.js"))
                 .string()}}});
      child_ = std::make_unique<ChildProcess>(std::vector<std::string>{
          "/usr/bin/env", "node", absl::StrCat(kHere, "statsd_server.js"),
          settings});
      if (!AwaitProbe()) child_.reset();
    }
    EXPECT_NE(child_, nullptr) << "statsd does not listen: " << errors_;
  }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  // Takes in what it has received, until `done`.
  template <class Done>
  bool Until(Done done) {
    while (!done()) {
      if (child_ == nullptr || !TakeFlush()) return false;
    }
    return true;
  }

  // Sums since the start, and the latest values.
  const std::map<std::string, double>& counters() const { return counters_; }
  const std::map<std::string, double>& gauges() const { return gauges_; }
  double counter(const std::string& name) const {
    const auto found = counters_.find(name);
    return found == counters_.end() ? 0 : found->second;
  }

 private:
  // Whether it reads what is sent. Until it does datagrams are lost.
  bool AwaitProbe() {
    DogStatsdSocket socket(*ParseDogStatsdAddress(address()), &LookUp,
                           std::chrono::hours(1));
    while (counter("probe") == 0) {
      TickUntil([&] { return socket.Refresh(FineNow()); },
                [&] { return !socket.starting(); });
      socket.Send("probe:1|c");
      if (!TakeFlush()) return false;
    }
    // All that were sent have arrived by the next flush but one.
    return TakeFlush() && TakeFlush();
  }

  // False if it has ended, or says nothing for long.
  bool TakeFlush() {
    while (const auto line = child_->ReadLine(Soon())) {
      if (!absl::StartsWith(*line, "{")) continue;
      const auto flush = nlohmann::json::parse(*line);
      for (const auto& [name, by] : flush["counters"].items()) {
        counters_[name] += by.get<double>();
      }
      for (const auto& [name, value] : flush["gauges"].items()) {
        gauges_[name] = value.get<double>();
      }
      return true;
    }
    errors_ += child_->errors();
    return false;
  }

  int port_ = 0;
  std::unique_ptr<ChildProcess> child_;
  std::string errors_;
  std::map<std::string, double> counters_;
  std::map<std::string, double> gauges_;
};

TEST(StatsdServerTest, CountsWhatBreakersCount) {
  Statsd statsd;
  RegistryOptions registry_options;
  registry_options.call_stats = true;
  registry_options.log = [](const std::string&) {};
  BreakerRegistry breakers(registry_options);
  DogStatsdOptions options;
  options.address = statsd.address();
  options.tags = {"env:prod"};
  options.start_thread = false;
  DogStatsdExporter exporter(options, &breakers);
  ASSERT_TRUE(exporter.Start().ok());
  TimePoint now = FineNow();
  ASSERT_TRUE(TickUntil([&] { return exporter.Tick(now); },
                        [&] { return exporter.Tick(now).fd < 0; }));

  CircuitBreaker& hello = breakers.Pin(Role::kServer, "", "/pkg.S/Hello");
  LatencyRecorder& calls =
      *breakers.PinMethod(Role::kServer, "", "/pkg.S/Hello").calls;
  double seconds = 0;
  for (int i = 1; i <= 300; ++i) {
    hello.Admit(FineNow()).permit.Finish(Outcome::kOk, FineNow());
    const std::chrono::microseconds latency(i % 3 == 0 ? 250'000 : 1'700);
    calls.Record(0, latency);
    seconds += std::chrono::duration<double>(latency).count();
  }
  calls.Record(14, std::chrono::milliseconds(1));
  const auto held = hello.Admit(FineNow());
  breakers.Pin(Role::kClient, "dns:///x:443", "/pkg.S/Hello");
  now += options.period;
  exporter.Tick(now);
  const DogStatsdExporter::Stats sent = exporter.stats();
  EXPECT_GT(sent.packets_sent, 1U);

  ASSERT_TRUE(statsd.Until([&] {
    return statsd.counter("statsd.metrics_received") >=
           static_cast<double>(sent.metrics) + statsd.counter("probe");
  }));
  const std::string tail = "env=prod;method=pkg.S/Hello;";
  EXPECT_THAT(
      statsd.counters(),
      IsSupersetOf({
          Pair("fusebox.breaker.calls;" + tail + "outcome=ok;role=server", 300),
          Pair("fusebox.call.successful;code=OK;" + tail + "role=server", 300),
          Pair("fusebox.call.failed;code=UNAVAILABLE;" + tail + "role=server",
               1),
      }));
  EXPECT_THAT(
      statsd.gauges(),
      IsSupersetOf({
          Pair("fusebox.breaker.calls_in_flight;" + tail + "role=server", 1),
          Pair("fusebox.breaker.state;" + tail + "role=server;state=closed", 1),
          Pair("fusebox.breaker.state;" + tail + "role=server;state=open", 0),
          Pair("fusebox.breaker.calls_in_flight;" + tail +
                   "role=client;target=dns:///x:443",
               0),
      }));
  // It adds up histograms as counters: value / rate, thus all of the time.
  EXPECT_NEAR(
      statsd.counter("fusebox.call.time;code=OK;" + tail + "role=server"),
      seconds, seconds / 128);
  EXPECT_EQ(statsd.counter("statsd.bad_lines_seen"), 0);
}

TEST(HotShotsTest, WritesTheSameLines) {
  const DogStatsdFormat format("", {});
  const DogStatsdTags tags = {"code:OK", "method:pkg.S/M",
                              "target:dns:///x:443"};
  const std::string ready = format.Tags(tags);
  using Alert = DogStatsdEvent::Alert;
  const std::string title = "pkg.S/M turned bad: closed -> open";
  const std::string text = "first\nsecond | third";
  ChildProcess hot_shots(
      {"/usr/bin/env", "node", absl::StrCat(kHere, "hot_shots_lines.js"),
       nlohmann::json(
           {{"increment", "fusebox.calls", 3, tags},
            {"gauge", "fusebox.failure_ratio", 0.125, tags},
            {"histogram", "fusebox.call.time", 0.012, tags},
            {"histogram", "fusebox.call.time", 0.012, 0.25, tags},
            {"increment", "fusebox.calls", 1, {"a:b|c", "d,e:f@g#h", "i:j\nk"}},
            {"event", title, text, {{"alert_type", "error"}}, tags},
            {"event", title, "text", {{"alert_type", "success"}}, tags}})
           .dump()});
  const greeter::Ended ended = greeter::End(hot_shots);
  EXPECT_EQ(ended.status, 0) << ended.errors;
  EXPECT_THAT(
      ended.lines,
      ElementsAre(format.Count("fusebox.calls", 3, ready),
                  format.Gauge("fusebox.failure_ratio", 0.125, ready),
                  format.Histogram("fusebox.call.time", 0.012, 1, ready),
                  format.Histogram("fusebox.call.time", 0.012, 4, ready),
                  format.Count("fusebox.calls", 1,
                               format.Tags({"a:b|c", "d,e:f@g#h", "i:j\nk"})),
                  format.Event({title, text, Alert::kError, tags}, 8192),
                  format.Event({title, "text", Alert::kSuccess, tags}, 8192)));
}

}  // namespace
}  // namespace fusebox
