#include "interceptor/testing/styled_server.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string_view>
#include <utility>

#include "interceptor/rejection.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox::testing {

StyledServer::StyledServer(std::unique_ptr<StyledEcho> echo,
                           const Options& options)
    : echo_(std::move(echo)), registry_(StandingClockOptions(Settings())) {
  ServerOptions server_options;
  if (options.declared) echo_->Declare(server_options);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  guard_ = GuardServer(builder, &registry_, std::move(server_options));
  echo_->Register(builder);
  if (options.configure) options.configure(builder);
  server_ = builder.BuildAndStart();
  echo_->Start();
  channel_ = options.transport == Transport::kInProcess
                 ? server_->InProcessChannel(grpc::ChannelArguments())
                 : grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                       grpc::InsecureChannelCredentials());
  stub_ = Echo::NewStub(channel_);
}

StyledServer::~StyledServer() {
  script().Release();
  server_->Shutdown(std::chrono::system_clock::now());
  echo_->Stop();
  server_->Wait();
}

void StyledServer::ForceOpen(CallKind kind) {
  EXPECT_TRUE(registry_.Force(Role::kServer, "", MethodOf(kind),
                              Override::kForcedOpen, TimePoint::max()));
}

void StyledServer::Release(CallKind kind) {
  EXPECT_TRUE(registry_.Release(Role::kServer, "", MethodOf(kind)));
}

BreakerSnapshot StyledServer::snapshot(CallKind kind) {
  return registry_.Snapshot(Role::kServer, "", MethodOf(kind)).value();
}

void StyledServer::AwaitRest(CallKind kind) {
  EXPECT_TRUE(
      Eventually([this, kind] { return snapshot(kind).in_flight == 0; }));
}

Counts CountsOf(const BreakerSnapshot& snapshot) {
  Counts counts;
  const auto add = [&counts](std::string_view name, std::uint64_t count) {
    if (count != 0) counts.emplace(name, count);
  };
  for (const Outcome outcome : kAllOutcomes) {
    if (outcome == Outcome::kIgnored) continue;
    add(OutcomeName(outcome), snapshot.lifetime.of(outcome));
  }
  add("ignored", snapshot.ignored);
  add("in flight", snapshot.in_flight);
  for (const std::uint64_t rejected : snapshot.rejected) {
    add("rejected", rejected);
  }
  return counts;
}

void ExpectRefused(const EchoResult& result, CallKind kind) {
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(
      result.status.error_message(),
      "circuit breaker of " + std::string(MethodOf(kind)) + " is forced open");
  const auto details = DecodeRejection(result.status.error_details());
  ASSERT_TRUE(details.has_value()) << result.status.error_message();
  EXPECT_EQ(details->reason, RejectionReason::kForcedOpen);
  EXPECT_EQ(details->method, MethodOf(kind));
  EXPECT_TRUE(result.replies.empty());
  ASSERT_EQ(result.trailers.count(kRetryPushbackKey), 1u);
  EXPECT_EQ(result.trailers.find(kRetryPushbackKey)->second,
            RetryPushback(details->retry_after));
}

void ExpectAnswer(const EchoResult& result, grpc::StatusCode code) {
  EXPECT_EQ(result.status.error_code(), code) << result.status.error_message();
  EXPECT_TRUE(result.status.error_details().empty());
  EXPECT_EQ(result.trailers.count(kRetryPushbackKey), 0u);
}

}  // namespace fusebox::testing
