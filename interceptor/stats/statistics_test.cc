#include "interceptor/stats/statistics.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

std::atomic<std::int64_t> simulated_ns{0};

TimePoint SimulatedNow() { return TimePoint(Duration(simulated_ns.load())); }
void Advance(Duration by) { simulated_ns += by.count(); }

// The tree without what every tree has.
std::string Json(Statistics& statistics) {
  StatValue tree = statistics.Read();
  tree.erase("statistics");
  return tree.dump();
}

template <typename Add>
std::string Refusal(const Add& add) {
  try {
    add();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "";
}

TEST(StatisticsTest, WithoutStatisticsTheTreeKnowsOfItself) {
  Statistics statistics;
  EXPECT_EQ(statistics.Read().dump(), R"({"statistics":{"failed_gauges":0}})");
}

TEST(StatisticsTest, EveryKindHasItsForm) {
  simulated_ns = 1'000'000'000'000;
  Statistics statistics(&SimulatedNow);
  statistics.Integer("/a/integer").Add(-2);
  statistics.Double("/a/double").Add(0.5);
  statistics.String("/a/string").Set("text");
  statistics.Map("/b/map").Add("key", 3);
  statistics.Meter("/b/meter", "jobs").Mark(15);
  for (const int value : {4, 3, 1, 2}) {
    statistics.Distribution("/b/distribution").Add(value);
  }
  statistics.State("/b/state").Enter("idle");
  Advance(milliseconds(4500));
  statistics.State("/b/state").Enter("busy");
  Advance(milliseconds(500));
  statistics.Gauge("/b/gauge", [] { return 1.5; });
  EXPECT_EQ(
      Json(statistics),
      R"({"a":{"double":0.5,"integer":-2,"string":"text"},)"
      R"("b":{"distribution":{"count":4,"min":1.0,"max":4.0,"mean":2.5,)"
      R"("stddev":1.2909944487358054,"median":2.5,"75percentile":3.75,)"
      R"("95percentile":4.0,"98percentile":4.0,"99percentile":4.0,)"
      R"("999percentile":4.0},"gauge":1.5,"map":{"key":3},)"
      R"("meter":{"unit":"jobs/s","count":15,"m1":3.0,"m5":3.0,"m15":3.0},)"
      R"("state":{"state":"busy","seconds":{"busy":0.5,"idle":4.5}}}})");
}

TEST(StatisticsTest, WithoutValuesEveryKindHasItsForm) {
  Statistics statistics;
  statistics.Integer("/integer");
  statistics.Double("/double");
  statistics.String("/string");
  statistics.Map("/map");
  statistics.Distribution("/distribution");
  statistics.State("/state");
  statistics.Sum("/sum");
  statistics.CountByValue("/values");
  EXPECT_EQ(Json(statistics),
            R"({"distribution":{"count":0,"min":null,"max":null,"mean":null,)"
            R"("stddev":null,"median":null,"75percentile":null,)"
            R"("95percentile":null,"98percentile":null,"99percentile":null,)"
            R"("999percentile":null},"double":0.0,"integer":0,"map":{},)"
            R"("state":null,"string":"","sum":0,"values":{}})");
}

TEST(StatisticsTest, APathIsFoundAgain) {
  Statistics statistics;
  IntegerStat& hits = statistics.Integer("/cache/hits");
  EXPECT_EQ(&statistics.Integer("/cache/hits"), &hits);
  EXPECT_NE(&statistics.Integer("/cache/misses"), &hits);
  hits.Set(7);
  EXPECT_EQ(statistics.Integer("/cache/hits").Value(), 7);
  // The first unit stays.
  statistics.Meter("/m", "a");
  EXPECT_EQ(statistics.Meter("/m", "b").unit(), "a/s");
}

TEST(StatisticsTest, PathsThatAreNoneAreRefused) {
  Statistics statistics;
  for (const char* path :
       {"", "hits", "cache/hits", "//", "/cache/", "/cache//hits", "//hits"}) {
    EXPECT_EQ(Refusal([&] { statistics.Integer(path); }),
              "path: '" + std::string(path) +
                  "' is not valid: \"/name\", once or more often");
  }
  EXPECT_EQ(Refusal([&] { statistics.Integer("/"); }), "path: '/' has no name");
}

TEST(StatisticsTest, APathHasOneStatistic) {
  Statistics statistics;
  statistics.Integer("/a/b");
  statistics.Gauge("/gauge", [] { return 0.0; });
  statistics.View("/view", [] { return StatValue::object(); });
  EXPECT_EQ(Refusal([&] { statistics.Double("/a/b"); }),
            "path: '/a/b' is taken");
  EXPECT_EQ(Refusal([&] { statistics.Sum("/a/b"); }), "path: '/a/b' is taken");
  EXPECT_EQ(Refusal([&] { statistics.View("/a/b", [] { return 1; }); }),
            "path: '/a/b' is taken");
  EXPECT_EQ(Refusal([&] { statistics.Gauge("/gauge", [] { return 0.0; }); }),
            "path: '/gauge' is taken");
  EXPECT_EQ(Refusal([&] { statistics.View("/view", [] { return 1; }); }),
            "path: '/view' is taken");
  EXPECT_EQ(Refusal([&] { statistics.Integer("/a"); }),
            "path: '/a' has statistics below it");
  EXPECT_EQ(Refusal([&] { statistics.Integer("/a/b/c/d"); }),
            "path: '/a/b/c/d' is below another statistic");
  EXPECT_EQ(Refusal([&] { statistics.Integer("/gauge/x"); }),
            "path: '/gauge/x' is below another statistic");
  // A name that only begins like another is not below it.
  statistics.Integer("/a/bb");
  statistics.Integer("/view/x");
  statistics.View("/a", [] { return StatValue::object(); });
}

TEST(StatisticsTest, NoFunctionIsRefused) {
  Statistics statistics;
  EXPECT_EQ(Refusal([&] { statistics.Gauge("/g", nullptr); }),
            "path: '/g': no function");
  EXPECT_EQ(Refusal([&] { statistics.View("/g", nullptr); }),
            "path: '/g': no function");
}

TEST(StatisticsTest, AGaugeThatThrowsIsNullAndCounted) {
  Statistics statistics;
  statistics.Gauge("/throws",
                   []() -> double { throw std::runtime_error("no"); });
  statistics.View("/view", []() -> StatValue { throw 1; });
  // Behind "statistics": what they add is in the same page.
  statistics.Gauge("/zero", [] { return 0.0; });
  EXPECT_EQ(statistics.Read().dump(),
            R"({"statistics":{"failed_gauges":2},"throws":null,"view":null,)"
            R"("zero":0.0})");
  EXPECT_EQ(statistics.Read()["statistics"]["failed_gauges"], 4);
}

TEST(StatisticsTest, NumbersThatAreNotFiniteAreNull) {
  Statistics statistics;
  statistics.Gauge("/nan",
                   [] { return std::numeric_limits<double>::quiet_NaN(); });
  statistics.Double("/infinite").Set(std::numeric_limits<double>::infinity());
  statistics.View("/view", [] {
    return StatValue{{"list", {1, -std::numeric_limits<double>::infinity()}}};
  });
  for (const double value : {std::numeric_limits<double>::max(),
                             -std::numeric_limits<double>::max()}) {
    statistics.Distribution("/wide").Add(value);
  }
  const StatValue tree = statistics.Read();
  EXPECT_TRUE(tree["nan"].is_null());
  EXPECT_TRUE(tree["infinite"].is_null());
  EXPECT_EQ(tree["view"].dump(), R"({"list":[1,null]})");
  EXPECT_EQ(tree["wide"]["max"], std::numeric_limits<double>::max());
  EXPECT_TRUE(tree["wide"]["stddev"].is_null());
}

TEST(StatisticsTest, RemovedFunctionsAreNotCalledAgain) {
  Statistics statistics;
  int calls = 0;
  statistics.Gauge("/g", [&calls] { return static_cast<double>(++calls); });
  statistics.View("/", [] { return StatValue{{"x", 1}}; });
  statistics.Integer("/i");
  EXPECT_EQ(Json(statistics), R"({"g":1.0,"i":0,"x":1})");
  EXPECT_TRUE(statistics.Remove("/g"));
  EXPECT_TRUE(statistics.Remove("/"));
  EXPECT_EQ(Json(statistics), R"({"i":0})");
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(statistics.Remove("/g"));
  EXPECT_FALSE(statistics.Remove("/i"));
  statistics.Integer("/g/h");  // the place is free
}

TEST(StatisticsTest, RemoveWaitsForTheCallUnderWay) {
  Statistics statistics;
  std::atomic<bool> entered{false};
  std::atomic<bool> leave{false};
  std::atomic<bool> left{false};
  statistics.Gauge("/g", [&] {
    entered = true;
    while (!leave) std::this_thread::yield();
    left = true;
    return 0.0;
  });
  std::thread reader([&] { statistics.Read(); });
  while (!entered) std::this_thread::yield();
  std::thread remover([&] {
    EXPECT_TRUE(statistics.Remove("/g"));
    EXPECT_TRUE(left);
  });
  // Others go on meanwhile.
  statistics.Integer("/i").Add();
  leave = true;
  remover.join();
  reader.join();
}

TEST(StatisticsTest, ViewsGoWithWhatOthersAdd) {
  Statistics statistics;
  statistics.View("/", [] {
    return StatValue{{"calls", 5}, {"method", {{"M", {{"calls", 5}}}}}};
  });
  statistics.Integer("/method/M/hits").Set(1);
  statistics.Integer("/method/N/hits").Set(2);
  statistics.Integer("/own").Set(3);
  EXPECT_EQ(Json(statistics),
            R"({"method":{"M":{"hits":1,"calls":5},"N":{"hits":2}},"own":3,)"
            R"("calls":5})");
  statistics.Integer("/calls").Set(9);  // stands before the view's
  EXPECT_EQ(statistics.Read()["calls"], 9);
}

TEST(StatisticsTest, ViewsNeedNotBeObjects) {
  Statistics statistics;
  statistics.View("/list", [] { return StatValue{1, 2}; });
  statistics.View("/odd", [] { return "text"; });
  statistics.Integer("/odd/i");
  EXPECT_EQ(Json(statistics), R"({"list":[1,2],"odd":{"i":0}})");
}

TEST(StatisticsTest, SumsAreOfTheNearestBelow) {
  Statistics statistics;
  statistics.Sum("/w/jobs");
  statistics.Sum("/w/b/jobs");
  statistics.Integer("/w/a/jobs").Set(1);
  statistics.Integer("/w/a/deep/jobs").Set(100);  // behind /w/a/jobs
  statistics.Integer("/w/b/c/jobs").Set(2);
  statistics.Integer("/w/b/d/e/jobs").Set(3);
  statistics.String("/w/b/f/jobs").Set("no number");
  EXPECT_EQ(statistics.Read()["w"]["b"]["jobs"], 5);
  EXPECT_EQ(statistics.Read()["w"]["jobs"], 6);
  EXPECT_TRUE(statistics.Read()["w"]["jobs"].is_number_integer());
  statistics.Gauge("/w/g/jobs", [] { return 0.5; });
  EXPECT_EQ(statistics.Read()["w"]["jobs"], 6.5);
}

TEST(StatisticsTest, SumsSideBySideDoNotCountEachOther) {
  Statistics statistics;
  statistics.Sum("/a");
  statistics.Sum("/b");
  statistics.Integer("/x/a").Set(1);
  statistics.Integer("/x/b").Set(2);
  EXPECT_EQ(Json(statistics), R"({"x":{"a":1,"b":2},"a":1,"b":2})");
}

TEST(StatisticsTest, SumsWrapAroundAsIntegersDo) {
  Statistics statistics;
  statistics.Sum("/n");
  statistics.Integer("/a/n").Set(std::numeric_limits<std::int64_t>::max());
  statistics.Integer("/b/n").Set(1);
  EXPECT_EQ(statistics.Read()["n"], std::numeric_limits<std::int64_t>::min());
}

TEST(StatisticsTest, ValuesAreCountedAndCountsAddedUp) {
  Statistics statistics;
  statistics.CountByValue("/state");
  statistics.CountByValue("/pool/state");
  statistics.String("/pool/a/state").Set("busy");
  statistics.String("/pool/b/state").Set("idle");
  statistics.String("/pool/c/state").Set("busy");
  statistics.String("/spare/state").Set("idle");
  statistics.Integer("/number/state").Set(5);
  statistics.Gauge("/none/state", []() -> double { throw 1; });
  const StatValue tree = statistics.Read();
  EXPECT_EQ(tree["pool"]["state"].dump(), R"({"busy":2,"idle":1})");
  EXPECT_EQ(tree["state"].dump(), R"({"5":1,"busy":2,"idle":2})");
}

TEST(StatisticsTest, HostileNamesAndTextsAreValidAndKeptApart) {
  Statistics statistics;
  statistics.Map("/m").Add("\xff", 1);
  statistics.Map("/m").Add("\xfe", 2);
  statistics.Map("/m").Add(std::string("\0\n<b>\"", 6), 3);
  statistics.Map("/m").Add("", 4);
  statistics.Map("/m").Add("\xc3\xa4", 5);
  statistics.String("/s").Set("\xed\xa0\x80 \xc0\xaf");
  const std::string json = statistics.Read().dump();  // throws if not valid
  const auto reread = nlohmann::json::parse(json);
  EXPECT_EQ(reread["m"].size(), 5u);
  EXPECT_EQ(reread["m"]["\xef\xbf\xbd"], 2);  // in the order of the bytes
  EXPECT_EQ(reread["m"]["\xef\xbf\xbd (2)"], 1);
  EXPECT_EQ(reread["m"][std::string("\0\n<b>\"", 6)], 3);
  EXPECT_EQ(reread["m"][""], 4);
  EXPECT_EQ(reread["m"]["\xc3\xa4"], 5);
  EXPECT_THAT(reread["s"].get<std::string>(), HasSubstr("\xef\xbf\xbd"));
}

TEST(MapStatTest, KeysAreBounded) {
  MapStat map;
  for (std::size_t i = 0; i < MapStat::kMaxKeys + 5; ++i) {
    map.Add(std::to_string(i));
  }
  map.Add("0");
  const auto values = map.Values();
  EXPECT_EQ(values.size(), MapStat::kMaxKeys + 1);
  EXPECT_EQ(values.at("0"), 2);
  EXPECT_EQ(values.at("other"), 5);
}

TEST(StateStatTest, StatesAreBounded) {
  simulated_ns = 0;
  StateStat state(&SimulatedNow);
  for (std::size_t i = 0; i < StateStat::kMaxStates + 5; ++i) {
    state.Enter(std::to_string(i));
    Advance(seconds(1));
  }
  const StateStat::Times times = state.Read();
  EXPECT_EQ(times.spent.size(), StateStat::kMaxStates + 1);
  EXPECT_EQ(times.spent.at("0"), seconds(1));
  EXPECT_EQ(times.state, "other");
  EXPECT_EQ(times.spent.at("other"), seconds(5));
}

TEST(StateStatTest, TheSameStateAgainGoesOn) {
  simulated_ns = 0;
  StateStat state(&SimulatedNow);
  state.Enter("busy");
  Advance(seconds(2));
  state.Enter("busy");
  Advance(seconds(3));
  EXPECT_EQ(state.Read().spent.at("busy"), seconds(5));
}

// Threads make, find, change and read; at the end nothing is missing.
TEST(StatisticsTest, TotalsAreExactWhateverIsGoingOn) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 2000;
  Statistics statistics;
  statistics.Sum("/jobs");
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      std::int64_t last = 0;
      do {
        const StatValue tree = statistics.Read();
        const auto sum = tree["jobs"].get<std::int64_t>();
        EXPECT_GE(sum, last);
        last = sum;
      } while (!stop);
    });
  }
  std::vector<std::thread> writers;
  for (int t = 0; t < kThreads; ++t) {
    writers.emplace_back([&statistics, t] {
      const std::string own = "/gauge" + std::to_string(t);
      IntegerStat& kept = statistics.Integer("/kept/jobs");
      for (int i = 0; i < kRounds; ++i) {
        kept.Add();
        const std::string place = "/" + std::to_string(i % 10);
        statistics.Integer(place + "/jobs").Add(2);
        statistics.Double("/double").Add(0.5);
        statistics.Map("/map").Add(std::to_string(i % 7));
        statistics.Meter("/meter", "x").Mark();
        statistics.Distribution("/distribution").Add(i);
        statistics.State("/state").Enter(i % 2 == 0 ? "a" : "b");
        statistics.String("/string").Set(place);
        if (i % 100 == 0) {
          statistics.Gauge(own, [] { return 1.0; });
          EXPECT_TRUE(statistics.Remove(own));
        }
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  stop = true;
  for (std::thread& reader : readers) reader.join();
  const StatValue tree = statistics.Read();
  constexpr int kAll = kThreads * kRounds;
  EXPECT_EQ(tree["kept"]["jobs"], kAll);
  EXPECT_EQ(tree["jobs"], 3 * kAll);
  EXPECT_EQ(tree["double"], 0.5 * kAll);
  EXPECT_EQ(tree["meter"]["count"], kAll);
  EXPECT_EQ(tree["distribution"]["count"], kAll);
  EXPECT_NEAR(tree["distribution"]["mean"].get<double>(), (kRounds - 1) / 2.0,
              1e-9 * kRounds);
  int in_map = 0;
  for (const auto& [key, value] : tree["map"].items()) {
    in_map += value.get<int>();
  }
  EXPECT_EQ(in_map, kAll);
}

}  // namespace
}  // namespace fusebox
