#include "interceptor/export/dogstatsd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "interceptor/export/dogstatsd_testing.h"
#include "interceptor/export/loopback_testing.h"
#include "interceptor/stats/latency_recorder.h"

namespace fusebox {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr TimePoint kStart{hours(1)};
constexpr char kMethod[] = "/pkg.S/M";

TimePoint RegistryNow() { return kStart; }

RegistryOptions QuietOptions() {
  RegistryOptions options;
  options.settings.min_requests = 1;
  options.settings.jitter = 0;
  options.now = &RegistryNow;
  options.start_dispatcher = false;
  options.log = [](const std::string&) {};
  options.call_stats = true;
  return options;
}

// "name value type rate|tags" or "title|text|alert|tags" of a line, or what is
// wrong with it.
std::string Text(const DogStatsdLine& line) {
  if (!line.error.empty()) return "wrong: " + line.error;
  std::string tags;
  for (const std::string& tag : line.tags)
    tags += (tags.empty() ? "" : ",") + tag;
  if (line.type == "event") {
    return line.name + "|" + line.text + "|" + line.alert + "|" + tags;
  }
  std::string number = std::to_string(line.value);
  number.erase(number.find_last_not_of('0') + 1);
  if (number.back() == '.') number.pop_back();
  return line.name + " " + number + " " + line.type +
         (line.rate == 1
              ? ""
              : " x" + std::to_string(static_cast<int>(1 / line.rate))) +
         "|" + tags;
}

// A server, and an exporter with a registry whose time stands still.
class DogStatsdExporterTest : public ::testing::Test {
 protected:
  DogStatsdExporterTest() : registry_(QuietOptions()) {
    options_.address = server_.address();
    options_.start_thread = false;
  }

  // Until the address is there.
  void Start() {
    exporter_ = std::make_unique<DogStatsdExporter>(options_, &registry_);
    ASSERT_TRUE(exporter_->Start().ok());
    ASSERT_TRUE(TickUntil(
        [this] { return exporter_->Tick(now_); },
        [this] { return exporter_->Tick(now_).until != TimePoint::max(); }));
    // Of a look-up, Tick() awaits only the next flush.
    ASSERT_TRUE(TickUntil([this] { return exporter_->Tick(now_); },
                          [this] { return exporter_->Tick(now_).fd < 0; }));
  }

  // What arrives by the next flush.
  std::vector<std::string> Flush() {
    now_ += options_.period;
    return Now();
  }
  // What arrives without one.
  std::vector<std::string> Now() {
    registry_.Dispatch();
    exporter_->Tick(now_);
    std::vector<std::string> lines;
    for (const std::string& packet : server_.ReceiveAll()) {
      for (const DogStatsdLine& line : ReadDogStatsd(packet)) {
        lines.push_back(Text(line));
      }
    }
    return lines;
  }
  // Those of a name or title.
  static std::vector<std::string> Of(const std::string& name,
                                     std::vector<std::string> lines) {
    lines.erase(std::remove_if(lines.begin(), lines.end(),
                               [&](const std::string& line) {
                                 return line.rfind(name, 0) != 0;
                               }),
                lines.end());
    return lines;
  }

  CircuitBreaker& breaker() {
    return registry_.Pin(Role::kServer, "", kMethod);
  }
  void Finish(Outcome outcome, int times = 1) {
    for (int i = 0; i < times; ++i) {
      breaker().Admit(kStart).permit.Finish(outcome, kStart);
    }
  }

  DatagramReceiver server_;
  BreakerRegistry registry_;
  DogStatsdOptions options_;
  std::unique_ptr<DogStatsdExporter> exporter_;
  TimePoint now_ = kStart;
};

TEST_F(DogStatsdExporterTest, SendsByHowMuchCountersGrew) {
  Finish(Outcome::kOk, 5);  // before it started
  Start();
  EXPECT_THAT(Now(), IsEmpty());
  Finish(Outcome::kOk, 2);
  Finish(Outcome::kUserError);
  EXPECT_THAT(Of("fusebox.breaker.calls ", Flush()),
              ElementsAre("fusebox.breaker.calls 2 c|"
                          "method:pkg.S/M,outcome:ok,role:server",
                          "fusebox.breaker.calls 1 c|"
                          "method:pkg.S/M,outcome:user_error,role:server"));
  EXPECT_THAT(Of("fusebox.breaker.calls ", Flush()), IsEmpty());
  Finish(Outcome::kOk);
  EXPECT_THAT(Of("fusebox.breaker.calls ", Flush()),
              ElementsAre("fusebox.breaker.calls 1 c|"
                          "method:pkg.S/M,outcome:ok,role:server"));
}

TEST_F(DogStatsdExporterTest, GaugesAreSentEachPeriod) {
  Start();
  Finish(Outcome::kOk);
  const std::string tags = "|method:pkg.S/M,role:server";
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(
        Of("fusebox.breaker.state ", Flush()),
        ElementsAre(
            "fusebox.breaker.state 1 g" + tags + ",state:closed",
            "fusebox.breaker.state 0 g" + tags + ",state:open",
            "fusebox.breaker.state 0 g" + tags + ",state:half_open",
            "fusebox.breaker.state 0 g" + tags + ",state:forced_open",
            "fusebox.breaker.state 0 g" + tags + ",state:forced_closed"));
  }
  const auto permit = breaker().Admit(kStart);
  EXPECT_THAT(Flush(), Contains("fusebox.breaker.calls_in_flight 1 g" + tags));
}

TEST_F(DogStatsdExporterTest, EveryLineIsWellFormed) {
  options_.tags = {"env:prod", "odd|tag,here"};
  options_.prefix = "my app";
  Start();
  Finish(Outcome::kTimeout, 3);
  registry_.Pin(Role::kClient, "dns:///a,b|c", "/pkg.S/N\n");
  const std::vector<std::string> lines = Flush();
  EXPECT_GT(lines.size(), 20U);
  for (const std::string& line : lines) {
    EXPECT_THAT(line, Not(HasSubstr("wrong")));
    EXPECT_THAT(line, HasSubstr("env:prod"));
  }
  EXPECT_THAT(lines, Contains("my_app.breaker.window_calls 0 g|env:prod,"
                              "method:pkg.S/N_,odd_tag_here,role:client,"
                              "target:dns:///a_b_c"));
}

TEST_F(DogStatsdExporterTest, CallsAreSentByCodeWithTheirTimes) {
  Start();
  LatencyRecorder* const calls =
      registry_.PinMethod(Role::kClient, "x", kMethod).calls;
  ASSERT_NE(calls, nullptr);
  for (int i = 0; i < 93; ++i) calls->Record(0, milliseconds(10));
  calls->Record(0, milliseconds(500));
  calls->RecordWithoutLatency(0);  // a stream
  calls->Record(14, microseconds(20));
  calls->RecordWithoutLatency(99);

  const std::string tags = ",method:pkg.S/M,role:client,target:x";
  const std::vector<std::string> lines = Flush();
  EXPECT_THAT(Of("fusebox.call.successful", lines),
              ElementsAre("fusebox.call.successful 95 c|code:OK" + tags));
  EXPECT_THAT(Of("fusebox.call.failed", lines),
              ElementsAre("fusebox.call.failed 1 c|code:UNAVAILABLE" + tags,
                          "fusebox.call.failed 1 c|code:other" + tags));
  EXPECT_THAT(Of("fusebox.call.time", lines), ::testing::SizeIs(3));

  calls->Record(0, milliseconds(10));
  const std::vector<std::string> next = Flush();
  EXPECT_THAT(Of("fusebox.call.successful", next),
              ElementsAre("fusebox.call.successful 1 c|code:OK" + tags));
  EXPECT_THAT(Of("fusebox.call.failed", next), IsEmpty());
  EXPECT_THAT(Of("fusebox.call.time", next), ::testing::SizeIs(1));
}

TEST_F(DogStatsdExporterTest, TimesAreWithinTheErrorAndAllOfThemThere) {
  Start();
  LatencyRecorder* const calls =
      registry_.PinMethod(Role::kServer, "", kMethod).calls;
  std::map<double, int> expected;
  double time = 1e-6;
  for (int times = 1; times <= 300; ++times) {
    for (int i = 0; i < times; ++i) {
      calls->Record(0, Duration(static_cast<std::int64_t>(time * 1e9)));
    }
    expected[static_cast<double>(static_cast<std::int64_t>(time * 1e9)) / 1e9] =
        times;
    time *= 1.05;  // wider than a bucket
  }
  now_ += options_.period;
  exporter_->Tick(now_);
  std::vector<std::pair<double, int>> found;
  for (const std::string& packet : server_.ReceiveAll()) {
    for (const DogStatsdLine& line : ReadDogStatsd(packet)) {
      if (line.type != "h") continue;
      EXPECT_EQ(line.name, "fusebox.call.time");
      found.emplace_back(line.value, static_cast<int>(1 / line.rate));
    }
  }
  ASSERT_EQ(found.size(), expected.size());
  std::sort(found.begin(), found.end());
  auto next = found.begin();
  for (const auto& [value, times] : expected) {
    EXPECT_NEAR(next->first, value, value / 128);
    EXPECT_EQ(next->second, times);
    ++next;
  }
}

TEST_F(DogStatsdExporterTest, PacketsAreFilledAndNotOverfilled) {
  Start();
  for (int i = 0; i < 20; ++i) {
    registry_.Pin(Role::kServer, "", "/pkg.S/M" + std::to_string(i));
  }
  now_ += options_.period;
  exporter_->Tick(now_);
  const std::vector<std::string> packets = server_.ReceiveAll();
  ASSERT_GT(packets.size(), 5U);
  for (std::size_t i = 0; i < packets.size(); ++i) {
    EXPECT_LE(packets[i].size(), 1432U);
    EXPECT_NE(packets[i].back(), '\n');
    if (i == 0) continue;
    // The line that begins this one did not fit into the one before.
    EXPECT_GT(packets[i - 1].size() + 1 + packets[i].find('\n'), 1432U);
  }
  EXPECT_EQ(exporter_->stats().packets_sent, packets.size());
}

TEST_F(DogStatsdExporterTest, ALineThatFitsIntoNoPacketIsDroppedAndCounted) {
  options_.max_packet_bytes = 64;
  options_.prefix = "";
  Start();
  Finish(Outcome::kOk);
  std::vector<std::string> lines = Flush();
  // 64 bytes: "breaker.window_calls:1|g|#method:pkg.S/M,role:server".
  EXPECT_THAT(lines, Contains("breaker.window_calls 1 g|"
                              "method:pkg.S/M,role:server"));
  EXPECT_THAT(Of("breaker.failure_ratio_threshold", lines), IsEmpty());
  const DogStatsdExporter::Stats stats = exporter_->stats();
  EXPECT_GT(stats.lines_dropped, 0U);
  EXPECT_EQ(stats.metrics, lines.size());
}

TEST_F(DogStatsdExporterTest, BreakersThatTurnMakeEvents) {
  Start();
  Finish(Outcome::kSystemError, 2);
  EXPECT_THAT(Now(), ElementsAre("pkg.S/M (server) turned bad: closed -> open|"
                                 "system_error_threshold, generation 2|error|"
                                 "method:pkg.S/M,role:server,state:open"));
  registry_.Reset(Role::kServer, "", kMethod);
  EXPECT_THAT(Now(), ElementsAre("pkg.S/M (server) turned good: open -> closed|"
                                 "reset, generation 3|success|"
                                 "method:pkg.S/M,role:server,state:closed"));
  registry_.Pin(Role::kClient, "x:1", "/pkg.S/N");
  registry_.Force(Role::kClient, "x:1", "/pkg.S/N", Override::kForcedOpen,
                  TimePoint::max());
  EXPECT_THAT(
      Now(),
      ElementsAre("pkg.S/N (client of x:1) turned bad: closed -> forced_open|"
                  "forced, generation 1|error|"
                  "method:pkg.S/N,role:client,state:forced_open,target:x:1"));
  EXPECT_EQ(exporter_->stats().events, 3U);
}

TEST_F(DogStatsdExporterTest, TransitionsThatAreNoTurnsMakeEventsOnlyIfAsked) {
  for (bool all : {false, true}) {
    options_.all_transitions = all;
    Start();
    registry_.Reset(Role::kServer, "", kMethod);
    Finish(Outcome::kSystemError, 2);
    registry_.Force(Role::kServer, "", kMethod, Override::kForcedOpen,
                    TimePoint::max());
    const std::vector<std::string> lines = Now();
    EXPECT_THAT(Of("pkg.S/M (server) turned bad", lines), ::testing::SizeIs(1));
    EXPECT_THAT(Of("pkg.S/M (server) changed: open -> forced_open", lines),
                ::testing::SizeIs(all ? 1 : 0));
    registry_.Release(Role::kServer, "", kMethod);
    registry_.Dispatch();
  }
}

TEST_F(DogStatsdExporterTest, ComponentsThatTurnMakeEvents) {
  Start();
  const auto listener = exporter_->ComponentListener();
  listener({"database", false, "no answer\nwithin 5s"});
  EXPECT_THAT(Now(), ElementsAre("component database turned bad|no answer\n"
                                 "within 5s|error|component:database"));
  listener({"database", true, "ping"});
  EXPECT_THAT(Now(), ElementsAre("component database turned good|ping|success|"
                                 "component:database"));
}

TEST_F(DogStatsdExporterTest, LongMessagesOfComponentsAreCut) {
  Start();
  exporter_->ComponentListener()({"database", false, std::string(5000, 'x')});
  now_ += seconds(1);
  exporter_->Tick(now_);
  const std::string packet = server_.Await();
  EXPECT_EQ(packet.size(), 1432U);
  EXPECT_THAT(Text(ReadDogStatsd(packet)[0]), HasSubstr("xxx|error|component"));
}

TEST_F(DogStatsdExporterTest, TheQueueOfEventsIsBounded) {
  options_.event_queue_capacity = 2;
  Start();
  const auto listener = exporter_->ComponentListener();
  for (const char* name : {"a", "b", "c", "d"}) listener({name, false, ""});
  EXPECT_THAT(Now(), ElementsAre("component a turned bad||error|component:a",
                                 "component b turned bad||error|component:b"));
  EXPECT_EQ(exporter_->stats().events_dropped, 2U);
  listener({"e", false, ""});
  EXPECT_EQ(Now().size(), 1U);
}

TEST_F(DogStatsdExporterTest, ListenersMayOutliveTheExporter) {
  Start();
  const auto listener = exporter_->ComponentListener();
  exporter_->Stop();
  listener({"a", false, ""});
  EXPECT_THAT(Now(), IsEmpty());
  exporter_.reset();
  listener({"a", false, ""});
  Finish(Outcome::kSystemError, 2);
  registry_.Dispatch();
}

TEST_F(DogStatsdExporterTest, EventsWaitForTheFirstLookUp) {
  exporter_ = std::make_unique<DogStatsdExporter>(options_, &registry_);
  ASSERT_TRUE(exporter_->Start().ok());
  exporter_->ComponentListener()({"a", false, ""});
  exporter_->Tick(now_);
  EXPECT_TRUE(TickUntil([this] { return exporter_->Tick(now_); },
                        [this] { return exporter_->stats().events == 1; }));
  EXPECT_THAT(server_.Await(), HasSubstr("component a turned bad"));
}

TEST_F(DogStatsdExporterTest, FlushesAreAtMultiplesOfThePeriod) {
  options_.period = seconds(10);
  Start();
  breaker();
  const auto flushed_at = [&](Duration after) {
    now_ = kStart + after;
    return !Now().empty();
  };
  EXPECT_FALSE(flushed_at(seconds(10) - Duration(1)));
  EXPECT_TRUE(flushed_at(seconds(10)));
  EXPECT_FALSE(flushed_at(seconds(20) - Duration(1)));
  EXPECT_TRUE(flushed_at(seconds(47)));
  EXPECT_FALSE(flushed_at(seconds(50) - Duration(1)));
  EXPECT_TRUE(flushed_at(seconds(50)));
}

TEST_F(DogStatsdExporterTest, AnAbsentServerCostsOnlyWhatItMisses) {
  options_.address = "127.0.0.1:" + std::to_string(DatagramReceiver().port());
  Start();
  for (int i = 0; i < 5; ++i) {
    Finish(Outcome::kOk);
    Flush();
  }
  const DogStatsdExporter::Stats stats = exporter_->stats();
  EXPECT_GT(stats.errors, 0U);
  EXPECT_GT(stats.metrics, 0U);
  EXPECT_EQ(stats.last_error, "send: Connection refused");
}

TEST_F(DogStatsdExporterTest, WorksOnAThreadOfItsOwnUntilStopped) {
  options_.start_thread = true;
  exporter_ = std::make_unique<DogStatsdExporter>(options_, &registry_);
  ASSERT_TRUE(exporter_->Start().ok());
  Finish(Outcome::kSystemError, 2);
  registry_.Dispatch();
  EXPECT_THAT(server_.Await(), HasSubstr("turned bad"));
  exporter_->Stop();
  EXPECT_THAT(server_.Await(), HasSubstr("breaker.calls:2|c|"));
  exporter_->Stop();
}

TEST_F(DogStatsdExporterTest, StopSendsWhatCameSinceTheLastPeriod) {
  Start();
  Finish(Outcome::kOk, 3);
  Flush();
  Finish(Outcome::kOk, 2);
  exporter_->ComponentListener()({"a", false, ""});
  exporter_->Stop();
  std::vector<std::string> lines;
  for (const std::string& packet : server_.ReceiveAll()) {
    for (const DogStatsdLine& line : ReadDogStatsd(packet)) {
      lines.push_back(Text(line));
    }
  }
  EXPECT_THAT(lines, Contains("component a turned bad||error|component:a"));
  EXPECT_THAT(Of("fusebox.breaker.calls ", lines),
              ElementsAre("fusebox.breaker.calls 2 c|"
                          "method:pkg.S/M,outcome:ok,role:server"));
  const std::uint64_t sent = exporter_->stats().metrics;
  Finish(Outcome::kOk);
  exporter_->Stop();
  EXPECT_EQ(exporter_->stats().metrics, sent);
}

TEST_F(DogStatsdExporterTest, StopsWhileANameServerHangs) {
  struct Gate {
    std::mutex mu;
    std::condition_variable changed;
    bool open = false;
  };
  const auto gate = std::make_shared<Gate>();
  options_.look_up = [gate](const HostPort&) {
    std::unique_lock<std::mutex> lock(gate->mu);
    gate->changed.wait(lock, [&] { return gate->open; });
    return LookupResult();
  };
  options_.start_thread = true;
  exporter_ = std::make_unique<DogStatsdExporter>(options_, &registry_);
  ASSERT_TRUE(exporter_->Start().ok());
  exporter_->Stop();
  const std::lock_guard<std::mutex> lock(gate->mu);
  gate->open = true;
  gate->changed.notify_all();
}

TEST_F(DogStatsdExporterTest, BadOptionsAreNamedWithValueAndRange) {
  const auto error = [&](const DogStatsdOptions& options) {
    DogStatsdExporter exporter(options, &registry_);
    const absl::Status status = exporter.Start();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  DogStatsdOptions options;
  options.address = "unix:";
  EXPECT_EQ(error(options),
            "address: 'unix:' is not valid: HOST or HOST:PORT, ports "
            "[1, 65535], or unix:PATH, paths of [1, 107] bytes");
  options = DogStatsdOptions();
  options.period = milliseconds(999);
  EXPECT_EQ(error(options), "period: 999ms is out of range [1s, 3600s]");
  options = DogStatsdOptions();
  options.lookup_period = seconds(86401);
  EXPECT_EQ(error(options),
            "lookup_period: 86401s is out of range [1s, 86400s]");
  options = DogStatsdOptions();
  options.max_packet_bytes = 63;
  EXPECT_EQ(error(options), "max_packet_bytes: 63 is out of range [64, 65507]");
  options = DogStatsdOptions();
  options.event_queue_capacity = 0;
  EXPECT_EQ(error(options),
            "event_queue_capacity: 0 is out of range [1, 1000000]");
}

}  // namespace
}  // namespace fusebox
