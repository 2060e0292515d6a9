// One client that means harm: whatever it sends, no method is locked for the
// others, and nothing stays behind. What it costs: bench/abuse.cc.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/testing/echo.grpc.pb.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/flood.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox {
namespace {

using std::chrono::seconds;
using testing::Api;
using testing::CallEcho;
using testing::CallKind;
using testing::Echo;
using testing::EchoRequest;
using testing::Eventually;
using testing::Flood;
using testing::GuardedEcho;
using testing::HostileCall;
using testing::IdleStreams;
using testing::kAllCallKinds;
using testing::MethodOf;
using testing::OwnConnection;
using testing::ResidentBytes;
using testing::StatusCounts;

constexpr int kBatch = 50;
constexpr int kBatches = 60;
// What a test may allocate more after a tenth of it; threads keep some at hand.
constexpr std::size_t kGrowth = 4 << 20;

std::string Serialized(const std::string& text) {
  EchoRequest request;
  request.set_text(text);
  request.set_count(1);
  return request.SerializeAsString();
}

// The clock stands still, so nothing that was ever counted is forgotten.
GuardedEcho::Options WithSlowCalls() {
  GuardedEcho::Options options;
  options.settings.slow_call_duration = seconds(1);
  // Far above what the attackers ask for. Their gRPC sends the time that is
  // left by a clock which may stand for as long as its thread was busy, so what
  // arrives may be more than was asked for.
  options.settings.min_counted_deadline = seconds(10);
  return options;
}

// Bytes that malloc() has given out and not got back.
std::size_t AllocatedBytes() { return mallinfo2().uordblks; }

// Well-behaved clients, who call every method all the while.
class Others {
 public:
  explicit Others(const GuardedEcho& echo)
      : stub_(Echo::NewStub(OwnConnection(echo.address()))), thread_([this] {
          do {
            for (CallKind kind : kAllCallKinds) {
              ++calls_;
              if (!CallEcho(*stub_, kind, "hello").status.ok()) ++failed_;
            }
          } while (!stop_);
        }) {}
  ~Others() { Stop(); }
  Others(const Others&) = delete;
  Others& operator=(const Others&) = delete;

  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  int calls() const { return calls_; }
  int failed() const { return failed_; }

 private:
  const std::unique_ptr<Echo::Stub> stub_;
  std::atomic<bool> stop_{false};
  std::atomic<int> calls_{0};
  std::atomic<int> failed_{0};
  std::thread thread_;
};

class AbuseTest : public ::testing::TestWithParam<Api> {
 protected:
  AbuseTest()
      : echo_(GetParam(), WithSlowCalls()),
        attacker_(OwnConnection(echo_.address())) {}

  // Runs `attack` kBatches times beside the others; it returns how many calls
  // it made. Then looks for what it left behind.
  void Attack(const std::string& name,
              const std::function<std::size_t(int batch)>& attack) {
    Others others(echo_);
    std::size_t calls = 0;
    std::size_t allocated = 0;
    std::size_t resident = 0;
    for (int batch = 0; batch < kBatches; ++batch) {
      calls += attack(batch);
      if (batch == kBatches / 10) {
        AwaitRest(/*of_others=*/1);
        allocated = AllocatedBytes();
        resident = ResidentBytes();
      }
    }
    AwaitRest(/*of_others=*/1);
#if !defined(__SANITIZE_ADDRESS__) && !defined(FUSEBOX_TSAN)
    // gRPC may still be busy with what nobody waits for; the sanitizers have a
    // malloc() of their own.
    EXPECT_TRUE(Eventually([allocated] {
      return AllocatedBytes() < allocated + kGrowth;
    })) << AllocatedBytes()
        << " after " << allocated;
#endif
    std::cout << name << ": " << calls << " hostile calls: allocated "
              << allocated / 1024 << " KiB after a tenth, "
              << AllocatedBytes() / 1024 << " KiB at the end; resident "
              << resident / 1024 << " KiB, " << ResidentBytes() / 1024
              << " KiB\n";
    others.Stop();
    AwaitRest(/*of_others=*/0);

    std::uint64_t ignored = 0;
    std::uint64_t counted = 0;
    for (CallKind kind : kAllCallKinds) {
      SCOPED_TRACE(MethodOf(kind));
      const BreakerSnapshot snapshot = echo_.snapshot(kind);
      EXPECT_EQ(snapshot.state, State::kClosed);
      EXPECT_EQ(snapshot.generation, 1u);
      EXPECT_EQ(snapshot.lifetime.failures(), 0u);
      EXPECT_EQ(snapshot.lifetime.slow, 0u);
      ignored += snapshot.ignored;
      counted += snapshot.lifetime.total();
    }
    EXPECT_EQ(others.failed(), 0);
    EXPECT_EQ(echo_.registry().stats().breakers, kAllCallKinds.size());
    std::cout << name << ": " << ignored << " ignored, " << counted
              << " counted as good; " << others.calls() << " calls of others, "
              << others.failed() << " failed\n";
  }

  // Waits until no more calls than that are under way.
  void AwaitRest(std::uint64_t of_others) {
    EXPECT_TRUE(Eventually([this, of_others] {
      std::uint64_t in_flight = 0;
      for (CallKind kind : kAllCallKinds) {
        in_flight += echo_.snapshot(kind).in_flight;
      }
      return in_flight <= of_others;
    }));
  }

  // The same call kBatch times, a quarter to each method.
  std::vector<HostileCall> Batch(const HostileCall& call) {
    std::vector<HostileCall> calls(kBatch, call);
    for (std::size_t i = 0; i < calls.size(); ++i) {
      calls[i].method = MethodOf(kAllCallKinds[i % kAllCallKinds.size()]);
    }
    return calls;
  }

  GuardedEcho echo_;
  const std::shared_ptr<grpc::Channel> attacker_;
};

INSTANTIATE_TEST_SUITE_P(, AbuseTest,
                         ::testing::Values(Api::kSync, Api::kCallback),
                         ::testing::PrintToStringParamName());

TEST_P(AbuseTest, Garbage) {
  std::mt19937 random(20'260'101);
  StatusCounts ends = {};
  Attack("garbage", [&](int) {
    std::vector<HostileCall> calls = Batch({});
    for (HostileCall& call : calls) {
      // A field whose length is more than there is, and then anything.
      call.request = "\x0a\x7f";
      for (int i = 0; i < 20; ++i) {
        call.request.push_back(static_cast<char>(random()));
      }
    }
    const StatusCounts counts = Flood(attacker_, calls);
    for (std::size_t code = 0; code < ends.size(); ++code) {
      ends[code] += counts[code];
    }
    return calls.size();
  });
  // Where the one request is part of the call, gRPC answers; elsewhere the
  // stream ends early for its handler.
  EXPECT_EQ(ends[GetParam() == Api::kSync ? grpc::StatusCode::INTERNAL
                                          : grpc::StatusCode::UNIMPLEMENTED],
            kBatches * kBatch / 2);
  EXPECT_EQ(echo_.snapshot(CallKind::kUnary).ignored +
                echo_.snapshot(CallKind::kServerStream).ignored,
            static_cast<std::uint64_t>(kBatches) * kBatch / 2);
}

TEST_P(AbuseTest, TinyDeadlines) {
  // All below min_counted_deadline; the exact limit: status_outcome_test.
  static constexpr const char* kTimeouts[] = {
      "1n", "1u", "100u", "1m", "1m", "2m", "4m", "9m", "999u", "8999u"};
  Attack("tiny deadlines", [&](int batch) {
    std::vector<HostileCall> calls = Batch({});
    for (std::size_t i = 0; i < calls.size(); ++i) {
      calls[i].timeout = kTimeouts[i / 4 % std::size(kTimeouts)];
      calls[i].request = Serialized(batch % 2 == 0 ? "late" : "hello");
    }
    Flood(attacker_, calls);
    return calls.size();
  });
}

TEST_P(AbuseTest, Cancels) {
  Attack("cancelled at once", [&](int batch) {
    const std::vector<HostileCall> calls =
        Batch({"", Serialized(batch % 2 == 0 ? "cancelled" : "hello"), "",
               /*cancel=*/true});
    Flood(attacker_, calls);
    return calls.size();
  });
}

TEST_P(AbuseTest, CancelsOfRunningHandlers) {
  Attack("cancelled while running", [&](int) {
    const std::vector<HostileCall> calls =
        Batch({"", Serialized("cancelled"), "", /*cancel=*/true});
    const int before = echo_.script().runs();
    Flood(attacker_, calls, [&] {
      EXPECT_TRUE(
          Eventually([&] { return echo_.script().runs() >= before + kBatch; }));
    });
    return calls.size();
  });
}

TEST_P(AbuseTest, RandomNames) {
  std::mt19937_64 random(20'260'101);
  std::shared_ptr<grpc::Channel> attacker;
  Attack("random names", [&](int batch) {
    // A connection keeps every path that was sent over it, on the client.
    if (batch % 10 == 0) attacker = OwnConnection(echo_.address());
    std::vector<HostileCall> calls(kBatch);
    for (std::size_t i = 0; i < calls.size(); ++i) {
      calls[i].method = (i % 2 == 0 ? "/fusebox.testing.Echo/" : "/x.Y/") +
                        std::to_string(random());
    }
    EXPECT_EQ(Flood(attacker, calls)[grpc::StatusCode::UNIMPLEMENTED], kBatch);
    return calls.size();
  });
}

TEST_P(AbuseTest, IdleStreamsWithMetadata) {
  // A thread of a synchronous server waits for each.
  const int count = GetParam() == Api::kSync ? 20 : 500;
  constexpr std::size_t kMetadata = 4096;
  constexpr int kWaves = 10;
  Attack("idle streams", [&](int batch) -> std::size_t {
    if (batch % (kBatches / kWaves) != 0) return 0;
    AwaitRest(/*of_others=*/1);
    const IdleStreams streams(attacker_, std::string(MethodOf(CallKind::kBidi)),
                              count, kMetadata);
    EXPECT_TRUE(Eventually([&] {
      return echo_.snapshot(CallKind::kBidi).in_flight >=
             static_cast<std::uint64_t>(count);
    }));
    return static_cast<std::size_t>(count);
  });
  // One of those may have been of the others.
  EXPECT_GE(echo_.snapshot(CallKind::kBidi).ignored,
            static_cast<std::uint64_t>(kWaves * (count - 1)));
}

// ---------------------------------------------------------------------------
// While a method recovers

// The attacker comes first and often, and must neither prove the method nor
// keep the probe's place.
class AbuseInRecoveryTest : public ::testing::TestWithParam<Api> {
 protected:
  static GuardedEcho::Options Hasty() {
    GuardedEcho::Options options = WithSlowCalls();
    options.settings.min_requests = 0;
    options.settings.jitter = 0;
    return options;
  }

  AbuseInRecoveryTest() : echo_(GetParam(), Hasty()) {
    CallEcho(echo_.stub(), CallKind::kUnary, "status 14");
    testing::Advance(seconds(1));
  }

  // `calls` went out in half-open.
  void ExpectNoHarm() {
    EXPECT_TRUE(Eventually(
        [this] { return echo_.snapshot(CallKind::kUnary).in_flight == 0; }));
    const BreakerSnapshot snapshot = echo_.snapshot(CallKind::kUnary);
    EXPECT_EQ(snapshot.state, State::kHalfOpen);
    EXPECT_EQ(snapshot.generation, 2u);
    EXPECT_FALSE(snapshot.proved);
    // Hostile calls that are still on their way may take the probe's place, but
    // give it back: the clock stands, so no lease ends.
    EXPECT_TRUE(Eventually([this] {
      return CallEcho(echo_.stub(), CallKind::kUnary, "hello").status.ok();
    }));
    EXPECT_TRUE(echo_.snapshot(CallKind::kUnary).proved);
  }

  std::vector<HostileCall> Batch(HostileCall call) {
    call.method = MethodOf(CallKind::kUnary);
    return std::vector<HostileCall>(kBatch, call);
  }

  GuardedEcho echo_;
};

INSTANTIATE_TEST_SUITE_P(, AbuseInRecoveryTest,
                         ::testing::Values(Api::kSync, Api::kCallback),
                         ::testing::PrintToStringParamName());

TEST_P(AbuseInRecoveryTest, Garbage) {
  Flood(echo_.channel(), Batch({"", "\x0a\x7f"}));
  ExpectNoHarm();
}

TEST_P(AbuseInRecoveryTest, TinyDeadlines) {
  Flood(echo_.channel(), Batch({"", Serialized("late"), "9m"}));
  Flood(echo_.channel(), Batch({"", Serialized("late"), "1n"}));
  ExpectNoHarm();
}

TEST_P(AbuseInRecoveryTest, Cancels) {
  Flood(echo_.channel(),
        Batch({"", Serialized("cancelled"), "", /*cancel=*/true}));
  Flood(
      echo_.channel(),
      Batch({"", Serialized("cancelled"), "", /*cancel=*/true}), [this] {
        EXPECT_TRUE(Eventually([this] { return echo_.script().runs() >= 2; }));
      });
  ExpectNoHarm();
}

}  // namespace
}  // namespace fusebox
