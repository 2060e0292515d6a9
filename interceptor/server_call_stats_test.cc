// What a server records of its calls: each once, by code, unary ones with their
// latency.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Advance;
using testing::Api;
using testing::CallEcho;
using testing::CallKind;
using testing::Eventually;
using testing::GuardedEcho;
using testing::kAllCallKinds;
using testing::MethodOf;
using testing::StandingNow;

constexpr Duration kTime = milliseconds(1234);

// The standing clock, with a count of its readers.
std::atomic<int> readings{0};
TimePoint CountedNow() {
  ++readings;
  return StandingNow();
}

std::uint64_t Sum(const std::vector<CallsOfCode>& codes) {
  std::uint64_t sum = 0;
  for (const CallsOfCode& of_code : codes) sum += of_code.calls;
  return sum;
}

class ServerCallStatsTest
    : public ::testing::TestWithParam<std::tuple<Api, CallKind>> {
 protected:
  static Api api() { return std::get<0>(GetParam()); }
  static CallKind kind() { return std::get<1>(GetParam()); }
  static bool IsUnary() { return kind() == CallKind::kUnary; }

  void Guard(Mode mode = Mode::kEnforce, bool call_stats = true,
             NowFunction now = &CountedNow) {
    GuardedEcho::Options options;
    options.settings.mode = mode;
    options.call_stats = call_stats;
    options.now = now;
    echo_ = std::make_unique<GuardedEcho>(api(), std::move(options));
  }

  std::vector<CallsOfCode> Codes() {
    for (MethodCalls& calls : echo_->registry().Calls()) {
      if (calls.method != MethodOf(kind())) continue;
      EXPECT_EQ(calls.role, Role::kServer);
      EXPECT_EQ(calls.target, "");
      EXPECT_EQ(calls.breaker_id, echo_->snapshot(kind()).id);
      return std::move(calls.codes);
    }
    return {};
  }
  // Once the end of each of so many calls has been seen, and no more.
  std::vector<CallsOfCode> CodesOf(std::uint64_t calls) {
    EXPECT_TRUE(Eventually([&] {
      return Sum(Codes()) >= calls && echo_->snapshot(kind()).in_flight == 0;
    }));
    EXPECT_EQ(Sum(Codes()), calls);
    return Codes();
  }

  // That there was one call, which took `time`.
  void ExpectOne(StatusCode code, Duration time) {
    const std::vector<CallsOfCode> codes = CodesOf(1);
    ASSERT_EQ(codes.size(), 1u);
    EXPECT_EQ(codes[0].code, code);
    EXPECT_EQ(codes[0].calls, 1u);
    EXPECT_EQ(codes[0].latency.count(), IsUnary() ? 1u : 0u);
    EXPECT_EQ(codes[0].latency.sum(), IsUnary() ? time : Duration::zero());
  }

  StatusCode Call(const std::string& text) {
    return CallEcho(echo_->stub(), kind(), text).status.error_code();
  }
  void HoldFor(Duration time, const std::string& text = "hold") {
    std::thread clock([&] {
      echo_->script().AwaitHeld(1);
      Advance(time);
      echo_->script().Release();
    });
    Call(text);
    clock.join();
  }

  std::unique_ptr<GuardedEcho> echo_;
};

std::string NameOf(
    const ::testing::TestParamInfo<std::tuple<Api, CallKind>>& info) {
  const std::string method(MethodOf(std::get<1>(info.param)));
  return ::testing::PrintToString(std::get<0>(info.param)) +
         method.substr(method.rfind('/') + 1);
}

INSTANTIATE_TEST_SUITE_P(, ServerCallStatsTest,
                         ::testing::Combine(::testing::Values(Api::kSync,
                                                              Api::kCallback),
                                            ::testing::ValuesIn(kAllCallKinds)),
                         &NameOf);

TEST_P(ServerCallStatsTest, AGoodEnd) {
  Guard();
  HoldFor(kTime);
  ExpectOne(StatusCode::OK, kTime);
}

TEST_P(ServerCallStatsTest, AnError) {
  Guard();
  HoldFor(kTime, "hold status 5");
  ExpectOne(StatusCode::NOT_FOUND, kTime);
}

TEST_P(ServerCallStatsTest, EveryCode) {
  Guard();
  constexpr int kRounds = 2;
  for (int i = 0; i < kRounds; ++i) {
    for (int code = 0; code <= 16; ++code) {
      // Looks thrown, from a callback handler; see below.
      if (code == StatusCode::UNIMPLEMENTED) continue;
      EXPECT_EQ(Call("status " + std::to_string(code)), code);
    }
  }
  const std::vector<CallsOfCode> codes = CodesOf(std::uint64_t{kRounds} * 16);
  ASSERT_EQ(codes.size(), 16u);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const int code =
        static_cast<int>(i < StatusCode::UNIMPLEMENTED ? i : i + 1);
    EXPECT_EQ(codes[i].code, code);
    EXPECT_EQ(codes[i].calls, std::uint64_t{kRounds}) << code;
    EXPECT_EQ(codes[i].latency.count(), IsUnary() ? kRounds : 0u) << code;
  }
}

TEST_P(ServerCallStatsTest, ARejectionFurtherDownIsRecordedAsWhatItIs) {
  Guard();
  EXPECT_EQ(Call("rejection"), StatusCode::UNAVAILABLE);
  ExpectOne(StatusCode::UNAVAILABLE, Duration::zero());
  EXPECT_EQ(echo_->snapshot(kind()).ignored, 1u);
}

TEST_P(ServerCallStatsTest, ACancellation) {
  Guard();
  grpc::ClientContext context;
  std::thread clock([&] {
    EXPECT_TRUE(Eventually([this] { return echo_->script().runs() == 1; }));
    Advance(kTime);
    context.TryCancel();
  });
  CallEcho(echo_->stub(), kind(), context, "cancelled");
  clock.join();
  ExpectOne(StatusCode::CANCELLED, kTime);
}

TEST_P(ServerCallStatsTest, AnAnswerAfterTheDeadline) {
  Guard();
  grpc::ClientContext context;
  // The client does not know of it, so that the call gets to the server.
  context.AddMetadata("grpc-timeout", "1S");
  CallEcho(echo_->stub(), kind(), context, "late");
  ExpectOne(StatusCode::DEADLINE_EXCEEDED, Duration::zero());
}

TEST_P(ServerCallStatsTest, AHandlerThatThrows) {
  if (api() == Api::kCallback && !IsUnary()) return;  // gRPC lets it end us
  Guard();
  Call("hello");
  Call("throw");
  const std::vector<CallsOfCode> codes = CodesOf(2);
  ASSERT_EQ(codes.size(), 2u);
  EXPECT_EQ(codes[1].code, StatusCode::UNKNOWN);
}

TEST_P(ServerCallStatsTest, ARefusedCallIsNotRecorded) {
  Guard();
  echo_->ForceOpen(kind());
  EXPECT_EQ(Call("hello"), StatusCode::UNAVAILABLE);
  echo_->Release(kind());
  EXPECT_EQ(Call("status 5"), StatusCode::NOT_FOUND);
  ExpectOne(StatusCode::NOT_FOUND, Duration::zero());
}

TEST_P(ServerCallStatsTest, CallsOfABreakerThatIsOffAreRecorded) {
  Guard(Mode::kOff);
  HoldFor(kTime);
  ExpectOne(StatusCode::OK, kTime);
}

TEST_P(ServerCallStatsTest, CallsThatAShadowWouldRefuseAreRecorded) {
  Guard(Mode::kShadow);
  echo_->ForceOpen(kind());
  HoldFor(kTime);
  ExpectOne(StatusCode::OK, kTime);
  EXPECT_EQ(echo_->snapshot(kind()).shadow_rejected, 1u);
}

// Nor does a breaker that is off change what the client is told.
TEST_P(ServerCallStatsTest, RecordingAddsNoPushback) {
  Guard(Mode::kOff);
  const auto result = CallEcho(echo_->stub(), kind(), "rejection");
  EXPECT_EQ(result.trailers.count("grpc-retry-pushback-ms"), 0u);
  ExpectOne(StatusCode::UNAVAILABLE, Duration::zero());
}

TEST_P(ServerCallStatsTest, NothingIsRecordedUnlessAskedFor) {
  Guard(Mode::kEnforce, /*call_stats=*/false);
  EXPECT_EQ(Call("hello"), StatusCode::OK);
  EXPECT_TRUE(echo_->registry().Calls().empty());
}

TEST_P(ServerCallStatsTest, TheClockIsReadTwiceMoreForAUnaryCallAndNoStream) {
  const auto readings_of_a_call = [this] {
    const int before = readings;
    EXPECT_EQ(Call("hello"), StatusCode::OK);
    // A synchronous server counts before the client hears of the end, and a
    // callback server reads the clock before it sends.
    return readings - before;
  };
  Guard(Mode::kEnforce, /*call_stats=*/false);
  const int off = readings_of_a_call();
  Guard();
  const int on = readings_of_a_call();
  EXPECT_EQ(on - off, IsUnary() ? 2 : 0);
}

TEST_P(ServerCallStatsTest, TheClockIsFineWhenTheRegistrysIsCoarse) {
  constexpr int kCalls = 10;
  Guard(Mode::kEnforce, /*call_stats=*/true, &CoarseNow);
  for (int i = 0; i < kCalls; ++i) Call("hello");
  const std::vector<CallsOfCode> codes = CodesOf(kCalls);
  ASSERT_EQ(codes.size(), 1u);
  if (IsUnary()) {
    EXPECT_GT(codes[0].latency.min(), Duration::zero());
  }
}

TEST_P(ServerCallStatsTest, ManyClientsAtOnceAreAllCounted) {
  constexpr int kClients = 8;
  constexpr int kCalls = 50;
  Guard();
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] {
      for (int k = 0; k < kCalls; ++k) {
        Call(i % 2 == 0 ? "hello" : "status 3");
      }
    });
  }
  for (std::thread& client : clients) client.join();
  const std::vector<CallsOfCode> codes =
      CodesOf(std::uint64_t{kClients} * kCalls);
  ASSERT_EQ(codes.size(), 2u);
  EXPECT_EQ(codes[0].code, StatusCode::OK);
  EXPECT_EQ(codes[0].calls, kClients * kCalls / 2u);
  EXPECT_EQ(codes[1].code, StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(codes[1].calls, kClients * kCalls / 2u);
}

}  // namespace
}  // namespace fusebox
