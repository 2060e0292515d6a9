// HAProxy, with each of the files beside this, before two greeters of which one
// breaks.

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
#include "interceptor/breaker/state.h"
#include "interceptor/health/breaker_check.h"
#include "interceptor/health/component_checks.h"
#include "interceptor/http/health_pages.h"
#include "interceptor/http/http_server.h"
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

// The health of a backend on a port for HTTP.
class HttpHealth {
 public:
  explicit HttpHealth(Backend& backend) : http_({"127.0.0.1", /*port=*/0}) {
    fusebox::CheckOptions options;
    options.refresh_period = std::chrono::milliseconds(100);
    EXPECT_TRUE(checks_
                    .Register("say_hello", options,
                              fusebox::BreakerCheck(
                                  &backend.breakers(), fusebox::Role::kServer,
                                  "", absl::StrCat("/", kSayHello)))
                    .ok());
    EXPECT_TRUE(checks_.AwaitFirstResults(std::chrono::minutes(1)));
    fusebox::HealthPagesOptions pages;
    pages.health = backend.health();
    EXPECT_TRUE(fusebox::AddHealthPages(http_, &checks_, pages).ok());
    EXPECT_TRUE(http_.Start().ok());
  }

  int port() const { return http_.port(); }

 private:
  fusebox::ComponentChecks checks_;
  fusebox::HttpServer http_;
};

class HaproxyTest : public ::testing::TestWithParam<std::string> {
 protected:
  HaproxyTest()
      : haproxy_({"/usr/bin/env",
                  absl::StrCat("GREETER_LISTEN=fd@", socket_.file()),
                  absl::StrCat("GREETER_ONE=", one_.address()),
                  absl::StrCat("GREETER_TWO=", two_.address()),
                  absl::StrCat("GREETER_ONE_HTTP=", one_http_.port()),
                  absl::StrCat("GREETER_TWO_HTTP=", two_http_.port()),
                  "/usr/sbin/haproxy", "-f",
                  absl::StrCat("deploy/", GetParam(), ".cfg")}),
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
  HttpHealth one_http_{one_};
  HttpHealth two_http_{two_};
  const ListeningSocket socket_;
  ChildProcess haproxy_;
  const std::unique_ptr<v1::Greeter::Stub> stub_;
};

INSTANTIATE_TEST_SUITE_P(Files, HaproxyTest,
                         ::testing::Values("haproxy", "haproxy_readyz"),
                         [](const auto& test) { return test.param; });

TEST_P(HaproxyTest, ABadServerGetsNoCallsUntilItHeals) {
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

TEST_P(HaproxyTest, AServerAboutToShutDownGetsNoCalls) {
  two_.health()->Shutdown();
  ASSERT_TRUE(ReadUntil(haproxy_, "Server greeters/two is DOWN"));
  EXPECT_EQ(FailuresOf20(), 0);
  EXPECT_EQ(one_.calls(), 20u);
}

}  // namespace
}  // namespace greeter
