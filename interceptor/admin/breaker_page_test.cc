#include "interceptor/admin/breaker_page.h"

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/admin/operator_acts.h"
#include "interceptor/admin/transition_history.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/http/http_server.h"
#include "interceptor/http/testing/raw_client.h"

namespace fusebox {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Json = nlohmann::ordered_json;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr char kLookup[] = "/orders.v1.Orders/Lookup";

std::atomic<std::int64_t> now_ns;
TimePoint Now() { return TimePoint(Duration(now_ns)); }

using Headers = std::map<std::string, std::string>;

// What the page sends with an act.
Headers GoodHeaders() {
  return {{"Host", "localhost:8080"},
          {"Origin", "http://localhost:8080"},
          {"Content-Type", "application/json"},
          {"X-Fusebox-Act", "force-open"}};
}

class BreakerPageTest : public ::testing::Test {
 protected:
  BreakerPageTest()
      : registry_(Options()),
        history_(
            &registry_,
            [] {
              return std::chrono::system_clock::time_point(seconds(1600000000));
            }),
        acts_(&registry_, &history_,
              [this](const std::string& line) { log_.push_back(line); }) {}

  static RegistryOptions Options() {
    now_ns = Duration(hours(1)).count();
    RegistryOptions options;
    options.now = &Now;
    options.start_dispatcher = false;
    options.settings.min_requests = 3;
    options.settings.jitter = 0;
    options.log = [](const std::string&) {};
    return options;
  }

  // Serves the page, as one that may act unless told otherwise.
  void Serve() {
    BreakerPageOptions options;
    options.acts = &acts_;
    Serve(std::move(options));
  }
  void Serve(BreakerPageOptions options) {
    http_ = std::make_unique<HttpServer>();
    AddBreakerPage(*http_, &registry_, &history_, std::move(options));
    const absl::Status started = http_->Start();
    ASSERT_TRUE(started.ok()) << started;
  }

  void Pass(Duration time) {
    now_ns += time.count();
    registry_.Dispatch();
  }

  CircuitBreaker& Breaker(const std::string& method = kLookup) {
    return registry_.Pin(Role::kServer, "", method);
  }
  void Call(CircuitBreaker& breaker, Outcome outcome, int calls) {
    for (int i = 0; i < calls; ++i) {
      Admission admission = breaker.Admit(Now());
      admission.permit.Finish(outcome, Now());
    }
  }
  Override OverrideNow(const std::string& method = kLookup) {
    return registry_.Snapshot(Role::kServer, "", method)->override_state;
  }

  std::string Ask(const std::string& method, const std::string& target,
                  const Headers& headers, const std::string& body = "") {
    std::string request = absl::StrCat(method, " ", target, " HTTP/1.1\r\n");
    for (const auto& [name, value] : headers) {
      absl::StrAppend(&request, name, ": ", value, "\r\n");
    }
    absl::StrAppend(&request, "Content-Length: ", body.size(), "\r\n\r\n",
                    body);
    RawClient client(http_->port());
    client.Send(request);
    return client.Receive();
  }
  std::string Get(const std::string& target, const std::string& accept = "*/*",
                  const std::string& host = "localhost") {
    return Ask("GET", target, {{"Host", host}, {"Accept", accept}});
  }
  Json GetJson(const std::string& target) {
    const std::string response = Get(target);
    EXPECT_EQ(StatusOf(response), 200) << response;
    return Json::parse(BodyOf(response), nullptr, /*allow_exceptions=*/false);
  }
  // An act on kLookup, as the page asks for it.
  std::string Post(const std::string& act, Json body = Json::object()) {
    body["role"] = "server";
    body["method"] = kLookup;
    return Ask("POST", "/breakers/" + act, GoodHeaders(), body.dump());
  }

  BreakerRegistry registry_;
  TransitionHistory history_;
  std::vector<std::string> log_;
  OperatorActs acts_;
  std::unique_ptr<HttpServer> http_;
};

// --- What is shown ----------------------------------------------------------

TEST_F(BreakerPageTest, ListsBreakersAsJson) {
  CircuitBreaker& breaker = registry_.Pin(Role::kClient, "dns:///x", kLookup);
  BreakerPageOptions options;
  options.title = "orders";
  options.settings_error = [] { return "orders.textproto:7:3: buckets"; };
  options.link_to_statistics = true;
  Serve(options);
  Call(breaker, Outcome::kOk, 2);
  Call(breaker, Outcome::kTimeout, 2);  // opens it
  Call(breaker, Outcome::kOk, 6);       // are rejected
  Pass(milliseconds(1000));
  breaker.Reset(Now());
  Pass(milliseconds(250));
  auto permit = breaker.Admit(Now()).permit;
  Call(breaker, Outcome::kSystemError, 1);

  Json list = GetJson("/breakers/list.json?after=3600");
  EXPECT_TRUE(list["started"].is_number());
  list.erase("started");
  EXPECT_EQ(list, Json::parse(R"({
    "title": "orders", "may_act": false, "statistics": true,
    "after_second": 3600, "newest_second": 3601,
    "settings_error": "orders.textproto:7:3: buckets", "overflowed": 0,
    "skipped": 0,
    "breakers": [{
      "role": "client", "target": "dns:///x",
      "method": "/orders.v1.Orders/Lookup", "mode": "enforce",
      "state": "closed", "override": "none", "ramp": false,
      "state_age_s": 0.25, "next_probe_s": null, "override_left_s": null,
      "window": {"calls": 1, "failures": 1, "min": 3, "judged": false},
      "nearest": {"class": "failure", "share": 1.0, "threshold": 0.5},
      "calls_per_s": 1.0, "rejected_per_s": 0.6, "rejected": 6,
      "shadow_rejected": 0, "in_flight": 1, "last_reason": "reset",
      "rates": {"ok": [2.0], "failed": [2.0], "rejected": [6.0]}
    }]})"));
}

TEST_F(BreakerPageTest, TellsWhatComesNext) {
  Serve();
  CircuitBreaker& breaker = Breaker();
  Call(breaker, Outcome::kTimeout, 4);
  Pass(milliseconds(300));
  const auto listed = [this] {
    return GetJson("/breakers/list.json")["breakers"].at(0);
  };
  Json json = listed();
  EXPECT_EQ(json["state"], "open");
  EXPECT_EQ(json["next_probe_s"], 0.7);
  EXPECT_EQ(json["window"]["judged"], true);
  Pass(seconds(1));
  EXPECT_EQ(listed()["state"], "half_open");
  EXPECT_EQ(listed()["ramp"], false);
  Call(breaker, Outcome::kOk, 1);
  EXPECT_EQ(listed()["ramp"], true);

  breaker.Force(Override::kForcedOpen, Now() + minutes(10), Now());
  json = listed();
  EXPECT_EQ(json["override"], "forced_open");
  EXPECT_EQ(json["override_left_s"], 600);
  breaker.Force(Override::kForcedClosed, TimePoint::max(), Now());
  json = listed();
  EXPECT_EQ(json["override"], "forced_closed");
  EXPECT_EQ(json["override_left_s"], nullptr);
}

TEST_F(BreakerPageTest, ShowsTheClassThatIsNearestToItsThreshold) {
  RegistryOptions options = Options();
  options.settings.timeout_threshold = 0.1;
  options.settings.failure_threshold = std::nullopt;
  BreakerRegistry registry(options);
  http_ = std::make_unique<HttpServer>();
  AddBreakerPage(*http_, &registry, &history_);
  ASSERT_TRUE(http_->Start().ok());
  CircuitBreaker& breaker = registry.Pin(Role::kServer, "", kLookup);
  Call(breaker, Outcome::kOk, 88);
  Call(breaker, Outcome::kTimeout, 2);      // 2 % of 10 %
  Call(breaker, Outcome::kSystemError, 5);  // 5 % of 50 %
  Call(breaker, Outcome::kUnknownError, 5);
  EXPECT_EQ(
      GetJson("/breakers/list.json")["breakers"].at(0)["nearest"],
      Json::parse(R"({"class": "timeout", "share": 0.02, "threshold": 0.1})"));
  http_.reset();
}

TEST_F(BreakerPageTest, GivesTheCallsPerSecondThatAreNew) {
  Serve();
  Call(Breaker(), Outcome::kOk, 3);
  Pass(seconds(1));
  Pass(seconds(1));
  const auto ok = [this](const std::string& query) {
    const Json list = GetJson("/breakers/list.json" + query);
    return std::pair(list["after_second"].get<std::int64_t>(),
                     list["breakers"].at(0)["rates"]);
  };
  EXPECT_EQ(ok("?after=3600").second["ok"], Json({3.0, 0.0}));
  EXPECT_EQ(ok("?after=3601"), std::pair(std::int64_t{3601}, Json(nullptr)));
  // Later than there is, as after a restart; and longer ago than is known.
  EXPECT_EQ(ok("?after=9999"), std::pair(std::int64_t{3602}, Json(nullptr)));
  EXPECT_EQ(ok("?after=-9223372036854775808").first, 3602 - 120);
  EXPECT_EQ(ok("").first, 3602 - 120);
  EXPECT_EQ(ok("").second["ok"].size(), 120u);
  for (const char* bad :
       {"?after=", "?after=x", "?after=99999999999999999999"}) {
    EXPECT_EQ(StatusOf(Get(absl::StrCat("/breakers/list.json", bad))), 400);
  }
}

TEST_F(BreakerPageTest, TellsAllOfOneBreaker) {
  SettingsFile file;
  file.defaults.settings["buckets"] = {
      "12", {SettingSource::Kind::kFile, "orders.textproto:2:3"}};
  BreakerPageOptions options;
  options.acts = &acts_;
  options.settings = [&file] { return *PutTogether(file, GivenFlags()); };
  Serve(options);
  Call(Breaker(), Outcome::kTimeout, 4);
  ASSERT_EQ(StatusOf(Post("force-open", {{"comment", "INC-7"}})), 200);
  registry_.Dispatch();

  const Json one = GetJson(
      "/breakers/breaker.json?role=server&target=&method=%2Forders.v1.Orders"
      "%2FLookup");
  EXPECT_EQ(one["breaker"]["method"], kLookup);
  EXPECT_EQ(one["etag"],
            BreakerEtag(*registry_.Snapshot(Role::kServer, "", kLookup)));
  EXPECT_EQ(one["shares"].at(1),
            Json::parse(R"({"class": "timeout", "calls": 4, "share": 1.0,
                            "threshold": 0.5})"));
  EXPECT_EQ(one["lifetime"]["timeout"], 4);
  EXPECT_EQ(one["settings"].at(1),
            Json::parse(R"({"field": "buckets", "value": "10", "default": "10",
                            "source": "orders.textproto:2:3"})"));
  ASSERT_EQ(one["transitions"].size(), 2u);  // newest first
  EXPECT_EQ(one["transitions"].at(1)["to"], "open");
  Json forced = one["transitions"].at(0);
  EXPECT_EQ(forced["to"], "forced_open");
  EXPECT_EQ(forced["who"], "page, from 127.0.0.1");
  EXPECT_EQ(forced["comment"], "INC-7");

  for (const char* query : {"", "?role=server&method=/orders.v1.Orders/Gone",
                            "?role=client&method=/orders.v1.Orders/Lookup",
                            "?role=both&method=/orders.v1.Orders/Lookup"}) {
    EXPECT_EQ(StatusOf(Get(absl::StrCat("/breakers/breaker.json", query))), 404)
        << query;
  }
}

TEST_F(BreakerPageTest, IsATableForCurl) {
  Serve();
  Call(Breaker("/a.S/Fine"), Outcome::kOk, 20);
  Call(Breaker("/a.S/Busy"), Outcome::kOk, 40);
  Call(Breaker("/a.S/Failing"), Outcome::kOk, 3);
  Call(Breaker("/a.S/Failing"), Outcome::kTimeout, 2);
  Call(Breaker("/a.S/Rare"), Outcome::kTimeout, 1);
  Call(Breaker("/a.S/Open"), Outcome::kTimeout, 4);
  Call(Breaker("/a.S/Open"), Outcome::kOk, 9);
  Breaker("/a.S/Forced")
      .Force(Override::kForcedClosed, Now() + hours(3), Now());
  Pass(seconds(1) - milliseconds(1));
  const std::string response = Get("/breakers/");
  EXPECT_THAT(response, HasSubstr("Content-Type: text/plain; charset=utf-8"));
  EXPECT_EQ("\n" + BodyOf(response), R"(
STATE          FOR  FAILED            LIMIT  CALLS/S  REJECTED  NEXT         LAST REASON        METHOD
open           0s   100%              50%    0.0      9         probe in 0s  timeout_threshold  /a.S/Open (server)
forced_closed  0s   0% (few calls)    50%    0.0      0         ends in 2h   forced             /a.S/Forced (server)
closed         0s   40%               50%    0.0      0                                         /a.S/Failing (server)
closed         0s   100% (few calls)  50%    0.0      0                                         /a.S/Rare (server)
closed         0s   0%                50%    0.0      0                                         /a.S/Busy (server)
closed         0s   0%                50%    0.0      0                                         /a.S/Fine (server)
)");
  EXPECT_EQ(BodyOf(Get("/breakers")), BodyOf(response));
}

TEST_F(BreakerPageTest, IsAPageForBrowsers) {
  Serve();
  const std::string browser = "text/html,application/xhtml+xml,*/*;q=0.8";
  const std::string page = Get("/breakers/", browser);
  EXPECT_EQ(StatusOf(page), 200);
  EXPECT_THAT(page,
              AllOf(HasSubstr("Content-Type: text/html; charset=utf-8\r\n"),
                    HasSubstr("Content-Security-Policy: default-src 'none'; "),
                    HasSubstr("frame-ancestors 'none'"),
                    HasSubstr("X-Frame-Options: DENY\r\n"),
                    HasSubstr("X-Content-Type-Options: nosniff\r\n"),
                    HasSubstr("Referrer-Policy: no-referrer\r\n"),
                    HasSubstr("Cross-Origin-Resource-Policy: same-origin\r\n"),
                    HasSubstr("Cache-Control: no-store\r\n")));
  EXPECT_THAT(BodyOf(page), StartsWith("\n<!doctype html>"));
  // Nothing of the page would be stopped by its policy.
  EXPECT_THAT(page, AllOf(Not(HasSubstr("style=")), Not(HasSubstr("<style")),
                          Not(HasSubstr("onclick")), Not(HasSubstr("://"))));

  EXPECT_THAT(
      Get("/breakers", browser),
      AllOf(StartsWith("HTTP/1.1 301"), HasSubstr("Location: /breakers/\r\n")));
  EXPECT_THAT(Get("/breakers/page.css"),
              HasSubstr("Content-Type: text/css; charset=utf-8\r\n"));
  EXPECT_THAT(Get("/breakers/page.js"),
              HasSubstr("Content-Type: text/javascript; charset=utf-8\r\n"));
  EXPECT_THAT(Get("/breakers/icon.svg"),
              HasSubstr("Content-Type: image/svg+xml\r\n"));
  EXPECT_EQ(StatusOf(Get("/breakers/other")), 404);
  EXPECT_EQ(StatusOf(Get("/breakers/page.js/")), 404);
}

TEST_F(BreakerPageTest, HostileNamesStayInTheirPlace) {
  Serve();
  const std::string evil = "/<script>alert(1)</script>/\x1b[2J\"\n";
  Breaker(evil);
  registry_.Pin(Role::kClient, "\xff\r\n", "/a.B/C");
  const Json breakers = GetJson("/breakers/list.json")["breakers"];
  ASSERT_EQ(breakers.size(), 2u);
  EXPECT_EQ(breakers.at(0)["target"], "\xef\xbf\xbd\r\n");
  EXPECT_EQ(breakers.at(1)["method"], evil);
  const std::string table = BodyOf(Get("/breakers/"));
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 3);
  EXPECT_THAT(table, AllOf(HasSubstr("\\x1b[2J"), HasSubstr("\\xff\\x0d\\x0a"),
                           Not(HasSubstr("\x1b"))));
  const std::string missing =
      Get("/breakers/breaker.json?role=server&method=%3Cscript%3E");
  EXPECT_THAT(missing, AllOf(HasSubstr("Content-Type: application/json\r\n"),
                             Not(HasSubstr("<script>"))));
}

TEST_F(BreakerPageTest, AnswersWhileEverythingChanges) {
  RegistryOptions options = Options();
  options.now = &FineNow;
  options.start_dispatcher = true;
  BreakerRegistry registry(options);
  TransitionHistory history(&registry);
  OperatorActs acts(&registry, &history, [](const std::string&) {});
  http_ = std::make_unique<HttpServer>();
  BreakerPageOptions page;
  page.acts = &acts;
  AddBreakerPage(*http_, &registry, &history, page);
  ASSERT_TRUE(http_->Start().ok());

  std::atomic<bool> over = false;
  std::thread calls([&] {
    for (int i = 0; !over; ++i) {
      CircuitBreaker& breaker = registry.Pin(
          Role::kServer, "", absl::StrCat("/orders.v1.Orders/", i % 50));
      Admission admission = breaker.Admit(FineNow());
      admission.permit.Finish(Outcome::kTimeout, FineNow());
    }
  });
  std::thread operators([&] {
    const Json wish = {{"role", "server"}, {"method", "/orders.v1.Orders/0"}};
    for (int i = 0; !over; ++i) {
      Ask("POST", i % 2 == 0 ? "/breakers/force-closed" : "/breakers/release",
          GoodHeaders(), wish.dump());
    }
  });
  for (int i = 0; i < 40; ++i) {
    EXPECT_TRUE(GetJson("/breakers/list.json").is_object());
    EXPECT_EQ(StatusOf(Get("/breakers/")), 200);
    const int status = StatusOf(
        Get("/breakers/breaker.json?role=server&method=/orders.v1.Orders/0"));
    EXPECT_TRUE(status == 200 || status == 404) << status;
  }
  over = true;
  calls.join();
  operators.join();
  http_.reset();
}

// --- Acts -------------------------------------------------------------------

TEST_F(BreakerPageTest, ForcesReleasesAndResets) {
  Serve();
  Breaker();
  const std::string forced =
      Post("force-open", {{"ttl_s", 600}, {"comment", "INC-7"}});
  ASSERT_EQ(StatusOf(forced), 200) << forced;
  EXPECT_EQ(Json::parse(BodyOf(forced))["breaker"]["override"], "forced_open");
  EXPECT_EQ(OverrideNow(), Override::kForcedOpen);
  ASSERT_EQ(log_.size(), 1u);
  EXPECT_THAT(log_[0], AllOf(HasSubstr("127.0.0.1"), HasSubstr(kLookup),
                             HasSubstr("INC-7")));
  Pass(seconds(599));
  EXPECT_EQ(OverrideNow(), Override::kForcedOpen);
  Pass(seconds(1));
  EXPECT_EQ(OverrideNow(), Override::kNone);

  EXPECT_EQ(StatusOf(Post("force-closed", {{"ttl_s", nullptr}})), 200);
  EXPECT_EQ(OverrideNow(), Override::kForcedClosed);
  Pass(hours(24 * 50));  // until released
  EXPECT_EQ(OverrideNow(), Override::kForcedClosed);
  EXPECT_EQ(StatusOf(Post("release")), 200);
  EXPECT_EQ(OverrideNow(), Override::kNone);

  Call(Breaker(), Outcome::kTimeout, 4);
  ASSERT_EQ(Breaker().View(Now()).state, State::kOpen);
  EXPECT_EQ(StatusOf(Post("reset")), 200);
  EXPECT_EQ(Breaker().View(Now()).state, State::kClosed);
}

TEST_F(BreakerPageTest, ActsOnlyIfNothingHasChangedSince) {
  Serve();
  Breaker();
  const std::string etag =
      BreakerEtag(*registry_.Snapshot(Role::kServer, "", kLookup));
  EXPECT_EQ(StatusOf(Post("force-open", {{"etag", etag}})), 200);
  EXPECT_EQ(StatusOf(Post("force-closed", {{"etag", etag}})), 409);
  EXPECT_EQ(OverrideNow(), Override::kForcedOpen);
}

TEST_F(BreakerPageTest, ActsOnTheBreakerThatIsNamed) {
  Serve();
  Breaker();
  registry_.Pin(Role::kClient, "a", kLookup);
  registry_.Pin(Role::kClient, "b", kLookup);
  const Json body = {{"role", "client"}, {"target", "b"}, {"method", kLookup}};
  ASSERT_EQ(
      StatusOf(Ask("POST", "/breakers/force-open", GoodHeaders(), body.dump())),
      200);
  std::vector<std::string> forced;
  for (const BreakerSnapshot& breaker : registry_.Snapshots()) {
    if (breaker.override_state == Override::kNone) continue;
    forced.push_back(RoleName(breaker.role) + breaker.target);
  }
  EXPECT_EQ(forced, std::vector<std::string>{"clientb"});
}

// Each case is a good act but for one thing.
struct Refusal {
  const char* name;
  int status;
  const char* why;
  Headers headers = GoodHeaders();
  std::string body =
      R"({"role": "server", "method": ")" + std::string(kLookup) + R"("})";
  std::string path = "/breakers/force-open";
  std::string method = "POST";

  Refusal With(const std::string& header, const std::string& value) && {
    headers[header] = value;
    return std::move(*this);
  }
  Refusal Without(const std::string& header) && {
    headers.erase(header);
    return std::move(*this);
  }
  Refusal Saying(std::string text) && {
    body = std::move(text);
    return std::move(*this);
  }
  Refusal Adding(const std::string& field) && {
    body.back() = ',';
    body += field + "}";
    return std::move(*this);
  }
};

std::vector<Refusal> Refusals() {
  std::vector<Refusal> cases;
  const auto add = [&cases](Refusal refusal) {
    cases.push_back(std::move(refusal));
  };
  const auto refusal = [](const char* name, int status, const char* why) {
    return Refusal{name, status, why};
  };
  // What a foreign page could send.
  add(refusal("no header of our own", 403, "X-Fusebox-Act is missing")
          .Without("X-Fusebox-Act"));
  add(refusal("an empty one", 403, "X-Fusebox-Act is missing")
          .With("X-Fusebox-Act", ""));
  add(refusal("a form", 415, "application/json")
          .With("Content-Type", "application/x-www-form-urlencoded"));
  add(refusal("plain text", 415, "application/json")
          .With("Content-Type", "text/plain; a=application/json"));
  add(refusal("no type", 415, "application/json").Without("Content-Type"));
  add(refusal("a longer type", 415, "application/json")
          .With("Content-Type", "application/jsonx"));
  add(refusal("another origin", 403, "'http://evil.example' is not this page")
          .With("Origin", "http://evil.example"));
  add(refusal("no origin that has a name", 403, "'null' is not this page")
          .With("Origin", "null"));
  add(refusal("another port", 403, "is not this page")
          .With("Origin", "http://localhost:8081"));
  add(refusal("an origin that goes on", 403, "is not this page")
          .With("Origin", "http://localhost:8080.evil.example"));
  // DNS rebinding: host and origin agree.
  add(refusal("another host", 403, "host 'evil.example' is not one of")
          .With("Host", "evil.example")
          .With("Origin", "http://evil.example"));
  // A bad body.
  add(refusal("no body", 400, "not a JSON object").Saying(""));
  add(refusal("no JSON", 400, "not a JSON object").Saying("{\"role\": "));
  add(refusal("a list", 400, "not a JSON object").Saying("[]"));
  add(refusal("deep JSON", 400, "not a JSON object")
          .Saying(std::string(60000, '[')));
  add(refusal("not UTF-8", 400, "not a JSON object")
          .Adding("\"comment\": \"\xff\""));
  add(refusal("no role", 400, "role: must be")
          .Saying(R"({"method": "/orders.v1.Orders/Lookup"})"));
  add(refusal("another role", 400, "role: must be").Adding("\"role\": \"\""));
  add(refusal("a field nobody knows", 400, "'tll_s' is not known")
          .Adding("\"tll_s\": 60"));
  add(refusal("a comment of another type", 400, "comment: not a string")
          .Adding("\"comment\": 7"));
  add(refusal("no time", 400, "ttl_s: 0 is out of range (0, ")
          .Adding("\"ttl_s\": 0"));
  add(refusal("negative time", 400, "ttl_s: -1 is").Adding("\"ttl_s\": -1"));
  add(refusal("too long", 400, "ttl_s: 8640001 is out of range")
          .Adding("\"ttl_s\": 8640001"));
  add(refusal("far too long", 400, "ttl_s").Adding("\"ttl_s\": 1e300"));
  add(refusal("time as text", 400, "ttl_s: \\\"60\\\" is")
          .Adding("\"ttl_s\": \"60\""));
  add(refusal("too long a comment", 400, "comment")
          .Adding("\"comment\": \"" + std::string(2000, 'x') + "\""));
  Refusal release = refusal("time to release", 400, "'ttl_s' is not known")
                        .Adding("\"ttl_s\": 60");
  release.path = "/breakers/release";
  add(release);
  add(refusal("too long a body", 413, "too long")
          .Saying(std::string(70000, ' ')));
  // Not there.
  add(refusal("another breaker", 404, "")
          .Saying(R"({"role": "client", "method": "/a.B/C"})"));
  release.name = "nothing to release";
  release.status = 409;
  release.why = "";
  release.body = Refusal{}.body;
  add(release);
  // Another method.
  Refusal get = refusal("GET", 405, "method not allowed");
  get.method = "GET";
  add(get);
  get.name = "PUT";
  get.method = "PUT";
  add(get);
  return cases;
}

TEST_F(BreakerPageTest, RefusesWhatIsNotAnActOfThePage) {
  Serve();
  Breaker();
  for (const Refusal& refusal : Refusals()) {
    SCOPED_TRACE(refusal.name);
    const std::string response =
        Ask(refusal.method, refusal.path, refusal.headers, refusal.body);
    EXPECT_EQ(StatusOf(response), refusal.status) << response;
    EXPECT_THAT(BodyOf(response), HasSubstr(refusal.why));
    EXPECT_EQ(OverrideNow(), Override::kNone);
  }
  EXPECT_TRUE(log_.empty());
  // But for those things it would have been done.
  const Refusal good = {};
  EXPECT_EQ(StatusOf(Ask("POST", good.path, good.headers, good.body)), 200);
  EXPECT_EQ(OverrideNow(), Override::kForcedOpen);
}

TEST_F(BreakerPageTest, IsReadOnlyUnlessTold) {
  Serve(BreakerPageOptions());
  Breaker();
  EXPECT_EQ(GetJson("/breakers/list.json")["may_act"], false);
  for (const char* act : {"force-open", "force-closed", "release", "reset"}) {
    const std::string response = Post(act);
    EXPECT_EQ(StatusOf(response), 403);
    EXPECT_THAT(BodyOf(response), HasSubstr("read-only"));
  }
  EXPECT_EQ(OverrideNow(), Override::kNone);
}

TEST_F(BreakerPageTest, ActsWithoutAnOriginAndBehindTls) {
  Serve();
  Breaker();
  const std::string body = Refusal{}.body;
  Headers headers = GoodHeaders();
  headers.erase("Origin");  // as curl
  EXPECT_EQ(StatusOf(Ask("POST", "/breakers/reset", headers, body)), 200);
  headers["Origin"] = "https://LOCALHOST:8080";
  headers["Content-Type"] = "Application/JSON; charset=utf-8";
  EXPECT_EQ(StatusOf(Ask("POST", "/breakers/reset", headers, body)), 200);
}

TEST_F(BreakerPageTest, AnswersOnlyUnderNamesOfItsOwn) {
  BreakerPageOptions options;
  options.hosts = {"web-3.example.com"};
  Serve(options);
  for (const char* host :
       {"localhost", "LocalHost:1", "127.0.0.1", "10.1.2.3:8080", "[::1]",
        "[fe80::1]:8080", "web-3.example.com", "WEB-3.example.com:8080"}) {
    EXPECT_EQ(StatusOf(Get("/breakers/list.json", "*/*", host)), 200) << host;
  }
  for (const char* host :
       {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
        "web-3.example.com.evil.example", "", "[]", "[::1", ":8080",
        "localhost:8080:8080"}) {
    for (const char* target :
         {"/breakers/", "/breakers/list.json", "/breakers/breaker.json"}) {
      EXPECT_EQ(StatusOf(Get(target, "*/*", host)), 403) << host;
    }
  }
  EXPECT_EQ(StatusOf(Ask("GET", "/breakers/", {})), 403);  // none at all
}

}  // namespace
}  // namespace fusebox
