// Server and client as a user starts them.

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "examples/greeter/greeter.grpc.pb.h"
#include "examples/greeter/health.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "interceptor/export/file_descriptor.h"
#include "interceptor/export/loopback_testing.h"
#include "interceptor/http/http_server.h"
#include "interceptor/http/testing/raw_client.h"
#include "interceptor/settings/settings_fields.h"
#include "interceptor/testing/guarded_echo.h"
#include "proto/fusebox/v1/admin.grpc.pb.h"

namespace greeter {
namespace {

using ::fusebox::testing::Eventually;
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

  // Of one that was given --http_port; asked once.
  int ReadHttpPort() {
    const std::string line = child_->ReadLine(Soon()).value_or("");
    EXPECT_THAT(line, MatchesRegex("http on 127\\.0\\.0\\.1:[0-9]+"));
    return std::atoi(line.substr(line.rfind(':') + 1).c_str());
  }

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

TEST(GreeterServerTest, BadFlagsOfThePagesEndWithStatus2) {
  for (const char* port : {"-1", "65536", "http", ""}) {
    const Ended ended =
        RunToEnd("greeter_server", {absl::StrCat("--http_port=", port)});
    EXPECT_EQ(ended.status, 2);
    EXPECT_EQ(ended.errors,
              absl::StrCat("--http_port: '", port,
                           "' is not valid: [0, 65535] or off\n"));
  }
  const Ended ended = RunToEnd(
      "greeter_server",
      {"--listen=127.0.0.1:0", "--http_port=0", "--http_address=localhost"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_EQ(ended.errors,
            "greeter_server: address: 'localhost' is not an IP address\n");
  EXPECT_TRUE(ended.lines.empty());
}

TEST(GreeterServerTest, ServesTheAdminServiceOnlyWhereItIsToldTo) {
  const Ended bad = RunToEnd("greeter_server", {"--admin=yes"});
  EXPECT_EQ(bad.status, 2);
  EXPECT_EQ(bad.errors,
            "--admin: 'yes' is not valid: off, read_only or read_write\n");

  const auto reset = [](const std::string& address) {
    const auto stub = fusebox::v1::BreakerAdmin::NewStub(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::minutes(1));
    context.set_wait_for_ready(true);
    fusebox::v1::ResetBreakerRequest request;
    request.set_name("breakers/server/greeter.v1.Greeter/SayHello");
    fusebox::v1::Breaker breaker;
    return stub->ResetBreaker(&context, request, &breaker).error_code();
  };
  for (const auto& [mode, answer] :
       {std::pair("read_only", grpc::StatusCode::PERMISSION_DENIED),
        std::pair("read_write", grpc::StatusCode::OK)}) {
    Server server({absl::StrCat("--admin=", mode)});
    const std::optional<std::string> line = server.child().ReadLine(Soon());
    ASSERT_TRUE(line.has_value());
    ASSERT_THAT(*line, StartsWith("admin on 127.0.0.1:"));
    EXPECT_EQ(reset(line->substr(9)), answer);
    // Not where everybody calls.
    EXPECT_EQ(reset(server.target()), grpc::StatusCode::UNIMPLEMENTED);
  }
}

TEST(GreeterServerTest, HttpPortInUseEndsWithStatus1) {
  Server first({"--http_port=0"});
  const int port = first.ReadHttpPort();
  const Ended second =
      RunToEnd("greeter_server",
               {"--listen=127.0.0.1:0", absl::StrCat("--http_port=", port)});
  EXPECT_EQ(second.status, 1);
  EXPECT_EQ(second.errors,
            absl::StrCat("greeter_server: cannot listen on 127.0.0.1:", port,
                         ": Address already in use\n"));
  EXPECT_TRUE(second.lines.empty());
}

// Asks until the answer has that status, and returns it.
std::string Await(int port, const std::string& page, int status) {
  const auto end = Soon();
  std::string answer;
  do {
    answer = fusebox::Get(port, page);
    if (fusebox::StatusOf(answer) == status) return fusebox::BodyOf(answer);
  } while (std::chrono::steady_clock::now() < end);
  ADD_FAILURE() << page << " does not answer " << status << " but " << answer;
  return "";
}

bool Serves(const std::string& target) {
  const auto stub = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel(target, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  EXPECT_TRUE(stub->Check(&context, {}, &response).ok());
  return response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

TEST(GreeterServerTest, PagesShowAServerThatIsWell) {
  Server server({"--http_port=0"});
  const int port = server.ReadHttpPort();
  // From the first moment.
  EXPECT_EQ(fusebox::BodyOf(fusebox::Get(port, "/readyz")), "ok\n");
  EXPECT_EQ(fusebox::BodyOf(fusebox::Get(port, "/readyz?verbose")),
            "[+]say_hello ok\n[+]grpc.health.v1 ok\nreadyz check passed\n");
  EXPECT_EQ(fusebox::BodyOf(fusebox::Get(port, "/healthz")), "ok\n");
  EXPECT_THAT(fusebox::Get(port, "/healthcheck/"),
              HasSubstr("{\"service_healthy\":true,\"timestamp\":\""));
  server.child().Signal(SIGTERM);
  EXPECT_EQ(End(server.child()).status, 0);
}

TEST(GreeterServerTest, TheBreakerPageChangesNothingUnlessItMay) {
  const std::string body =
      R"({"role": "server", "method": "/greeter.v1.Greeter/SayHello"})";
  const std::string force = absl::StrCat(
      "POST /breakers/force-open HTTP/1.1\r\nHost: localhost\r\n"
      "Content-Type: application/json\r\nX-Fusebox-Act: test\r\n"
      "Content-Length: ",
      body.size(), "\r\n\r\n", body);
  const auto status_of_force = [&force](std::vector<std::string> flags) {
    flags.emplace_back("--http_port=0");
    Server server(flags);
    fusebox::RawClient client(server.ReadHttpPort());
    client.Send(force);
    return fusebox::StatusOf(client.Receive());
  };
  EXPECT_EQ(status_of_force({}), 403);
  EXPECT_EQ(status_of_force({"--http_changes"}), 200);
}

TEST(GreeterServerTest, ReadinessFollowsTheBreakerAndComesBackByItself) {
  std::vector<std::string> flags = ShortSettings();
  // Long enough to be seen by a check that comes every second.
  flags.emplace_back("--fusebox_min_recovery=3s");
  flags.emplace_back("--fusebox_max_recovery=4s");
  flags.emplace_back("--fusebox_max_open_duration=3s");
  flags.emplace_back("--fusebox_min_requests=0");
  flags.emplace_back("--http_port=0");
  Server server(flags);
  const int port = server.ReadHttpPort();
  ASSERT_TRUE(
      server.SetFault("SayHello", grpc::StatusCode::UNAVAILABLE, 1).ok());
  const auto stub = v1::Greeter::NewStub(
      grpc::CreateChannel(server.target(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::HelloReply reply;
  EXPECT_EQ(stub->SayHello(&context, {}, &reply).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(
      Await(port, "/readyz", 503),
      HasSubstr("[-]say_hello failed: /greeter.v1.Greeter/SayHello is OPEN\n"));
  // Nobody calls any more, as behind a load balancer.
  EXPECT_EQ(Await(port, "/readyz", 200), "ok\n");
}

TEST(GreeterServerTest, StatusShowsWhatBecameOfCalls) {
  Server server({"--http_port=0", "--fusebox_min_requests=0",
                 // Stays open for as long as this takes.
                 "--fusebox_min_recovery=10m", "--fusebox_max_recovery=20m",
                 "--fusebox_max_open_duration=10m"});
  const int port = server.ReadHttpPort();
  const auto stub = v1::Greeter::NewStub(
      grpc::CreateChannel(server.target(), grpc::InsecureChannelCredentials()));
  const auto say_hello = [&stub] {
    grpc::ClientContext context;
    v1::HelloReply reply;
    return stub->SayHello(&context, {}, &reply).error_code();
  };
  EXPECT_EQ(say_hello(), grpc::StatusCode::OK);
  ASSERT_TRUE(
      server.SetFault("SayHello", grpc::StatusCode::UNAVAILABLE, 1).ok());
  EXPECT_EQ(say_hello(), grpc::StatusCode::UNAVAILABLE);

  // A server counts a call when the client has its answer already.
  const std::string say_hello_page =
      "/status/method/greeter.v1.Greeter/SayHello";
  const auto end = Soon();
  nlohmann::json method;
  do {
    method = nlohmann::json::parse(
        fusebox::BodyOf(fusebox::Get(port, say_hello_page + "?format=json")));
  } while ((method["calls"]["count"] != 2 || method["codes"].size() != 2) &&
           std::chrono::steady_clock::now() < end);
  EXPECT_EQ(method["codes"].dump(), R"({"OK":1,"UNAVAILABLE":1})");
  EXPECT_EQ(method["outcomes"]["ok"], 1);
  EXPECT_EQ(method["outcomes"]["system_error"], 1);
  EXPECT_EQ(method["latency_seconds"]["count"], 2);
  EXPECT_GT(method["latency_seconds"]["min"], 0.0);
  EXPECT_EQ(method["state"], "open");
  EXPECT_EQ(
      fusebox::BodyOf(fusebox::Get(port, "/status/methods/open?format=json")),
      "1\n");
  EXPECT_EQ(fusebox::BodyOf(fusebox::Get(
                port, "/status/service/?format=json&query=unknown_error%3E0")),
            "{}\n");
  EXPECT_THAT(fusebox::Get(port, "/status/"),
              HasSubstr(absl::StrCat("<a href=\"", say_hello_page,
                                     "/state\">state"
                                     "</a> <span>open</span>")));
}

TEST(GreeterServerTest, ABackendThatIsSickMakesItSick) {
  std::atomic<int> status = 503;
  fusebox::HttpServer backend;
  backend.Handle("/health", {"GET"}, [&status](const fusebox::HttpRequest&) {
    fusebox::HttpResponse response;
    response.status = status;
    return response;
  });
  ASSERT_TRUE(backend.Start().ok());
  auto grpc_backend = std::make_unique<Server>();
  const std::string url =
      absl::StrCat("http://127.0.0.1:", backend.port(), "/health");
  Server server({"--http_port=0", absl::StrCat("--backend_url=", url),
                 absl::StrCat("--backend_grpc=", grpc_backend->target())});
  const int port = server.ReadHttpPort();
  EXPECT_THAT(Await(port, "/readyz", 503),
              HasSubstr(absl::StrCat("[-]backend_url failed: ", url,
                                     " answers 503, not 200\n")));
  EXPECT_FALSE(Serves(server.target()));
  status = 200;
  EXPECT_EQ(Await(port, "/readyz", 200), "ok\n");
  EXPECT_TRUE(Serves(server.target()));
  grpc_backend.reset();
  EXPECT_THAT(Await(port, "/readyz", 503),
              HasSubstr("[-]backend_grpc failed: "));
  EXPECT_THAT(Await(port, "/healthcheck/", 500),
              HasSubstr("\"backend_url\":{\"healthy\":true,"));
  EXPECT_FALSE(Serves(server.target()));
}

TEST(GreeterServerTest, EachExporterSendsWhatTheFlagsAskFor) {
  fusebox::TcpListener carbon;
  fusebox::DatagramReceiver agent;
  std::mutex mu;
  std::string pushed;  // guarded by mu
  fusebox::HttpServerOptions roomy;
  roomy.max_body_bytes = std::size_t{1} << 20;
  fusebox::HttpServer gateway(roomy);
  gateway.Handle("/metrics/", {"PUT"},
                 [&](const fusebox::HttpRequest& request) {
                   const std::lock_guard<std::mutex> lock(mu);
                   pushed = request.path + "\n" + request.body;
                   return fusebox::HttpResponse();
                 });
  ASSERT_TRUE(gateway.Start().ok());
  const std::string dump = ::testing::TempDir() + "greeter_dump.json";

  Server server({
      "--fusebox_graphite_address=" + carbon.address(),
      "--fusebox_graphite_rules=allow server",
      "--fusebox_graphite_period=1s",
      "--fusebox_dogstatsd_address=" + agent.address(),
      "--fusebox_dogstatsd_period=1s",
      "--fusebox_pushgateway_host=127.0.0.1",
      absl::StrCat("--fusebox_pushgateway_port=", gateway.port()),
      "--fusebox_pushgateway_job=greeter",
      "--fusebox_pushgateway_period=100ms",
      "--fusebox_dump_path=" + dump,
      "--fusebox_dump_period=100ms",
  });
  grpc::ClientContext context;
  v1::HelloRequest request;
  v1::HelloReply reply;
  ASSERT_TRUE(v1::Greeter::NewStub(
                  grpc::CreateChannel(server.target(),
                                      grpc::InsecureChannelCredentials()))
                  ->SayHello(&context, request, &reply)
                  .ok());

  const std::string sample = "grpc_method=\"greeter.v1.Greeter/SayHello\"";
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard<std::mutex> lock(mu);
    return absl::StartsWith(pushed, "/metrics/job/greeter\n") &&
           absl::StrContains(pushed, sample + ",outcome=\"ok\"} 1\n") &&
           absl::StrContains(pushed, "\nfusebox_settings_file_in_force 1\n");
  }));
  std::optional<fusebox::FileDescriptor> connection;
  EXPECT_TRUE(Eventually([&] {
    connection = carbon.Accept();
    return connection.has_value();
  }));
  std::string lines;
  EXPECT_TRUE(Eventually([&] {
    fusebox::ReadToEnd(*connection, lines);
    return absl::StrContains(lines, "fusebox.server.greeter-v1-Greeter");
  })) << lines;
  EXPECT_TRUE(Eventually([&] {
    const std::optional<std::string> datagram = agent.Receive();
    return datagram.has_value() &&
           absl::StrContains(*datagram, "fusebox.call.successful:1|c|#") &&
           absl::StrContains(*datagram, "SayHello");
  }));
  EXPECT_TRUE(Eventually([&] {
    std::ifstream file(dump);
    const nlohmann::json json =
        nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
    return json.is_object() && absl::StrContains(json.dump(), "SayHello");
  }));
}

TEST(GreeterServerTest, BadFlagsOfExportersEndWithStatus2) {
  const Ended ended = RunToEnd(
      "greeter_server",
      {"--fusebox_dump_path=/nowhere/dump.json", "--fusebox_dump_period=1ms"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_THAT(ended.errors, HasSubstr("--fusebox_dump_period"));
  EXPECT_TRUE(ended.lines.empty());
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
