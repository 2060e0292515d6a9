// Runs the built `fusebox probe` against real servers.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "interceptor/health/health_service.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"

namespace fusebox {
namespace {

using greeter::ChildProcess;
using greeter::Ended;
using testing::Test;

// What no correct run comes near; the defaults of a second would be too short
// on a busy machine.
const char* const kPatience[] = {"-connect-timeout=1m", "-rpc-timeout=1m"};

std::vector<std::string> ProbeArguments(const std::string& address,
                                        std::vector<std::string> flags) {
  flags.insert(flags.begin(), {greeter::Sibling("fusebox"), "probe",
                               "-addr=" + address, kPatience[0], kPatience[1]});
  return flags;
}

Ended Probe(const std::string& address, std::vector<std::string> flags = {}) {
  ChildProcess child(ProbeArguments(address, std::move(flags)));
  return End(child);
}

std::string File(const std::string& name) {
  return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
}

std::string Content(const std::string& name) {
  std::ifstream file(File(name));
  return {std::istreambuf_iterator<char>(file), {}};
}

// A health service like that of other servers: it answers what it is told to,
// and remembers what came with the request.
class OddHealth final : public grpc::health::v1::Health::Service {
 public:
  explicit OddHealth(grpc::Status answer) : answer_(std::move(answer)) {}

  std::string metadata;
  std::string user_agent;

 private:
  grpc::Status Check(grpc::ServerContext* context,
                     const grpc::health::v1::HealthCheckRequest*,
                     grpc::health::v1::HealthCheckResponse*) override {
    for (const auto& [name, value] : context->client_metadata()) {
      const std::string text(value.data(), value.size());
      if (name == "user-agent") {
        user_agent = text;
      } else {
        absl::StrAppend(&metadata, std::string(name.data(), name.size()), "=",
                        text, ";");
      }
    }
    return answer_;
  }
  const grpc::Status answer_;
};

class ProbeTest : public Test {
 protected:
  ~ProbeTest() override {
    if (server_ != nullptr) server_->Shutdown();
  }

  void Start(std::shared_ptr<grpc::ServerCredentials> credentials =
                 grpc::InsecureServerCredentials()) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", std::move(credentials), &port_);
    builder.AddListeningPort(socket_, grpc::InsecureServerCredentials());
    ServeHealth(builder, health_);
    Build(builder);
  }
  // In the place of ours.
  void Start(grpc::Service& service) {
    grpc::EnableDefaultHealthCheckService(false);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(&service);
    Build(builder);
  }
  void Build(grpc::ServerBuilder& builder) {
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    ASSERT_NE(port_, 0);
  }

  std::string Address() const { return absl::StrCat("127.0.0.1:", port_); }

  std::shared_ptr<HealthService> health_ = std::make_shared<HealthService>();
  // Not a file: the path of a test's own folder is too long for one. Such names
  // are shared by all that runs on the machine.
  const std::string socket_ =
      absl::StrCat("unix-abstract:fusebox_probe_test_", std::random_device()());
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// -----------------------------------------------------------------------------
// Check

TEST_F(ProbeTest, SaysThatTheServerServes) {
  Start();
  const Ended probe = Probe(Address());
  EXPECT_EQ(probe.status, 0);
  EXPECT_EQ(absl::StrJoin(probe.lines, "|"), "status: SERVING");
  EXPECT_EQ(probe.errors, "");
}

TEST_F(ProbeTest, SaysThatAServiceDoesNotServe) {
  Start();
  health_->SetServing("pkg.Service", false);
  const Ended probe = Probe(Address(), {"-service", "pkg.Service"});
  EXPECT_EQ(probe.status, 4);
  EXPECT_TRUE(probe.lines.empty());
  EXPECT_EQ(probe.errors,
            "fusebox probe: service unhealthy: the server says NOT_SERVING\n");
}

TEST_F(ProbeTest, SaysThatTheServerDoesNotKnowTheService) {
  Start();
  const Ended probe = Probe(Address(), {"--service=pkg.Other"});
  EXPECT_EQ(probe.status, 3);
  EXPECT_TRUE(absl::StartsWith(
      probe.errors,
      "fusebox probe: error: grpc.health.v1.Health/Check failed: NOT_FOUND: "))
      << probe.errors;
}

TEST_F(ProbeTest, ReachesAUnixSocket) {
  Start();
  EXPECT_EQ(Probe(socket_).status, 0);
}

TEST_F(ProbeTest, SaysThatTheServerHasNoHealthService) {
  // A server with nothing on it but something that is not asked for.
  OddHealth nothing(
      grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "not even this"));
  Start(nothing);
  const Ended probe = Probe(Address());
  EXPECT_EQ(probe.status, 3);
  EXPECT_EQ(probe.errors,
            "fusebox probe: error: this server does not implement "
            "grpc.health.v1.Health/Check: not even this\n");
}

TEST_F(ProbeTest, TakesNoStatusForNotServing) {
  OddHealth unknown(grpc::Status::OK);
  Start(unknown);
  const Ended probe = Probe(Address());
  EXPECT_EQ(probe.status, 4);
  EXPECT_EQ(probe.errors,
            "fusebox probe: service unhealthy: the server says UNKNOWN\n");
}

TEST_F(ProbeTest, SendsHeadersAndItsName) {
  OddHealth odd(grpc::Status::OK);
  Start(odd);
  EXPECT_EQ(Probe(Address(), {"-rpc-header", "X-Tenant: a: b",
                              "-rpc-header=authorization:Bearer t0k3n",
                              "-user-agent", "watchdog/2"})
                .status,
            4);
  EXPECT_TRUE(absl::StrContains(odd.metadata, "x-tenant=a: b;"))
      << odd.metadata;
  EXPECT_TRUE(absl::StrContains(odd.metadata, "authorization=Bearer t0k3n;"))
      << odd.metadata;
  EXPECT_TRUE(absl::StartsWith(odd.user_agent, "watchdog/2 "))
      << odd.user_agent;
}

TEST_F(ProbeTest, TellsWhatItDoesIfAskedToButNoSecrets) {
  Start();
  const Ended probe =
      Probe(Address(), {"-verbose", "-rpc-header=authorization: t0k3n"});
  EXPECT_EQ(probe.status, 0);
  EXPECT_TRUE(absl::StrContains(probe.errors, "addr=" + Address()))
      << probe.errors;
  EXPECT_TRUE(absl::StrContains(probe.errors, "headers=authorization"))
      << probe.errors;
  EXPECT_TRUE(absl::StrContains(probe.errors, "time elapsed: connect="))
      << probe.errors;
  EXPECT_FALSE(absl::StrContains(probe.errors, "t0k3n")) << probe.errors;
}

// -----------------------------------------------------------------------------
// No connection, no answer

// Bound, but nobody listens: refused at once, and nobody else gets the port.
class DeafPort {
 public:
  explicit DeafPort(bool listens) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in bound = {};
    bound.sin_family = AF_INET;
    bound.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(bound);
    if (bind(socket_, reinterpret_cast<sockaddr*>(&bound), size) != 0 ||
        (listens && listen(socket_, 16) != 0) ||
        getsockname(socket_, reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
      ADD_FAILURE() << "no port";
    }
    port_ = ntohs(bound.sin_port);
  }
  ~DeafPort() { close(socket_); }
  DeafPort(const DeafPort&) = delete;
  DeafPort& operator=(const DeafPort&) = delete;

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

 private:
  const int socket_;
  int port_ = 0;
};

TEST_F(ProbeTest, SaysWhyThereIsNoConnection) {
  const DeafPort refusing(/*listens=*/false);
  const Ended probe = Probe(refusing.address(), {"-connect-timeout=300ms"});
  EXPECT_EQ(probe.status, 2);
  EXPECT_TRUE(absl::StartsWith(
      probe.errors, absl::StrCat("fusebox probe: timeout: could not connect to "
                                 "\"",
                                 refusing.address(), "\" within 300ms: ")))
      << probe.errors;
  EXPECT_TRUE(absl::StrContains(probe.errors, "Connection refused"))
      << probe.errors;
}

TEST_F(ProbeTest, GivesUpOnAServerThatSaysNothing) {
  // The kernel accepts the connection, and there it ends: gRPC waits for the
  // first frame.
  const DeafPort silent(/*listens=*/true);
  const Ended probe = Probe(silent.address(), {"-connect-timeout=50ms"});
  EXPECT_EQ(probe.status, 2);
  EXPECT_TRUE(absl::StrContains(probe.errors, "within 50ms")) << probe.errors;
}

class SilentHealth final : public grpc::health::v1::Health::Service {
  // Answers when the caller has given up.
  grpc::Status Check(grpc::ServerContext* context,
                     const grpc::health::v1::HealthCheckRequest*,
                     grpc::health::v1::HealthCheckResponse*) override {
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status::CANCELLED;
  }
  grpc::Status Watch(
      grpc::ServerContext* context, const grpc::health::v1::HealthCheckRequest*,
      grpc::ServerWriter<grpc::health::v1::HealthCheckResponse>*) override {
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status::CANCELLED;
  }
};

TEST_F(ProbeTest, GivesUpOnAnAnswer) {
  SilentHealth silent;
  Start(silent);
  for (const auto& flags :
       {std::vector<std::string>{"-rpc-timeout=50ms"},
        std::vector<std::string>{"-rpc-timeout=50ms", "-watch"}}) {
    const Ended probe = Probe(Address(), flags);
    EXPECT_EQ(probe.status, 3);
    EXPECT_TRUE(absl::StrContains(probe.errors, "did not answer within 50ms"))
        << probe.errors;
  }
}

// -----------------------------------------------------------------------------
// List and watch

TEST_F(ProbeTest, ListsAllNames) {
  Start();
  health_->SetServing("pkg.Service", true);
  health_->SetServing("pkg.Service/Method", true);
  Ended probe = Probe(Address(), {"-list"});
  EXPECT_EQ(probe.status, 0) << probe.errors;
  EXPECT_EQ(probe.lines, (std::vector<std::string>{
                             "SERVING         \"\"",
                             "SERVING         pkg.Service",
                             "SERVING         pkg.Service/Method",
                         }));

  health_->SetServing("pkg.Service/Method", false);
  probe = Probe(Address(), {"-list"});
  EXPECT_EQ(probe.status, 4) << probe.errors;
  EXPECT_EQ(probe.lines.back(), "NOT_SERVING     pkg.Service/Method");
}

TEST_F(ProbeTest, SaysThatAServerCannotList) {
  OddHealth old(grpc::Status::OK);
  Start(old);
  const Ended probe = Probe(Address(), {"-list"});
  EXPECT_EQ(probe.status, 3);
  EXPECT_TRUE(absl::StrContains(
      probe.errors, "does not implement grpc.health.v1.Health/List"))
      << probe.errors;
}

// The status of the next line of a watch.
std::string NextStatus(ChildProcess& watch) {
  const std::string line =
      watch.ReadLine(greeter::Soon()).value_or("nothing: " + watch.errors());
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(line, absl::MaxSplits(" status: ", 1));
  absl::Time time;
  std::string error;
  return absl::ParseTime("%Y-%m-%dT%H:%M:%E3SZ", parts.first, &time, &error)
             ? parts.second
             : line;
}

TEST_F(ProbeTest, WatchesUntilInterrupted) {
  Start();
  for (const auto& [signal, serving, status] :
       {std::tuple(SIGINT, false, 4), std::tuple(SIGTERM, true, 0)}) {
    health_->SetServing("pkg.Service", !serving);
    ChildProcess watch(
        ProbeArguments(Address(), {"-watch", "-service=pkg.Service"}));
    EXPECT_EQ(NextStatus(watch), serving ? "NOT_SERVING" : "SERVING");
    health_->SetServing("pkg.Service", serving);
    EXPECT_EQ(NextStatus(watch), serving ? "SERVING" : "NOT_SERVING");
    watch.Signal(signal);
    const Ended ended = End(watch);
    EXPECT_EQ(ended.status, status);
    EXPECT_EQ(ended.errors, "");
  }
}

TEST_F(ProbeTest, WatchesANameThatIsNotKnownYet) {
  Start();
  ChildProcess watch(
      ProbeArguments(Address(), {"-watch", "-service=pkg.Later"}));
  EXPECT_EQ(NextStatus(watch), "SERVICE_UNKNOWN");
  health_->SetServing("pkg.Later", true);
  EXPECT_EQ(NextStatus(watch), "SERVING");
}

TEST_F(ProbeTest, SaysThatAWatchHasEnded) {
  Start();
  ChildProcess watch(ProbeArguments(Address(), {"-watch"}));
  EXPECT_EQ(NextStatus(watch), "SERVING");
  server_->Shutdown();
  const Ended ended = End(watch);
  EXPECT_EQ(ended.status, 3);
  EXPECT_TRUE(absl::StrContains(
      ended.errors, "grpc.health.v1.Health/Watch failed: UNAVAILABLE"))
      << ended.errors;
}

// -----------------------------------------------------------------------------
// TLS, with a root, an intermediate authority and certificates for both sides.

class ProbeTlsTest : public ProbeTest {
 protected:
  static void SetUpTestSuite() {
    Make("root", "/CN=Test root", "", "basicConstraints=critical,CA:TRUE");
    Make("middle", "/CN=Test intermediate", "root",
         "basicConstraints=critical,CA:TRUE");
    Make("server", "/CN=server", "middle", "subjectAltName=DNS:health.test");
    Make("client", "/CN=client", "middle", "extendedKeyUsage=clientAuth");
    Make("other", "/CN=Other root", "", "basicConstraints=critical,CA:TRUE");
    for (const char* side : {"server", "client"}) {
      std::ofstream(File(absl::StrCat(side, ".chain")))
          << Content(absl::StrCat(side, ".crt")) << Content("middle.crt");
    }
  }

  // A key NAME.key and a certificate NAME.crt signed by `issuer`, or by itself.
  static void Make(const std::string& name, const std::string& subject,
                   const std::string& issuer, const std::string& extension) {
    std::ofstream(File(name + ".ext")) << extension << "\n";
    const std::string path = File(name);
    const std::string signing =
        issuer.empty() ? absl::StrCat(" -signkey ", path, ".key")
                       : absl::StrCat(" -CA ", File(issuer), ".crt -CAkey ",
                                      File(issuer), ".key -CAcreateserial");
    const std::string command = absl::StrCat(
        "{ openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
        "-nodes -subj '",
        subject, "' -keyout ", path, ".key -out ", path,
        ".csr && openssl x509 -req -days 2 -in ", path, ".csr -extfile ", path,
        ".ext -out ", path, ".crt", signing, "; } >", path, ".log 2>&1");
    ASSERT_EQ(std::system(command.c_str()), 0) << Content(name + ".log");
  }

  void StartTls(bool wants_client_certificate) {
    grpc::SslServerCredentialsOptions options(
        wants_client_certificate
            ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
            : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
    options.pem_root_certs = Content("root.crt");
    options.pem_key_cert_pairs = {
        {Content("server.key"), Content("server.chain")}};
    Start(grpc::SslServerCredentials(options));
  }

  static std::vector<std::string> With(std::vector<std::string> flags,
                                       const std::vector<std::string>& more) {
    flags.insert(flags.end(), more.begin(), more.end());
    return flags;
  }
  const std::vector<std::string> verified_ = {
      "-tls", "-tls-ca-cert=" + File("root.crt"),
      "-tls-server-name=health.test"};
  const std::vector<std::string> client_ = {
      "-tls-client-cert=" + File("client.chain"),
      "-tls-client-key=" + File("client.key")};
  const std::vector<std::string> briefly_ = {"-connect-timeout=300ms"};
};

TEST_F(ProbeTlsTest, VerifiesTheServer) {
  StartTls(/*wants_client_certificate=*/false);
  const Ended probe = Probe(Address(), verified_);
  EXPECT_EQ(probe.status, 0) << probe.errors;
}

TEST_F(ProbeTlsTest, ShowsItsOwnCertificate) {
  StartTls(/*wants_client_certificate=*/true);
  const Ended probe = Probe(Address(), With(verified_, client_));
  EXPECT_EQ(probe.status, 0) << probe.errors;
  const Ended without = Probe(Address(), With(verified_, briefly_));
  EXPECT_NE(without.status, 0) << "the server did not ask for a certificate";
  const Ended unverified =
      Probe(Address(), With({"-tls", "-tls-no-verify"}, client_));
  EXPECT_EQ(unverified.status, 0) << unverified.errors;
}

TEST_F(ProbeTlsTest, DoesNotTrustAnotherRoot) {
  StartTls(/*wants_client_certificate=*/false);
  const Ended probe = Probe(
      Address(), {"-tls", "-tls-ca-cert=" + File("other.crt"),
                  "-tls-server-name=health.test", "-connect-timeout=300ms"});
  EXPECT_EQ(probe.status, 2) << probe.errors;
}

TEST_F(ProbeTlsTest, DoesNotTrustAnotherName) {
  StartTls(/*wants_client_certificate=*/false);
  const Ended probe = Probe(
      Address(),
      {"-tls", "-tls-ca-cert=" + File("root.crt"), "-connect-timeout=300ms"});
  EXPECT_EQ(probe.status, 2) << probe.errors;
}

TEST_F(ProbeTlsTest, TrustsAnybodyIfTold) {
  StartTls(/*wants_client_certificate=*/false);
  const Ended probe = Probe(Address(), {"-tls", "-tls-no-verify"});
  EXPECT_EQ(probe.status, 0) << probe.errors;
}

TEST_F(ProbeTlsTest, DoesNotTalkPlainlyToATlsServer) {
  StartTls(/*wants_client_certificate=*/false);
  const Ended probe = Probe(Address(), briefly_);
  EXPECT_EQ(probe.status, 2) << probe.errors;
}

// -----------------------------------------------------------------------------
// Called wrongly

TEST(ProbeMisuseTest, IsToldWhatIsWrong) {
  std::ofstream(File("text")) << "no PEM\n";
  const struct {
    std::vector<std::string> flags;
    std::string error;
  } kCases[] = {
      {{"-addr="}, "-addr is missing"},
      {{"-watch", "-list"}, "-watch and -list exclude each other"},
      {{"-list", "-service=x"}, "-list and -service exclude each other"},
      {{"-connect-timeout=0"},
       "-connect-timeout is a time above 0 and up to a year, like 1s, not "
       "\"0\""},
      {{"-rpc-timeout=-1s"},
       "-rpc-timeout is a time above 0 and up to a year, like 1s, not "
       "\"-1s\""},
      {{"-rpc-timeout=5"},
       "-rpc-timeout is a time above 0 and up to a year, like 1s, not \"5\""},
      {{"-rpc-timeout=inf"},
       "-rpc-timeout is a time above 0 and up to a year, like 1s, not "
       "\"inf\""},
      {{"-rpc-header=x"}, "-rpc-header is \"name: value\", not \"x\""},
      {{"-rpc-header=a b: c"},
       "-rpc-header: \"a b\" is no name that a caller may set"},
      {{"-rpc-header=:path: c"},
       "-rpc-header: \"\" is no name that a caller may set"},
      {{"-rpc-header=grpc-timeout: 1S"},
       "-rpc-header: \"grpc-timeout\" is no name that a caller may set"},
      {{"-rpc-header=a: s\xc3\xa9"},
       "-rpc-header: the value of \"a\" is not printable ASCII"},
      {{"-tls-no-verify"}, "-tls-no-verify needs -tls"},
      {{"-tls-ca-cert=x"}, "-tls-ca-cert needs -tls"},
      {{"-tls-server-name=x"}, "-tls-server-name needs -tls"},
      {{"-tls-client-cert=x"}, "-tls-client-cert needs -tls"},
      {{"-tls-client-key=x"}, "-tls-client-key needs -tls"},
      {{"-tls", "-tls-no-verify", "-tls-ca-cert=x"},
       "-tls-ca-cert and -tls-no-verify exclude each other"},
      {{"-tls", "-tls-no-verify", "-tls-server-name=x"},
       "-tls-server-name and -tls-no-verify exclude each other"},
      {{"-tls", "-tls-client-cert=x"},
       "-tls-client-cert and -tls-client-key need each other"},
      {{"-tls=maybe"}, "--tls is true or false, not \"maybe\""},
      {{"-alts"}, "unknown flag \"-alts\""},
      {{"-tls", "-tls-ca-cert=" + File("none")},
       "-tls-ca-cert: " + File("none") + ": No such file or directory"},
      {{"-tls", "-tls-ca-cert=" + File("text")},
       "-tls-ca-cert: " + File("text") + ": not a PEM file"},
  };
  for (const auto& misuse : kCases) {
    const Ended probe = Probe("127.0.0.1:1", misuse.flags);
    EXPECT_EQ(probe.status, 1) << misuse.error;
    EXPECT_TRUE(absl::StartsWith(probe.errors,
                                 absl::StrCat("fusebox probe: ", misuse.error)))
        << probe.errors;
    EXPECT_TRUE(probe.lines.empty()) << misuse.error;
  }
}

}  // namespace
}  // namespace fusebox
