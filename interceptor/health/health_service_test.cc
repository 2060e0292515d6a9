// Runs the service on a real server and asks it as its clients do. The tests
// named H1 to H10 are the rules of the protocol.

#include "interceptor/health/health_service.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <atomic>
#include <chrono>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "interceptor/breaker/breaker_registry.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"

// Of gRPC's core, which keeps the header to itself.
grpc_compression_algorithm grpc_call_test_only_get_compression_algorithm(
    grpc_call* call);

namespace fusebox {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using grpc::health::v1::HealthListRequest;
using grpc::health::v1::HealthListResponse;

constexpr auto kServing = HealthCheckResponse::SERVING;
constexpr auto kNotServing = HealthCheckResponse::NOT_SERVING;
constexpr auto kServiceUnknown = HealthCheckResponse::SERVICE_UNKNOWN;

// What no correct run comes near.
constexpr std::chrono::seconds kGenerous(60);

std::chrono::system_clock::time_point Deadline() {
  return std::chrono::system_clock::now() + kGenerous;
}

// A watch, read when the test asks for it.
class WatchStream {
 public:
  WatchStream(Health::Stub& stub, const std::string& service) {
    context_.set_deadline(Deadline());
    HealthCheckRequest request;
    request.set_service(service);
    reader_ = stub.Watch(&context_, request);
  }

  // The next status; nothing when the stream has ended.
  std::optional<int> Next() {
    HealthCheckResponse response;
    if (!reader_->Read(&response)) return std::nullopt;
    return response.status();
  }

  // To be called when the stream has ended.
  grpc::StatusCode End() { return reader_->Finish().error_code(); }

  void Cancel() { context_.TryCancel(); }

  // What the headers of the reply say. To be called after Next().
  grpc_compression_algorithm Encoding() {
    return grpc_call_test_only_get_compression_algorithm(context_.c_call());
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader_;
};

class HealthServiceTest : public testing::Test {
 protected:
  ~HealthServiceTest() override {
    if (server_ != nullptr) server_->Shutdown();
  }

  void Start() {
    Start([](grpc::ServerBuilder& /*builder*/) {});
  }

  template <class Configure>
  void Start(Configure configure) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    ServeHealth(builder, health_);
    configure(builder);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    address_ = "127.0.0.1:" + std::to_string(port);
    stub_ = Health::NewStub(Channel());
  }

  std::shared_ptr<grpc::Channel> Channel(
      const grpc::ChannelArguments& arguments = {}) const {
    return grpc::CreateCustomChannel(
        address_, grpc::InsecureChannelCredentials(), arguments);
  }

  // The status, or minus the code of the error.
  int Check(const std::string& service) {
    grpc::ClientContext context;
    context.set_deadline(Deadline());
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    const grpc::Status status = stub_->Check(&context, request, &response);
    return status.ok() ? response.status() : -status.error_code();
  }

  grpc::Status List(std::map<std::string, int>* statuses) {
    grpc::ClientContext context;
    context.set_deadline(Deadline());
    HealthListResponse response;
    grpc::Status status = stub_->List(&context, HealthListRequest(), &response);
    statuses->clear();
    for (const auto& [name, check] : response.statuses()) {
      (*statuses)[name] = check.status();
    }
    return status;
  }

  WatchStream Watch(const std::string& service) {
    return WatchStream(*stub_, service);
  }

  void WaitForWatches(std::size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + kGenerous;
    while (health_->watches() != count) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline)
          << health_->watches() << " watches, not " << count;
      std::this_thread::yield();
    }
  }

  // Little fits between a server and a client like these.
  static void SmallBuffers(grpc::ServerBuilder& builder) {
    builder.AddChannelArgument(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, 0);
  }
  static grpc::ChannelArguments SmallWindow() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 500);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    return arguments;
  }

  // A call with any bytes as its request.
  grpc::Status RawCall(const std::shared_ptr<grpc::Channel>& channel,
                       const std::string& method, const std::string& bytes,
                       grpc::ByteBuffer* response) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(Deadline());
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    std::promise<grpc::Status> status;
    stub.UnaryCall(&context, "/grpc.health.v1.Health/" + method,
                   grpc::StubOptions(), &request, response,
                   [&status](const grpc::Status& s) { status.set_value(s); });
    return status.get_future().get();
  }
  grpc::StatusCode RawCall(const std::string& method,
                           const std::string& bytes) {
    grpc::ByteBuffer response;
    return RawCall(Channel(), method, bytes, &response).error_code();
  }

  std::shared_ptr<HealthService> health_ = std::make_shared<HealthService>();
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::unique_ptr<Health::Stub> stub_;
};

// ---------------------------------------------------------------------------
// The rules of the protocol

TEST_F(HealthServiceTest, H1CheckOfAnUnknownNameIsNotFound) {
  Start();
  EXPECT_EQ(Check("pkg.Service"), -grpc::StatusCode::NOT_FOUND);
  // Neither a watched nor a removed name is a known one.
  WatchStream watch = Watch("pkg.Service");
  EXPECT_EQ(watch.Next(), kServiceUnknown);
  EXPECT_EQ(Check("pkg.Service"), -grpc::StatusCode::NOT_FOUND);
  health_->SetServing("pkg.Service", true);
  EXPECT_EQ(Check("pkg.Service"), kServing);
  EXPECT_TRUE(health_->Remove("pkg.Service"));
  EXPECT_EQ(Check("pkg.Service"), -grpc::StatusCode::NOT_FOUND);
}

TEST_F(HealthServiceTest, H2EmptyNameIsTheServerAndNamesMatchExactly) {
  Start();
  EXPECT_EQ(Check(""), kServing);
  health_->SetServing("pkg.Service", false);
  EXPECT_EQ(Check("pkg.Service"), kNotServing);
  EXPECT_EQ(Check(""), kServing);
  for (const char* other :
       {"pkg.service", "pkg.Service/", "/pkg.Service", "pkg.Servic", " "}) {
    EXPECT_EQ(Check(other), -grpc::StatusCode::NOT_FOUND) << other;
  }
  health_->SetServing("", false);
  EXPECT_EQ(Check(""), kNotServing);
  EXPECT_FALSE(health_->Remove(""));
  EXPECT_EQ(Check(""), kNotServing);
}

TEST_F(HealthServiceTest, H3WatchAnswersAtOnceAndWaitsForUnknownNames) {
  Start();
  WatchStream server = Watch("");
  EXPECT_EQ(server.Next(), kServing);
  WatchStream unknown = Watch("pkg.Service");
  EXPECT_EQ(unknown.Next(), kServiceUnknown);
  health_->SetServing("pkg.Service", true);
  EXPECT_EQ(unknown.Next(), kServing);
}

TEST_F(HealthServiceTest, H4WatchSaysNothingTwiceInARow) {
  Start();
  health_->SetServing("pkg.Service", true);
  WatchStream watch = Watch("pkg.Service");
  EXPECT_EQ(watch.Next(), kServing);
  for (int i = 0; i < 100; ++i) {
    health_->SetServing("pkg.Service", true);
    health_->SetServing("pkg.Other", i % 2 == 0);
    health_->SetServing("pkg.Service", false);
    EXPECT_EQ(watch.Next(), kNotServing);
    health_->SetServing("pkg.Service", false);
    health_->SetAllServing(false);
    health_->SetServing("pkg.Service", true);
    EXPECT_EQ(watch.Next(), kServing);
  }
}

TEST_F(HealthServiceTest, H5SlowReaderGetsTheLatestStatus) {
  Start(SmallBuffers);
  const auto slow_stub = Health::NewStub(Channel(SmallWindow()));
  WatchStream slow(*slow_stub, "pkg.Service");
  ASSERT_EQ(slow.Next(), kServiceUnknown);
  WatchStream eager = Watch("pkg.Service");
  ASSERT_EQ(eager.Next(), kServiceUnknown);
  constexpr int kChanges = 2000;
  for (int i = 0; i < kChanges; ++i) {
    health_->SetServing("pkg.Service", i % 2 == 0);
    ASSERT_EQ(eager.Next(), i % 2 == 0 ? kServing : kNotServing);
  }
  health_->Remove("pkg.Service");
  ASSERT_EQ(eager.Next(), kServiceUnknown);

  int messages = 0;
  std::optional<int> last = kServiceUnknown;
  std::optional<int> next;
  do {
    next = slow.Next();
    ASSERT_TRUE(next.has_value());
    ASSERT_NE(next, last);
    last = next;
    ++messages;
  } while (next != kServiceUnknown);
  std::cout << messages << " messages of " << kChanges << " changes\n";
  EXPECT_LT(messages, kChanges / 4);
}

TEST_F(HealthServiceTest, H6LiveServerNeverEndsAWatchAndDrainIsNoOk) {
  Start();
  health_->SetServing("pkg.Service", true);
  WatchStream watch = Watch("pkg.Service");
  EXPECT_EQ(watch.Next(), kServing);
  health_->Remove("pkg.Service");
  EXPECT_EQ(watch.Next(), kServiceUnknown);
  health_->Shutdown();
  health_->SetServing("pkg.Service", true);
  EXPECT_EQ(watch.Next(), kNotServing);
  health_->Drain();
  EXPECT_EQ(watch.Next(), std::nullopt);
  EXPECT_EQ(watch.End(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(HealthServiceTest, H7ListIsASnapshotOfAtMostAHundredNames) {
  Start();
  std::map<std::string, int> statuses;
  EXPECT_TRUE(List(&statuses).ok());
  EXPECT_EQ(statuses, (std::map<std::string, int>{{"", kServing}}));

  WatchStream watch = Watch("watched.but.unknown");
  ASSERT_EQ(watch.Next(), kServiceUnknown);
  std::map<std::string, int> expected = {{"", kServing}};
  for (int i = 1; i < 100; ++i) {
    const std::string name = "pkg.Service" + std::to_string(i);
    health_->SetServing(name, i % 2 == 0);
    expected[name] = i % 2 == 0 ? kServing : kNotServing;
  }
  EXPECT_TRUE(List(&statuses).ok());
  EXPECT_EQ(statuses, expected);

  health_->SetServing("one.too.many", true);
  EXPECT_EQ(List(&statuses).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  health_->Remove("one.too.many");
  EXPECT_TRUE(List(&statuses).ok());
  EXPECT_EQ(statuses, expected);
}

TEST_F(HealthServiceTest, H8NothingServesAfterShutdown) {
  Start();
  health_->SetServing("pkg.Service", true);
  WatchStream server = Watch("");
  WatchStream service = Watch("pkg.Service");
  WatchStream later = Watch("later");
  EXPECT_EQ(server.Next(), kServing);
  EXPECT_EQ(service.Next(), kServing);
  EXPECT_EQ(later.Next(), kServiceUnknown);

  health_->Shutdown();
  EXPECT_EQ(server.Next(), kNotServing);
  EXPECT_EQ(service.Next(), kNotServing);

  health_->SetServing("pkg.Service", true);
  health_->SetAllServing(true);
  EXPECT_FALSE(health_->Remove("pkg.Service"));
  health_->SetServing("later", true);
  EXPECT_EQ(later.Next(), kNotServing);
  EXPECT_EQ(Check(""), kNotServing);
  EXPECT_EQ(Check("pkg.Service"), kNotServing);
  EXPECT_EQ(Check("later"), kNotServing);
  EXPECT_EQ(Check("never.set"), -grpc::StatusCode::NOT_FOUND);
  std::map<std::string, int> statuses;
  EXPECT_TRUE(List(&statuses).ok());
  EXPECT_EQ(statuses,
            (std::map<std::string, int>{{"", kNotServing},
                                        {"later", kNotServing},
                                        {"pkg.Service", kNotServing}}));
}

TEST_F(HealthServiceTest, H9RemovedNameIsUnknownToItsWatchers) {
  Start();
  health_->SetServing("pkg.Service", true);
  WatchStream watch = Watch("pkg.Service");
  EXPECT_EQ(watch.Next(), kServing);
  EXPECT_TRUE(health_->Remove("pkg.Service"));
  EXPECT_EQ(watch.Next(), kServiceUnknown);
  EXPECT_FALSE(health_->Remove("pkg.Service"));
  health_->SetServing("pkg.Service", false);
  EXPECT_EQ(watch.Next(), kNotServing);
}

TEST_F(HealthServiceTest, H10RepliesAreNeitherCompressedNorEmpty) {
  Start([](grpc::ServerBuilder& builder) {
    builder.SetDefaultCompressionAlgorithm(GRPC_COMPRESS_GZIP);
  });
  grpc::ChannelArguments arguments;
  // Leaves compressed messages as they came.
  arguments.SetInt("grpc.per_message_decompression", 0);
  const auto channel = Channel(arguments);
  const auto reply_to = [&](const std::string& method) {
    grpc::ByteBuffer response;
    EXPECT_TRUE(RawCall(channel, method, "", &response).ok());
    grpc::Slice slice;
    EXPECT_TRUE(response.DumpToSingleSlice(&slice).ok());
    return std::string(slice.begin(), slice.end());
  };
  EXPECT_EQ(reply_to("Check"), "\x08\x01");

  // Compression would pay off here.
  std::vector<std::string> names = {""};
  for (int i = 100; i < 199; ++i) {
    names.push_back(std::string(1000, 'x') + std::to_string(i));
    ASSERT_TRUE(health_->SetServing(names.back(), true));
  }
  std::vector<std::pair<std::string_view, ServingStatus>> statuses;
  for (const std::string& name : names) {
    statuses.emplace_back(name, ServingStatus::kServing);
  }
  EXPECT_EQ(reply_to("List"), EncodeHealthList(statuses));

  // gRPC does not compress what gets longer by it, but says that it might.
  WatchStream watch = Watch("");
  EXPECT_EQ(watch.Next(), kServing);
  EXPECT_EQ(watch.Encoding(), GRPC_COMPRESS_NONE);
}

// ---------------------------------------------------------------------------
// Requests nobody should send

TEST_F(HealthServiceTest, ComponentsStandBesideTheApplication) {
  EXPECT_FALSE(health_->SetComponentHealth("\xff", true));
  EXPECT_FALSE(health_->SetComponentHealth(
      std::string(HealthService::kMaxNameBytes + 1, 'x'), true));
  EXPECT_TRUE(health_->SetComponentHealth("pkg.Service", false));
  EXPECT_TRUE(health_->SetComponentHealth("", true));
  Start();
  EXPECT_EQ(Check(""), kServing);
  EXPECT_EQ(Check("pkg.Service"), kNotServing);
  WatchStream watch(*stub_, "pkg.Service");
  EXPECT_EQ(watch.Next(), kNotServing);
  health_->SetComponentHealth("pkg.Service", true);
  EXPECT_EQ(watch.Next(), kServing);
  health_->SetServing("pkg.Service", false);
  EXPECT_EQ(watch.Next(), kNotServing);
  // A component that heals does not take back what the application said.
  health_->SetComponentHealth("pkg.Service", false);
  health_->SetComponentHealth("pkg.Service", true);
  EXPECT_EQ(Check("pkg.Service"), kNotServing);
  EXPECT_TRUE(health_->Remove("pkg.Service"));
  EXPECT_EQ(watch.Next(), kServing);
  EXPECT_FALSE(health_->Remove("pkg.Service"));  // not the application's
  watch.Cancel();
}

TEST_F(HealthServiceTest, NamesAreAtMostSoLong) {
  Start();
  const std::string longest(HealthService::kMaxNameBytes, 'n');
  const std::string too_long = longest + "n";
  EXPECT_TRUE(health_->SetServing(longest, true));
  EXPECT_EQ(Check(longest), kServing);
  WatchStream watch = Watch(longest);
  EXPECT_EQ(watch.Next(), kServing);

  EXPECT_FALSE(health_->SetServing(too_long, true));
  EXPECT_EQ(Check(too_long), -grpc::StatusCode::INVALID_ARGUMENT);
  WatchStream refused = Watch(too_long);
  EXPECT_EQ(refused.Next(), std::nullopt);
  EXPECT_EQ(refused.End(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(HealthServiceTest, NamesAreUtf8) {
  Start();
  EXPECT_TRUE(health_->SetServing("\xe2\x82\xac", true));
  EXPECT_EQ(Check("\xe2\x82\xac"), kServing);
  EXPECT_FALSE(health_->SetServing("\xe2\x82", true));
  for (const char* method : {"Check", "Watch"}) {
    EXPECT_EQ(RawCall(method, "\x0a\x02\xe2\x82"),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST_F(HealthServiceTest, EveryPrefixOfARequestIsAnswered) {
  Start();
  health_->SetServing("pkg.Service", true);
  const std::string request = std::string("\x0a\x0b") + "pkg.Service";
  for (std::size_t size = 0; size <= request.size(); ++size) {
    const std::string prefix = request.substr(0, size);
    const bool whole = size == 0 || size == request.size();
    EXPECT_EQ(RawCall("Check", prefix),
              whole ? grpc::StatusCode::OK : grpc::StatusCode::INVALID_ARGUMENT)
        << size;
    EXPECT_EQ(RawCall("List", prefix),
              whole ? grpc::StatusCode::OK : grpc::StatusCode::INVALID_ARGUMENT)
        << size;
    if (!whole) {
      EXPECT_EQ(RawCall("Watch", prefix), grpc::StatusCode::INVALID_ARGUMENT)
          << size;
    }
  }
}

TEST_F(HealthServiceTest, GarbageIsAnsweredAndDoesNoHarm) {
  Start();
  const std::uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  std::mt19937_64 random(seed);
  const auto channel = Channel();
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random() % 64, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    for (const char* method : {"Check", "List"}) {
      grpc::ByteBuffer response;
      const auto code = RawCall(channel, method, bytes, &response).error_code();
      EXPECT_TRUE(code == grpc::StatusCode::OK ||
                  code == grpc::StatusCode::NOT_FOUND ||
                  code == grpc::StatusCode::INVALID_ARGUMENT)
          << code;
    }
  }
  EXPECT_EQ(Check(""), kServing);
}

// ---------------------------------------------------------------------------
// Many watchers, and their end

// A watch that reads all the time.
class EagerWatch final : public grpc::ClientReadReactor<HealthCheckResponse> {
 public:
  EagerWatch(Health::Stub& stub, const std::string& service) {
    context_.set_deadline(Deadline());
    request_.set_service(service);
    stub.async()->Watch(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    {
      std::lock_guard<std::mutex> lock(mu_);
      seen_.push_back(response_.status());
    }
    changed_.notify_all();
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    // Under the lock to the end: whoever waits destroys this.
    std::lock_guard<std::mutex> lock(mu_);
    end_ = status.error_code();
    changed_.notify_all();
  }

  // Waits until `count` statuses have come, and returns them.
  std::vector<int> Seen(std::size_t count) {
    std::unique_lock<std::mutex> lock(mu_);
    changed_.wait_for(lock, kGenerous,
                      [&] { return seen_.size() >= count || end_; });
    return seen_;
  }
  std::optional<grpc::StatusCode> End() {
    std::unique_lock<std::mutex> lock(mu_);
    changed_.wait_for(lock, kGenerous, [&] { return end_.has_value(); });
    return end_;
  }

 private:
  grpc::ClientContext context_;
  HealthCheckRequest request_;
  HealthCheckResponse response_;
  std::mutex mu_;
  std::condition_variable changed_;
  std::vector<int> seen_;
  std::optional<grpc::StatusCode> end_;
};

TEST_F(HealthServiceTest, AThousandWatchersAllHearOfIt) {
  Start();
  health_->SetServing("pkg.Service", true);
  std::vector<std::unique_ptr<EagerWatch>> watches;
  for (int i = 0; i < 1000; ++i) {
    watches.push_back(std::make_unique<EagerWatch>(*stub_, "pkg.Service"));
  }
  for (const auto& watch : watches) {
    ASSERT_EQ(watch->Seen(1), std::vector<int>{kServing});
  }
  EXPECT_EQ(health_->watches(), 1000u);
  health_->SetServing("pkg.Service", false);
  for (const auto& watch : watches) {
    ASSERT_EQ(watch->Seen(2), (std::vector<int>{kServing, kNotServing}));
  }
  server_->Shutdown();
  for (const auto& watch : watches) {
    ASSERT_EQ(watch->End(), grpc::StatusCode::UNAVAILABLE);
    ASSERT_EQ(watch->Seen(2), (std::vector<int>{kServing, kNotServing}));
  }
  EXPECT_EQ(health_->watches(), 0u);
}

TEST_F(HealthServiceTest, StatusesChangeWhileWatchersComeAndGo) {
  Start();
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([this, t, &stop] {
      const std::string name = "pkg.Service" + std::to_string(t);
      for (int i = 0; !stop; ++i) {
        if (i % 3 == 2) {
          health_->Remove(name);
        } else {
          health_->SetServing(name, i % 3 == 0);
        }
        health_->StatusOf(name);
      }
    });
  }
  for (int i = 0; i < 300; ++i) {
    WatchStream watch = Watch("pkg.Service" + std::to_string(i % 2));
    std::optional<int> last = watch.Next();
    ASSERT_TRUE(last.has_value());
    for (int n = 0; n < i % 4; ++n) {
      const std::optional<int> next = watch.Next();
      ASSERT_TRUE(next.has_value());
      ASSERT_NE(next, last);
      last = next;
    }
    watch.Cancel();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  WaitForWatches(0);
}

TEST_F(HealthServiceTest, CancelledWatchIsForgotten) {
  Start();
  WatchStream watch = Watch("pkg.Service");
  EXPECT_EQ(watch.Next(), kServiceUnknown);
  EXPECT_EQ(health_->watches(), 1u);
  watch.Cancel();
  WaitForWatches(0);
  health_->SetServing("pkg.Service", true);
  EXPECT_EQ(Check("pkg.Service"), kServing);
}

TEST_F(HealthServiceTest, DrainEndsWatchesAndRefusesNewOnes) {
  Start();
  WatchStream known = Watch("");
  WatchStream unknown = Watch("pkg.Service");
  EXPECT_EQ(known.Next(), kServing);
  EXPECT_EQ(unknown.Next(), kServiceUnknown);
  health_->Drain();
  EXPECT_EQ(health_->watches(), 0u);
  for (WatchStream* watch : {&known, &unknown}) {
    EXPECT_EQ(watch->Next(), std::nullopt);
    EXPECT_EQ(watch->End(), grpc::StatusCode::UNAVAILABLE);
  }
  WatchStream late = Watch("");
  EXPECT_EQ(late.Next(), std::nullopt);
  EXPECT_EQ(late.End(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Check(""), kServing);
  health_->Drain();
}

// If one of these hangs, Server::Shutdown() waits for watches.
TEST_F(HealthServiceTest, ServerShutsDownWithoutADeadlineWhileWatched) {
  Start();
  WatchStream known = Watch("");
  WatchStream unknown = Watch("pkg.Service");
  EXPECT_EQ(known.Next(), kServing);
  EXPECT_EQ(unknown.Next(), kServiceUnknown);
  server_->Shutdown();
  for (WatchStream* watch : {&known, &unknown}) {
    EXPECT_EQ(watch->Next(), std::nullopt);
    EXPECT_EQ(watch->End(), grpc::StatusCode::UNAVAILABLE);
  }
}

TEST_F(HealthServiceTest, ServerShutsDownWhileAWatcherTakesNothing) {
  Start(SmallBuffers);
  const auto slow_stub = Health::NewStub(Channel(SmallWindow()));
  WatchStream slow(*slow_stub, "pkg.Service");
  ASSERT_EQ(slow.Next(), kServiceUnknown);
  WatchStream eager = Watch("pkg.Service");
  ASSERT_EQ(eager.Next(), kServiceUnknown);
  for (int i = 0; i < 500; ++i) {
    health_->SetServing("pkg.Service", i % 2 == 0);
    ASSERT_EQ(eager.Next(), i % 2 == 0 ? kServing : kNotServing);
  }
  server_->Shutdown();
  EXPECT_EQ(health_->watches(), 0u);
  EXPECT_EQ(eager.Next(), std::nullopt);
  EXPECT_EQ(eager.End(), grpc::StatusCode::UNAVAILABLE);
  while (slow.Next().has_value()) {
  }
  EXPECT_NE(slow.End(), grpc::StatusCode::OK);
}

TEST_F(HealthServiceTest, ServerIsDestroyedWhileWatched) {
  Start();
  WatchStream watch = Watch("");
  EXPECT_EQ(watch.Next(), kServing);
  server_.reset();
  EXPECT_EQ(watch.Next(), std::nullopt);
  EXPECT_EQ(watch.End(), grpc::StatusCode::UNAVAILABLE);
}

// ---------------------------------------------------------------------------
// In the place of gRPC's own

TEST_F(HealthServiceTest, TakesThePlaceOfTheDefaultService) {
  ASSERT_FALSE(grpc::DefaultHealthCheckServiceEnabled());
  grpc::EnableDefaultHealthCheckService(true);
  Start();
  grpc::EnableDefaultHealthCheckService(false);
  grpc::HealthCheckServiceInterface* service = server_->GetHealthCheckService();
  ASSERT_NE(service, nullptr);

  service->SetServingStatus("pkg.Service", true);
  EXPECT_EQ(Check("pkg.Service"), kServing);
  EXPECT_EQ(health_->StatusOf("pkg.Service"), ServingStatus::kServing);
  service->SetServingStatus(false);
  EXPECT_EQ(Check("pkg.Service"), kNotServing);
  EXPECT_EQ(Check(""), kNotServing);
  service->SetServingStatus(true);
  EXPECT_EQ(Check(""), kServing);
  service->SetServingStatus(std::string(5000, 'x'), true);
  service->Shutdown();
  service->SetServingStatus(true);
  EXPECT_EQ(Check("pkg.Service"), kNotServing);
}

TEST_F(HealthServiceTest, ServerThatDoesNotStartLeavesNothingBehind) {
  Start();
  auto other = std::make_shared<HealthService>();
  {
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    ServeHealth(builder, other);
    EXPECT_EQ(builder.BuildAndStart(), nullptr);
  }
  EXPECT_EQ(other.use_count(), 1);
  {
    grpc::ServerBuilder never_built;
    ServeHealth(never_built, other);
  }
  EXPECT_EQ(other.use_count(), 1);
}

TEST_F(HealthServiceTest, ServerKeepsTheServiceAlive) {
  Start();
  const std::weak_ptr<HealthService> alive = health_;
  health_.reset();
  EXPECT_EQ(Check(""), kServing);
  WatchStream watch = Watch("");
  EXPECT_EQ(watch.Next(), kServing);
  server_->Shutdown();
  EXPECT_FALSE(alive.expired());
  server_.reset();
  EXPECT_TRUE(alive.expired());
}

TEST_F(HealthServiceTest, WorksOverAnInProcessChannel) {
  Start();
  const auto stub =
      Health::NewStub(server_->InProcessChannel(grpc::ChannelArguments()));
  WatchStream watch(*stub, "");
  EXPECT_EQ(watch.Next(), kServing);
  health_->SetServing("", false);
  EXPECT_EQ(watch.Next(), kNotServing);
}

// ---------------------------------------------------------------------------
// Breakers

constexpr char kOne[] = "/pkg.Service/One";
constexpr char kTwo[] = "/pkg.Service/Two";

std::atomic<std::int64_t> simulated_ns{0};
TimePoint SimulatedNow() {
  return TimePoint(Duration(simulated_ns.load(std::memory_order_relaxed)));
}

class HealthOfBreakersTest : public HealthServiceTest {
 protected:
  HealthOfBreakersTest() { simulated_ns = 1'000'000'000'000; }
  ~HealthOfBreakersTest() override {
    server_.reset();
    health_->StopWatchingBreakers();
  }

  static RegistryOptions Options() {
    RegistryOptions options;
    options.settings.min_requests = 0;
    options.settings.jitter = 0;
    options.settings.min_recovery = std::chrono::seconds(1);
    options.settings.max_recovery = std::chrono::seconds(10);
    options.now = &SimulatedNow;
    options.start_dispatcher = false;
    options.log = [](const std::string& /*line*/) {};
    return options;
  }

  void WatchBreakers() { health_->WatchBreakers(&registry_, {kOne, kTwo}); }

  void Pass(Duration time) {
    simulated_ns += time.count();
    registry_.Dispatch();
  }

  CircuitBreaker& Breaker(const char* method) {
    return registry_.Pin(Role::kServer, "", method);
  }

  void Call(const char* method, Outcome outcome) {
    Admission admission = Breaker(method).Admit(registry_.Now());
    ASSERT_TRUE(admission.admitted());
    admission.permit.Finish(outcome, registry_.Now());
    registry_.Dispatch();
  }

  BreakerRegistry registry_{Options()};
};

TEST_F(HealthOfBreakersTest, MethodsAndServicesAreKnownFromTheStart) {
  WatchBreakers();
  Start();
  std::map<std::string, int> statuses;
  EXPECT_TRUE(List(&statuses).ok());
  EXPECT_EQ(statuses,
            (std::map<std::string, int>{{"", kServing},
                                        {"pkg.Service", kServing},
                                        {"pkg.Service/One", kServing},
                                        {"pkg.Service/Two", kServing}}));
}

TEST_F(HealthOfBreakersTest, OpenMethodTurnsHealthyByTimeAlone) {
  WatchBreakers();
  Start();
  WatchStream one = Watch("pkg.Service/One");
  EXPECT_EQ(one.Next(), kServing);

  Call(kOne, Outcome::kSystemError);
  ASSERT_EQ(Breaker(kOne).View(registry_.Now()).state, State::kOpen);
  EXPECT_EQ(one.Next(), kNotServing);
  EXPECT_EQ(Check("pkg.Service/One"), kNotServing);
  EXPECT_EQ(Check("pkg.Service/Two"), kServing);
  EXPECT_EQ(Check(""), kServing);

  // Nobody calls: a probe may go out now, so clients have to come back.
  Pass(std::chrono::milliseconds(999));
  EXPECT_EQ(Check("pkg.Service/One"), kNotServing);
  Pass(std::chrono::milliseconds(1));
  EXPECT_EQ(one.Next(), kServing);

  // The probe fails, another one succeeds, and the ramp ends.
  Call(kOne, Outcome::kSystemError);
  EXPECT_EQ(one.Next(), kNotServing);
  Pass(std::chrono::seconds(2));
  EXPECT_EQ(one.Next(), kServing);
  Call(kOne, Outcome::kOk);
  Pass(std::chrono::seconds(20));
  ASSERT_EQ(Breaker(kOne).View(registry_.Now()).state, State::kClosed);
  EXPECT_EQ(Check("pkg.Service/One"), kServing);

  // Nothing was said in between.
  Call(kOne, Outcome::kSystemError);
  EXPECT_EQ(one.Next(), kNotServing);
}

TEST_F(HealthOfBreakersTest, ServiceStopsServingWhenAllItsMethodsAreOpen) {
  WatchBreakers();
  Start();
  WatchStream service = Watch("pkg.Service");
  EXPECT_EQ(service.Next(), kServing);
  Call(kOne, Outcome::kTimeout);
  EXPECT_EQ(Check("pkg.Service"), kServing);
  Call(kTwo, Outcome::kTimeout);
  EXPECT_EQ(service.Next(), kNotServing);
  EXPECT_EQ(Check(""), kServing);
  Pass(std::chrono::seconds(1));
  EXPECT_EQ(service.Next(), kServing);
}

TEST_F(HealthOfBreakersTest, ServerStopsServingIfAsked) {
  HealthOptions options;
  options.services = ServiceHealthRule::kNever;
  options.server = ServiceHealthRule::kAny;
  health_ = std::make_shared<HealthService>(options);
  WatchBreakers();
  Start();
  WatchStream server = Watch("");
  EXPECT_EQ(server.Next(), kServing);
  Call(kOne, Outcome::kTimeout);
  EXPECT_EQ(server.Next(), kNotServing);
  EXPECT_EQ(Check("pkg.Service"), kServing);
  Pass(std::chrono::seconds(1));
  EXPECT_EQ(server.Next(), kServing);
}

TEST_F(HealthOfBreakersTest, ForcedOpenDoesNotServeAndForcedClosedDoes) {
  WatchBreakers();
  Start();
  WatchStream one = Watch("pkg.Service/One");
  EXPECT_EQ(one.Next(), kServing);
  registry_.Force(Role::kServer, "", kOne, Override::kForcedOpen,
                  registry_.Now() + std::chrono::seconds(60));
  registry_.Dispatch();
  EXPECT_EQ(one.Next(), kNotServing);
  Pass(std::chrono::seconds(60));
  EXPECT_EQ(one.Next(), kServing);

  Call(kOne, Outcome::kTimeout);
  EXPECT_EQ(one.Next(), kNotServing);
  registry_.Force(Role::kServer, "", kOne, Override::kForcedClosed,
                  TimePoint::max());
  registry_.Dispatch();
  EXPECT_EQ(one.Next(), kServing);
}

TEST_F(HealthOfBreakersTest, StateFromBeforeTheWatchCounts) {
  Call(kOne, Outcome::kTimeout);
  WatchBreakers();
  EXPECT_EQ(health_->StatusOf("pkg.Service/One"), ServingStatus::kNotServing);
  EXPECT_EQ(health_->StatusOf("pkg.Service/Two"), ServingStatus::kServing);
  Pass(std::chrono::seconds(1));
  EXPECT_EQ(health_->StatusOf("pkg.Service/One"), ServingStatus::kServing);
}

TEST_F(HealthOfBreakersTest, ClientSideBreakersAreOfNoConcern) {
  WatchBreakers();
  for (const char* target : {"", "dns:///elsewhere"}) {
    Admission admission =
        registry_.Pin(Role::kClient, target, kOne).Admit(registry_.Now());
    admission.permit.Finish(Outcome::kTimeout, registry_.Now());
  }
  registry_.Dispatch();
  EXPECT_EQ(health_->StatusOf("pkg.Service/One"), ServingStatus::kServing);
}

TEST_F(HealthOfBreakersTest, ApplicationAndBreakersMustBothSayServing) {
  WatchBreakers();
  health_->SetServing("pkg.Service/One", true);
  Call(kOne, Outcome::kTimeout);
  EXPECT_EQ(health_->StatusOf("pkg.Service/One"), ServingStatus::kNotServing);
  health_->SetServing("pkg.Service/One", false);
  Pass(std::chrono::seconds(1));
  EXPECT_EQ(health_->StatusOf("pkg.Service/One"), ServingStatus::kNotServing);
  // What the breakers say cannot be removed.
  EXPECT_TRUE(health_->Remove("pkg.Service/One"));
  EXPECT_EQ(health_->StatusOf("pkg.Service/One"), ServingStatus::kServing);
  EXPECT_FALSE(health_->Remove("pkg.Service/One"));
}

TEST_F(HealthOfBreakersTest, ShutdownOutlastsTheBreakers) {
  WatchBreakers();
  health_->Shutdown();
  Call(kOne, Outcome::kTimeout);
  Pass(std::chrono::seconds(1));
  EXPECT_EQ(health_->StatusOf("pkg.Service/One"), ServingStatus::kNotServing);
}

TEST_F(HealthOfBreakersTest, ShadowedBreakerAlwaysServes) {
  RegistryOptions options = Options();
  options.settings.mode = Mode::kShadow;
  BreakerRegistry shadow(options);
  health_->WatchBreakers(&shadow, {kOne});
  Admission admission = shadow.Pin(Role::kServer, "", kOne).Admit(shadow.Now());
  admission.permit.Finish(Outcome::kTimeout, shadow.Now());
  shadow.Dispatch();
  ASSERT_EQ(shadow.Pin(Role::kServer, "", kOne).View(shadow.Now()).state,
            State::kOpen);
  EXPECT_EQ(health_->StatusOf("pkg.Service/One"), ServingStatus::kServing);
  health_->StopWatchingBreakers();
}

TEST_F(HealthOfBreakersTest, MethodsThatShareABreakerShareItsHealth) {
  RegistryOptions options = Options();
  options.max_breakers = 1;
  BreakerRegistry full(options);
  health_->WatchBreakers(&full, {kOne, kTwo, "/pkg.Service/Three"});
  // The first has the only place; the two others share the overflow breaker.
  full.Pin(Role::kServer, "", kTwo)
      .Admit(full.Now())
      .permit.Finish(Outcome::kTimeout, full.Now());
  full.Dispatch();
  EXPECT_EQ(health_->StatusOf("pkg.Service/One"), ServingStatus::kServing);
  EXPECT_EQ(health_->StatusOf("pkg.Service/Two"), ServingStatus::kNotServing);
  EXPECT_EQ(health_->StatusOf("pkg.Service/Three"), ServingStatus::kNotServing);
  health_->StopWatchingBreakers();
}

TEST_F(HealthOfBreakersTest, ServiceMayOutliveTheRegistryOnceServerIsGone) {
  auto registry = std::make_unique<BreakerRegistry>(Options());
  health_->WatchBreakers(registry.get(), {kOne});
  Start();
  server_.reset();
  registry.reset();
  EXPECT_EQ(health_->StatusOf("pkg.Service/One"), ServingStatus::kServing);
}

// The dispatcher, and the clock, of a real registry.
TEST(HealthOfRunningRegistryTest, WatchersHearOfTimeAloneFromTheDispatcher) {
  RegistryOptions options;
  options.settings.min_requests = 0;
  options.settings.min_recovery = std::chrono::milliseconds(10);
  options.settings.max_recovery = std::chrono::milliseconds(20);
  options.log = [](const std::string& /*line*/) {};
  BreakerRegistry registry(options);
  const auto health = std::make_shared<HealthService>();
  health->WatchBreakers(&registry, {kOne});
  grpc::ServerBuilder builder;
  ServeHealth(builder, health);
  const auto server = builder.BuildAndStart();
  const auto stub =
      Health::NewStub(server->InProcessChannel(grpc::ChannelArguments()));
  WatchStream watch(*stub, "pkg.Service/One");
  EXPECT_EQ(watch.Next(), kServing);
  for (int i = 0; i < 3; ++i) {
    Admission admission =
        registry.Pin(Role::kServer, "", kOne).Admit(registry.Now());
    ASSERT_TRUE(admission.admitted());
    admission.permit.Finish(Outcome::kTimeout, registry.Now());
    EXPECT_EQ(watch.Next(), kNotServing);
    EXPECT_EQ(watch.Next(), kServing);
  }
}

// ---------------------------------------------------------------------------
// A client that balances its load by health

class HealthOfTwoServersTest : public HealthOfBreakersTest {
 protected:
  // The address that answered.
  std::string Ask(Health::Stub& stub) {
    grpc::ClientContext context;
    context.set_deadline(Deadline());
    context.set_wait_for_ready(true);
    HealthCheckResponse response;
    const grpc::Status status =
        stub.Check(&context, HealthCheckRequest(), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return context.peer();
  }

  // Asks until the last few answers came from exactly `peers`.
  bool AskUntilFrom(Health::Stub& stub, const std::set<std::string>& peers) {
    constexpr int kInARow = 20;
    const auto deadline = std::chrono::steady_clock::now() + kGenerous;
    while (std::chrono::steady_clock::now() < deadline) {
      std::set<std::string> seen;
      for (int i = 0; i < kInARow; ++i) seen.insert(Ask(stub));
      if (seen == peers) return true;
    }
    return false;
  }
};

TEST_F(HealthOfTwoServersTest, RoundRobinLeavesOutWhatDoesNotServe) {
  health_->WatchBreakers(&registry_, {kOne});
  Start();
  const std::string sick = "ipv4:" + address_;

  const auto other = std::make_shared<HealthService>();
  other->SetServing("pkg.Service", true);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  ServeHealth(builder, other);
  const auto other_server = builder.BuildAndStart();
  ASSERT_NE(other_server, nullptr);
  const std::string well = "ipv4:127.0.0.1:" + std::to_string(port);

  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(
      R"({"loadBalancingConfig": [{"round_robin": {}}],
          "healthCheckConfig": {"serviceName": "pkg.Service"}})");
  const auto stub = Health::NewStub(
      grpc::CreateCustomChannel(sick + ",127.0.0.1:" + std::to_string(port),
                                grpc::InsecureChannelCredentials(), arguments));
  EXPECT_TRUE(AskUntilFrom(*stub, {sick, well}));
  Call(kOne, Outcome::kTimeout);
  EXPECT_TRUE(AskUntilFrom(*stub, {well}));
  // Nobody calls it, and it comes back.
  Pass(std::chrono::seconds(1));
  EXPECT_TRUE(AskUntilFrom(*stub, {sick, well}));
}

}  // namespace
}  // namespace fusebox
