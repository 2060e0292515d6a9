// `fusebox top` in a real terminal: tmux makes one, types keys, resizes it, and
// tells what is on its screen.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "gmock/gmock.h"
#include "interceptor/admin/admin_service.h"
#include "interceptor/admin/operator_acts.h"
#include "interceptor/admin/transition_history.h"
#include "interceptor/breaker/breaker_registry.h"

namespace fusebox {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHello[] = "/greeter.v1.Greeter/SayHello";

class TopTerminalTest : public ::testing::Test {
 protected:
  TopTerminalTest()
      : registry_(Options()),
        history_(&registry_),
        acts_(&registry_, &history_),
        service_(&registry_, &history_, &acts_),
        socket_(absl::StrCat("/tmp/fusebox_tmux_", getpid())) {
    registry_.Pin(Role::kServer, "", kHello);
    for (int i = 10; i < 60; ++i) {
      registry_.Pin(Role::kServer, "", absl::StrCat("/pkg.Many/M", i));
    }
    StartServer();
  }
  ~TopTerminalTest() override {
    Tmux({"kill-server"});
    unlink(socket_.c_str());
    if (server_ != nullptr) server_->Shutdown();
  }

  static RegistryOptions Options() {
    RegistryOptions options;
    options.log = [](const std::string& /*line*/) {};
    return options;
  }

  void StartServer() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    ServeBreakerAdmin(builder, &service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    address_ = absl::StrCat("127.0.0.1:", port);
  }

  std::string Tmux(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {"/usr/bin/tmux", "-S", socket_, "-f", "/dev/null"});
    greeter::ChildProcess child(arguments);
    const greeter::Ended ended = greeter::End(child);
    errors_ = ended.errors;
    return absl::StrJoin(ended.lines, "\n");
  }
  // A shell in a terminal; top is started in it as people do.
  void StartTop(const std::string& flags = "") {
    setenv("LC_ALL", "C.UTF-8", 1);
    setenv("PS1", "$ ", 1);
    Tmux({"new-session", "-d", "-x", "120", "-y", "20", "/bin/sh"});
    ASSERT_EQ(errors_, "");
    Type(absl::StrCat(greeter::Sibling("fusebox"), " top -addr=", address_,
                      " -interval=100ms -connect-timeout=1m -rpc-timeout=1m ",
                      flags, "; echo ended with $?"));
    ASSERT_TRUE(Shows("SayHello"));
  }
  void Type(const std::string& line) {
    Tmux({"send-keys", "-l", line});
    Tmux({"send-keys", "Enter"});
  }
  std::string Screen() { return Tmux({"capture-pane", "-p"}); }

  // Looks until the screen is as it should be.
  bool Eventually(const std::function<bool(const std::string& screen)>& holds) {
    const auto end = greeter::Soon();
    while (std::chrono::steady_clock::now() < end) {
      last_ = Screen();
      if (holds(last_)) return true;
      // Between two looks: leaves the processor to what is waited for.
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    ADD_FAILURE() << last_;
    return false;
  }
  bool Shows(const std::string& text) {
    return Eventually([&](const std::string& screen) {
      return absl::StrContains(screen, text);
    });
  }
  // Lines on the screen up to the last that is not empty.
  std::vector<std::string> Lines() {
    std::vector<std::string> lines = absl::StrSplit(Screen(), '\n');
    while (!lines.empty() && lines.back().empty()) lines.pop_back();
    return lines;
  }

  BreakerRegistry registry_;
  TransitionHistory history_;
  OperatorActs acts_;
  BreakerAdminService service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  const std::string socket_;
  std::string errors_;
  std::string last_;
};

TEST_F(TopTerminalTest, ShowsChangesAndEndsWithQ) {
  StartTop();
  EXPECT_THAT(last_, AllOf(HasSubstr("51 breakers: 0 open"), HasSubstr("STATE"),
                           HasSubstr("... and ")));
  OperatorActs::Request request;
  request.breaker.method = "/pkg.Many/M59";  // was not on the screen
  request.who = "alice";
  request.comment = "INC-7 Gr\xc3\xbc\xc3\x9f";
  EXPECT_THAT(last_, Not(HasSubstr("M59")));
  ASSERT_TRUE(
      acts_.Force(request, Override::kForcedOpen, std::chrono::minutes(10))
          .ok());
  ASSERT_TRUE(Shows("1 forced"));
  ASSERT_TRUE(Shows("by alice: INC-7 Gr\xc3\xbc\xc3\x9f"));
  ASSERT_TRUE(Shows("ends in 9m"));
  // The first of the breakers.
  EXPECT_THAT(Lines()[2],
              AllOf(HasSubstr("FORCED OPEN"), HasSubstr("pkg.Many/M59")));

  Tmux({"send-keys", "x"});  // means nothing
  Tmux({"send-keys", "q"});
  ASSERT_TRUE(Shows("ended with 0"));
  // The screen of before is back, and so are echo and lines.
  EXPECT_THAT(last_,
              AllOf(HasSubstr("-interval=100ms"), Not(HasSubstr("STATE"))));
  Type("stty -a | tr ' ' '\\n' | grep -x -e echo -e icanon | wc -l");
  EXPECT_TRUE(Shows("\n2"));
  EXPECT_EQ(Tmux({"display-message", "-p", "#{cursor_flag}"}), "1");
}

TEST_F(TopTerminalTest, FollowsTheSizeOfTheTerminal) {
  StartTop();
  const auto lines = [this](std::size_t count) {
    return Eventually([&](const std::string& screen) {
      std::vector<std::string> shown = absl::StrSplit(screen, '\n');
      while (!shown.empty() && shown.back().empty()) shown.pop_back();
      return shown.size() == count && absl::StrContains(screen, "... and ");
    });
  };
  ASSERT_TRUE(lines(20));
  Tmux({"resize-window", "-x", "120", "-y", "40"});
  ASSERT_TRUE(lines(40));
  Tmux({"resize-window", "-x", "40", "-y", "10"});
  ASSERT_TRUE(lines(10));
  for (const std::string& line : Lines()) EXPECT_LE(line.size(), 40);
  Tmux({"resize-window", "-x", "20", "-y", "2"});
  ASSERT_TRUE(Eventually([](const std::string& screen) {
    return absl::StartsWith(screen, "fusebox top") &&
           !absl::StrContains(screen, "pkg");
  }));
  Tmux({"resize-window", "-x", "200", "-y", "60"});
  ASSERT_TRUE(Eventually([](const std::string& screen) {
    return absl::StrContains(screen, "greeter.v1.Greeter/SayHello") &&
           absl::StrContains(screen, "pkg.Many/M59") &&
           !absl::StrContains(screen, "... and ");
  }));
}

TEST_F(TopTerminalTest, EndsWithCtrlC) {
  StartTop();
  Tmux({"send-keys", "C-c"});
  ASSERT_TRUE(Shows("ended with 0"));
  EXPECT_THAT(last_, Not(HasSubstr("STATE")));
}

TEST_F(TopTerminalTest, SaysThatTheServerIsGone) {
  StartTop();
  server_->Shutdown();
  ASSERT_TRUE(Shows("no answer, trying again: UNAVAILABLE"));
  EXPECT_THAT(last_, HasSubstr("SayHello"));  // what was known
  server_.reset();
  Tmux({"send-keys", "q"});
  ASSERT_TRUE(Shows("ended with 0"));
}

}  // namespace
}  // namespace fusebox
