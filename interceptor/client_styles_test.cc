// One table: each way to make a call x each transport x each end of a call.

#include <grpcpp/client_context.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/client_interceptor.h"
#include "interceptor/rejection.h"
#include "interceptor/testing/echo_calls.h"
#include "interceptor/testing/echo_server.h"
#include "interceptor/testing/guarded_echo.h"
#include "interceptor/testing/rpc_details.pb.h"
#include "interceptor/testing/styled_server.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::Counts;
using testing::CountsOf;
using testing::EchoCall;
using testing::EchoCalls;
using testing::EchoRequest;
using testing::EchoServer;
using testing::Eventually;
using testing::StandingNow;
using testing::Transport;
using WallClock = std::chrono::system_clock;

EchoRequest Request(const std::string& text, int count = 0) {
  EchoRequest request;
  request.set_text(text);
  request.set_count(count);
  return request;
}

// A server and a guarded channel to it.
class Client {
 public:
  Client(const EchoCall& call, Transport transport, std::string address = "")
      : call_(call), registry_(testing::StandingClockOptions(Settings())) {
    std::vector<
        std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
        guard;
    guard.push_back(GuardedClientInterceptorFactory(&registry_, kTarget));
    if (address.empty()) address = server_.address();
    channel_ = transport == Transport::kInProcess
                   ? server_.InProcessChannel(std::move(guard))
                   : grpc::experimental::CreateCustomChannelWithInterceptors(
                         address, grpc::InsecureChannelCredentials(),
                         grpc::ChannelArguments(), std::move(guard));
  }

  EchoServer& server() { return server_; }
  BreakerRegistry& registry() { return registry_; }
  grpc::Channel& channel() { return *channel_; }
  CircuitBreaker& breaker() {
    return registry_.Pin(Role::kClient, kTarget, call_.method);
  }

  grpc::Status Make(grpc::ClientContext& context, const EchoRequest& request) {
    return call_.make(channel_, context, request);
  }
  // With a deadline far beyond what the call needs.
  grpc::Status Make(const EchoRequest& request) {
    grpc::ClientContext context;
    context.set_deadline(WallClock::now() + minutes(1));
    return Make(context, request);
  }
  void Drop(const EchoRequest& request) {
    grpc::ClientContext context;
    call_.drop(channel_, context, request, [this] { server_.AwaitHeld(1); });
  }

  BreakerSnapshot snapshot() {
    return registry_.Snapshot(Role::kClient, kTarget, call_.method).value();
  }

 private:
  static constexpr char kTarget[] = "echo";

  const EchoCall& call_;
  EchoServer server_;
  BreakerRegistry registry_;
  std::shared_ptr<grpc::Channel> channel_;
};

// ---------------------------------------------------------------------------
// How a call may end

struct Row {
  const EchoCall& call;
  Transport transport;
};

void Admitted(const Row& row) {
  Client client(row.call, row.transport);
  EXPECT_TRUE(client.Make(Request("hello")).ok());
  EXPECT_EQ(CountsOf(client.snapshot()), (Counts{{"ok", 1}}));
  EXPECT_EQ(client.server().handled(), 1);
}

void Failed(const Row& row) {
  Client client(row.call, row.transport);
  const grpc::Status status =
      client.Make(Request(testing::kFail, grpc::StatusCode::DATA_LOSS));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(status.error_message(), "as asked");
  EXPECT_EQ(CountsOf(client.snapshot()), (Counts{{"system_error", 1}}));
}

void Refused(const Row& row) {
  Client client(row.call, row.transport);
  CircuitBreaker& breaker = client.breaker();
  for (int i = 0; breaker.View(StandingNow()).serving(); ++i) {
    ASSERT_LT(i, 20);
    breaker.Admit(StandingNow())
        .permit.Finish(Outcome::kSystemError, StandingNow());
  }
  const Counts before = CountsOf(client.snapshot());

  const grpc::Status status = client.Make(Request("hello"));

  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(),
            std::string("circuit breaker of ") + row.call.method + " is open");
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_EQ(details.details_size(), 2);
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  ASSERT_TRUE(details.details(1).UnpackTo(&retry));
  EXPECT_EQ(info.reason(), "CIRCUIT_BREAKER_OPEN");
  EXPECT_EQ(info.domain(), "fusebox");
  EXPECT_EQ(info.metadata().at("method"), row.call.method);
  const Duration wait = client.snapshot().next_probe - StandingNow();
  const Duration told = seconds(retry.retry_delay().seconds()) +
                        Duration(retry.retry_delay().nanos());
  EXPECT_GE(told, wait);
  EXPECT_LE(told, wait + wait / 10);

  Counts expected = before;
  expected["rejected"] = 1;
  EXPECT_EQ(CountsOf(client.snapshot()), expected);
  EXPECT_EQ(client.server().handled(), 0);
  if (row.transport == Transport::kNetwork) {
    EXPECT_EQ(client.channel().GetState(/*try_to_connect=*/false),
              GRPC_CHANNEL_IDLE);
  }

  // It ends without a deadline as well.
  grpc::ClientContext context;
  EXPECT_TRUE(IsRejection(client.Make(context, Request("hello"))));
}

void Deadline(const Row& row) {
  Client client(row.call, row.transport);
  grpc::ClientContext context;
  context.set_deadline(WallClock::now() + milliseconds(50));
  EXPECT_EQ(client.Make(context, Request(testing::kHold)).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(CountsOf(client.snapshot()), (Counts{{"timeout", 1}}));
}

void RejectedFurtherDown(const Row& row) {
  Client client(row.call, row.transport);
  EXPECT_TRUE(IsRejection(client.Make(Request(testing::kReject))));
  EXPECT_EQ(CountsOf(client.snapshot()), (Counts{{"ignored", 1}}));
}

void Cancelled(const Row& row) {
  Client client(row.call, row.transport);
  {
    grpc::ClientContext context;
    context.set_deadline(WallClock::now() + minutes(1));
    std::thread canceller([&] {
      client.server().AwaitHeld(1);
      context.TryCancel();
    });
    EXPECT_EQ(client.Make(context, Request(testing::kHold)).error_code(),
              grpc::StatusCode::CANCELLED);
    canceller.join();
  }
  EXPECT_EQ(CountsOf(client.snapshot()), (Counts{{"ignored", 1}}));
}

void CancelledBeforeItBegan(const Row& row) {
  Client client(row.call, row.transport);
  {
    grpc::ClientContext context;
    context.set_deadline(WallClock::now() + minutes(1));
    context.TryCancel();
    EXPECT_EQ(client.Make(context, Request("hello")).error_code(),
              grpc::StatusCode::CANCELLED);
  }
  EXPECT_EQ(CountsOf(client.snapshot()), (Counts{{"ignored", 1}}));
}

void Dropped(const Row& row) {
  Client client(row.call, row.transport);
  client.Drop(Request(testing::kHold));
  EXPECT_TRUE(Eventually([&] {
    return CountsOf(client.snapshot()) == Counts{{"ignored", 1}};
  })) << ::testing::PrintToString(CountsOf(client.snapshot()));
}

struct Ending {
  const char* name;
  void (*check)(const Row& row);
};
void PrintTo(const Ending& ending, std::ostream* out) { *out << ending.name; }

class ClientStylesTest
    : public ::testing::TestWithParam<std::tuple<EchoCall, Ending, Transport>> {
};

// "QueueBidiCorked_Refused_InProcess"
std::string RowName(
    const ::testing::TestParamInfo<ClientStylesTest::ParamType>& test) {
  const auto& [call, ending, transport] = test.param;
  return std::string(call.name) + "_" + ending.name +
         (transport == Transport::kInProcess ? "_InProcess" : "");
}

std::vector<EchoCall> CallsThatCanBeDropped() {
  std::vector<EchoCall> calls;
  for (const EchoCall& call : EchoCalls()) {
    if (call.drop != nullptr) calls.push_back(call);
  }
  return calls;
}

const auto kBothTransports =
    ::testing::Values(Transport::kNetwork, Transport::kInProcess);

INSTANTIATE_TEST_SUITE_P(
    Every, ClientStylesTest,
    ::testing::Combine(
        ::testing::ValuesIn(EchoCalls()),
        ::testing::Values(
            Ending{"Admitted", &Admitted}, Ending{"Failed", &Failed},
            Ending{"Refused", &Refused}, Ending{"Deadline", &Deadline},
            Ending{"RejectedFurtherDown", &RejectedFurtherDown},
            Ending{"Cancelled", &Cancelled},
            Ending{"CancelledBeforeItBegan", &CancelledBeforeItBegan}),
        kBothTransports),
    RowName);

INSTANTIATE_TEST_SUITE_P(
    Unfinished, ClientStylesTest,
    ::testing::Combine(::testing::ValuesIn(CallsThatCanBeDropped()),
                       ::testing::Values(Ending{"Dropped", &Dropped}),
                       kBothTransports),
    RowName);

TEST_P(ClientStylesTest, Ends) {
  const auto& [call, ending, transport] = GetParam();
  ending.check({call, transport});
}

class EveryCallTest : public ::testing::TestWithParam<EchoCall> {};

INSTANTIATE_TEST_SUITE_P(, EveryCallTest, ::testing::ValuesIn(EchoCalls()),
                         [](const auto& test) {
                           return std::string(test.param.name);
                         });

TEST_P(EveryCallTest, ToNobodyIsOneSystemError) {
  std::string nobody;
  {
    const EchoServer server;
    nobody = server.address();
  }
  Client client(GetParam(), Transport::kNetwork, nobody);
  EXPECT_EQ(client.Make(Request("hello")).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(CountsOf(client.snapshot()), (Counts{{"system_error", 1}}));
}

}  // namespace
}  // namespace fusebox
