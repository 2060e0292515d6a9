// What gRPC's other implementations make of the health of a guarded server:
// Python's (on gRPC's C core), Go's and JavaScript's.

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/health/health_service.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox {
namespace {

using ::greeter::ChildProcess;
using ::greeter::End;
using ::greeter::Ended;
using ::greeter::Soon;
using testing::Advance;
using testing::Api;
using testing::CallEcho;
using testing::CallKind;
using ::testing::ElementsAre;
using testing::GuardedEcho;

constexpr char kUnary[] = "fusebox.testing.Echo/Unary";

std::string InThisPackage(const std::string& file) {
  return "interceptor/health/clients/" + file;
}

// A server whose methods open at the third failure.
class Server {
 public:
  Server() : echo_(Api::kCallback, Options()) {}

  GuardedEcho& echo() { return echo_; }
  HealthService& health() { return *echo_.guard().health(); }
  int runs() { return echo_.script().runs(); }

  void OpenUnary() {
    for (int i = 0; i < 3; ++i) {
      CallEcho(echo_.stub(), CallKind::kUnary, "status 13");
    }
    ASSERT_TRUE(testing::Eventually([this] {
      echo_.registry().Dispatch();
      return health().StatusOf(kUnary) == ServingStatus::kNotServing;
    }));
  }
  // Lets the wait of an open method pass. No call is made.
  void PassTheWait() {
    Advance(echo_.registry().options().settings.min_recovery);
    echo_.registry().Dispatch();
  }

 private:
  static GuardedEcho::Options Options() {
    GuardedEcho::Options options;
    options.settings.min_requests = 2;
    options.settings.jitter = 0;
    return options;
  }

  GuardedEcho echo_;
};

// How a client is started. All have the same verbs.
using Command = std::vector<std::string>;

Command Python() {
  return {"/usr/bin/env", "PYTHONPATH=" + InThisPackage(""), "/usr/bin/python3",
          InThisPackage("python_client.py")};
}

Command GrpcJs() {
  return {"/usr/bin/env", "node", InThisPackage("grpc_js_client.js")};
}

// Compiled at the first use, which takes a quarter of a minute; what came of it
// is kept.
Command Go() {
  static const std::string program = [] {
    std::string built = std::string(std::getenv("TEST_TMPDIR")) + "/go_client";
    const char kBuild[] =
        "GO111MODULE=off GOPATH=/usr/share/gocode CGO_ENABLED=0 "
        "GOCACHE=~/.cache/fusebox/go exec go build -p 2 -o \"$0\" \"$1\"";
    ChildProcess go(
        {"/bin/bash", "-c", kBuild, built, InThisPackage("go_client.go")});
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(4);
    EXPECT_EQ(go.Wait(end), 0) << go.errors();
    return built;
  }();
  return {program};
}

struct Client {
  const char* name;
  Command (*command)();
};

std::ostream& operator<<(std::ostream& out, const Client& client) {
  return out << client.name;
}

class HealthClientTest : public ::testing::TestWithParam<Client> {
 protected:
  // A client of `server_`.
  std::unique_ptr<ChildProcess> Start(const std::string& verb,
                                      const std::vector<std::string>& name) {
    Command command = GetParam().command();
    command.push_back(verb);
    command.push_back(server_.echo().address());
    command.insert(command.end(), name.begin(), name.end());
    return std::make_unique<ChildProcess>(command);
  }

  // What the client prints, if it ends as it should.
  std::vector<std::string> Run(const std::string& verb,
                               const std::vector<std::string>& name = {}) {
    const auto client = Start(verb, name);
    const Ended ended = End(*client);
    EXPECT_EQ(ended.status, 0) << ended.errors;
    return ended.lines;
  }

  // The next line; what went wrong if there is none.
  static std::string Next(ChildProcess& client) {
    return client.ReadLine(Soon()).value_or("nothing, " + client.errors());
  }

  Server server_;
};

TEST_P(HealthClientTest, Checks) {
  EXPECT_THAT(Run("check"), ElementsAre("SERVING"));
  EXPECT_THAT(Run("check", {"fusebox.testing.Echo"}), ElementsAre("SERVING"));
  EXPECT_THAT(Run("check", {"nobody"}), ElementsAre("error 5"));
  server_.OpenUnary();
  EXPECT_THAT(Run("check", {kUnary}), ElementsAre("NOT_SERVING"));
}

TEST_P(HealthClientTest, WatchesAMethodOpenAndComeBack) {
  const auto client = Start("watch", {kUnary});
  EXPECT_EQ(Next(*client), "SERVING");
  server_.OpenUnary();
  EXPECT_EQ(Next(*client), "NOT_SERVING");
  server_.PassTheWait();
  EXPECT_EQ(Next(*client), "SERVING");
  server_.echo().server().Shutdown();
  EXPECT_EQ(Next(*client), "error 14");
  EXPECT_EQ(End(*client).status, 0);
}

TEST_P(HealthClientTest, WatchesANameComeAndGo) {
  const auto client = Start("watch", {"database"});
  EXPECT_EQ(Next(*client), "SERVICE_UNKNOWN");
  server_.health().SetServing("database", true);
  EXPECT_EQ(Next(*client), "SERVING");
  server_.health().Remove("database");
  EXPECT_EQ(Next(*client), "SERVICE_UNKNOWN");
}

TEST_P(HealthClientTest, WrongCommandLineEndsWithStatus2) {
  const auto client = Start("guess", {"a", "b"});
  const Ended ended = End(*client);
  EXPECT_EQ(ended.status, 2);
  EXPECT_THAT(ended.errors, ::testing::HasSubstr("Usage: "));
}

INSTANTIATE_TEST_SUITE_P(, HealthClientTest,
                         ::testing::Values(Client{"Python", &Python},
                                           Client{"Go", &Go},
                                           Client{"GrpcJs", &GrpcJs}),
                         ::testing::PrintToStringParamName());

// Those that check health when they balance.
using BalancingClientTest = HealthClientTest;

TEST_P(BalancingClientTest, ComesBackWithoutACall) {
  const auto client = Start("connect", {kUnary});
  ASSERT_TRUE(::greeter::ReadUntil(*client, "READY"));
  server_.OpenUnary();
  ASSERT_TRUE(::greeter::ReadUntil(*client, "TRANSIENT_FAILURE"));
  const int runs = server_.runs();
  server_.PassTheWait();
  EXPECT_TRUE(::greeter::ReadUntil(*client, "READY"));
  EXPECT_EQ(server_.runs(), runs);
}

INSTANTIATE_TEST_SUITE_P(, BalancingClientTest,
                         ::testing::Values(Client{"Python", &Python},
                                           Client{"Go", &Go}),
                         ::testing::PrintToStringParamName());

// Those that know List.
using ListingClientTest = HealthClientTest;

TEST_P(ListingClientTest, Lists) {
  server_.echo().ForceOpen(CallKind::kBidi);
  server_.echo().registry().Dispatch();
  EXPECT_THAT(Run("list"),
              ElementsAre("SERVING ",  // the whole server
                          "SERVING fusebox.testing.Echo",
                          "NOT_SERVING fusebox.testing.Echo/Bidi",
                          "SERVING fusebox.testing.Echo/ClientStream",
                          "SERVING fusebox.testing.Echo/ServerStream",
                          "SERVING fusebox.testing.Echo/Unary"));
  for (int i = 0; i < 100; ++i) {
    server_.health().SetServing("name" + std::to_string(i), true);
  }
  EXPECT_THAT(Run("list"), ElementsAre("error 8"));
}

INSTANTIATE_TEST_SUITE_P(, ListingClientTest,
                         ::testing::Values(Client{"GrpcJs", &GrpcJs}),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace fusebox
