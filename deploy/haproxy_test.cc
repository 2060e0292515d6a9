// HAProxy, with the file beside this, before two greeters of which one breaks.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "examples/greeter/backend_testing.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "examples/greeter/greeter.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "interceptor/testing/guarded_echo.h"

namespace greeter {
namespace {

// A socket that listens on a port of its own, for a program that cannot choose
// one: the children of this process have it too.
class ListeningSocket {
 public:
  ListeningSocket() : file_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(file_, generic, size), 0);
    EXPECT_EQ(listen(file_, SOMAXCONN), 0);
    EXPECT_EQ(getsockname(file_, generic, &size), 0);
    address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  }
  ~ListeningSocket() { close(file_); }
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;

  int file() const { return file_; }
  const std::string& address() const { return address_; }

 private:
  const int file_;
  std::string address_;
};

class HaproxyTest : public ::testing::Test {
 protected:
  HaproxyTest()
      : haproxy_({"/usr/bin/env",
                  absl::StrCat("GREETER_LISTEN=fd@", socket_.file()),
                  absl::StrCat("GREETER_ONE=", one_.address()),
                  absl::StrCat("GREETER_TWO=", two_.address()),
                  "/usr/sbin/haproxy", "-f", "deploy/haproxy.cfg"}),
        stub_(v1::Greeter::NewStub(grpc::CreateChannel(
            socket_.address(), grpc::InsecureChannelCredentials()))) {}

  grpc::Status Call() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::minutes(1));
    context.set_wait_for_ready(true);
    v1::HelloRequest request;
    v1::HelloReply reply;
    return stub_->SayHello(&context, request, &reply);
  }

  // How many of 20 calls fail.
  int FailuresOf20() {
    int failures = 0;
    for (int i = 0; i < 20; ++i) failures += Call().ok() ? 0 : 1;
    return failures;
  }

  Backend one_;
  Backend two_;
  const ListeningSocket socket_;
  ChildProcess haproxy_;
  const std::unique_ptr<v1::Greeter::Stub> stub_;
};

TEST_F(HaproxyTest, ABadServerGetsNoCallsUntilItHeals) {
  EXPECT_EQ(FailuresOf20(), 0);
  EXPECT_EQ(one_.calls(), 10u);
  EXPECT_EQ(two_.calls(), 10u);

  one_.Break();
  ASSERT_TRUE(fusebox::testing::Eventually([this] {
    Call();
    return !one_.Serves();
  }));
  ASSERT_TRUE(ReadUntil(haproxy_, "Server greeters/one is DOWN"));
  one_.Mend();
  const std::uint64_t calls = one_.calls();
  EXPECT_EQ(FailuresOf20(), 0);
  EXPECT_EQ(one_.calls(), calls);

  one_.PassTheWait();
  ASSERT_TRUE(ReadUntil(haproxy_, "Server greeters/one is UP"));
  EXPECT_EQ(one_.calls(), calls);
  FailuresOf20();
  EXPECT_GT(one_.calls(), calls);
}

TEST_F(HaproxyTest, AServerAboutToShutDownGetsNoCalls) {
  two_.health().Shutdown();
  ASSERT_TRUE(ReadUntil(haproxy_, "Server greeters/two is DOWN"));
  EXPECT_EQ(FailuresOf20(), 0);
  EXPECT_EQ(one_.calls(), 20u);
}

}  // namespace
}  // namespace greeter
