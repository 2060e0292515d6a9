// Streams, which may live longer than anything a breaker decides: on either
// side of the call, the first message proves a probe and the final status is
// the outcome.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/client_interceptor.h"
#include "interceptor/rejection.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using testing::Advance;
using testing::Api;
using testing::CallEcho;
using testing::CallKind;
using testing::Echo;
using testing::EchoReply;
using testing::EchoRequest;
using testing::Eventually;
using testing::GuardedEcho;
using testing::MethodOf;
using testing::StandingClockOptions;

// Where the breaker is that is looked at; there is no other.
enum class Guarded { kClient, kSyncServer, kCallbackServer };

// One failure opens, for exactly one second; the second time for two.
Settings Hasty() {
  Settings settings;
  settings.min_requests = 0;
  settings.jitter = 0;
  return settings;
}

// A stream as its client holds it.
class Stream {
 public:
  // A server stream sends so many messages at once.
  Stream(Echo::Stub& stub, CallKind kind, const std::string& text, int messages)
      : kind_(kind) {
    request_.set_text(text);
    request_.set_count(messages);
    if (kind == CallKind::kServerStream) {
      reader_ = stub.ServerStream(&context_, request_);
    } else {
      bidi_ = stub.Bidi(&context_);
    }
  }

  // Awaits a message. A bidirectional stream has to ask for it.
  bool GetMessage() {
    EchoReply reply;
    if (kind_ == CallKind::kServerStream) return reader_->Read(&reply);
    if (!asked_) {
      asked_ = true;
      bidi_->WriteLast(request_, grpc::WriteOptions());
    }
    return bidi_->Read(&reply);
  }

  void Cancel() { context_.TryCancel(); }

  // Reads to the end.
  grpc::StatusCode Finish() {
    while (GetMessage()) {
    }
    return kind_ == CallKind::kServerStream ? reader_->Finish().error_code()
                                            : bidi_->Finish().error_code();
  }

 private:
  const CallKind kind_;
  bool asked_ = false;
  EchoRequest request_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<EchoReply>> reader_;
  std::unique_ptr<grpc::ClientReaderWriter<EchoRequest, EchoReply>> bidi_;
};

class StreamTest
    : public ::testing::TestWithParam<std::tuple<Guarded, CallKind>> {
 protected:
  static constexpr char kTarget[] = "echo";

  StreamTest()
      : on_client_(std::get<0>(GetParam()) == Guarded::kClient),
        kind_(std::get<1>(GetParam())),
        client_breakers_(StandingClockOptions(Hasty())),
        echo_(std::get<0>(GetParam()) == Guarded::kCallbackServer
                  ? Api::kCallback
                  : Api::kSync,
              ServerSide(on_client_)) {
    std::vector<
        std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
        interceptors;
    if (on_client_) {
      interceptors.push_back(
          GuardedClientInterceptorFactory(&client_breakers_, kTarget));
    }
    stub_ =
        Echo::NewStub(grpc::experimental::CreateCustomChannelWithInterceptors(
            echo_.address(), grpc::InsecureChannelCredentials(), {},
            std::move(interceptors)));
  }

  BreakerSnapshot Snapshot() {
    return on_client_ ? client_breakers_
                            .Snapshot(Role::kClient, kTarget, MethodOf(kind_))
                            .value_or(BreakerSnapshot())
                      : echo_.snapshot(kind_);
  }

  // A whole stream that ends as the text says.
  grpc::Status Call(const std::string& text) {
    return CallEcho(*stub_, kind_, text).status;
  }
  std::unique_ptr<Stream> Start(const std::string& text, int messages = 1) {
    return std::make_unique<Stream>(*stub_, kind_, text, messages);
  }

  // A stream that sends no message until it is asked to. (A server stream
  // cannot be asked: it ends when it is cancelled.)
  std::unique_ptr<Stream> StartQuiet() {
    const std::uint64_t before = Snapshot().in_flight;
    auto stream = Start("cancelled", /*messages=*/0);
    EXPECT_TRUE(Eventually([&] { return Snapshot().in_flight > before; }));
    return stream;
  }

  void AwaitInFlight(std::uint64_t count) {
    EXPECT_TRUE(Eventually([&] { return Snapshot().in_flight == count; }))
        << Snapshot().in_flight;
  }

  // Fails once, which opens the breaker.
  void Open() {
    ASSERT_EQ(Call("status 14").error_code(), grpc::StatusCode::UNAVAILABLE);
    ASSERT_TRUE(
        Eventually([this] { return Snapshot().state == State::kOpen; }));
  }

  // From open to closed by a probe and the ramp.
  void Recover() {
    Advance(Snapshot().next_probe - testing::StandingNow());
    ASSERT_TRUE(Call("hello").ok());
    Advance(Hasty().max_recovery);
    ASSERT_TRUE(
        Eventually([this] { return Snapshot().state == State::kClosed; }));
  }

  std::optional<RejectionReason> RefusalOf(const grpc::Status& status) {
    const auto details = DecodeRejection(status.error_details());
    if (!details.has_value()) return std::nullopt;
    return details->reason;
  }

  const bool on_client_;
  const CallKind kind_;
  BreakerRegistry client_breakers_;
  GuardedEcho echo_;
  std::unique_ptr<Echo::Stub> stub_;

 private:
  static GuardedEcho::Options ServerSide(bool off) {
    GuardedEcho::Options options;
    options.settings = Hasty();
    if (off) options.settings.mode = Mode::kOff;
    return options;
  }
};

std::string NameOf(
    const ::testing::TestParamInfo<std::tuple<Guarded, CallKind>>& info) {
  const auto [guarded, kind] = info.param;
  const char* side = guarded == Guarded::kClient       ? "Client"
                     : guarded == Guarded::kSyncServer ? "SyncServer"
                                                       : "CallbackServer";
  return side + std::string(kind == CallKind::kBidi ? "Bidi" : "ServerStream");
}

INSTANTIATE_TEST_SUITE_P(
    , StreamTest,
    ::testing::Combine(::testing::Values(Guarded::kClient, Guarded::kSyncServer,
                                         Guarded::kCallbackServer),
                       ::testing::Values(CallKind::kServerStream,
                                         CallKind::kBidi)),
    &NameOf);

TEST_P(StreamTest, TheFinalStatusIsTheOutcomeHoweverManyMessagesCame) {
  const auto good = Start("hold", /*messages=*/10);
  EXPECT_TRUE(good->GetMessage());
  EXPECT_EQ(Snapshot().lifetime.total(), 0u);
  EXPECT_EQ(Snapshot().in_flight, 1u);
  echo_.script().Release();
  EXPECT_EQ(good->Finish(), grpc::StatusCode::OK);
  AwaitInFlight(0);
  EXPECT_EQ(Snapshot().lifetime.of(Outcome::kOk), 1u);

  const auto bad = Start("status 14", /*messages=*/10);
  EXPECT_TRUE(bad->GetMessage());
  EXPECT_EQ(bad->Finish(), grpc::StatusCode::UNAVAILABLE);
  AwaitInFlight(0);
  EXPECT_EQ(Snapshot().lifetime.of(Outcome::kOk), 1u);
  EXPECT_EQ(Snapshot().lifetime.of(Outcome::kSystemError), 1u);
  EXPECT_EQ(Snapshot().state, State::kOpen);
}

TEST_P(StreamTest, AnEndlessProbeProvesByItsFirstMessage) {
  Open();
  Advance(seconds(1));
  const auto endless = Start("hold");
  EXPECT_TRUE(endless->GetMessage());
  EXPECT_EQ(Snapshot().state, State::kHalfOpen);
  EXPECT_TRUE(Snapshot().proved);
  // The lease is over with the proof; the ramp runs to its end.
  Advance(Hasty().max_recovery);
  EXPECT_EQ(Snapshot().state, State::kClosed);
  EXPECT_TRUE(Call("hello").ok());
  AwaitInFlight(1);
  EXPECT_EQ(Snapshot().generation, 2u);

  // Its end is an outcome of the generation in which it began.
  Advance(hours(1));
  echo_.script().Release();
  EXPECT_EQ(endless->Finish(), grpc::StatusCode::OK);
  AwaitInFlight(0);
  EXPECT_EQ(Snapshot().window.of(Outcome::kOk), 1u);
  EXPECT_EQ(Snapshot().stale, 0u);
}

TEST_P(StreamTest, AQuietProbeLosesItsLeaseAndStandsInNobodysWay) {
  Open();
  Advance(seconds(1));
  const auto quiet = StartQuiet();
  EXPECT_EQ(Snapshot().state, State::kHalfOpen);
  EXPECT_EQ(RefusalOf(Call("hello")), RejectionReason::kHalfOpenLimit);

  Advance(Hasty().probe_lease - Duration(1));
  EXPECT_EQ(Snapshot().state, State::kHalfOpen);
  Advance(Duration(1));
  EXPECT_EQ(Snapshot().state, State::kOpen);
  EXPECT_EQ(Snapshot().generation, 2u);
  EXPECT_EQ(RefusalOf(Call("hello")), RejectionReason::kOpen);

  // The second opening takes two seconds; then the next call is a probe,
  // although the first one is still out.
  Advance(seconds(2));
  EXPECT_TRUE(Call("hello").ok());
  EXPECT_TRUE(Eventually([this] { return Snapshot().proved; }));
  Advance(Hasty().max_recovery);
  EXPECT_EQ(Snapshot().state, State::kClosed);
  EXPECT_EQ(Snapshot().in_flight, 1u);

  quiet->Cancel();
  EXPECT_EQ(quiet->Finish(), grpc::StatusCode::CANCELLED);
  AwaitInFlight(0);
  EXPECT_EQ(Snapshot().ignored, 1u);
  EXPECT_EQ(Snapshot().state, State::kClosed);
}

TEST_P(StreamTest, QuietProbesOneAfterTheOtherNeverStopTheProbing) {
  Open();
  std::vector<std::unique_ptr<Stream>> quiet;
  for (const seconds wait :
       {seconds(1), seconds(2), seconds(4), seconds(5), seconds(5)}) {
    EXPECT_EQ(Snapshot().next_probe - testing::StandingNow(), wait);
    Advance(wait);
    quiet.push_back(StartQuiet());
    EXPECT_EQ(Snapshot().state, State::kHalfOpen);
    Advance(Hasty().probe_lease);
    EXPECT_EQ(Snapshot().state, State::kOpen);
  }
  EXPECT_EQ(Snapshot().in_flight, quiet.size());
  Recover();
  for (const auto& stream : quiet) {
    stream->Cancel();
    stream->Finish();
  }
  AwaitInFlight(0);
  EXPECT_EQ(Snapshot().ignored, quiet.size());
}

TEST_P(StreamTest, AQuietProbeThatIsCancelledMakesRoomForTheNext) {
  Open();
  Advance(seconds(1));
  const auto quiet = StartQuiet();
  quiet->Cancel();
  EXPECT_EQ(quiet->Finish(), grpc::StatusCode::CANCELLED);
  AwaitInFlight(0);
  EXPECT_FALSE(Snapshot().proved);
  EXPECT_TRUE(Call("hello").ok());
  EXPECT_TRUE(Eventually([this] { return Snapshot().proved; }));
  EXPECT_EQ(Snapshot().generation, 2u);
}

// Streams begun in every phase of three openings, and failing long after.
TEST_P(StreamTest, StreamsThatOutliveOpeningsEndAsStale) {
  constexpr int kOpenings = 3;
  std::vector<std::unique_ptr<Stream>> old;
  const auto start = [&] {
    old.push_back(Start("hold status 14"));
    EXPECT_TRUE(old.back()->GetMessage());
  };
  for (int i = 0; i < kOpenings; ++i) {
    start();  // closed
    Open();
    Advance(Snapshot().next_probe - testing::StandingNow());
    start();  // the probe
    EXPECT_TRUE(Snapshot().proved);
    Advance(Hasty().max_recovery);
    EXPECT_EQ(Snapshot().state, State::kClosed);
  }
  Open();
  Recover();
  const BreakerSnapshot before = Snapshot();
  EXPECT_EQ(before.in_flight, old.size());
  EXPECT_EQ(before.generation, kOpenings + 2u);

  echo_.script().Release();
  for (const auto& stream : old) {
    EXPECT_EQ(stream->Finish(), grpc::StatusCode::UNAVAILABLE);
  }
  AwaitInFlight(0);
  const BreakerSnapshot after = Snapshot();
  EXPECT_EQ(after.stale, old.size());
  EXPECT_EQ(after.state, State::kClosed);
  EXPECT_EQ(after.generation, before.generation);
  EXPECT_EQ(after.window.by_outcome, before.window.by_outcome);
  EXPECT_EQ(after.lifetime.by_outcome, before.lifetime.by_outcome);

  // The same end of a stream that is not old opens.
  Open();
}

// Only these can be asked to send their first message later.
class BidiStreamTest : public StreamTest {};

INSTANTIATE_TEST_SUITE_P(
    , BidiStreamTest,
    ::testing::Combine(::testing::Values(Guarded::kClient, Guarded::kSyncServer,
                                         Guarded::kCallbackServer),
                       ::testing::Values(CallKind::kBidi)),
    &NameOf);

TEST_P(BidiStreamTest, AMessageAfterTheLeaseProvesLate) {
  Open();
  Advance(seconds(1));
  const auto quiet = StartQuiet();
  Advance(Hasty().probe_lease);
  EXPECT_EQ(Snapshot().state, State::kOpen);
  EXPECT_TRUE(quiet->GetMessage());
  EXPECT_EQ(Snapshot().state, State::kHalfOpen);
  EXPECT_TRUE(Snapshot().proved);
  quiet->Cancel();
  quiet->Finish();
  AwaitInFlight(0);
}

TEST_P(BidiStreamTest, AStreamFromBeforeTheOpeningProvesNothing) {
  const auto old = StartQuiet();
  Open();
  Advance(seconds(1));
  const auto probe = StartQuiet();
  EXPECT_TRUE(old->GetMessage());
  EXPECT_EQ(Snapshot().state, State::kHalfOpen);
  EXPECT_FALSE(Snapshot().proved);
  EXPECT_TRUE(probe->GetMessage());
  EXPECT_TRUE(Snapshot().proved);
  old->Cancel();
  old->Finish();
  probe->Cancel();
  probe->Finish();
  AwaitInFlight(0);
}

}  // namespace
}  // namespace fusebox
