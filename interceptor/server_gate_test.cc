#include "interceptor/server_gate.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/auth_context.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/handoff/handoff.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox {
namespace {

using testing::CallEcho;
using testing::CallKind;
using testing::Echo;
using testing::kAllCallKinds;
using testing::MethodOf;
using testing::SyncEcho;

// ---------------------------------------------------------------------------
// A key and a certificate that signs itself, for "localhost"

struct KeyAndCertificate {
  std::string key;
  std::string certificate;
};

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

KeyAndCertificate MakeCertificate() {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 24L * 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* const name = X509_get_subject_name(certificate);
  const std::string host = "localhost";
  X509_NAME_add_entry_by_txt(
      name, "CN", MBSTRING_ASC,
      reinterpret_cast<const unsigned char*>(host.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  const std::pair<int, const char*> extensions[] = {
      {NID_basic_constraints, "critical,CA:TRUE"},
      {NID_subject_alt_name, "DNS:localhost"}};
  for (const auto& [id, value] : extensions) {
    X509_EXTENSION* const extension =
        X509V3_EXT_conf_nid(nullptr, nullptr, id, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  EXPECT_GT(X509_sign(certificate, key, EVP_sha256()), 0);

  KeyAndCertificate made;
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  made.key = TextOf(bio);
  bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  made.certificate = TextOf(bio);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return made;
}

// ---------------------------------------------------------------------------

enum class Kind { kInsecure, kLocal, kTls };
std::ostream& operator<<(std::ostream& out, Kind kind) {
  switch (kind) {
    case Kind::kInsecure:
      return out << "Insecure";
    case Kind::kLocal:
      return out << "Local";
    case Kind::kTls:
      return out << "Tls";
  }
  return out;
}

struct Credentials {
  std::shared_ptr<grpc::ServerCredentials> server;
  std::shared_ptr<grpc::ChannelCredentials> client;
};

Credentials MakeCredentials(Kind kind) {
  switch (kind) {
    case Kind::kInsecure:
      break;
    case Kind::kLocal:
      return {grpc::experimental::LocalServerCredentials(LOCAL_TCP),
              grpc::experimental::LocalCredentials(LOCAL_TCP)};
    case Kind::kTls: {
      static const auto& made = *new KeyAndCertificate(MakeCertificate());
      grpc::SslServerCredentialsOptions server;
      server.pem_key_cert_pairs.push_back({made.key, made.certificate});
      grpc::SslCredentialsOptions client;
      client.pem_root_certs = made.certificate;
      return {grpc::SslServerCredentials(server), grpc::SslCredentials(client)};
    }
  }
  return {grpc::InsecureServerCredentials(),
          grpc::InsecureChannelCredentials()};
}

class GatedEcho {
 public:
  explicit GatedEcho(Kind kind, const GateOptions& gate = {},
                     const Settings& settings = Settings())
      : registry_(testing::StandingClockOptions(settings)) {
    const Credentials credentials = MakeCredentials(kind);
    grpc::ServerBuilder builder;
    int port = 0;
    guard_ = GuardServer(builder, &registry_);
    builder.AddListeningPort(
        "127.0.0.1:0", GatedServerCredentials(credentials.server, guard_, gate),
        &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    channel_ = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port),
                                         credentials.client, arguments);
    stub_ = Echo::NewStub(channel_);
  }
  ~GatedEcho() {
    script().Release();
    server_->Shutdown(std::chrono::system_clock::now() +
                      std::chrono::seconds(10));
    server_->Wait();
    // Nobody asks the gate any more, and so none of the registry.
    AcquireFromGrpc(guard_.get());
  }

  BreakerRegistry& registry() { return registry_; }
  const ServerGuard& guard() const { return *guard_; }
  grpc::Server& server() { return *server_; }
  Echo::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() { return channel_; }
  testing::EchoScript& script() { return service_.script(); }
  void ForceOpen(CallKind kind) {
    EXPECT_TRUE(registry_.Force(Role::kServer, "", MethodOf(kind),
                                Override::kForcedOpen, TimePoint::max()));
  }
  BreakerSnapshot snapshot(CallKind kind) {
    return registry_.Snapshot(Role::kServer, "", MethodOf(kind)).value();
  }
  // Refused by the guard, not by the gate.
  std::uint64_t rejected(CallKind kind) {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : snapshot(kind).rejected) sum += count;
    return sum;
  }

 private:
  BreakerRegistry registry_;
  SyncEcho service_;
  std::shared_ptr<const ServerGuard> guard_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Echo::Stub> stub_;
};

class GateTest : public ::testing::TestWithParam<Kind> {};

INSTANTIATE_TEST_SUITE_P(, GateTest,
                         ::testing::Values(Kind::kInsecure, Kind::kLocal,
                                           Kind::kTls),
                         ::testing::PrintToStringParamName());

TEST_P(GateTest, RefusesOpenMethodsAndThoseOnly) {
  GatedEcho echo(GetParam());
  for (const CallKind kind : kAllCallKinds) {
    EXPECT_TRUE(CallEcho(echo.stub(), kind, "hello").status.ok());
  }
  for (const CallKind kind : kAllCallKinds) {
    echo.ForceOpen(kind);
    const grpc::Status status = CallEcho(echo.stub(), kind, "hello").status;
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(status.error_message(),
              "circuit breaker of " + std::string(MethodOf(kind)) + " is open");
    // Counted once, and not by the guard.
    EXPECT_EQ(echo.rejected(kind), 0u);
    EXPECT_EQ(echo.snapshot(kind).in_flight, 0u);
  }
  EXPECT_EQ(echo.guard().gated(), 4u);
  EXPECT_EQ(echo.script().runs(), 4);

  for (const CallKind kind : kAllCallKinds) {
    echo.registry().Release(Role::kServer, "", MethodOf(kind));
    EXPECT_TRUE(CallEcho(echo.stub(), kind, "hello").status.ok());
  }
  EXPECT_EQ(echo.guard().gated(), 4u);
}

TEST_P(GateTest, LeavesRecoveryToTheGuard) {
  Settings settings;
  settings.min_requests = 0;
  settings.jitter = 0;
  GatedEcho echo(GetParam(), {}, settings);
  CallEcho(echo.stub(), CallKind::kUnary, "status 14");
  EXPECT_EQ(echo.snapshot(CallKind::kUnary).state, State::kOpen);
  EXPECT_EQ(
      CallEcho(echo.stub(), CallKind::kUnary, "hello").status.error_code(),
      grpc::StatusCode::FAILED_PRECONDITION);

  testing::Advance(settings.min_recovery);
  std::thread probe(
      [&echo] { CallEcho(echo.stub(), CallKind::kUnary, "hold"); });
  echo.script().AwaitHeld(1);
  // While the probe is out the guard refuses, with all that it can say.
  EXPECT_EQ(
      CallEcho(echo.stub(), CallKind::kUnary, "hello").status.error_code(),
      grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(echo.rejected(CallKind::kUnary), 1u);
  EXPECT_EQ(echo.guard().gated(), 1u);
  echo.script().Release();
  probe.join();
  EXPECT_TRUE(echo.snapshot(CallKind::kUnary).proved);
}

TEST_P(GateTest, UnknownMethodsPass) {
  GatedEcho echo(GetParam());
  echo.ForceOpen(CallKind::kUnary);
  grpc::GenericStub stub(echo.channel());
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  grpc::Status status;
  grpc::ByteBuffer reply;
  const auto call = stub.PrepareUnaryCall(
      &context, "/fusebox.testing.Echo/Unary2", grpc::ByteBuffer(), &queue);
  call->StartCall();
  call->Finish(&reply, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(echo.guard().gated(), 0u);
}

TEST_P(GateTest, ShadowModeRefusesNothing) {
  Settings settings;
  settings.mode = Mode::kShadow;
  GatedEcho echo(GetParam(), {}, settings);
  echo.ForceOpen(CallKind::kUnary);
  EXPECT_TRUE(CallEcho(echo.stub(), CallKind::kUnary, "hello").status.ok());
  EXPECT_EQ(echo.guard().gated(), 0u);
}

TEST_P(GateTest, TheCodeIsTheApplicationsChoice) {
  GateOptions options;
  options.code = grpc::StatusCode::RESOURCE_EXHAUSTED;
  GatedEcho echo(GetParam(), options);
  echo.ForceOpen(CallKind::kUnary);
  EXPECT_EQ(
      CallEcho(echo.stub(), CallKind::kUnary, "hello").status.error_code(),
      grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// ---------------------------------------------------------------------------
// With a processor of the application's own

// Wants a password and keeps it from the handlers.
class Password final : public grpc::AuthMetadataProcessor {
 public:
  explicit Password(bool blocking) : blocking_(blocking) {}
  bool IsBlocking() const override { return blocking_; }
  grpc::Status Process(const InputMetadata& metadata,
                       grpc::AuthContext* context, OutputMetadata* consumed,
                       OutputMetadata* /*response*/) override {
    ++asked_;
    const auto found = metadata.find("password");
    if (found == metadata.end() || found->second != "sesame") {
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "who is it?");
    }
    consumed->emplace("password", "sesame");
    context->AddProperty("user", "ali");
    EXPECT_TRUE(context->SetPeerIdentityPropertyName("user"));
    EXPECT_TRUE(context->IsPeerAuthenticated());
    EXPECT_EQ(context->GetPeerIdentityPropertyName(), "user");
    EXPECT_EQ(context->GetPeerIdentity().back(), "ali");
    EXPECT_FALSE(context->FindPropertyValues("user").empty());
    bool seen = false;
    for (const grpc::AuthProperty property : *context) {
      seen = seen || property.first == "user";
    }
    EXPECT_TRUE(seen);
    return grpc::Status::OK;
  }
  int asked() const { return asked_; }

 private:
  const bool blocking_;
  std::atomic<int> asked_{0};
};

class GateWithProcessorTest
    : public ::testing::TestWithParam<std::tuple<Kind, bool>> {};

INSTANTIATE_TEST_SUITE_P(, GateWithProcessorTest,
                         ::testing::Values(std::tuple(Kind::kInsecure, false),
                                           std::tuple(Kind::kLocal, false),
                                           std::tuple(Kind::kLocal, true),
                                           std::tuple(Kind::kTls, false),
                                           std::tuple(Kind::kTls, true)),
                         [](const auto& test) {
                           return ::testing::PrintToString(
                                      std::get<0>(test.param)) +
                                  (std::get<1>(test.param) ? "Blocking" : "");
                         });

TEST_P(GateWithProcessorTest, BothHaveTheirSay) {
  const auto password = std::make_shared<Password>(std::get<1>(GetParam()));
  GateOptions options;
  options.processor = password;
  GatedEcho echo(std::get<0>(GetParam()), options);
  const auto call = [&echo](const std::string& word) {
    grpc::ClientContext context;
    context.AddMetadata("password", word);
    return CallEcho(echo.stub(), CallKind::kUnary, context, "hello").status;
  };

  const grpc::Status wrong = call("mellon");
  EXPECT_EQ(wrong.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(wrong.error_message(), "who is it?");
  EXPECT_TRUE(call("sesame").ok());
  EXPECT_EQ(password->asked(), 2);
  EXPECT_EQ(echo.script().runs(), 1);

  echo.ForceOpen(CallKind::kUnary);
  EXPECT_EQ(call("sesame").error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(call("mellon").error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  // No time is spent on passwords then.
  EXPECT_EQ(password->asked(), 2);
  EXPECT_EQ(echo.guard().gated(), 2u);
}

TEST(GateOptionsTest, WhatCannotWorkThrows) {
  BreakerRegistry registry(testing::StandingClockOptions(Settings()));
  grpc::ServerBuilder builder;
  const auto guard = GuardServer(builder, &registry);
  GateOptions ok;
  ok.code = grpc::StatusCode::OK;
  EXPECT_THROW(
      GatedServerCredentials(grpc::InsecureServerCredentials(), guard, ok),
      std::invalid_argument);
  GateOptions blocking;
  blocking.processor = std::make_shared<Password>(/*blocking=*/true);
  EXPECT_THROW(GatedServerCredentials(grpc::InsecureServerCredentials(), guard,
                                      blocking),
               std::invalid_argument);
  const auto gated =
      GatedServerCredentials(grpc::InsecureServerCredentials(), guard);
  EXPECT_THROW(gated->SetAuthMetadataProcessor(blocking.processor),
               std::logic_error);
}

}  // namespace
}  // namespace fusebox
