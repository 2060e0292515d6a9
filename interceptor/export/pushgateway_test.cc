#include "interceptor/export/pushgateway.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <ostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/breaker/settings.h"
#include "interceptor/export/background_lookup.h"
#include "interceptor/http/http_server.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The clock of the pushing, which the tests turn.
std::atomic<Duration::rep> time_ns{0};
TimePoint Now() { return TimePoint(Duration(time_ns.load())); }
void Turn(Duration time) { time_ns += time.count(); }

// The time since the test began, which the text tells.
std::string TimeText() { return FormatDuration(Now().time_since_epoch()); }

struct Received {
  std::string method;
  std::string path;
  std::string body;

  friend bool operator==(const Received& a, const Received& b) {
    return a.method == b.method && a.path == b.path && a.body == b.body;
  }
  friend std::ostream& operator<<(std::ostream& out, const Received& r) {
    return out << r.method << " " << r.path << " " << r.body;
  }
};

// Answers like a Pushgateway that takes anything, and remembers it.
class FakeGateway {
 public:
  explicit FakeGateway(const std::string& address, int port = 0)
      : server_(Options(address, port)) {
    server_.Handle("/", {"PUT", "DELETE"}, [this](const HttpRequest& request) {
      return Answer(request);
    });
    started_ = server_.Start().ok();
  }
  ~FakeGateway() { Release(); }

  bool started() const { return started_; }
  int port() const { return server_.port(); }

  // The first `count` requests, which it waits for.
  std::vector<Received> Await(std::size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, minutes(1),
                                  [&] { return received_.size() >= count; }));
    return received_;
  }
  std::vector<std::string> header(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::string> values;
    for (const HttpRequest& request : requests_) {
      values.emplace_back(request.Header(name));
    }
    return values;
  }

  void AnswerWith(HttpResponse response) {
    const std::lock_guard<std::mutex> lock(mutex_);
    response_ = std::move(response);
  }
  // Requests are received, but not answered until Release().
  void Hold() {
    const std::lock_guard<std::mutex> lock(mutex_);
    hold_ = true;
  }
  void Release() {
    const std::lock_guard<std::mutex> lock(mutex_);
    hold_ = false;
    changed_.notify_all();
  }

 private:
  static HttpServerOptions Options(const std::string& address, int port) {
    HttpServerOptions options;
    options.address = address;
    options.port = port;
    return options;
  }

  HttpResponse Answer(const HttpRequest& request) {
    std::unique_lock<std::mutex> lock(mutex_);
    requests_.push_back(request);
    received_.push_back({request.method, request.path, request.body});
    changed_.notify_all();
    changed_.wait(lock, [this] { return !hold_; });
    return response_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool hold_ = false;
  HttpResponse response_;
  std::vector<HttpRequest> requests_;
  std::vector<Received> received_;
  HttpServer server_;
  bool started_ = false;
};

// Takes connections and says nothing.
class HungGateway {
 public:
  HungGateway(const std::string& last_part, int port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr =
        htonl(0x7f000000U + static_cast<std::uint32_t>(std::stoi(last_part)));
    started_ = bind(socket_, reinterpret_cast<const sockaddr*>(&address),
                    sizeof(address)) == 0 &&
               listen(socket_, 100) == 0;
  }
  ~HungGateway() { close(socket_); }
  HungGateway(const HungGateway&) = delete;
  HungGateway& operator=(const HungGateway&) = delete;

  bool started() const { return started_; }

 private:
  const int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool started_ = false;
};

// The gateways are 127.0.0.2, .3 and .4, all on one port, as those behind a
// name are.
class PushgatewayTest : public ::testing::Test {
 protected:
  PushgatewayTest() {
    time_ns = 0;
    options_.host = "gateways.test";
    options_.job = "job";
    options_.now = &Now;
    options_.stop_timeout = minutes(1);
    options_.look_up = [names = names_](const HostPort& name) {
      EXPECT_EQ(name.host, "gateways.test");
      const std::lock_guard<std::mutex> lock(names->mutex);
      return names->found;
    };
    for (int attempt = 0; attempt < 100 && a_ == nullptr; ++attempt) {
      a_ = std::make_unique<FakeGateway>("127.0.0.2");
      b_ = std::make_unique<FakeGateway>("127.0.0.3", a_->port());
      hung_ = std::make_unique<HungGateway>("4", a_->port());
      if (!b_->started() || !hung_->started()) a_ = nullptr;
    }
    EXPECT_NE(a_, nullptr) << "there is no port that all can have";
    options_.port = a_->port();
  }

  void Find(const std::vector<std::string>& addresses) {
    const std::lock_guard<std::mutex> lock(names_->mutex);
    names_->found = Found(addresses);
  }
  void FindNothing(const std::string& error) {
    const std::lock_guard<std::mutex> lock(names_->mutex);
    names_->found = {{}, error};
  }
  static LookupResult Found(const std::vector<std::string>& addresses) {
    LookupResult found;
    for (const std::string& address : addresses) {
      found.addresses.push_back(LookUp({address, 1}).addresses.at(0));
    }
    return found;
  }

  std::unique_ptr<Pushgateway> Start(
      std::function<std::string()> text = &TimeText) {
    auto pushgateway = std::make_unique<Pushgateway>(options_, std::move(text));
    const absl::Status status = pushgateway->Start();
    EXPECT_TRUE(status.ok()) << status;
    return pushgateway;
  }

  // Waits until the stats are such.
  template <class Condition>
  static PushgatewayStats Await(const Pushgateway& pushgateway,
                                const Condition& condition) {
    const auto end = std::chrono::steady_clock::now() + minutes(1);
    for (;;) {
      PushgatewayStats stats = pushgateway.stats();
      if (condition(stats)) return stats;
      if (std::chrono::steady_clock::now() > end) {
        ADD_FAILURE() << "the stats do not become what is expected";
        return stats;
      }
      // Between two looks: leaves the processor to what is waited for.
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  static PushgatewayStats::Gateway Of(const PushgatewayStats& stats,
                                      const std::string& address) {
    for (const PushgatewayStats::Gateway& gateway : stats.gateways) {
      if (gateway.address == address) return gateway;
    }
    return {};
  }

  static void AwaitPushes(const Pushgateway& pushgateway,
                          const std::string& address, std::uint64_t pushes) {
    Await(pushgateway, [&](const PushgatewayStats& stats) {
      return Of(stats, address).pushes >= pushes;
    });
  }

  static Received Put(const std::string& body) {
    return {"PUT", "/metrics/job/job", body};
  }
  static Received Delete() { return {"DELETE", "/metrics/job/job", ""}; }

  PushgatewayOptions options_;
  std::unique_ptr<FakeGateway> a_;
  std::unique_ptr<FakeGateway> b_;
  std::unique_ptr<HungGateway> hung_;

 private:
  // A lookup that was abandoned may outlive the test.
  struct Names {
    std::mutex mutex;
    LookupResult found = Found({"127.0.0.2", "127.0.0.3"});
  };
  const std::shared_ptr<Names> names_ = std::make_shared<Names>();
};

TEST_F(PushgatewayTest, PushesTheGroupToEveryAddressOnce) {
  Find({"127.0.0.3", "127.0.0.2", "127.0.0.3"});
  options_.labels = {{"instance", "a:1"}, {"path", "/x"}};
  const auto pushgateway = Start([] { return "# TYPE a counter\na 1\n"; });
  const Received put = {"PUT", "/metrics/job/job/instance/a:1/path@base64/L3g",
                        "# TYPE a counter\na 1\n"};
  for (FakeGateway* gateway : {a_.get(), b_.get()}) {
    EXPECT_THAT(gateway->Await(1), ElementsAre(put));
    EXPECT_THAT(gateway->header("Host"),
                ElementsAre(absl::StrCat("gateways.test:", gateway->port())));
    EXPECT_THAT(gateway->header("Content-Type"),
                ElementsAre("text/plain; version=0.0.4; charset=utf-8"));
  }
  const auto stats = Await(*pushgateway, [](const PushgatewayStats& s) {
    return Of(s, "127.0.0.2").pushes == 1 && Of(s, "127.0.0.3").pushes == 1;
  });
  ASSERT_THAT(stats.gateways, SizeIs(2));
  for (const PushgatewayStats::Gateway& gateway : stats.gateways) {
    EXPECT_EQ(gateway.failures, 0);
    EXPECT_EQ(gateway.skipped, 0);
    EXPECT_EQ(gateway.last_error, "");
    EXPECT_EQ(gateway.last_success, Now());
  }
  EXPECT_EQ(stats.periods, 1);
}

TEST_F(PushgatewayTest, PushesEveryPeriodFromTheStart) {
  const auto pushgateway = Start();
  AwaitPushes(*pushgateway, "127.0.0.2", 1);
  Turn(seconds(10) - Duration(1));
  pushgateway->Wake();
  Turn(Duration(1));
  pushgateway->Wake();
  AwaitPushes(*pushgateway, "127.0.0.2", 2);
  // Periods that were slept through are not made up for.
  Turn(seconds(35));
  pushgateway->Wake();
  AwaitPushes(*pushgateway, "127.0.0.2", 3);
  Turn(seconds(10));
  pushgateway->Wake();
  EXPECT_THAT(a_->Await(4),
              ElementsAre(Put("0s"), Put("10s"), Put("45s"), Put("55s")));
}

TEST_F(PushgatewayTest, PushesFirstAfterAPeriodIfSoWanted) {
  options_.push_at_start = false;
  const auto pushgateway = Start();
  pushgateway->Wake();
  Turn(seconds(10));
  pushgateway->Wake();
  EXPECT_THAT(a_->Await(1), ElementsAre(Put("10s")));
}

TEST_F(PushgatewayTest, AHungGatewayDelaysNobody) {
  Find({"127.0.0.4", "127.0.0.2", "127.0.0.3"});
  options_.timeout = seconds(25);
  options_.stop_timeout = milliseconds(1);
  const auto pushgateway = Start();
  for (std::uint64_t pushes = 1; pushes <= 3; ++pushes) {
    AwaitPushes(*pushgateway, "127.0.0.2", pushes);
    AwaitPushes(*pushgateway, "127.0.0.3", pushes);
    const auto hung = Of(pushgateway->stats(), "127.0.0.4");
    EXPECT_EQ(hung.skipped, pushes - 1);
    EXPECT_EQ(hung.failures, 0);
    Turn(seconds(10));
    pushgateway->Wake();
  }
  // At 30s it is given up and gets the new push at once.
  AwaitPushes(*pushgateway, "127.0.0.2", 4);
  const auto hung = Of(pushgateway->stats(), "127.0.0.4");
  EXPECT_EQ(hung.skipped, 2);
  EXPECT_EQ(hung.failures, 1);
  EXPECT_EQ(hung.last_error, "no answer within 25s");
  EXPECT_EQ(hung.pushes, 0);
  EXPECT_EQ(hung.last_success, std::nullopt);
  const std::vector<Received> all = {Put("0s"), Put("10s"), Put("20s"),
                                     Put("30s")};
  EXPECT_EQ(a_->Await(4), all);
  EXPECT_EQ(b_->Await(4), all);
}

TEST_F(PushgatewayTest, ATimeoutEndsAPushBetweenPeriods) {
  Find({"127.0.0.4", "127.0.0.2"});
  options_.timeout = seconds(3);
  options_.stop_timeout = milliseconds(1);
  const auto pushgateway = Start();
  AwaitPushes(*pushgateway, "127.0.0.2", 1);
  Turn(seconds(3));
  pushgateway->Wake();
  Await(*pushgateway, [](const PushgatewayStats& stats) {
    return Of(stats, "127.0.0.4").failures == 1;
  });
  EXPECT_EQ(pushgateway->stats().periods, 1);
}

TEST_F(PushgatewayTest, FollowsTheAddresses) {
  Find({"127.0.0.2"});
  const auto pushgateway = Start();
  AwaitPushes(*pushgateway, "127.0.0.2", 1);
  Find({"127.0.0.2", "127.0.0.3"});
  Turn(seconds(10));
  pushgateway->Wake();
  AwaitPushes(*pushgateway, "127.0.0.2", 2);
  AwaitPushes(*pushgateway, "127.0.0.3", 1);
  Find({"127.0.0.3"});
  Turn(seconds(10));
  pushgateway->Wake();
  AwaitPushes(*pushgateway, "127.0.0.3", 2);
  const PushgatewayStats stats = pushgateway->stats();
  ASSERT_THAT(stats.gateways, SizeIs(1));
  EXPECT_EQ(stats.gateways[0].address, "127.0.0.3");
  EXPECT_THAT(a_->Await(2), ElementsAre(Put("0s"), Put("10s")));
  EXPECT_THAT(b_->Await(2), ElementsAre(Put("10s"), Put("20s")));
}

TEST_F(PushgatewayTest, AFailedLookupKeepsTheLastGoodAddresses) {
  const auto pushgateway = Start();
  AwaitPushes(*pushgateway, "127.0.0.2", 1);
  FindNothing("no such name");
  Turn(seconds(10));
  pushgateway->Wake();
  AwaitPushes(*pushgateway, "127.0.0.2", 2);
  EXPECT_EQ(pushgateway->stats().failed_lookups, 1);
  EXPECT_EQ(pushgateway->stats().last_lookup_error, "no such name");
  FindNothing("");
  Turn(seconds(10));
  pushgateway->Wake();
  AwaitPushes(*pushgateway, "127.0.0.2", 3);
  EXPECT_EQ(pushgateway->stats().failed_lookups, 2);
  EXPECT_EQ(pushgateway->stats().last_lookup_error, "no addresses");
}

TEST_F(PushgatewayTest, BeginsWhenTheFirstLookupsFail) {
  FindNothing("no such name");
  const auto pushgateway = Start();
  Await(*pushgateway, [](const PushgatewayStats& stats) {
    return stats.failed_lookups == 1;
  });
  EXPECT_THAT(pushgateway->stats().gateways, IsEmpty());
  Find({"127.0.0.2"});
  Turn(seconds(10));
  pushgateway->Wake();
  EXPECT_THAT(a_->Await(1), ElementsAre(Put("10s")));
}

TEST_F(PushgatewayTest, AHungLookupIsWaitedForHalfAPeriodOnce) {
  std::promise<void> release;
  const auto released = release.get_future().share();
  std::atomic<int> lookups{0};
  options_.look_up = [&lookups, released](const HostPort&) {
    const int lookup = ++lookups;
    if (lookup == 2) released.wait();
    return Found({lookup == 1 ? "127.0.0.2" : "127.0.0.3"});
  };
  const auto pushgateway = Start();
  AwaitPushes(*pushgateway, "127.0.0.2", 1);
  Turn(seconds(10));
  pushgateway->Wake();
  Await(*pushgateway, [](const PushgatewayStats& s) { return s.periods == 2; });
  Turn(seconds(5));
  pushgateway->Wake();
  AwaitPushes(*pushgateway, "127.0.0.2", 2);
  // Still hung: nothing new to wait for.
  Turn(seconds(5));
  pushgateway->Wake();
  AwaitPushes(*pushgateway, "127.0.0.2", 3);
  EXPECT_THAT(a_->Await(3), ElementsAre(Put("0s"), Put("15s"), Put("20s")));
  EXPECT_EQ(lookups, 2);

  // The late answer counts from then on.
  release.set_value();
  Await(*pushgateway, [](const PushgatewayStats& stats) {
    return Of(stats, "127.0.0.3").address == "127.0.0.3";
  });
  Turn(seconds(10));
  pushgateway->Wake();
  EXPECT_THAT(b_->Await(1), ElementsAre(Put("30s")));
  EXPECT_THAT(a_->Await(3), SizeIs(3));
}

TEST_F(PushgatewayTest, MoreAddressesThanCanBeAreLeftOut) {
  // Nobody listens on the first 255.
  std::vector<std::string> addresses;
  for (int i = 1; i < 256; ++i) {
    addresses.push_back(absl::StrCat("127.0.1.", i));
  }
  addresses.insert(addresses.end(), {"127.0.0.2", "127.0.0.3", "127.0.0.2"});
  Find(addresses);
  const auto pushgateway = Start();
  a_->Await(1);
  EXPECT_THAT(pushgateway->stats().gateways, SizeIs(Pushgateway::kMaxGateways));
  EXPECT_EQ(pushgateway->stats().left_out_addresses, 1);
}

TEST_F(PushgatewayTest, WhatAGatewaySaysOfAFailureIsKept) {
  HttpResponse refusal;
  refusal.status = 400;
  refusal.body = "  bad line 1\n";
  a_->AnswerWith(refusal);
  refusal.body = std::string(1000, 'x');
  b_->AnswerWith(refusal);
  // Nobody listens on the last.
  Find({"127.0.0.2", "127.0.0.3", "127.0.0.5"});
  const auto pushgateway = Start();
  const auto stats = Await(*pushgateway, [](const PushgatewayStats& s) {
    return s.gateways.size() == 3 && Of(s, "127.0.0.2").failures == 1 &&
           Of(s, "127.0.0.3").failures == 1 && Of(s, "127.0.0.5").failures == 1;
  });
  EXPECT_EQ(Of(stats, "127.0.0.2").last_error, "status 400: bad line 1");
  EXPECT_EQ(Of(stats, "127.0.0.3").last_error,
            "status 400: " + std::string(200, 'x'));
  EXPECT_THAT(Of(stats, "127.0.0.5").last_error,
              HasSubstr("Failed to connect to 127.0.0.5"));

  HttpResponse taken;
  taken.status = 202;
  a_->AnswerWith(taken);
  Turn(seconds(10));
  pushgateway->Wake();
  AwaitPushes(*pushgateway, "127.0.0.2", 1);
  const auto healed = Of(pushgateway->stats(), "127.0.0.2");
  EXPECT_EQ(healed.failures, 1);
  EXPECT_EQ(healed.last_error, "status 400: bad line 1");
  EXPECT_EQ(healed.last_success, Now());
}

TEST_F(PushgatewayTest, ARedirectionIsAFailure) {
  a_->AnswerWith({302, "", "text/plain", {{"Location", "/elsewhere"}}});
  Find({"127.0.0.2"});
  const auto pushgateway = Start();
  Await(*pushgateway, [](const PushgatewayStats& stats) {
    return Of(stats, "127.0.0.2").failures == 1;
  });
  EXPECT_THAT(a_->Await(1), SizeIs(1));
}

TEST_F(PushgatewayTest, ATextThatThrowsCostsItsPeriod) {
  const auto pushgateway = Start([] {
    if (Now() == TimePoint()) throw std::runtime_error("not ready");
    return TimeText();
  });
  Await(*pushgateway,
        [](const PushgatewayStats& stats) { return stats.failed_texts == 1; });
  Turn(seconds(10));
  pushgateway->Wake();
  EXPECT_THAT(a_->Await(1), ElementsAre(Put("10s")));
}

TEST_F(PushgatewayTest, TheTextMayTellOfThePushing) {
  Pushgateway* pushing = nullptr;
  std::promise<void> ready;
  auto is_ready = ready.get_future().share();
  const auto pushgateway = Start([&pushing, is_ready] {
    is_ready.wait();
    return absl::StrCat(pushing->stats().periods);
  });
  pushing = pushgateway.get();
  ready.set_value();
  EXPECT_THAT(a_->Await(1), ElementsAre(Put("1")));
}

TEST_F(PushgatewayTest, StopPushesALastTime) {
  const auto pushgateway = Start();
  AwaitPushes(*pushgateway, "127.0.0.2", 1);
  AwaitPushes(*pushgateway, "127.0.0.3", 1);
  Turn(seconds(3));
  pushgateway->Stop();
  EXPECT_THAT(a_->Await(2), ElementsAre(Put("0s"), Put("3s")));
  EXPECT_THAT(b_->Await(2), ElementsAre(Put("0s"), Put("3s")));
  EXPECT_EQ(Of(pushgateway->stats(), "127.0.0.2").pushes, 2);
  pushgateway->Stop();
  EXPECT_THAT(a_->Await(2), SizeIs(2));
}

TEST_F(PushgatewayTest, StopDeletesTheGroupIfSoWanted) {
  options_.delete_on_stop = true;
  options_.push_at_start = false;
  const auto pushgateway = Start();
  // So early that the name was never resolved before.
  pushgateway->Stop();
  EXPECT_THAT(a_->Await(2), ElementsAre(Put("0s"), Delete()));
  EXPECT_THAT(b_->Await(2), ElementsAre(Put("0s"), Delete()));
  const auto stats = Of(pushgateway->stats(), "127.0.0.2");
  EXPECT_EQ(stats.pushes, 1);
  EXPECT_EQ(stats.failures, 0);
}

TEST_F(PushgatewayTest, StopDeletesAlsoWhenThereIsNoLastText) {
  options_.delete_on_stop = true;
  const auto pushgateway = Start([] {
    if (Now() != TimePoint()) throw std::runtime_error("out of order");
    return TimeText();
  });
  AwaitPushes(*pushgateway, "127.0.0.2", 1);
  Turn(seconds(1));
  pushgateway->Stop();
  EXPECT_THAT(a_->Await(2), ElementsAre(Put("0s"), Delete()));
}

TEST_F(PushgatewayTest, StopLetsAPushUnderWayEndFirst) {
  options_.delete_on_stop = true;
  a_->Hold();
  const auto pushgateway = Start();
  a_->Await(1);
  AwaitPushes(*pushgateway, "127.0.0.3", 1);
  Turn(seconds(1));
  std::thread stop([&pushgateway] { pushgateway->Stop(); });
  b_->Await(3);  // so a_ has been told, too
  EXPECT_THAT(a_->Await(1), SizeIs(1));
  a_->Release();
  stop.join();
  EXPECT_THAT(a_->Await(3), ElementsAre(Put("0s"), Put("1s"), Delete()));
  EXPECT_THAT(b_->Await(3), ElementsAre(Put("0s"), Put("1s"), Delete()));
}

TEST_F(PushgatewayTest, StopDoesNotWaitForTheHung) {
  Find({"127.0.0.4", "127.0.0.2"});
  options_.stop_timeout = milliseconds(200);
  options_.delete_on_stop = true;
  const auto pushgateway = Start();
  AwaitPushes(*pushgateway, "127.0.0.2", 1);
  pushgateway->Stop();
  const auto hung = Of(pushgateway->stats(), "127.0.0.4");
  EXPECT_EQ(hung.failures, 1);
  EXPECT_EQ(hung.last_error, "no answer before the end");
}

TEST_F(PushgatewayTest, StopDoesNotWaitForAHungLookup) {
  std::promise<void> release;
  const auto released = release.get_future().share();
  std::promise<void> begun;
  options_.look_up = [released, &begun](const HostPort&) {
    begun.set_value();
    released.wait();
    return LookupResult();
  };
  options_.stop_timeout = milliseconds(200);
  const auto pushgateway = Start();
  begun.get_future().wait();
  pushgateway->Stop();
  release.set_value();
  EXPECT_THAT(a_->Await(0), IsEmpty());
}

TEST_F(PushgatewayTest, TheDestructorStops) {
  auto pushgateway = Start();
  AwaitPushes(*pushgateway, "127.0.0.2", 1);
  Turn(seconds(2));
  pushgateway = nullptr;
  EXPECT_THAT(a_->Await(2), ElementsAre(Put("0s"), Put("2s")));
}

TEST_F(PushgatewayTest, WithoutAStartNothingHappens) {
  Pushgateway pushgateway(options_, &TimeText);
  pushgateway.Wake();
  pushgateway.Stop();
  EXPECT_EQ(pushgateway.stats().periods, 0);
}

TEST_F(PushgatewayTest, StartsOnce) {
  const auto pushgateway = Start();
  EXPECT_EQ(pushgateway->Start().code(), absl::StatusCode::kFailedPrecondition);
  pushgateway->Stop();
  EXPECT_EQ(pushgateway->Start().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PushgatewayTest, IPv6StandsInBrackets) {
  FakeGateway gateway("::1");
  if (!gateway.started()) GTEST_SKIP() << "this machine has no ::1";
  options_.host = "::1";
  options_.port = gateway.port();
  options_.look_up = &LookUp;
  const auto pushgateway = Start();
  EXPECT_THAT(gateway.Await(1), ElementsAre(Put("0s")));
  EXPECT_THAT(gateway.header("Host"),
              ElementsAre(absl::StrCat("[::1]:", gateway.port())));
}

TEST(PushgatewayOptionsTest, ErrorsNameFieldValueAndRange) {
  PushgatewayOptions valid;
  valid.host = "host";
  valid.job = "job";
  const auto error = [&valid](auto change) {
    PushgatewayOptions options = valid;
    change(options);
    const absl::Status status = Pushgateway(options, [] { return ""; }).Start();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  using Options = PushgatewayOptions;
  for (const std::string host : {"", "a b", "a/b", "[::1]", "a\r\nb", "u@h"}) {
    EXPECT_EQ(
        error([&](Options& o) { o.host = host; }),
        "host: '" + host + "' is no name and no address without brackets");
  }
  EXPECT_EQ(error([](Options& o) { o.port = 0; }),
            "port: 0 is out of range [1, 65535]");
  EXPECT_EQ(error([](Options& o) { o.port = 65536; }),
            "port: 65536 is out of range [1, 65535]");
  EXPECT_EQ(error([](Options& o) { o.job = ""; }), "job: must not be empty");
  EXPECT_EQ(error([](Options& o) {
              o.labels = {{"a", "1"}, {"a", "2"}};
            }),
            "labels: 'a' is given twice");
  EXPECT_EQ(error([](Options& o) { o.period = milliseconds(99); }),
            "period: 99ms is out of range [100ms, 86400s]");
  EXPECT_EQ(error([](Options& o) { o.timeout = Duration(0); }),
            "timeout: 0s is out of range [1ms, 3600s]");
  EXPECT_EQ(error([](Options& o) { o.stop_timeout = Duration(0); }),
            "stop_timeout: 0s is out of range [1ms, 3600s]");
}

}  // namespace
}  // namespace fusebox
