// One table: each way to write a server x each kind of call x each end of a
// call x each transport.

#include "interceptor/testing/server_styles.h"

#include <grpc/support/log.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/rejection.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/guarded_echo.h"
#include "interceptor/testing/styled_server.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::CallEcho;
using testing::CallKind;
using testing::Counts;
using testing::CountsOf;
using testing::Echo;
using testing::EchoResult;
using testing::Eventually;
using testing::ExpectAnswer;
using testing::ExpectRefused;
using testing::kAllCallKinds;
using testing::MethodOf;
using testing::ServerStyle;
using testing::ServerStyles;
using testing::StyledServer;
using testing::Transport;
using WallClock = std::chrono::system_clock;

// ---------------------------------------------------------------------------
// How a call may end

struct Row {
  const ServerStyle& style;
  CallKind kind;
  Transport transport;
};

void Admitted(const Row& row) {
  StyledServer server(row.style.make(), {row.transport});
  const EchoResult result = CallEcho(server.stub(), row.kind, "hello");
  ExpectAnswer(result, grpc::StatusCode::OK);
  EXPECT_EQ(result.replies, std::vector<std::string>{"hello"});
  EXPECT_EQ(server.script().runs(), 1);
  server.AwaitRest(row.kind);
  EXPECT_EQ(CountsOf(server.snapshot(row.kind)), (Counts{{"ok", 1}}));
}

void Failed(const Row& row) {
  StyledServer server(row.style.make(), {row.transport});
  ExpectAnswer(CallEcho(server.stub(), row.kind, "status 13"),
               grpc::StatusCode::INTERNAL);
  EXPECT_EQ(server.script().runs(), 1);
  server.AwaitRest(row.kind);
  EXPECT_EQ(CountsOf(server.snapshot(row.kind)), (Counts{{"system_error", 1}}));
}

void Refused(const Row& row) {
  StyledServer server(row.style.make(), {row.transport});
  server.ForceOpen(row.kind);
  for (int i = 0; i < 3; ++i) {
    ExpectRefused(CallEcho(server.stub(), row.kind, "hello"), row.kind);
  }
  EXPECT_EQ(server.script().runs(), 0);
  EXPECT_EQ(CountsOf(server.snapshot(row.kind)), (Counts{{"rejected", 3}}));
  EXPECT_EQ(server.guard().unheeded(), 0u);

  // No other method is concerned.
  for (const CallKind other : kAllCallKinds) {
    if (other == row.kind) continue;
    ExpectAnswer(CallEcho(server.stub(), other, "hello"), grpc::StatusCode::OK);
  }
  // Nothing is lost that later calls need.
  server.Release(row.kind);
  ExpectAnswer(CallEcho(server.stub(), row.kind, "hello"),
               grpc::StatusCode::OK);
  EXPECT_EQ(server.script().runs(), 4);
}

// The handler waits until it knows that its call is cancelled, if it can.
std::string UntilCancelled(const ServerStyle& style) {
  return style.knows_cancellation ? "cancelled" : "hold";
}

void Cancelled(const Row& row) {
  StyledServer server(row.style.make(), {row.transport});
  grpc::ClientContext context;
  std::thread canceller([&] {
    EXPECT_TRUE(Eventually([&] { return server.script().runs() == 1; }));
    if (!row.style.knows_cancellation) server.script().AwaitHeld(1);
    context.TryCancel();
  });
  ExpectAnswer(
      CallEcho(server.stub(), row.kind, context, UntilCancelled(row.style)),
      grpc::StatusCode::CANCELLED);
  canceller.join();
  server.AwaitRest(row.kind);
  // What the handler says afterwards changes nothing.
  server.script().Release();
  EXPECT_EQ(CountsOf(server.snapshot(row.kind)), (Counts{{"ignored", 1}}));
  EXPECT_EQ(server.script().runs(), 1);
}

void Deadline(const Row& row) {
  // On a busy machine a deadline may pass before the call comes; that is not
  // counted, and not what is looked for.
  for (milliseconds timeout(50);; timeout *= 2) {
    StyledServer server(row.style.make(), {row.transport});
    grpc::ClientContext context;
    // Not known to the client, so that the server's clock alone ends it.
    context.AddMetadata("grpc-timeout", std::to_string(timeout.count()) + "m");
    ExpectAnswer(CallEcho(server.stub(), row.kind, context, "hold"),
                 grpc::StatusCode::DEADLINE_EXCEEDED);
    server.script().Release();
    server.AwaitRest(row.kind);
    const Counts counts = CountsOf(server.snapshot(row.kind));
    const bool too_late = counts.empty() || counts == Counts{{"ignored", 1}};
    if (too_late && timeout < seconds(5)) continue;
    EXPECT_EQ(counts, (Counts{{"timeout", 1}}));
    EXPECT_EQ(server.script().runs(), 1);
    return;
  }
}

// The server goes away. Where a style lets calls be forgotten, this one is.
void Dropped(const Row& row) {
  StyledServer server(row.style.make(), {row.transport});
  std::thread caller([&] {
    const EchoResult result =
        CallEcho(server.stub(), row.kind,
                 row.style.can_drop ? "drop" : UntilCancelled(row.style));
    ExpectAnswer(result, grpc::StatusCode::UNAVAILABLE);
  });
  EXPECT_TRUE(Eventually([&] { return server.script().runs() == 1; }));
  server.server().Shutdown(WallClock::now());
  caller.join();
  server.AwaitRest(row.kind);
  EXPECT_EQ(CountsOf(server.snapshot(row.kind)), (Counts{{"ignored", 1}}));
}

struct Ending {
  const char* name;
  void (*check)(const Row& row);
};
void PrintTo(const Ending& ending, std::ostream* out) { *out << ending.name; }

class ServerStylesTest
    : public ::testing::TestWithParam<
          std::tuple<ServerStyle, CallKind, Ending, Transport>> {};

std::string KindName(CallKind kind) {
  const std::string_view method = MethodOf(kind);
  return std::string(method.substr(method.rfind('/') + 1));
}

// "AsyncGeneric_Bidi_Refused_InProcess"
std::string RowName(
    const ::testing::TestParamInfo<ServerStylesTest::ParamType>& test) {
  const auto& [style, kind, ending, transport] = test.param;
  return std::string(style.name) + "_" + KindName(kind) + "_" + ending.name +
         (transport == Transport::kInProcess ? "_InProcess" : "");
}

INSTANTIATE_TEST_SUITE_P(
    , ServerStylesTest,
    ::testing::Combine(
        ::testing::ValuesIn(ServerStyles()), ::testing::ValuesIn(kAllCallKinds),
        ::testing::Values(
            Ending{"Admitted", &Admitted}, Ending{"Failed", &Failed},
            Ending{"Refused", &Refused}, Ending{"Cancelled", &Cancelled},
            Ending{"Deadline", &Deadline}, Ending{"Dropped", &Dropped}),
        ::testing::Values(Transport::kNetwork, Transport::kInProcess)),
    RowName);

TEST_P(ServerStylesTest, Ends) {
  const auto& [style, kind, ending, transport] = GetParam();
  ending.check({style, kind, transport});
}

// ---------------------------------------------------------------------------
// More than one service, more than one server

class EachStyleTest : public ::testing::TestWithParam<ServerStyle> {};

INSTANTIATE_TEST_SUITE_P(, EachStyleTest, ::testing::ValuesIn(ServerStyles()),
                         ::testing::PrintToStringParamName());

class OtherService final : public testing::Other::Service {
  grpc::Status Unary(grpc::ServerContext* /*context*/,
                     const testing::EchoRequest* /*request*/,
                     testing::EchoReply* /*reply*/) override {
    return grpc::Status::OK;
  }
};

TEST_P(EachStyleTest, ServicesOfOneServerAreGuardedOneByOne) {
  OtherService other;
  StyledServer::Options options;
  options.configure = [&other](grpc::ServerBuilder& builder) {
    builder.RegisterService(&other);
  };
  StyledServer server(GetParam().make(), options);
  const auto stub = testing::Other::NewStub(server.channel());
  const auto call_other = [&stub] {
    grpc::ClientContext context;
    testing::EchoReply reply;
    return stub->Unary(&context, testing::EchoRequest(), &reply);
  };

  server.ForceOpen(CallKind::kUnary);
  ExpectRefused(CallEcho(server.stub(), CallKind::kUnary, "hello"),
                CallKind::kUnary);
  EXPECT_TRUE(call_other().ok());
  server.Release(CallKind::kUnary);
  ASSERT_TRUE(server.registry().Force(Role::kServer, "",
                                      "/fusebox.testing.Other/Unary",
                                      Override::kForcedOpen, TimePoint::max()));
  EXPECT_TRUE(IsRejection(call_other()));
  ExpectAnswer(CallEcho(server.stub(), CallKind::kUnary, "hello"),
               grpc::StatusCode::OK);
}

TEST_P(EachStyleTest, EveryMethodIsAccountedFor) {
  StyledServer server(GetParam().make());
  EXPECT_EQ(server.guard().uncovered(), 0u);
  EXPECT_EQ(server.guard().methods().size(), kAllCallKinds.size());
  EXPECT_EQ(server.registry().stats().breakers, kAllCallKinds.size());
}

// gRPC lets no other style be on several servers.
class SharedStyleTest : public ::testing::TestWithParam<ServerStyle> {};

INSTANTIATE_TEST_SUITE_P(, SharedStyleTest,
                         ::testing::ValuesIn(ServerStyles().begin(),
                                             ServerStyles().begin() + 4),
                         ::testing::PrintToStringParamName());

TEST_P(SharedStyleTest, AServiceOnTwoServersHasAGuardOnEach) {
  const std::unique_ptr<testing::StyledEcho> echo = GetParam().make();
  BreakerRegistry registries[] = {
      BreakerRegistry(testing::StandingClockOptions(Settings())),
      BreakerRegistry(testing::StandingClockOptions(Settings()))};
  std::unique_ptr<grpc::Server> servers[2];
  for (int i = 0; i < 2; ++i) {
    grpc::ServerBuilder builder;
    GuardServer(builder, &registries[i]);
    echo->Register(builder);
    servers[i] = builder.BuildAndStart();
  }
  const auto call = [&servers](int i, CallKind kind) {
    const auto stub = Echo::NewStub(servers[i]->InProcessChannel({}));
    return CallEcho(*stub, kind, "hello");
  };
  for (const CallKind kind : kAllCallKinds) {
    ASSERT_TRUE(registries[0].Force(Role::kServer, "", MethodOf(kind),
                                    Override::kForcedOpen, TimePoint::max()));
    ExpectRefused(call(0, kind), kind);
    ExpectAnswer(call(1, kind), grpc::StatusCode::OK);
    const auto counts = [&](int i) {
      return CountsOf(
          *registries[i].Snapshot(Role::kServer, "", MethodOf(kind)));
    };
    EXPECT_EQ(counts(0), (Counts{{"rejected", 1}}));
    EXPECT_TRUE(Eventually([&] { return counts(1) == Counts{{"ok", 1}}; }));
  }
  EXPECT_EQ(echo->script().runs(), 4);
  for (const auto& server : servers) server->Shutdown();
}

}  // namespace
}  // namespace fusebox
