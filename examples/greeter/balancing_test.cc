// Guarded greeters behind a channel that balances by their health (round_robin
// with healthCheckConfig).

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "examples/greeter/backend_testing.h"
#include "examples/greeter/greeter.grpc.pb.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "gtest/gtest.h"
#include "interceptor/breaker/settings.h"
#include "interceptor/testing/guarded_echo.h"

namespace greeter {
namespace {

using ::fusebox::testing::Eventually;

std::chrono::system_clock::time_point Deadline() {
  return std::chrono::system_clock::now() + std::chrono::minutes(1);
}

std::shared_ptr<grpc::Channel> BalancingChannel(const std::string& addresses) {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(absl::StrCat(
      R"({"loadBalancingConfig": [{"round_robin": {}}],)",
      R"("healthCheckConfig": {"serviceName": ")", kSayHello, R"("}})"));
  return grpc::CreateCustomChannel(absl::StrCat("ipv4:", addresses),
                                   grpc::InsecureChannelCredentials(),
                                   arguments);
}

// Which backend got how many of the calls, by address; and how many failed.
struct Share {
  std::map<std::string, int> calls;
  std::map<std::string, int> failed;
};

bool operator==(const Share& a, const Share& b) {
  return a.calls == b.calls && a.failed == b.failed;
}

std::ostream& operator<<(std::ostream& out, const Share& share) {
  return out << "calls "
             << absl::StrJoin(share.calls, " ", absl::PairFormatter("="))
             << ", failed "
             << absl::StrJoin(share.failed, " ", absl::PairFormatter("="));
}

Share Call(v1::Greeter::Stub& stub, int count) {
  Share share;
  for (int i = 0; i < count; ++i) {
    grpc::ClientContext context;
    context.set_deadline(Deadline());
    v1::HelloRequest request;
    v1::HelloReply reply;
    const grpc::Status status = stub.SayHello(&context, request, &reply);
    std::string peer = context.peer();
    peer.erase(0, peer.find(':') + 1);  // "ipv4:"
    ++share.calls[peer];
    if (!status.ok()) ++share.failed[peer];
  }
  return share;
}

// Calls until the shares of 60 calls are these.
void AwaitShares(v1::Greeter::Stub& stub, const Share& expected) {
  const auto end = Deadline();
  Share share;
  do {
    share = Call(stub, 60);
  } while (!(share == expected) && std::chrono::system_clock::now() < end);
  ASSERT_EQ(share, expected);
}

TEST(BalancingTest, ABadServerIsLeftAloneUntilItHeals) {
  std::array<Backend, 3> backends;
  Backend& bad = backends[0];
  const std::string& a = backends[0].address();
  const std::string& b = backends[1].address();
  const std::string& c = backends[2].address();
  const auto channel = BalancingChannel(absl::StrCat(a, ",", b, ",", c));
  const auto stub = v1::Greeter::NewStub(channel);
  const Share all = {{{a, 20}, {b, 20}, {c, 20}}, {}};
  const Share without = {{{b, 30}, {c, 30}}, {}};
  AwaitShares(*stub, all);

  bad.Break();

  std::map<std::string, int> failed;
  ASSERT_TRUE(Eventually([&] {
    failed.merge(Call(*stub, 3).failed);
    return !bad.Serves();
  }));
  // Until the channel has heard of it, calls are refused.
  AwaitShares(*stub, without);

  bad.Mend();
  const std::uint64_t calls = bad.calls();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Call(*stub, 60), without);
  bad.PassTheWait();
  EXPECT_TRUE(bad.Serves());
  EXPECT_EQ(bad.calls(), calls);

  // Its calls are few at first; time ends that.
  ASSERT_TRUE(Eventually([&] {
    failed.merge(Call(*stub, 3).failed);
    return bad.calls() > calls;
  }));
  fusebox::testing::Advance(fusebox::Settings().max_recovery);
  AwaitShares(*stub, all);
  failed.erase(a);
  EXPECT_TRUE(failed.empty());  // of all others
}

// Nothing but its health can bring the server back, for no call gets there.
TEST(BalancingTest, AnOpenMethodComesBackWithoutACall) {
  Backend backend;
  const auto channel = BalancingChannel(backend.address());
  const auto stub = v1::Greeter::NewStub(channel);
  ASSERT_TRUE(channel->WaitForConnected(Deadline()));
  backend.Break();
  Call(*stub, 3);
  backend.AwaitOpen();
  ASSERT_TRUE(Eventually([&] {
    return channel->GetState(false) == GRPC_CHANNEL_TRANSIENT_FAILURE;
  }));
  backend.Mend();

  const Share none = Call(*stub, 10);
  EXPECT_EQ(none.failed, none.calls);
  EXPECT_EQ(backend.calls(), 3u);
  backend.PassTheWait();
  ASSERT_TRUE(channel->WaitForConnected(Deadline()));
  EXPECT_EQ(backend.calls(), 3u);
  EXPECT_TRUE(Call(*stub, 1).failed.empty());
  EXPECT_EQ(backend.calls(), 4u);
}

}  // namespace
}  // namespace greeter
