// Runs the service on real servers and asks it as its clients do.

#include "interceptor/admin/admin_service.h"

#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/admin/live_settings.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/settings/effective_settings.h"
#include "interceptor/settings/settings_fields.h"
#include "interceptor/testing/guarded_echo.h"
#include "proto/fusebox/v1/admin.grpc.pb.h"

namespace fusebox {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// What no correct run comes near.
std::chrono::system_clock::time_point Deadline() {
  return std::chrono::system_clock::now() + std::chrono::minutes(1);
}

std::atomic<std::int64_t> clock_ns{0};
TimePoint TestNow() { return TimePoint(Duration(clock_ns.load())); }
void Advance(Duration duration) { clock_ns.fetch_add(duration.count()); }

constexpr char kHello[] = "/greeter.v1.Greeter/SayHello";
constexpr char kHelloName[] = "breakers/server/greeter.v1.Greeter/SayHello";
constexpr char kStockName[] =
    "breakers/client/dns:%2F%2F%2Fstock/pkg.Stock/Get";

// Lines that several threads write.
class LogLines {
 public:
  void Add(const std::string& line) {
    const MutexLock lock(mu_);
    lines_.push_back(line);
  }
  std::vector<std::string> Take() {
    const MutexLock lock(mu_);
    return std::exchange(lines_, {});
  }

 private:
  Mutex mu_;
  std::vector<std::string> lines_ FUSEBOX_GUARDED_BY(mu_);
};

// A watch, read when the test asks for it.
class WatchStream {
 public:
  explicit WatchStream(v1::BreakerAdmin::Stub& stub,
                       const v1::WatchBreakersRequest& request = {}) {
    context_.set_deadline(Deadline());
    reader_ = stub.WatchBreakers(&context_, request);
  }

  // The next message; empty when the stream has ended.
  v1::WatchBreakersResponse Next() {
    v1::WatchBreakersResponse response;
    if (!reader_->Read(&response)) return {};
    return response;
  }
  // The names of the initial breakers.
  std::vector<std::string> Initial() {
    std::vector<std::string> names;
    for (;;) {
      const v1::WatchBreakersResponse response = Next();
      for (const v1::Breaker& breaker : response.breakers()) {
        names.push_back(breaker.name());
      }
      if (response.initial_complete()) return names;
      if (response.breakers().empty()) {
        ADD_FAILURE() << "the watch ended";
        return names;
      }
    }
  }
  // "1 SayHello FORCED_OPEN alice"
  std::string NextTransition() {
    const v1::WatchBreakersResponse response = Next();
    const v1::Transition& transition = response.transition();
    const std::string& name = transition.breaker();
    std::string text =
        absl::StrCat(response.sequence(), " ",
                     name.empty() ? "" : name.substr(name.rfind('/') + 1), " ",
                     transition.override_to() != v1::Breaker::OVERRIDE_NONE
                         ? v1::Breaker::Override_Name(transition.override_to())
                         : v1::Breaker::State_Name(transition.to()));
    if (response.skipped_count() != 0) {
      absl::StrAppend(&text, " skipped ", response.skipped_count());
    }
    return text;
  }
  grpc::Status End() {
    v1::WatchBreakersResponse response;
    while (reader_->Read(&response)) {
    }
    return reader_->Finish();
  }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchBreakersResponse>> reader_;
};

class AdminServiceTest : public ::testing::Test {
 protected:
  AdminServiceTest()
      : registry_(Options()),
        history_(&registry_),
        acts_(&registry_, &history_) {
    registry_.Pin(Role::kServer, "", kHello);
    registry_.Pin(Role::kServer, "", "/greeter.v1.Greeter/SayBye");
    registry_.Pin(Role::kClient, "dns:///stock", "/pkg.Stock/Get");
  }
  ~AdminServiceTest() override { StopServer(); }

  RegistryOptions Options() {
    RegistryOptions options;
    options.now = &TestNow;
    options.start_dispatcher = false;
    options.max_breakers = 3000;
    options.log = [this](const std::string& line) { log_.Add(line); };
    return options;
  }

  // On 127.0.0.1 unless `address` says otherwise.
  void Start(BreakerAdminOptions options, std::string address = "",
             const std::shared_ptr<grpc::ServerCredentials>& server_side =
                 grpc::InsecureServerCredentials(),
             const std::shared_ptr<grpc::ChannelCredentials>& client_side =
                 grpc::InsecureChannelCredentials(),
             const grpc::ChannelArguments& arguments = {}) {
    service_ = std::make_unique<BreakerAdminService>(
        &registry_, &history_, &acts_, std::move(options));
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(address.empty() ? "127.0.0.1:0" : address,
                             server_side, &port);
    ServeBreakerAdmin(builder, service_.get());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    if (address.empty()) address = absl::StrCat("127.0.0.1:", port);
    address_ = address;
    channel_ = grpc::CreateCustomChannel(address, client_side, arguments);
    stub_ = v1::BreakerAdmin::NewStub(channel_);
  }
  void StartWritable() {
    BreakerAdminOptions options;
    options.allow_changes = true;
    Start(std::move(options));
  }
  void StopServer() {
    if (server_ == nullptr) return;
    server_->Shutdown();  // without a deadline
    server_.reset();
  }

  // "CODE: message", or "" if all went well.
  static std::string Told(const grpc::Status& status) {
    return status.ok() ? ""
                       : absl::StrCat(status.error_code(), ": ",
                                      status.error_message());
  }

  template <class Request, class Response>
  std::string Call(grpc::Status (v1::BreakerAdmin::Stub::*method)(
                       grpc::ClientContext*, const Request&, Response*),
                   const Request& request, Response& response,
                   const std::map<std::string, std::string>& metadata = {}) {
    grpc::ClientContext context;
    context.set_deadline(Deadline());
    for (const auto& [name, value] : metadata) {
      context.AddMetadata(name, value);
    }
    response.Clear();
    return Told(((*stub_).*method)(&context, request, &response));
  }

  std::string List(const std::string& filter = "") {
    v1::ListBreakersRequest request;
    request.set_filter(filter);
    return Call(&v1::BreakerAdmin::Stub::ListBreakers, request, listed_);
  }
  std::string Get(const std::string& name = kHelloName) {
    v1::GetBreakerRequest request;
    request.set_name(name);
    return Call(&v1::BreakerAdmin::Stub::GetBreaker, request, breaker_);
  }
  std::string ForceOpen(const std::map<std::string, std::string>& metadata = {},
                        const std::string& etag = "",
                        const std::string& name = kHelloName) {
    v1::ForceOpenBreakerRequest request;
    request.set_name(name);
    request.set_etag(etag);
    request.set_comment("INC-7");
    request.mutable_ttl_duration()->set_seconds(600);
    return Call(&v1::BreakerAdmin::Stub::ForceOpenBreaker, request, breaker_,
                metadata);
  }
  std::string Release(const std::string& name = kHelloName) {
    v1::ReleaseBreakerRequest request;
    request.set_name(name);
    return Call(&v1::BreakerAdmin::Stub::ReleaseBreaker, request, breaker_);
  }

  // Without the service: forces the breaker to and fro `times` times.
  void Shake(int times) {
    for (int i = 0; i < times; ++i) {
      registry_.Force(
          Role::kServer, "", kHello,
          i % 2 == 0 ? Override::kForcedOpen : Override::kForcedClosed,
          TimePoint::max());
      registry_.Dispatch();
    }
  }
  static std::vector<std::string> NamesOf(
      const google::protobuf::RepeatedPtrField<v1::Breaker>& breakers) {
    std::vector<std::string> names;
    for (const v1::Breaker& breaker : breakers) names.push_back(breaker.name());
    return names;
  }

  LogLines log_;
  BreakerRegistry registry_;
  TransitionHistory history_;
  OperatorActs acts_;
  std::unique_ptr<BreakerAdminService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::BreakerAdmin::Stub> stub_;

  v1::ListBreakersResponse listed_;
  v1::Breaker breaker_;
};

// ---------------------------------------------------------------------------
// To look at

TEST_F(AdminServiceTest, ListsBreakersInOrder) {
  Start({});
  ASSERT_EQ(List(), "");
  EXPECT_THAT(
      NamesOf(listed_.breakers()),
      ElementsAre(kStockName, "breakers/server/greeter.v1.Greeter/SayBye",
                  kHelloName));
  EXPECT_EQ(listed_.next_page_token(), "");
  ASSERT_EQ(List("role=CLIENT"), "");
  EXPECT_THAT(NamesOf(listed_.breakers()), ElementsAre(kStockName));
  EXPECT_THAT(List("colour=red"), HasSubstr("filter: 'colour' is no field"));
}

TEST_F(AdminServiceTest, ListsPageByPage) {
  for (int i = 0; i < 2345; ++i) {
    registry_.Pin(Role::kServer, "", absl::StrCat("/pkg.Many/M", i));
  }
  Start({});
  for (const int page_size : {0, 1000, 51}) {
    v1::ListBreakersRequest request;
    request.set_page_size(page_size);
    request.set_filter("method=/pkg.Many/*");
    std::set<std::string> seen;
    std::size_t total = 0;
    do {
      ASSERT_EQ(Call(&v1::BreakerAdmin::Stub::ListBreakers, request, listed_),
                "");
      ASSERT_LE(listed_.breakers_size(), page_size == 0 ? 100 : page_size);
      for (const std::string& name : NamesOf(listed_.breakers())) {
        seen.insert(name);
        ++total;
      }
      request.set_page_token(listed_.next_page_token());
      // Breakers come and go in between.
      registry_.Pin(Role::kServer, "", absl::StrCat("/pkg.New/M", total));
    } while (!request.page_token().empty());
    EXPECT_EQ(total, 2345);
    EXPECT_EQ(seen.size(), 2345);
  }
}

TEST_F(AdminServiceTest, RefusesBadPages) {
  Start({});
  const auto list = [&](int size, const std::string& token) {
    v1::ListBreakersRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    return Call(&v1::BreakerAdmin::Stub::ListBreakers, request, listed_);
  };
  EXPECT_EQ(list(-1, ""), "3: page_size: -1 is out of range [0, 1000]");
  EXPECT_EQ(list(1001, ""), "3: page_size: 1001 is out of range [0, 1000]");
  EXPECT_EQ(list(1000, ""), "");
  EXPECT_EQ(list(1, "x"),
            "3: page_token: not a next_page_token of this service");
}

TEST_F(AdminServiceTest, ShowsAllOfABreaker) {
  StartWritable();
  CircuitBreaker& breaker = registry_.Pin(Role::kServer, "", kHello);
  Advance(std::chrono::seconds(5));
  for (int i = 0; i < 6; ++i) {
    breaker.Admit(TestNow()).permit.Finish(Outcome::kOk, TestNow());
  }
  breaker.Admit(TestNow()).permit.Finish(Outcome::kTimeout, TestNow());
  breaker.Admit(TestNow()).permit.Finish(Outcome::kSystemError, TestNow());
  const auto in_flight = breaker.Admit(TestNow());

  ASSERT_EQ(Get(), "");
  EXPECT_EQ(breaker_.name(), kHelloName);
  EXPECT_EQ(breaker_.role(), v1::Breaker::SERVER);
  EXPECT_EQ(breaker_.target(), "");
  EXPECT_EQ(breaker_.method(), kHello);
  EXPECT_EQ(breaker_.state(), v1::Breaker::CLOSED);
  EXPECT_EQ(breaker_.window().ok_count(), 6);
  EXPECT_EQ(breaker_.window().timeout_count(), 1);
  EXPECT_EQ(breaker_.window().system_error_count(), 1);
  EXPECT_EQ(breaker_.lifetime().ok_count(), 6);
  EXPECT_DOUBLE_EQ(breaker_.failure_ratio(), 0.25);
  EXPECT_EQ(breaker_.in_flight_count(), 1);
  EXPECT_FALSE(breaker_.has_next_probe_time());
  EXPECT_FALSE(breaker_.has_override_end_time());

  ASSERT_EQ(ForceOpen({{"fusebox-operator", "alice"}}), "");
  registry_.Dispatch();
  ASSERT_FALSE(breaker.Admit(TestNow()).admitted());
  ASSERT_EQ(Get(), "");
  EXPECT_EQ(breaker_.state(), v1::Breaker::OPEN);
  EXPECT_EQ(breaker_.override(), v1::Breaker::FORCED_OPEN);
  EXPECT_THAT(breaker_.override_operator(), HasSubstr("alice (not verified"));
  EXPECT_EQ(breaker_.override_comment(), "INC-7");
  EXPECT_EQ(breaker_.forced_rejected_count(), 1);
  using google::protobuf::util::TimeUtil;
  const auto left = TimeUtil::DurationToSeconds(breaker_.override_end_time() -
                                                TimeUtil::GetCurrentTime());
  EXPECT_GT(left, 500);
  EXPECT_LE(left, 600);
  ASSERT_EQ(breaker_.transitions_size(), 1);
  const v1::Transition& transition = breaker_.transitions(0);
  EXPECT_EQ(transition.sequence(), 1);
  EXPECT_EQ(transition.breaker(), kHelloName);
  EXPECT_EQ(transition.from(), v1::Breaker::CLOSED);
  EXPECT_EQ(transition.to(), v1::Breaker::OPEN);
  EXPECT_EQ(transition.override_to(), v1::Breaker::FORCED_OPEN);
  EXPECT_EQ(transition.reason(), "forced");
  EXPECT_EQ(transition.act(), "force_open");
  EXPECT_EQ(transition.detail(), "for 10m");
}

TEST_F(AdminServiceTest, ShowsWhenTheNextProbeIsDue) {
  Start({});
  CircuitBreaker& breaker = registry_.Pin(Role::kServer, "", kHello);
  for (int i = 0; i < 20; ++i) {
    auto admission = breaker.Admit(TestNow());
    if (!admission.admitted()) break;
    admission.permit.Finish(Outcome::kSystemError, TestNow());
  }
  ASSERT_EQ(Get(), "");
  EXPECT_EQ(breaker_.state(), v1::Breaker::OPEN);
  EXPECT_TRUE(breaker_.has_next_probe_time());
  EXPECT_TRUE(breaker_.has_state_time());
  EXPECT_DOUBLE_EQ(breaker_.failure_ratio(), 1);
}

TEST_F(AdminServiceTest, ConfigHasEveryFieldOfSettings) {
  const auto& descriptor = *v1::BreakerSettings::descriptor();
  ASSERT_EQ(descriptor.field_count(),
            static_cast<int>(SettingsFields().size()));
  Start({});
  ASSERT_EQ(Get(), "");
  for (int i = 0; i < descriptor.field_count(); ++i) {
    EXPECT_EQ(descriptor.field(i)->name(),
              SettingsFields()[static_cast<std::size_t>(i)].name);
    EXPECT_TRUE(breaker_.config().GetReflection()->HasField(
        breaker_.config(), descriptor.field(i)))
        << descriptor.field(i)->name();
  }
  EXPECT_EQ(breaker_.config().bucket_width(), "1s");
  EXPECT_EQ(breaker_.config().buckets(), 10);
  EXPECT_EQ(breaker_.config().min_requests(), 10);
  EXPECT_EQ(breaker_.config().slow_call_duration(), "off");
  EXPECT_EQ(breaker_.config().backoff_multiplier(), 2);
  EXPECT_EQ(breaker_.config().jitter(), 0.1);
  EXPECT_EQ(breaker_.config().mode(), v1::BreakerSettings::ENFORCE);
}

TEST_F(AdminServiceTest, NamesFromTheWireAreMadePrintable) {
  const std::string odd = "/pkg.S/\x1b[2J\xff";
  registry_.Pin(Role::kClient, "a\nb", odd);
  Start({});
  ASSERT_EQ(List("target=a*"), "");
  ASSERT_EQ(listed_.breakers_size(), 1);
  EXPECT_EQ(listed_.breakers(0).method(), "/pkg.S/\\x1b[2J\\xff");
  EXPECT_EQ(listed_.breakers(0).target(), "a\\x0ab");
  EXPECT_EQ(Get(listed_.breakers(0).name()), "");
}

TEST_F(AdminServiceTest, SaysWhatIsNotThere) {
  StartWritable();
  EXPECT_EQ(Get("breakers/server/pkg.S/M"),
            "5: no breaker breakers/server/pkg.S/M");
  EXPECT_EQ(ForceOpen({}, "", "breakers/server/pkg.S/M"),
            "5: no breaker /pkg.S/M (server)");
  for (const char* bad : {"", "x", "breakers/", "breakers/-"}) {
    EXPECT_THAT(Get(bad), HasSubstr("3: name: '"));
    EXPECT_THAT(ForceOpen({}, "", bad), HasSubstr("3: name: '"));
    EXPECT_THAT(Release(bad), HasSubstr("3: name: '"));
  }
}

// ---------------------------------------------------------------------------
// To act on

TEST_F(AdminServiceTest, ActsAsItIsTold) {
  StartWritable();
  ASSERT_EQ(ForceOpen(), "");
  EXPECT_EQ(breaker_.override(), v1::Breaker::FORCED_OPEN);
  v1::ForceCloseBreakerRequest close;
  close.set_name(kHelloName);
  ASSERT_EQ(Call(&v1::BreakerAdmin::Stub::ForceCloseBreaker, close, breaker_),
            "");
  EXPECT_EQ(breaker_.override(), v1::Breaker::FORCED_CLOSED);
  EXPECT_EQ(breaker_.state(), v1::Breaker::CLOSED);
  EXPECT_FALSE(breaker_.has_override_end_time());
  ASSERT_EQ(Release(), "");
  EXPECT_EQ(breaker_.override(), v1::Breaker::OVERRIDE_NONE);
  EXPECT_THAT(Release(), HasSubstr("9: "));
  ASSERT_EQ(ForceOpen(), "");
  v1::ResetBreakerRequest reset;
  reset.set_name(kHelloName);
  ASSERT_EQ(Call(&v1::BreakerAdmin::Stub::ResetBreaker, reset, breaker_), "");
  EXPECT_EQ(breaker_.override(), v1::Breaker::OVERRIDE_NONE);
  EXPECT_EQ(breaker_.state(), v1::Breaker::CLOSED);
}

TEST_F(AdminServiceTest, AForceEndsWithItsTime) {
  StartWritable();
  ASSERT_EQ(ForceOpen(), "");
  Advance(std::chrono::minutes(10) - std::chrono::nanoseconds(1));
  ASSERT_EQ(Get(), "");
  EXPECT_EQ(breaker_.override(), v1::Breaker::FORCED_OPEN);
  Advance(std::chrono::nanoseconds(1));
  ASSERT_EQ(Get(), "");
  EXPECT_EQ(breaker_.override(), v1::Breaker::OVERRIDE_NONE);
  EXPECT_EQ(breaker_.override_operator(), "");
}

TEST_F(AdminServiceTest, BadDurationsAreNamed) {
  StartWritable();
  const auto force = [&](std::int64_t seconds, std::int32_t nanos) {
    v1::ForceOpenBreakerRequest request;
    request.set_name(kHelloName);
    request.mutable_ttl_duration()->set_seconds(seconds);
    request.mutable_ttl_duration()->set_nanos(nanos);
    return Call(&v1::BreakerAdmin::Stub::ForceOpenBreaker, request, breaker_);
  };
  EXPECT_EQ(force(0, 0), "3: ttl_duration: 0 is out of range (0, 2400h]");
  EXPECT_EQ(force(-1, 0), "3: ttl_duration: -1s is out of range (0, 2400h]");
  EXPECT_THAT(force(8640001, 0), HasSubstr("is out of range (0, 2400h]"));
  EXPECT_EQ(force(8640000, 0), "");
  EXPECT_EQ(force(0, 1), "");
  for (const auto& [seconds, nanos] :
       std::vector<std::pair<std::int64_t, std::int32_t>>{
           {std::numeric_limits<std::int64_t>::max(), 0},
           {std::numeric_limits<std::int64_t>::min(), 0},
           {1, -1},
           {-1, 1},
           {0, 1'000'000'000},
           {0, -1'000'000'000}}) {
    EXPECT_THAT(force(seconds, nanos), HasSubstr("3: ttl_duration: "));
  }
}

TEST_F(AdminServiceTest, AnOutdatedEtagIsAborted) {
  StartWritable();
  ASSERT_EQ(Get(), "");
  const std::string etag = breaker_.etag();
  ASSERT_EQ(ForceOpen({}, etag), "");
  EXPECT_NE(breaker_.etag(), etag);
  EXPECT_THAT(ForceOpen({}, etag), HasSubstr("10: etag: "));
  ASSERT_EQ(Get(), "");
  EXPECT_EQ(ForceOpen({}, breaker_.etag()), "");
  EXPECT_THAT(ForceOpen({}, "no etag at all"), HasSubstr("10: "));
}

TEST_F(AdminServiceTest, OfManyWithOneEtagOneWins) {
  StartWritable();
  for (int round = 0; round < 5; ++round) {
    ASSERT_EQ(Get(), "");
    v1::ForceOpenBreakerRequest request;
    request.set_name(kHelloName);
    request.set_etag(breaker_.etag());
    std::atomic<int> won{0};
    std::vector<std::thread> operators;
    for (int i = 0; i < 4; ++i) {
      operators.emplace_back([&] {
        grpc::ClientContext context;
        context.set_deadline(Deadline());
        v1::Breaker breaker;
        const grpc::Status status =
            stub_->ForceOpenBreaker(&context, request, &breaker);
        if (status.ok()) {
          ++won;
        } else {
          EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
        }
      });
    }
    for (std::thread& one : operators) one.join();
    EXPECT_EQ(won, 1);
    ASSERT_EQ(Release(), "");
  }
}

TEST_F(AdminServiceTest, WithoutLiveSettingsThereIsNoUpdate) {
  StartWritable();
  v1::UpdateBreakerRequest request;
  request.mutable_breaker()->set_name(kHelloName);
  request.mutable_breaker()->mutable_config()->set_buckets(5);
  EXPECT_EQ(Call(&v1::BreakerAdmin::Stub::UpdateBreaker, request, breaker_),
            "9: this server takes no settings while it runs");
  ASSERT_EQ(Get(), "");
  EXPECT_THAT(breaker_.config_sources(), IsEmpty());
}

class AdminSettingsTest : public AdminServiceTest {
 protected:
  AdminSettingsTest() : live_(&registry_, InForce(), {}) {
    BreakerAdminOptions options;
    options.allow_changes = true;
    options.live_settings = &live_;
    Start(std::move(options));
  }
  ~AdminSettingsTest() override { StopServer(); }

  static EffectiveSettings InForce() {
    return *PutTogether(SettingsFile(), GivenFlags());
  }
  std::string Update(const v1::BreakerSettings& config,
                     const std::vector<std::string>& paths = {},
                     bool validate_only = false, const std::string& etag = "") {
    v1::UpdateBreakerRequest request;
    request.mutable_breaker()->set_name(kHelloName);
    request.mutable_breaker()->set_etag(etag);
    *request.mutable_breaker()->mutable_config() = config;
    for (const std::string& path : paths) {
      request.mutable_update_mask()->add_paths(path);
    }
    request.set_validate_only(validate_only);
    request.set_comment("INC-8");
    return Call(&v1::BreakerAdmin::Stub::UpdateBreaker, request, breaker_,
                {{"fusebox-operator", "alice"}});
  }
  Settings Running() {
    return registry_.Snapshot(Role::kServer, "", kHello)->settings;
  }

  LiveSettings live_;
};

TEST_F(AdminServiceTest, TellsWhatIsWrongWithTheSettingsFile) {
  const std::string file = ::testing::TempDir() + "admin_settings.textproto";
  std::ofstream(file) << "defaults { buckets: 0 }";
  LiveSettingsOptions live_options;
  live_options.file = file;
  LiveSettings live(&registry_, *PutTogether(SettingsFile(), GivenFlags()),
                    live_options);
  BreakerAdminOptions options;
  options.live_settings = &live;
  Start(std::move(options));
  EXPECT_TRUE(testing::Eventually([&] { return !live.last_error().empty(); }));
  ASSERT_EQ(List(), "");
  EXPECT_THAT(listed_.settings_file_error(),
              HasSubstr("admin_settings.textproto:1:"));
  EXPECT_THAT(listed_.settings_file_error(), HasSubstr("buckets"));
  std::ofstream(file) << "defaults { buckets: 4 }";
  EXPECT_TRUE(testing::Eventually([&] { return live.last_error().empty(); }));
  ASSERT_EQ(List(), "");
  EXPECT_EQ(listed_.settings_file_error(), "");
  StopServer();
}

TEST_F(AdminSettingsTest, AnUpdateReachesTheBreakerAndSaysWhoDidIt) {
  v1::BreakerSettings config;
  config.set_min_recovery("250ms");
  config.set_buckets(5);
  config.set_mode(v1::BreakerSettings::SHADOW);
  config.set_jitter(0.25);
  ASSERT_EQ(Update(config), "");
  EXPECT_EQ(Running().min_recovery, std::chrono::milliseconds(250));
  EXPECT_EQ(Running().buckets, 5);
  EXPECT_EQ(Running().mode, Mode::kShadow);
  EXPECT_EQ(Running().jitter, 0.25);
  EXPECT_EQ(Running().max_recovery, Settings().max_recovery);
  EXPECT_EQ(breaker_.config().min_recovery(), "250ms");
  EXPECT_THAT(breaker_.config_sources().at("min_recovery"),
              HasSubstr("admin alice (not verified"));
  EXPECT_EQ(breaker_.config_sources().at("max_recovery"), "default");
  EXPECT_EQ(breaker_.config_sources().size(), SettingsFields().size());
  // Another method has what it had.
  EXPECT_EQ(registry_.Snapshot(Role::kServer, "", "/greeter.v1.Greeter/SayBye")
                ->settings,
            Settings());
  ASSERT_EQ(breaker_.transitions_size(), 1);
  EXPECT_EQ(breaker_.transitions(0).act(), "update");
  EXPECT_EQ(breaker_.transitions(0).detail(),
            "buckets=5 jitter=0.25 min_recovery=250ms mode=shadow");
  EXPECT_EQ(breaker_.transitions(0).comment(), "INC-8");
}

TEST_F(AdminSettingsTest, TheMaskSaysWhatIsMeantAndWhatIsTakenBack) {
  v1::BreakerSettings config;
  config.set_buckets(5);
  config.set_min_requests(3);
  ASSERT_EQ(Update(config, {"config.buckets"}), "");
  EXPECT_EQ(Running().buckets, 5);
  EXPECT_EQ(Running().min_requests, Settings().min_requests);
  ASSERT_EQ(Update(config, {"config"}), "");
  EXPECT_EQ(Running().min_requests, 3);
  config.clear_buckets();
  ASSERT_EQ(Update(config, {"config.buckets"}), "");
  EXPECT_EQ(Running().buckets, Settings().buckets);
  EXPECT_EQ(Running().min_requests, 3);
  EXPECT_EQ(breaker_.config_sources().at("buckets"), "default");
}

TEST_F(AdminSettingsTest, OnlyLookingChangesNothing) {
  v1::BreakerSettings config;
  config.set_buckets(5);
  ASSERT_EQ(Update(config, {}, /*validate_only=*/true), "");
  EXPECT_EQ(breaker_.config().buckets(), 5);
  EXPECT_EQ(Running(), Settings());
  EXPECT_THAT(history_.Last(), IsEmpty());
  config.set_buckets(0);
  EXPECT_THAT(Update(config, {}, /*validate_only=*/true),
              AllOf(HasSubstr("3: "), HasSubstr("buckets"), HasSubstr("0"),
                    HasSubstr("[1, 1000]")));
}

TEST_F(AdminSettingsTest, BadUpdatesAreRefusedAndSaidWhy) {
  v1::BreakerSettings config;
  EXPECT_THAT(Update(config), HasSubstr("3: update_mask: names nothing"));
  config.set_buckets(1001);
  EXPECT_THAT(Update(config), AllOf(HasSubstr("3: "), HasSubstr("buckets"),
                                    HasSubstr("1001"), HasSubstr("[1, 1000]")));
  config.set_buckets(5);
  for (const char* path : {"state", "config.", "config.colour", "name", "*",
                           "configuration", "config.buckets.x"}) {
    EXPECT_EQ(Update(config, {path}),
              absl::StrCat("3: update_mask: '", path,
                           "' cannot be changed: config, or config.FIELD"));
  }
  config.set_min_recovery("soon");
  EXPECT_THAT(Update(config), AllOf(HasSubstr("3: "), HasSubstr("min_recovery"),
                                    HasSubstr("soon")));
  config.set_min_recovery("1m");  // not together with max_recovery
  EXPECT_THAT(Update(config), AllOf(HasSubstr("3: "), HasSubstr("max_rec")));
  config.Clear();
  config.set_mode(v1::BreakerSettings::MODE_UNSPECIFIED);
  EXPECT_THAT(Update(config), AllOf(HasSubstr("3: "), HasSubstr("mode")));
  config.Clear();
  config.set_jitter(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THAT(Update(config), AllOf(HasSubstr("3: "), HasSubstr("jitter")));
  EXPECT_EQ(Running(), Settings());
}

TEST_F(AdminSettingsTest, AnUpdateChangesTheEtag) {
  ASSERT_EQ(Get(), "");
  const std::string etag = breaker_.etag();
  v1::BreakerSettings config;
  config.set_buckets(5);
  ASSERT_EQ(Update(config, {}, false, etag), "");
  config.set_buckets(6);
  EXPECT_THAT(Update(config, {}, false, etag), HasSubstr("10: etag: "));
  EXPECT_THAT(Update(config, {}, /*validate_only=*/true, etag),
              HasSubstr("10: etag: "));
  EXPECT_EQ(Running().buckets, 5);
}

// ---------------------------------------------------------------------------
// Who may

TEST_F(AdminServiceTest, IsReadOnlyUnlessTold) {
  Start({});
  EXPECT_EQ(List(), "");
  EXPECT_EQ(Get(), "");
  const std::string denied = "7: this service is read-only";
  EXPECT_EQ(ForceOpen(), denied);
  EXPECT_EQ(Release(), denied);
  v1::ForceCloseBreakerRequest close;
  EXPECT_EQ(Call(&v1::BreakerAdmin::Stub::ForceCloseBreaker, close, breaker_),
            denied);
  v1::ResetBreakerRequest reset;
  EXPECT_EQ(Call(&v1::BreakerAdmin::Stub::ResetBreaker, reset, breaker_),
            denied);
  v1::UpdateBreakerRequest update;
  update.set_validate_only(true);
  EXPECT_EQ(Call(&v1::BreakerAdmin::Stub::UpdateBreaker, update, breaker_),
            denied);
  EXPECT_EQ(registry_.Snapshot(Role::kServer, "", kHello)->override_state,
            Override::kNone);
  EXPECT_THAT(history_.Last(), IsEmpty());
}

TEST_F(AdminServiceTest, AsksTheAuthoriserAndBelievesWhoItSays) {
  BreakerAdminOptions options;
  options.allow_changes = true;
  options.authorize = [](const AdminCall& call, std::string& who) {
    const auto& metadata = call.context.client_metadata();
    const auto token = metadata.find("authorization");
    if (token == metadata.end()) {
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "who are you?");
    }
    if (token->second == "Bearer s3cr3t-of-alice") {
      who = "alice";
      return grpc::Status::OK;
    }
    if (call.changes) {
      EXPECT_EQ(call.method, "ForceOpenBreaker");
      EXPECT_EQ(call.breaker, kHelloName);
      EXPECT_THAT(call.context.peer(), HasSubstr("127.0.0.1"));
      return grpc::Status(
          grpc::StatusCode::PERMISSION_DENIED,
          absl::StrCat("not you with ", std::string(token->second.data(),
                                                    token->second.size())));
    }
    return grpc::Status::OK;
  };
  Start(std::move(options));
  EXPECT_EQ(Get(), "16: who are you?");
  WatchStream refused(*stub_);
  EXPECT_EQ(refused.End().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(ForceOpen({{"authorization", "Bearer s3cr3t-of-bob"},
                       {"fusebox-operator", "bob"}}),
            "7: not you with Bearer s3cr3t-of-bob");
  ASSERT_EQ(ForceOpen({{"authorization", "Bearer s3cr3t-of-alice"}}), "");
  EXPECT_EQ(breaker_.override_operator(), "alice");

  const std::vector<std::string> lines = log_.Take();
  EXPECT_THAT(lines, Each(Not(HasSubstr("s3cr3t"))));
  EXPECT_THAT(lines,
              ElementsAre(AllOf(HasSubstr("admin: GetBreaker breakers/"),
                                HasSubstr("denied: UNAUTHENTICATED")),
                          AllOf(HasSubstr("admin: WatchBreakers by"),
                                HasSubstr("denied: UNAUTHENTICATED")),
                          AllOf(HasSubstr("by bob (not verified"),
                                HasSubstr("denied: PERMISSION_DENIED")),
                          HasSubstr("by alice permitted"),
                          HasSubstr("force_open for 10m by alice: INC-7")));
}

TEST_F(AdminServiceTest, NobodyGetsLinesIntoTheLog) {
  Start({});
  EXPECT_EQ(ForceOpen({}, "", "breakers/server/a\nfusebox: b"),
            "7: this service is read-only");
  EXPECT_THAT(log_.Take(), ElementsAre(HasSubstr("a\\x0afusebox: b")));
}

// Certificates for both sides.
class AdminTlsTest : public AdminServiceTest {
 protected:
  static std::string File(const std::string& name) {
    return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
  }
  static std::string Content(const std::string& name) {
    std::ifstream file(File(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void SetUpTestSuite() {
    Make("root", "/CN=Test root", "", "basicConstraints=critical,CA:TRUE");
    Make("server", "/CN=server", "root", "subjectAltName=DNS:admin.test");
    Make("alice", "/CN=alice", "root", "extendedKeyUsage=clientAuth");
  }
  // A key NAME.key and a certificate NAME.crt signed by `issuer`, or by itself.
  static void Make(const std::string& name, const std::string& subject,
                   const std::string& issuer, const std::string& extension) {
    std::ofstream(File(name + ".ext")) << extension << "\n";
    const std::string path = File(name);
    const std::string signing =
        issuer.empty() ? absl::StrCat(" -signkey ", path, ".key")
                       : absl::StrCat(" -CA ", File(issuer), ".crt -CAkey ",
                                      File(issuer), ".key -CAcreateserial");
    const std::string command = absl::StrCat(
        "{ openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
        "-nodes -subj '",
        subject, "' -keyout ", path, ".key -out ", path,
        ".csr && openssl x509 -req -days 2 -in ", path, ".csr -extfile ", path,
        ".ext -out ", path, ".crt", signing, "; } >", path, ".log 2>&1");
    ASSERT_EQ(std::system(command.c_str()), 0) << Content(name + ".log");
  }

  void StartTls(const std::string& client) {
    grpc::SslServerCredentialsOptions server(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    server.pem_root_certs = Content("root.crt");
    server.pem_key_cert_pairs = {
        {Content("server.key"), Content("server.crt")}};
    grpc::SslCredentialsOptions pem;
    pem.pem_root_certs = Content("root.crt");
    if (!client.empty()) {
      pem.pem_private_key = Content(client + ".key");
      pem.pem_cert_chain = Content(client + ".crt");
    }
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("admin.test");
    BreakerAdminOptions options;
    options.allow_changes = true;
    Start(std::move(options), "", grpc::SslServerCredentials(server),
          grpc::SslCredentials(pem), arguments);
  }
};

TEST_F(AdminTlsTest, ACertificateSaysWho) {
  StartTls("alice");
  ASSERT_EQ(ForceOpen({{"fusebox-operator", "mallory"}}), "");
  EXPECT_EQ(breaker_.override_operator(), "alice");
}

TEST_F(AdminTlsTest, WhoHasNoCertificateGetsNothing) {
  StartTls("");
  EXPECT_THAT(Get(), HasSubstr("14: "));
  EXPECT_THAT(ForceOpen(), HasSubstr("14: "));
}

TEST_F(AdminServiceTest, ServesAUnixSocket) {
  // The path of a socket has at most 107 bytes.
  const std::string path = absl::StrCat("/tmp/fusebox_admin_", getpid());
  BreakerAdminOptions options;
  options.allow_changes = true;
  Start(std::move(options), "unix:" + path);
  ASSERT_EQ(ForceOpen({{"fusebox-operator", "alice"}}), "");
  EXPECT_THAT(breaker_.override_operator(),
              HasSubstr("alice (not verified, unix:"));
  StopServer();
  EXPECT_NE(access(path.c_str(), F_OK), 0);  // gRPC takes it away
}

// ---------------------------------------------------------------------------
// To watch

TEST_F(AdminServiceTest, WatchBringsBreakersThenTransitions) {
  Start({});
  WatchStream watch(*stub_);
  EXPECT_THAT(
      watch.Initial(),
      ElementsAre(kStockName, "breakers/server/greeter.v1.Greeter/SayBye",
                  kHelloName));
  Shake(3);
  EXPECT_EQ(watch.NextTransition(), "1 SayHello FORCED_OPEN");
  EXPECT_EQ(watch.NextTransition(), "2 SayHello FORCED_CLOSED");
  EXPECT_EQ(watch.NextTransition(), "3 SayHello FORCED_OPEN");
  watch.Cancel();
  EXPECT_EQ(watch.End().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(AdminServiceTest, WatchSaysWhoDidIt) {
  StartWritable();
  WatchStream watch(*stub_);
  watch.Initial();
  ASSERT_EQ(ForceOpen({{"fusebox-operator", "alice"}}), "");
  registry_.Dispatch();
  const v1::WatchBreakersResponse response = watch.Next();
  EXPECT_THAT(response.transition().operator_(), HasSubstr("alice"));
  EXPECT_EQ(response.transition().comment(), "INC-7");
}

TEST_F(AdminServiceTest, WatchSplitsManyBreakers) {
  for (int i = 0; i < 997; ++i) {
    registry_.Pin(Role::kServer, "", absl::StrCat("/pkg.Many/M", i));
  }
  Start({});
  WatchStream watch(*stub_);
  const v1::WatchBreakersResponse first = watch.Next();
  EXPECT_EQ(first.breakers_size(), 100);
  EXPECT_FALSE(first.initial_complete());
  EXPECT_EQ(watch.Initial().size(), 900);
  Shake(1);
  EXPECT_EQ(watch.NextTransition(), "1 SayHello FORCED_OPEN");
}

TEST_F(AdminServiceTest, WatchFiltersByName) {
  Start({});
  v1::WatchBreakersRequest request;
  request.set_filter("method=*/SayBye");
  WatchStream watch(*stub_, request);
  EXPECT_THAT(watch.Initial(),
              ElementsAre("breakers/server/greeter.v1.Greeter/SayBye"));
  Shake(2);
  registry_.Force(Role::kServer, "", "/greeter.v1.Greeter/SayBye",
                  Override::kForcedOpen, TimePoint::max());
  registry_.Dispatch();
  EXPECT_EQ(watch.NextTransition(), "3 SayBye FORCED_OPEN");

  for (const char* bad : {"state=OPEN", "colour=red"}) {
    request.set_filter(bad);
    WatchStream refused(*stub_, request);
    EXPECT_THAT(Told(refused.End()), HasSubstr("3: filter: "));
  }
}

TEST_F(AdminServiceTest, WatchGoesOnWhereItBrokeOff) {
  Start({});
  Shake(5);
  v1::WatchBreakersRequest request;
  request.set_after_sequence(2);
  WatchStream watch(*stub_, request);
  const v1::WatchBreakersResponse first = watch.Next();
  EXPECT_TRUE(first.initial_complete());
  EXPECT_EQ(first.breakers_size(), 0);
  EXPECT_EQ(first.sequence(), 2);
  EXPECT_EQ(watch.NextTransition(), "3 SayHello FORCED_OPEN");
  EXPECT_EQ(watch.NextTransition(), "4 SayHello FORCED_CLOSED");
  EXPECT_EQ(watch.NextTransition(), "5 SayHello FORCED_OPEN");

  request.set_after_sequence(6);
  WatchStream other_process(*stub_, request);
  EXPECT_EQ(Told(other_process.End()),
            "11: after_sequence: 6 is out of range [0, 5]: this is another "
            "process; watch anew");
  request.set_after_sequence(0);
  WatchStream from_the_start(*stub_, request);
  from_the_start.Initial();
  EXPECT_EQ(from_the_start.NextTransition(), "1 SayHello FORCED_OPEN");
}

TEST_F(AdminServiceTest, WhoResumesTooLateLearnsWhatIsLost) {
  Start({});
  Shake(TransitionHistory::kCapacity + 20);
  v1::WatchBreakersRequest request;
  request.set_after_sequence(3);
  WatchStream watch(*stub_, request);
  watch.Initial();
  EXPECT_EQ(watch.NextTransition(), "21 SayHello FORCED_OPEN skipped 17");
  EXPECT_EQ(watch.NextTransition(), "22 SayHello FORCED_CLOSED");
}

TEST_F(AdminServiceTest, WhoReadsSlowlyLearnsWhatIsLost) {
  StartWritable();
  // Takes 64 KiB of what is not read, and no more.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65536);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  const auto stub = v1::BreakerAdmin::NewStub(grpc::CreateCustomChannel(
      address_, grpc::InsecureChannelCredentials(), arguments));
  WatchStream watch(*stub);
  watch.Initial();
  constexpr std::uint64_t kMany = 4000;
  OperatorActs::Request request;
  request.breaker = {Role::kServer, "", kHello};
  request.comment = std::string(OperatorActs::kMaxCommentBytes, 'x');
  for (std::uint64_t i = 0; i < kMany; ++i) {
    ASSERT_TRUE(
        acts_
            .Force(request,
                   i % 2 == 0 ? Override::kForcedOpen : Override::kForcedClosed,
                   std::nullopt)
            .ok());
    registry_.Dispatch();
  }
  std::uint64_t sequence = 0;
  std::uint64_t told = 0;
  std::uint64_t skipped = 0;
  while (sequence < kMany) {
    const v1::WatchBreakersResponse response = watch.Next();
    ASSERT_GT(response.sequence(), sequence);
    sequence = response.sequence();
    skipped += response.skipped_count();
    told += response.has_transition() ? 1 : 0;
  }
  EXPECT_EQ(told + skipped, kMany);
  EXPECT_GT(skipped, 0);
}

TEST_F(AdminServiceTest, ShutdownEndsWatches) {
  Start({});
  WatchStream watch(*stub_);
  watch.Initial();
  EXPECT_EQ(service_->watches(), 1);
  std::thread shutdown([this] { server_->Shutdown(); });  // without a deadline
  EXPECT_EQ(Told(watch.End()), "14: the server is shutting down");
  shutdown.join();
  EXPECT_EQ(service_->watches(), 0);
  server_.reset();
}

TEST_F(AdminServiceTest, SharesAServerWithAGuardThatLeavesItAlone) {
  service_ =
      std::make_unique<BreakerAdminService>(&registry_, &history_, &acts_);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  const auto guard = GuardServer(builder, &registry_);
  ServeBreakerAdmin(builder, service_.get());
  server_ = builder.BuildAndStart();
  ASSERT_NE(server_, nullptr);
  stub_ = v1::BreakerAdmin::NewStub(grpc::CreateChannel(
      absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials()));
  EXPECT_EQ(guard->uncovered(), 0);
  EXPECT_EQ(List("method=/fusebox*"), "");
  EXPECT_THAT(listed_.breakers(), IsEmpty());
  WatchStream watch(*stub_);
  watch.Initial();
  // The notices of both services come.
  std::thread shutdown([this] { server_->Shutdown(); });
  EXPECT_EQ(Told(watch.End()), "14: the server is shutting down");
  shutdown.join();
  server_.reset();
}

TEST_F(AdminServiceTest, ADrainedServiceRefusesWatchesAndAnswersTheRest) {
  Start({});
  service_->Drain();
  WatchStream watch(*stub_);
  EXPECT_EQ(Told(watch.End()), "14: the server is shutting down");
  EXPECT_EQ(Get(), "");
}

TEST_F(AdminServiceTest, HasSoManyWatchesAtMost) {
  Start({});
  std::vector<std::unique_ptr<WatchStream>> watches;
  for (std::size_t i = 0; i < BreakerAdminService::kMaxWatches; ++i) {
    watches.push_back(std::make_unique<WatchStream>(*stub_));
    watches.back()->Initial();
  }
  WatchStream one_more(*stub_);
  EXPECT_EQ(Told(one_more.End()), "8: 100 watches are open");
  for (const auto& watch : watches) watch->Cancel();
}

TEST_F(AdminServiceTest, WatchersComeAndGoWhileTransitionsHappen) {
  Start({});
  std::atomic<bool> done{false};
  std::thread dispatcher([&] {
    while (!done.load()) Shake(2);
  });
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      for (int round = 0; round < 10; ++round) {
        WatchStream watch(*stub_);
        watch.Initial();
        std::uint64_t sequence = 0;
        for (int n = 0; n < 5; ++n) {
          const v1::WatchBreakersResponse response = watch.Next();
          EXPECT_GT(response.sequence(), sequence);
          sequence = response.sequence();
        }
        watch.Cancel();
      }
    });
  }
  for (std::thread& client : clients) client.join();
  done.store(true);
  dispatcher.join();
}

}  // namespace
}  // namespace fusebox
