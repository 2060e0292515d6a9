// Runs the built `fusebox ctl` and `fusebox top` against real servers.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "gmock/gmock.h"
#include "interceptor/admin/admin_service.h"
#include "interceptor/admin/live_settings.h"
#include "interceptor/admin/operator_acts.h"
#include "interceptor/admin/transition_history.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/health/health_service.h"
#include "interceptor/settings/effective_settings.h"

namespace fusebox {
namespace {

using greeter::ChildProcess;
using greeter::Ended;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kHello[] = "/greeter.v1.Greeter/SayHello";
constexpr char kHelloName[] = "breakers/server/greeter.v1.Greeter/SayHello";

std::string Output(const Ended& ended) {
  return absl::StrJoin(ended.lines, "\n");
}

std::string File(const std::string& name) {
  return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
}
std::string Content(const std::string& name) {
  std::ifstream file(File(name));
  return {std::istreambuf_iterator<char>(file), {}};
}

class CtlTest : public ::testing::Test {
 protected:
  CtlTest()
      : registry_(Options()),
        history_(&registry_),
        acts_(&registry_, &history_),
        live_(&registry_, *PutTogether(SettingsFile(), GivenFlags()), {}) {
    registry_.Pin(Role::kServer, "", kHello);
    registry_.Pin(Role::kServer, "", "/greeter.v1.Greeter/SayBye");
    registry_.Pin(Role::kClient, "dns:///a", "/pkg.Stock/Get");
    registry_.Pin(Role::kClient, "dns:///b", "/pkg.Stock/Get");
  }
  ~CtlTest() override {
    if (server_ != nullptr) server_->Shutdown();
  }

  static RegistryOptions Options() {
    RegistryOptions options;
    options.log = [](const std::string& /*line*/) {};
    return options;
  }

  void Start(bool allow_changes = true,
             const std::string& address = "127.0.0.1:0",
             const std::shared_ptr<grpc::ServerCredentials>& credentials =
                 grpc::InsecureServerCredentials()) {
    BreakerAdminOptions options;
    options.allow_changes = allow_changes;
    options.live_settings = &live_;
    service_ = std::make_unique<BreakerAdminService>(
        &registry_, &history_, &acts_, std::move(options));
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(address, credentials, &port);
    ServeBreakerAdmin(builder, service_.get());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    address_ = absl::StartsWith(address, "unix:")
                   ? address
                   : absl::StrCat("127.0.0.1:", port);
  }

  std::vector<std::string> Arguments(const std::string& verb,
                                     std::vector<std::string> arguments) const {
    arguments.insert(
        arguments.begin(),
        {greeter::Sibling("fusebox"), verb, "-addr=" + address_,
         // What no correct run comes near.
         "-connect-timeout=1m", "-rpc-timeout=1m", "-operator=alice"});
    return arguments;
  }
  Ended Run(const std::string& verb, std::vector<std::string> arguments) {
    ChildProcess child(Arguments(verb, std::move(arguments)));
    return greeter::End(child);
  }
  Ended Ctl(std::vector<std::string> arguments) {
    return Run("ctl", std::move(arguments));
  }
  BreakerSnapshot Hello() {
    return *registry_.Snapshot(Role::kServer, "", kHello);
  }

  BreakerRegistry registry_;
  TransitionHistory history_;
  OperatorActs acts_;
  LiveSettings live_;
  std::unique_ptr<BreakerAdminService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

TEST_F(CtlTest, Lists) {
  Start();
  const Ended all = Ctl({"list"});
  EXPECT_EQ(all.status, 0) << all.errors;
  ASSERT_EQ(all.lines.size(), 5) << Output(all);
  EXPECT_THAT(all.lines[0], AllOf(StartsWith("STATE"), HasSubstr("METHOD")));
  EXPECT_THAT(all.lines[1], HasSubstr("pkg.Stock/Get -> dns:///a"));
  EXPECT_THAT(all.lines[4], AllOf(StartsWith("closed "), HasSubstr("server"),
                                  HasSubstr("greeter.v1.Greeter/SayHello")));
  const Ended filtered = Ctl({"list", "-filter=role=SERVER method=*Bye"});
  EXPECT_EQ(filtered.lines.size(), 2);
  const Ended json = Ctl({"-o", "json", "list", "-filter", "method=*SayHello"});
  EXPECT_EQ(json.status, 0);
  EXPECT_THAT(Output(json),
              AllOf(HasSubstr("\"breakers\": ["), HasSubstr(kHelloName),
                    HasSubstr("\"state\": \"CLOSED\"")));
}

TEST_F(CtlTest, ForcesReleasesAndResets) {
  Start();
  const Ended forced = Ctl({"force-open", "greeter.v1.Greeter/SayHello",
                            "-ttl=10m", "-comment=INC-7 \x1b[2J"});
  EXPECT_EQ(forced.status, 0) << forced.errors;
  EXPECT_THAT(Output(forced), HasSubstr("FORCED OPEN"));
  EXPECT_EQ(Hello().override_state, Override::kForcedOpen);

  const Ended shown = Ctl({"get", kHello});
  EXPECT_EQ(shown.status, 0) << shown.errors;
  EXPECT_THAT(
      Output(shown),
      AllOf(HasSubstr(kHelloName), HasSubstr("FORCED OPEN since "),
            ContainsRegex("override +until .* by alice \\(not verified, .*\\): "
                          "INC-7 \\\\x1b\\[2J"),
            HasSubstr("force_open for 10m by alice"),
            ContainsRegex("min_recovery +1s +default"),
            Not(HasSubstr("\x1b"))));

  EXPECT_EQ(Ctl({"force-close", kHelloName}).status, 0);
  EXPECT_EQ(Hello().override_state, Override::kForcedClosed);
  EXPECT_EQ(Hello().next_change, TimePoint::max());
  EXPECT_EQ(Ctl({"release", kHello}).status, 0);
  EXPECT_EQ(Hello().override_state, Override::kNone);
  const Ended again = Ctl({"release", kHello});
  EXPECT_EQ(again.status, 3);
  EXPECT_THAT(again.errors, HasSubstr("is not forced"));
  EXPECT_EQ(Ctl({"reset", kHello}).status, 0);
}

TEST_F(CtlTest, SetsAndTakesBack) {
  Start();
  const Ended looked =
      Ctl({"set", kHello, "buckets=5", "mode=shadow", "-validate-only"});
  EXPECT_EQ(looked.status, 0) << looked.errors;
  EXPECT_THAT(Output(looked), ContainsRegex("buckets +5"));
  EXPECT_EQ(Hello().settings.buckets, 10);

  const Ended set =
      Ctl({"set", kHello, "buckets=5", "min_recovery=250ms", "mode=shadow",
           "jitter=0.2", "drain_window_before_recovery=true"});
  EXPECT_EQ(set.status, 0) << set.errors;
  EXPECT_THAT(Output(set), AllOf(ContainsRegex("buckets +5 +admin alice"),
                                 ContainsRegex("max_recovery +10s +default")));
  EXPECT_EQ(Hello().settings.buckets, 5);
  EXPECT_EQ(Hello().settings.min_recovery, std::chrono::milliseconds(250));
  EXPECT_EQ(Hello().settings.mode, Mode::kShadow);
  EXPECT_EQ(Ctl({"set", kHello, "buckets=default"}).status, 0);
  EXPECT_EQ(Hello().settings.buckets, 10);

  const Ended bad = Ctl({"set", kHello, "buckets=0"});
  EXPECT_EQ(bad.status, 1);
  EXPECT_THAT(bad.errors, AllOf(HasSubstr("buckets"), HasSubstr("[1, 1000]")));
}

TEST_F(CtlTest, SaysWhatIsWrongWithTheArguments) {
  address_ = "127.0.0.1:1";  // nothing is asked
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{}, "a command is missing"},
      {{"lst"}, "unknown command \"lst\""},
      {{"get"}, "get takes the name of a breaker"},
      {{"get", "a", "b"}, "unexpected argument \"b\""},
      {{"list", "a"}, "unexpected argument \"a\""},
      {{"list", "-o=xml"}, "-o is table or json"},
      {{"list", "-ttl=1s"}, "-ttl goes with force-open"},
      {{"force-open", "a", "-ttl=soon"}, "-ttl is a time above 0"},
      {{"force-open", "a", "-ttl=0"}, "-ttl is a time above 0"},
      {{"get", "a", "-role=peer"}, "-role is client or server"},
      {{"get", "a", "-filter=x"}, "-filter goes with list and watch"},
      {{"get", "a", "-after=1"}, "-after goes with watch"},
      {{"watch", "-after=x"}, "-after is a number"},
      {{"get", "a", "-validate-only"}, "-validate-only goes with set"},
      {{"set", "a"}, "set takes FIELD=VALUE"},
      {{"set", "a", "b"}, "a setting is FIELD=VALUE, not \"b\""},
      {{"set", "a", "colour=red"}, "there is no setting \"colour\", only: "},
      {{"set", "a", "buckets=many"}, "buckets is a number, not \"many\""},
      {{"set", "a", "jitter=x"}, "jitter is a number"},
      {{"set", "a", "mode=ajar"}, "mode is enforce, shadow or off"},
      {{"set", "a", "ramp_from_opening=yes"}, "is true or false"},
      {{"list", "-colour"}, "unknown flag"},
      {{"list", "-tls-ca-cert=x"}, "-tls-ca-cert needs -tls"},
  };
  for (const auto& [arguments, message] : cases) {
    const Ended ended = Ctl(arguments);
    EXPECT_EQ(ended.status, 1) << message;
    EXPECT_THAT(ended.errors, AllOf(StartsWith("fusebox ctl: "),
                                    HasSubstr(message), HasSubstr("--help")));
    EXPECT_EQ(Output(ended), "");
  }
  EXPECT_EQ(greeter::RunToEnd("fusebox", {"ctl", "list"}).errors,
            "fusebox ctl: -addr is missing; try `fusebox ctl --help`\n");
  const Ended help = greeter::RunToEnd("fusebox", {"ctl", "--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_THAT(Output(help), AllOf(HasSubstr("force-close BREAKER"),
                                  HasSubstr("-tls-client-key"),
                                  HasSubstr("5  the breaker is not")));
}

TEST_F(CtlTest, ItsExitStatusSaysWhatHappened) {
  address_ = "127.0.0.1:1";
  ChildProcess nobody({greeter::Sibling("fusebox"), "ctl", "-addr=" + address_,
                       "-connect-timeout=100ms", "list"});
  const Ended not_connected = greeter::End(nobody);
  EXPECT_EQ(not_connected.status, 2);
  EXPECT_THAT(not_connected.errors, HasSubstr("could not connect to"));

  Start(/*allow_changes=*/false);
  const Ended denied = Ctl({"reset", kHello});
  EXPECT_EQ(denied.status, 3);
  EXPECT_THAT(denied.errors,
              HasSubstr("PERMISSION_DENIED: this service is read-only"));
  EXPECT_EQ(Ctl({"get", "/pkg.None/M"}).status, 4);
  EXPECT_EQ(Ctl({"get", "breakers/server/pkg.None/M"}).status, 4);
  EXPECT_EQ(Ctl({"list", "-filter=colour=red"}).status, 1);
  const Ended several = Ctl({"get", "pkg.Stock/Get"});
  EXPECT_EQ(several.status, 1);
  EXPECT_THAT(several.errors,
              AllOf(HasSubstr("which of these is meant?"),
                    HasSubstr("breakers/client/dns:%2F%2F%2Fb/pkg.Stock/Get")));
  EXPECT_EQ(Ctl({"get", "pkg.Stock/Get", "-target=dns:///b"}).status, 0);
}

TEST_F(CtlTest, AnOutdatedEtagIsRefused) {
  Start();
  const std::string etag = BreakerEtag(Hello());
  EXPECT_EQ(Ctl({"force-open", kHello, "-etag=" + etag}).status, 0);
  const Ended late = Ctl({"force-close", kHello, "-etag=" + etag});
  EXPECT_EQ(late.status, 5);
  EXPECT_THAT(late.errors, HasSubstr("ABORTED: etag: "));
}

TEST_F(CtlTest, AServerWithoutTheServiceIsNamed) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  ServeHealth(builder, std::make_shared<HealthService>());
  server_ = builder.BuildAndStart();
  ASSERT_NE(server_, nullptr);
  address_ = absl::StrCat("127.0.0.1:", port);
  const Ended ended = Ctl({"list"});
  EXPECT_EQ(ended.status, 3);
  EXPECT_THAT(ended.errors,
              HasSubstr("there is no fusebox.v1.BreakerAdmin at"));
}

TEST_F(CtlTest, Watches) {
  Start();
  ChildProcess child(Arguments("ctl", {"watch", "-filter=method=*SayHello"}));
  ASSERT_TRUE(greeter::ReadUntil(child, "SayHello"));
  ASSERT_EQ(Ctl({"force-open", kHello, "-comment=INC-7"}).status, 0);
  ASSERT_TRUE(greeter::ReadUntil(child,
                                 "closed -> FORCED OPEN (forced): "
                                 "force_open until released by alice"));
  server_->Shutdown();
  const Ended ended = greeter::End(child);
  EXPECT_EQ(ended.status, 3);
  EXPECT_THAT(ended.errors, HasSubstr("the server is shutting down"));
}

TEST_F(CtlTest, WatchesInJsonAndResumes) {
  Start();
  ASSERT_EQ(Ctl({"force-open", kHello}).status, 0);
  ASSERT_EQ(Ctl({"force-close", kHello}).status, 0);
  ChildProcess child(Arguments("ctl", {"watch", "-o=json", "-after=1"}));
  ASSERT_TRUE(greeter::ReadUntil(child, "\"initial_complete\":true"));
  ASSERT_TRUE(greeter::ReadUntil(child, "\"act\":\"force_close\""));
  EXPECT_EQ(Ctl({"watch", "-after=99"}).status, 3);
}

TEST_F(CtlTest, TalksOverAUnixSocket) {
  Start(true, absl::StrCat("unix:/tmp/fusebox_ctl_", getpid()));
  EXPECT_EQ(Ctl({"reset", kHello}).status, 0);
}

TEST_F(CtlTest, TalksOverTls) {
  const std::string command = absl::StrCat(
      "{ cd ", std::getenv("TEST_TMPDIR"),
      " && openssl req -x509 -days 2 -newkey ec -pkeyopt "
      "ec_paramgen_curve:P-256 -nodes -subj /CN=server -addext "
      "subjectAltName=DNS:admin.test -keyout s.key -out s.crt && "
      "openssl req -x509 -days 2 -newkey ec -pkeyopt "
      "ec_paramgen_curve:P-256 -nodes -subj /CN=carol -keyout c.key -out "
      "c.crt; } >log 2>&1");
  ASSERT_EQ(std::system(command.c_str()), 0) << Content("log");
  grpc::SslServerCredentialsOptions tls(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  tls.pem_root_certs = Content("c.crt");
  tls.pem_key_cert_pairs = {{Content("s.key"), Content("s.crt")}};
  Start(true, "127.0.0.1:0", grpc::SslServerCredentials(tls));
  const Ended ended =
      Ctl({"force-open", kHello, "-tls", "-tls-ca-cert=" + File("s.crt"),
           "-tls-server-name=admin.test", "-tls-client-cert=" + File("c.crt"),
           "-tls-client-key=" + File("c.key")});
  EXPECT_EQ(ended.status, 0) << ended.errors;
  EXPECT_EQ(history_.StandingForce(Hello().id)->who, "carol");
  ChildProcess plain({greeter::Sibling("fusebox"), "ctl", "-addr=" + address_,
                      "-connect-timeout=300ms", "list"});
  EXPECT_EQ(greeter::End(plain).status, 2);
}

// ---------------------------------------------------------------------------

TEST_F(CtlTest, TopShowsOnceWhatNeedsALookFirst) {
  Start();
  ASSERT_EQ(Ctl({"force-open", kHello}).status, 0);
  registry_.Pin(Role::kClient, "x", "/pkg.S/\x1b]0;owned\x07\xc3\xa4");
  const Ended ended = Run("top", {"-once"});
  EXPECT_EQ(ended.status, 0) << ended.errors;
  ASSERT_EQ(ended.lines.size(), 7) << Output(ended);
  EXPECT_THAT(ended.lines[0],
              AllOf(StartsWith("fusebox top - " + address_),
                    HasSubstr("5 breakers: 0 open, 0 half-open, 1 forced")));
  EXPECT_THAT(ended.lines[1], StartsWith("STATE"));
  EXPECT_THAT(ended.lines[2],
              AllOf(StartsWith("FORCED OPEN"), HasSubstr("until released"),
                    HasSubstr("greeter.v1.Greeter/SayHello")));
  EXPECT_THAT(Output(ended),
              AllOf(HasSubstr("pkg.S/\\x1b]0;owned\\x07\\xc3\\xa4"),
                    Not(HasSubstr("\x1b"))));
}

TEST_F(CtlTest, TopWritesPlainlyAtEachIntervalIfThereIsNoTerminal) {
  Start();
  ChildProcess child(Arguments("top", {"-interval=100ms"}));
  ASSERT_TRUE(greeter::ReadUntil(child, "0 forced"));
  ASSERT_EQ(Ctl({"force-open", kHello}).status, 0);
  ASSERT_TRUE(greeter::ReadUntil(child, "1 forced"));
  ASSERT_TRUE(greeter::ReadUntil(child, "1 forced"));
  server_->Shutdown();
  const Ended ended = greeter::End(child);
  EXPECT_EQ(ended.status, 3);
  EXPECT_THAT(ended.errors, HasSubstr("fusebox top: ListBreakers failed: "));
}

TEST_F(CtlTest, TopSaysWhatIsWrong) {
  address_ = "127.0.0.1:1";
  EXPECT_EQ(Run("top", {"x"}).status, 1);
  EXPECT_EQ(Run("top", {"-interval=99ms"}).status, 1);
  EXPECT_EQ(Run("top", {"-interval=x"}).status, 1);
  ChildProcess nobody({greeter::Sibling("fusebox"), "top", "-addr=" + address_,
                       "-connect-timeout=100ms", "-once"});
  EXPECT_EQ(greeter::End(nobody).status, 2);
  Start();
  EXPECT_EQ(Run("top", {"-once", "-filter=colour=red"}).status, 1);
  EXPECT_THAT(Output(Run("top", {"-help"})), HasSubstr("-interval"));
}

}  // namespace
}  // namespace fusebox
