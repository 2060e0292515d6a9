#include "interceptor/export/graphite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "interceptor/export/loopback_testing.h"

namespace fusebox {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr TimePoint kStart{hours(1)};

GraphiteOptions OptionsFor(const TcpListener& carbon) {
  GraphiteOptions options;
  options.address = carbon.address();
  options.wall_clock = [] { return std::time_t{1700000000}; };
  options.rules.Allow("*");
  options.start_thread = false;
  return options;
}

GraphiteSource Always(std::vector<GraphiteValue> values) {
  return [values = std::move(values)] { return values; };
}

// What the next connection brings.
template <class Tick>
std::string Received(TcpListener& carbon, Tick tick) {
  std::optional<FileDescriptor> connection;
  std::string text;
  EXPECT_TRUE(TickUntil(tick, [&] {
    if (!connection.has_value()) connection = carbon.Accept();
    return connection.has_value() && ReadToEnd(*connection, text);
  }));
  return text;
}

// The same for an exporter at `now`, until it knows that all was read.
std::string Received(TcpListener& carbon, GraphiteExporter& graphite,
                     TimePoint now = kStart) {
  const std::uint64_t before = graphite.stats().lines_sent;
  const auto tick = [&] { return graphite.Tick(now); };
  std::string text = Received(carbon, tick);
  EXPECT_TRUE(
      TickUntil(tick, [&] { return graphite.stats().lines_sent > before; }));
  return text;
}

TEST(GraphiteExporterTest, SendsALineForEachValue) {
  TcpListener carbon;
  GraphiteExporter graphite(OptionsFor(carbon),
                            Always({{{"server", "pkg.S", "Say Hello"}, 0.00123},
                                    {{" a/b "}, -3},
                                    {{"pi"}, 3.141592653589793}}));
  ASSERT_TRUE(graphite.Start().ok());
  EXPECT_EQ(Received(carbon, graphite),
            "fusebox.server.pkg-S.Say-Hello 0.00123 1700000000\n"
            "fusebox.a_b -3 1700000000\n"
            "fusebox.pi 3.141592653589793 1700000000\n");
  EXPECT_EQ(graphite.stats().rounds, 1U);
  EXPECT_EQ(graphite.stats().lines_sent, 3U);
}

TEST(GraphiteExporterTest, ThePrefixMayHavePartsOrBeEmpty) {
  for (const auto& [prefix, path] : std::map<std::string, std::string>{
           {"prod.web 1", "prod.web-1.a"}, {"", "a"}}) {
    TcpListener carbon;
    GraphiteOptions options = OptionsFor(carbon);
    options.prefix = prefix;
    GraphiteExporter graphite(options, Always({{{"a"}, 1}}));
    ASSERT_TRUE(graphite.Start().ok());
    EXPECT_EQ(Received(carbon, graphite), path + " 1 1700000000\n");
  }
}

TEST(GraphiteExporterTest, NothingIsSentWithoutARule) {
  TcpListener carbon;
  GraphiteOptions options = OptionsFor(carbon);
  options.rules = GraphiteRules();
  GraphiteExporter graphite(options, Always({{{"a"}, 1}, {{"b"}, 2}}));
  ASSERT_TRUE(graphite.Start().ok());
  EXPECT_LT(graphite.Tick(kStart).fd, 0);
  EXPECT_EQ(graphite.stats().rounds, 1U);
  EXPECT_EQ(graphite.stats().forbidden, 2U);
}

TEST(GraphiteExporterTest, RulesLookAtPathsWithoutThePrefix) {
  TcpListener carbon;
  GraphiteOptions options = OptionsFor(carbon);
  options.rules.Forbid("fusebox");
  options.rules.Forbid("b");
  GraphiteExporter graphite(options, Always({{{"a"}, 1}, {{"b"}, 2}}));
  ASSERT_TRUE(graphite.Start().ok());
  EXPECT_EQ(Received(carbon, graphite), "fusebox.a 1 1700000000\n");
  EXPECT_EQ(graphite.stats().forbidden, 1U);
}

TEST(GraphiteExporterTest, WhatIsNoNumberIsLeftOut) {
  using Limits = std::numeric_limits<double>;
  TcpListener carbon;
  GraphiteExporter graphite(OptionsFor(carbon),
                            Always({{{"a"}, Limits::quiet_NaN()},
                                    {{"b"}, Limits::infinity()},
                                    {{"c"}, -Limits::infinity()},
                                    {{"d"}, 4}}));
  ASSERT_TRUE(graphite.Start().ok());
  EXPECT_EQ(Received(carbon, graphite), "fusebox.d 4 1700000000\n");
  EXPECT_EQ(graphite.stats().not_numbers, 3U);
}

TEST(GraphiteExporterTest, ASourceThatThrowsCostsOneRound) {
  TcpListener carbon;
  int asked = 0;
  GraphiteExporter graphite(OptionsFor(carbon), [&] {
    if (++asked == 1) throw std::runtime_error("no");
    return std::vector<GraphiteValue>{{{"a"}, 1}};
  });
  ASSERT_TRUE(graphite.Start().ok());
  EXPECT_EQ(graphite.Tick(kStart).until, kStart + seconds(60));
  EXPECT_EQ(graphite.stats().source_errors, 1U);
  EXPECT_EQ(Received(carbon, graphite, kStart + seconds(60)),
            "fusebox.a 1 1700000000\n");
}

TEST(GraphiteExporterTest, RoundsAreAtMultiplesOfThePeriod) {
  TcpListener carbon;
  GraphiteOptions options = OptionsFor(carbon);
  options.period = seconds(10);
  GraphiteExporter graphite(options, Always({}));
  ASSERT_TRUE(graphite.Start().ok());
  const auto rounds_at = [&](Duration after) {
    EXPECT_EQ(
        graphite.Tick(kStart + after).until.time_since_epoch() % seconds(10),
        Duration::zero());
    return graphite.stats().rounds;
  };
  EXPECT_EQ(rounds_at(seconds(0)), 1U);
  EXPECT_EQ(rounds_at(seconds(10) - Duration(1)), 1U);
  EXPECT_EQ(rounds_at(seconds(10)), 2U);
  EXPECT_EQ(rounds_at(seconds(23)), 3U);
  EXPECT_EQ(rounds_at(seconds(30)), 4U);
  // Late by several periods: one round.
  EXPECT_EQ(rounds_at(seconds(75)), 5U);
  EXPECT_EQ(rounds_at(seconds(80) - Duration(1)), 5U);
  EXPECT_EQ(rounds_at(seconds(80)), 6U);
}

RegistryOptions QuietOptions() {
  RegistryOptions options;
  options.settings.min_requests = 1;
  options.start_dispatcher = false;
  options.log = [](const std::string&) {};
  return options;
}

TEST(GraphiteExporterTest, BreakersHavePathsOfTheirOwn) {
  BreakerRegistry breakers(QuietOptions());
  CircuitBreaker& hello = breakers.Pin(Role::kServer, "", "/pkg.S/Hello");
  hello.Admit(FineNow()).permit.Finish(Outcome::kOk, FineNow());
  hello.Admit(FineNow()).permit.Finish(Outcome::kTimeout, FineNow());
  const auto held = breakers.Pin(Role::kClient, "dns:///orders:443", "/pkg.O/M")
                        .Admit(FineNow());

  TcpListener carbon;
  GraphiteOptions options = OptionsFor(carbon);
  options.rules = GraphiteRules();
  options.rules.Allow("server.pkg-S.Hello.calls");
  options.rules.Allow("server.pkg-S.Hello.state.*");
  options.rules.Allow("server.*.failure_ratio*");
  options.rules.Allow("client.*.calls_in_flight");
  GraphiteExporter graphite(options, BreakersForGraphite(&breakers));
  ASSERT_TRUE(graphite.Start().ok());
  std::istringstream lines(Received(carbon, graphite));
  std::map<std::string, std::string> values;
  std::string path;
  std::string value;
  std::string time;
  while (lines >> path >> value >> time) values[path] = value;
  const std::string base = "fusebox.server.pkg-S.Hello.";
  EXPECT_THAT(
      values,
      UnorderedElementsAre(
          Pair(base + "calls.ok", "1"), Pair(base + "calls.user_error", "0"),
          Pair(base + "calls.timeout", "1"),
          Pair(base + "calls.system_error", "0"),
          Pair(base + "calls.unknown_error", "0"),
          Pair(base + "calls.ignored", "0"), Pair(base + "state.closed", "0"),
          Pair(base + "state.open", "1"), Pair(base + "state.half_open", "0"),
          Pair(base + "state.forced_open", "0"),
          Pair(base + "state.forced_closed", "0"),
          Pair(base + "failure_ratio", "0.5"),
          Pair(base + "failure_ratio_threshold", "0.5"),
          Pair("fusebox.client.dns:___orders:443.pkg-O.M.calls_in_flight",
               "1")));
}

TEST(GraphiteExporterTest, TheOverflowBreakerHasNoService) {
  RegistryOptions registry_options = QuietOptions();
  registry_options.max_breakers = 1;
  BreakerRegistry breakers(registry_options);
  const auto scope = breakers.Scope(Role::kClient, "x");
  scope->Find("/pkg.S/A");
  scope->Find("/pkg.S/B").Admit(FineNow()).permit = Permit();
  TcpListener carbon;
  GraphiteOptions options = OptionsFor(carbon);
  options.rules = GraphiteRules();
  options.rules.Allow("*.state.closed");
  GraphiteExporter graphite(options, BreakersForGraphite(&breakers));
  ASSERT_TRUE(graphite.Start().ok());
  EXPECT_EQ(Received(carbon, graphite),
            "fusebox.client.x.pkg-S.A.state.closed 1 1700000000\n"
            "fusebox.client.other.state.closed 1 1700000000\n");
}

TEST(GraphiteExporterTest, WorksOnAThreadOfItsOwnUntilStopped) {
  TcpListener carbon;
  GraphiteOptions options = OptionsFor(carbon);
  options.start_thread = true;
  GraphiteExporter graphite(options, Always({{{"a"}, 1}}));
  ASSERT_TRUE(graphite.Start().ok());
  EXPECT_EQ(Received(carbon, [] { return Awaited(); }),
            "fusebox.a 1 1700000000\n");
  EXPECT_TRUE(TickUntil([] { return Awaited(); },
                        [&] { return graphite.stats().lines_sent == 1; }));
  graphite.Stop();
  graphite.Stop();
}

TEST(GraphiteExporterTest, SendsALastRoundWhenItIsStopped) {
  TcpListener carbon;
  GraphiteOptions options = OptionsFor(carbon);
  options.start_thread = true;
  options.stop_timeout = hours(1);
  std::atomic<double> value = 1;
  GraphiteExporter graphite(options, [&] {
    return std::vector<GraphiteValue>{{{"a"}, value}};
  });
  ASSERT_TRUE(graphite.Start().ok());
  EXPECT_EQ(Received(carbon, [] { return Awaited(); }),
            "fusebox.a 1 1700000000\n");
  value = 2;
  std::thread stopping([&] { graphite.Stop(); });
  EXPECT_EQ(Received(carbon, [] { return Awaited(); }),
            "fusebox.a 2 1700000000\n");
  stopping.join();
  EXPECT_EQ(graphite.stats().lines_sent, 2U);
}

// An attempt that failed leaves a wait of an hour behind.
TEST(GraphiteExporterTest, TheLastRoundDoesNotWaitForARetry) {
  TcpListener carbon;
  GraphiteOptions options = OptionsFor(carbon);
  options.start_thread = true;
  options.min_retry = options.max_retry = options.stop_timeout = hours(1);
  GraphiteExporter graphite(options, Always({{{"a"}, 1}}));
  ASSERT_TRUE(graphite.Start().ok());
  EXPECT_TRUE(TickUntil([] { return Awaited(); },
                        [&] {
                          if (auto connection = carbon.Accept()) {
                            Abort(*connection);
                          }
                          return graphite.stats().failed_attempts == 1;
                        }));
  std::thread stopping([&] { graphite.Stop(); });
  EXPECT_EQ(Received(carbon, [] { return Awaited(); }),
            "fusebox.a 1 1700000000\nfusebox.a 1 1700000000\n");
  stopping.join();
}

TEST(GraphiteExporterTest, ThereNeedBeNoLastRound) {
  TcpListener carbon;
  GraphiteOptions options = OptionsFor(carbon);
  options.start_thread = true;
  options.stop_timeout = Duration::zero();
  GraphiteExporter graphite(options, Always({{{"a"}, 1}}));
  ASSERT_TRUE(graphite.Start().ok());
  EXPECT_TRUE(TickUntil([] { return Awaited(); },
                        [&] { return graphite.stats().rounds == 1; }));
  graphite.Stop();
  EXPECT_EQ(graphite.stats().rounds, 1U);
}

TEST(GraphiteExporterTest, StopsWhileCarbonHangs) {
  TcpListener carbon;
  GraphiteOptions options = OptionsFor(carbon);
  options.start_thread = true;
  options.timeout = hours(1);
  options.stop_timeout = milliseconds(1);
  GraphiteExporter graphite(options, Always({{{"a"}, 1}}));
  ASSERT_TRUE(graphite.Start().ok());
  std::optional<FileDescriptor> connection;
  EXPECT_TRUE(TickUntil([] { return Awaited(); },
                        [&] {
                          connection = carbon.Accept();
                          return connection.has_value();
                        }));
  graphite.Stop();  // not after an hour
  EXPECT_EQ(graphite.stats().lines_sent, 0U);
}

std::string StartError(GraphiteOptions options) {
  GraphiteExporter graphite(std::move(options), Always({}));
  const absl::Status status = graphite.Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(GraphiteExporterTest, BadOptionsAreNamedWithValueAndRange) {
  GraphiteOptions options;
  options.address = "carbon:0";
  EXPECT_EQ(StartError(options),
            "address: 'carbon:0' is not valid: HOST or HOST:PORT, ports "
            "[1, 65535]");
  options = GraphiteOptions();
  options.period = milliseconds(999);
  EXPECT_EQ(StartError(options), "period: 999ms is out of range [1s, 86400s]");
  options = GraphiteOptions();
  options.timeout = milliseconds(9);
  EXPECT_EQ(StartError(options), "timeout: 9ms is out of range [10ms, 3600s]");
  options = GraphiteOptions();
  options.max_retry = hours(2);
  EXPECT_EQ(StartError(options),
            "max_retry: 7200s is out of range [10ms, 3600s]");
  options = GraphiteOptions();
  options.min_retry = seconds(61);
  EXPECT_THAT(StartError(options), HasSubstr("min_retry: "));
  options = GraphiteOptions();
  options.max_buffered_bytes = 1023;
  EXPECT_EQ(StartError(options),
            "max_buffered_bytes: 1023 is out of range [1024, 1073741824]");
  options = GraphiteOptions();
  options.stop_timeout = hours(2);
  EXPECT_EQ(StartError(options),
            "stop_timeout: 7200s is out of range [0s, 3600s]");
}

}  // namespace
}  // namespace fusebox
