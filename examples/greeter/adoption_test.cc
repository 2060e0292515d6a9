// The settings file as a user gives it, and the commands of ADOPTION.md.

#include <stdlib.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "examples/greeter/greeter.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"

namespace greeter {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

const char kSettings[] =
    "--fusebox_settings=examples/greeter/greeter_settings.textproto";

// A server in which a method fails.
class BrokenServer {
 public:
  BrokenServer(const std::string& method, grpc::StatusCode code,
               std::vector<std::string> flags) {
    flags.insert(flags.begin(),
                 {Sibling("greeter_server"), "--listen=127.0.0.1:0"});
    child_ = std::make_unique<ChildProcess>(flags);
    const std::string line = child_->ReadLine(Soon()).value_or("");
    target_ = line.substr(line.rfind(' ') + 1);
    const auto control = v1::FaultControl::NewStub(
        grpc::CreateChannel(target_, grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    v1::SetFaultRequest request;
    v1::SetFaultReply reply;
    request.set_method(method);
    request.set_status_code(code);
    request.set_fraction(1);
    const grpc::Status status = control->SetFault(&context, request, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  // What a client that calls `method` for a while prints.
  std::vector<std::string> Call(const std::string& method,
                                std::vector<std::string> flags) const {
    flags.insert(flags.begin(),
                 {"--target=" + target_, "--method=" + method, "--rate=100",
                  "--duration=1s", "--fusebox_jitter=0"});
    const Ended ended = RunToEnd("greeter_client", flags);
    EXPECT_EQ(ended.status, 0) << ended.errors;
    return ended.lines;
  }

  Ended Stop() {
    child_->Signal(SIGTERM);
    return End(*child_);
  }

 private:
  std::unique_ptr<ChildProcess> child_;
  std::string target_;
};

TEST(SettingsFileTest, ShadowedMethodsRefuseNothingOnTheClient) {
  const BrokenServer server("SayHelloStream", grpc::StatusCode::UNAVAILABLE,
                            {"--fusebox_mode=off"});
  EXPECT_THAT(
      server.Call("SayHelloStream", {kSettings}),
      AllOf(Contains(HasSubstr("** CLOSED -> OPEN: system_error_threshold")),
            Contains(MatchesRegex("sent [0-9]+ in .*: ok 0, failed "
                                  "[1-9][0-9]*, rejected 0")),
            Contains(MatchesRegex("breaker [A-Z_]+ \\(shadow\\): [1-9][0-9]* "
                                  "let through, [1-9][0-9]* would have been "
                                  "refused"))));
}

TEST(SettingsFileTest, AnEnforcedMethodRefusesOnTheClient) {
  const BrokenServer server("SayHello", grpc::StatusCode::UNAVAILABLE,
                            {"--fusebox_mode=off"});
  EXPECT_THAT(server.Call("SayHello", {kSettings}),
              Contains(MatchesRegex("breaker [A-Z_]+: [1-9][0-9]* let through, "
                                    "[1-9][0-9]* refused")));
}

TEST(SettingsFileTest, AFlagStandsAboveEveryMethodOfTheFile) {
  const BrokenServer server("SayHello", grpc::StatusCode::UNAVAILABLE,
                            {"--fusebox_mode=off"});
  EXPECT_THAT(server.Call("SayHello", {kSettings, "--fusebox_mode=shadow"}),
              Contains(HasSubstr("(shadow)")));
  EXPECT_THAT(server.Call("SayHello", {kSettings, "--fusebox_mode=off"}),
              Contains("breaker CLOSED: 0 let through, 0 refused"));
}

TEST(SettingsFileTest, ModesAndOutcomesHoldOnTheServer) {
  // Chat answers ABORTED: by default the caller's fault.
  BrokenServer server("Chat", grpc::StatusCode::ABORTED, {kSettings});
  server.Call("Chat", {"--fusebox_mode=off"});
  EXPECT_THAT(server.Stop().lines,
              Contains(MatchesRegex("/greeter.v1.Greeter/Chat [A-Z_]+ "
                                    "\\(shadow\\): [1-9][0-9]* let through, "
                                    "[1-9][0-9]* would have been refused")));

  BrokenServer plain("Chat", grpc::StatusCode::ABORTED, {});
  plain.Call("Chat", {"--fusebox_mode=off"});
  EXPECT_THAT(plain.Stop().lines,
              Contains(MatchesRegex("/greeter.v1.Greeter/Chat CLOSED: "
                                    "[1-9][0-9]* let through, 0 refused")));

  BrokenServer enforced("SayHello", grpc::StatusCode::UNAVAILABLE, {kSettings});
  enforced.Call("SayHello", {"--fusebox_mode=off"});
  EXPECT_THAT(enforced.Stop().lines,
              Contains(MatchesRegex("/greeter.v1.Greeter/SayHello [A-Z_]+: "
                                    "[1-9][0-9]* let through, [1-9][0-9]* "
                                    "refused")));
}

TEST(SettingsFileTest, OutcomesHoldOnTheClient) {
  const BrokenServer server("Chat", grpc::StatusCode::ABORTED,
                            {"--fusebox_mode=off"});
  EXPECT_THAT(server.Call("Chat", {kSettings}),
              Contains(HasSubstr("** CLOSED -> OPEN: system_error_threshold")));
  EXPECT_THAT(server.Call("Chat", {}),
              Not(Contains(HasSubstr("** CLOSED -> OPEN"))));
}

TEST(SettingsFileTest, ABadFileEndsWithStatus2BeforeAnythingStarts) {
  const std::string path = ::testing::TempDir() + "bad.textproto";
  std::ofstream(path) << "defaults {\n  buckets: 0\n}\n";
  for (const char* program : {"greeter_server", "greeter_client"}) {
    const Ended ended = RunToEnd(program, {"--fusebox_settings=" + path});
    EXPECT_EQ(ended.status, 2) << program;
    EXPECT_TRUE(ended.lines.empty()) << program;
    EXPECT_EQ(ended.errors,
              path + ":2:3: buckets: 0 is out of range [1, 1000]\n");
  }
}

// ---- ADOPTION.md

// What stands between "```sh" and "```", one after the other.
std::string Commands() {
  std::ifstream page("ADOPTION.md");
  EXPECT_TRUE(page);
  std::string commands;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line == "```") inside = false;
    if (inside) absl::StrAppend(&commands, line, "\n");
    if (line == "```sh") inside = true;
  }
  return commands;
}

TEST(AdoptionTest, EveryCommandWorks) {
  std::string directory = ::testing::TempDir() + "adoption.XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string greeter = Sibling("greeter_client");
  const std::string programs = greeter.substr(0, greeter.rfind('/'));
  // As in a checkout where everything is built, and nobody serves.
  ChildProcess shell(
      {"/bin/sh", "-euc",
       absl::StrCat("programs=$(readlink -f '", programs, "')\n", "cd '",
                    directory, "'\n",
                    "mkdir -p bazel-bin/examples\n"
                    "ln -s \"$programs\" bazel-bin/examples/greeter\n"
                    "bazel() { echo \"bazel $*\"; }\n",
                    Commands())});
  const Ended ended = End(shell);
  EXPECT_EQ(ended.status, 0) << ended.errors;
  std::vector<std::string> told;
  for (const std::string& line : ended.lines) {
    if (line.find("bazel ") == 0 || line.find("breaker ") == 0) {
      told.push_back(line);
    }
  }
  EXPECT_THAT(
      told,
      ElementsAre("bazel build //examples/greeter:all",
                  // In shadow, then SayHello enforced, then rolled back.
                  ContainsRegex("\\(shadow\\): .* [1-9][0-9]* would have been "
                                "refused"),
                  ContainsRegex("let through, [1-9][0-9]* refused"),
                  HasSubstr("(shadow)"),
                  "breaker CLOSED: 0 let through, 0 refused"))
      << absl::StrJoin(ended.lines, "\n");
}

}  // namespace
}  // namespace greeter
