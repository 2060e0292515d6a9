// Server and client as a user starts them.

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "examples/greeter/greeter.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "interceptor/settings/settings_fields.h"

namespace greeter {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

// Decides fast and recovers fast; the rest as by default.
const std::vector<std::string>& ShortSettings() {
  static const auto& settings = *new std::vector<std::string>{
      "--fusebox_bucket_width=100ms",
      "--fusebox_min_recovery=100ms",
      "--fusebox_max_recovery=500ms",
      "--fusebox_max_open_duration=200ms",
  };
  return settings;
}

class Server {
 public:
  explicit Server(std::vector<std::string> flags = {}) {
    flags.insert(flags.begin(),
                 {Sibling("greeter_server"), "--listen=127.0.0.1:0"});
    child_ = std::make_unique<ChildProcess>(flags);
    const std::string line = child_->ReadLine(Soon()).value_or("");
    EXPECT_THAT(line, MatchesRegex("listening on 127\\.0\\.0\\.1:[0-9]+"));
    target_ = line.substr(line.rfind(' ') + 1);
    control_ = v1::FaultControl::NewStub(
        grpc::CreateChannel(target_, grpc::InsecureChannelCredentials()));
  }

  const std::string& target() const { return target_; }
  ChildProcess& child() { return *child_; }

  grpc::Status SetFault(const std::string& method, int code, double fraction) {
    grpc::ClientContext context;
    v1::SetFaultRequest request;
    request.set_method(method);
    request.set_status_code(code);
    request.set_fraction(fraction);
    return control_->SetFault(&context, request, &reply_);
  }
  // As of the last SetFault().
  std::int64_t handler_runs(const std::string& method) const {
    return reply_.handler_runs().at(method);
  }

 private:
  std::unique_ptr<ChildProcess> child_;
  std::string target_;
  std::unique_ptr<v1::FaultControl::Stub> control_;
  v1::SetFaultReply reply_;
};

std::unique_ptr<ChildProcess> StartClient(const std::string& target,
                                          std::vector<std::string> flags) {
  flags.insert(flags.begin(),
               {Sibling("greeter_client"), absl::StrCat("--target=", target)});
  return std::make_unique<ChildProcess>(flags);
}

class HelpTest : public ::testing::TestWithParam<const char*> {};

TEST_P(HelpTest, ShowsEveryFlagWithItsDefaultOn80Columns) {
  const Ended help = RunToEnd(GetParam(), {"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_EQ(help.errors, "");
  for (const fusebox::SettingsField& field : fusebox::SettingsFields()) {
    EXPECT_THAT(help.lines, Contains(absl::StrCat("  --fusebox_", field.name,
                                                  "=", field.default_value)));
  }
  EXPECT_THAT(help.lines, Contains("  --fusebox_preset=default"));
  for (const std::string& line : help.lines) {
    EXPECT_LE(line.size(), 80u) << line;
    // Abseil's own flags would be noise.
    EXPECT_FALSE(absl::StartsWith(line, "  --flagfile")) << line;
  }
}

TEST_P(HelpTest, BadValueEndsWithStatus2BeforeAnythingStarts) {
  const Ended ended =
      RunToEnd(GetParam(), {"--fusebox_buckets=0", "--fusebox_jitter=much"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_TRUE(ended.lines.empty()) << ended.lines.front();
  EXPECT_EQ(ended.errors,
            "--fusebox_jitter: 'much' is not valid: [0, 0.5]\n"
            "--fusebox_buckets: 0 is out of range [1, 1000]\n");
}

TEST_P(HelpTest, AnArgumentThatIsNoFlagEndsWithStatus2) {
  const Ended ended = RunToEnd(GetParam(), {"127.0.0.1:1"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_EQ(ended.errors, "'127.0.0.1:1' is not a flag; see --help\n");
}

INSTANTIATE_TEST_SUITE_P(Programs, HelpTest,
                         ::testing::Values("greeter_server", "greeter_client"),
                         [](const auto& test) {
                           return std::string(test.param);
                         });

TEST(GreeterServerTest, AddressWithoutPortEndsWithStatus2) {
  const Ended ended = RunToEnd("greeter_server", {"--listen=localhost"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_EQ(ended.errors, "--listen: 'localhost' is not valid: HOST:PORT\n");
}

TEST(GreeterServerTest, PortInUseEndsWithStatus1) {
  Server first;
  const Ended second =
      RunToEnd("greeter_server", {absl::StrCat("--listen=", first.target())});
  EXPECT_EQ(second.status, 1);
  EXPECT_THAT(second.errors, HasSubstr(absl::StrCat("cannot listen on ",
                                                    first.target(), "\n")));
  EXPECT_TRUE(second.lines.empty());
}

TEST(GreeterServerTest, StopsWithStatus0WhileACallIsUnderWay) {
  for (const int signal : {SIGINT, SIGTERM}) {
    Server server;
    auto stub = v1::Greeter::NewStub(grpc::CreateChannel(
        server.target(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    const auto chat = stub->Chat(&context);
    v1::HelloRequest request;
    request.set_name("Ada");
    v1::HelloReply reply;
    ASSERT_TRUE(chat->Write(request));
    ASSERT_TRUE(chat->Read(&reply));
    EXPECT_EQ(reply.message(), "Hello, Ada!");

    server.child().Signal(signal);
    EXPECT_EQ(End(server.child()).status, 0);
  }
}

TEST(GreeterServerTest, SetFaultRefusesWhatIsOutOfRange) {
  Server server;
  EXPECT_EQ(server.SetFault("SayHello", 17, 1).error_message(),
            "status_code: 17 is out of range [0, 16]");
  EXPECT_EQ(server.SetFault("Nobody", 0, 1).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(GreeterClientTest, BadValuesEndWithStatus2) {
  const struct {
    std::string flag;
    std::string value;
    std::string valid;
  } cases[] = {
      {"rate", "0", "(0, 10000]"},
      {"rate", "nan", "(0, 10000]"},
      {"rate", "many", "(0, 10000]"},
      {"deadline", "0s", "[1ms, 1m]"},
      {"deadline", "100", "[1ms, 1m]"},
      {"duration", "-1s", "[0s, ...)"},
      {"method", "Hi", "SayHello, SayHelloStream, CollectNames or Chat"},
  };
  for (const auto& c : cases) {
    const Ended ended =
        RunToEnd("greeter_client", {absl::StrCat("--", c.flag, "=", c.value)});
    EXPECT_EQ(ended.status, 2) << c.flag;
    EXPECT_EQ(ended.errors, absl::StrCat("--", c.flag, ": '", c.value,
                                         "' is not valid: ", c.valid, "\n"));
    EXPECT_TRUE(ended.lines.empty()) << c.flag;
  }
}

TEST(GreeterClientTest, StopsByItselfAfterTheDuration) {
  Server server;
  auto client =
      StartClient(server.target(), {"--duration=1500ms", "--rate=50"});
  const Ended ended = End(*client);
  EXPECT_EQ(ended.status, 0) << ended.errors;
  ASSERT_EQ(ended.lines.size(), 5u);
  EXPECT_THAT(ended.lines[1], StartsWith("   1.0s"));
  EXPECT_THAT(ended.lines[1], HasSubstr("CLOSED     SERVING"));
  EXPECT_THAT(ended.lines[2], StartsWith("   1.5s"));
  EXPECT_THAT(ended.lines[3],
              MatchesRegex("sent [0-9]+ in [0-9.]+s: ok [1-9][0-9]*, failed "
                           "[0-9]+, rejected 0"));
  EXPECT_THAT(ended.lines[4],
              MatchesRegex("breaker CLOSED: [0-9]+ let through, 0 refused"));
}

TEST(GreeterClientTest, NobodyThereIsFailureNotAnEnd) {
  std::string target;
  {
    Server server;
    target = server.target();
  }
  auto client = StartClient(target, {"--duration=1s", "--rate=5"});
  const Ended ended = End(*client);
  EXPECT_EQ(ended.status, 0);
  EXPECT_THAT(ended.lines, Contains(HasSubstr("CLOSED     UNAVAILABLE")));
  EXPECT_THAT(ended.lines, Contains(HasSubstr("failed with UNAVAILABLE: ")));
}

class OutageTest : public ::testing::TestWithParam<const char*> {};

TEST_P(OutageTest, TheMethodOpensAndCloses) {
  const std::string method = GetParam();
  Server server(ShortSettings());
  std::vector<std::string> flags = ShortSettings();
  flags.emplace_back("--rate=200");
  flags.emplace_back("--method=" + method);
  auto client = StartClient(server.target(), flags);
  ASSERT_TRUE(ReadUntil(*client, "SERVING"));

  ASSERT_TRUE(server.SetFault(method, grpc::StatusCode::UNAVAILABLE, 1).ok());
  ASSERT_TRUE(ReadUntil(*client, "** CLOSED -> OPEN: system_error_threshold"));
  ASSERT_TRUE(ReadUntil(*client, "** OPEN -> HALF_OPEN: "));
  ASSERT_TRUE(server.SetFault(method, 0, 0).ok());
  ASSERT_TRUE(ReadUntil(*client, "** HALF_OPEN -> CLOSED: ramp_finished"));
  ASSERT_TRUE(ReadUntil(*client, "CLOSED     SERVING"));

  client->Signal(SIGINT);
  const Ended ended = End(*client);
  EXPECT_EQ(ended.status, 0) << ended.errors;
  EXPECT_EQ(ended.errors, "");
  EXPECT_THAT(ended.lines,
              Contains(MatchesRegex("sent [0-9]+ in .*: ok [1-9][0-9]*, failed "
                                    "[1-9][0-9]*, rejected [1-9][0-9]*")));
  EXPECT_THAT(ended.lines, Contains(StartsWith("failed with UNAVAILABLE: ")));
  EXPECT_THAT(ended.lines,
              Contains("last failure: UNAVAILABLE: broken on purpose"));

  server.child().Signal(SIGTERM);
  EXPECT_EQ(End(server.child()).status, 0);
}

INSTANTIATE_TEST_SUITE_P(Methods, OutageTest,
                         ::testing::Values("SayHello", "SayHelloStream",
                                           "CollectNames", "Chat"),
                         [](const auto& test) {
                           return std::string(test.param);
                         });

}  // namespace
}  // namespace greeter
