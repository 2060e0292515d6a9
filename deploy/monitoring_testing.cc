#include "deploy/monitoring_testing.h"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "examples/greeter/child_process_testing.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "interceptor/http/testing/raw_client.h"

namespace greeter {
namespace {

// The text behind `before` in the first line that has it.
std::string ReadAfter(ChildProcess& child, const std::string& before) {
  std::string seen;
  while (const auto line = child.ReadLine(Soon())) {
    const std::size_t found = line->find(before);
    if (found != std::string::npos) return line->substr(found + before.size());
    absl::StrAppend(&seen, *line, "\n");
  }
  ADD_FAILURE() << "no line with '" << before << "' in:\n"
                << seen << child.errors();
  return "";
}

std::string UrlEncoded(const std::string& text) {
  std::string encoded;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) {
      encoded += c;
    } else {
      absl::StrAppend(
          &encoded, "%",
          absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return encoded;
}

// Empty, in the directory of this test.
std::string NewDirectory() {
  std::string path = ::testing::TempDir() + "/XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr) << path;
  return path;
}

}  // namespace

bool Happens(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(3);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return true;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string WriteFile(const std::string& name, const std::string& text) {
  std::string path = ::testing::TempDir() + "/" + name;
  std::ofstream(path) << text;
  return path;
}

std::string Replace(
    std::string text,
    const std::vector<std::pair<std::string, std::string>>& replacements) {
  for (const auto& replacement : replacements) {
    EXPECT_GT(absl::StrReplaceAll({replacement}, &text), 0)
        << replacement.first << " is not in:\n"
        << text;
  }
  return text;
}

std::string HttpGet(int port, const std::string& target) {
  fusebox::RawClient client(port);
  // HTTP/1.0 asks for an end without chunks.
  client.Send("GET " + target + " HTTP/1.0\r\nHost: test\r\n\r\n");
  return fusebox::BodyOf(client.ReceiveToEnd());
}

Daemon::Daemon(const std::string& command)
    : child_({"/bin/bash", "-c",
              absl::StrCat("exec ", command,
                           " --web.listen-address=127.0.0.1:0 2>&1")}) {
  const std::string port =
      ReadAfter(child_, "\"Listening on\" address=127.0.0.1:");
  EXPECT_TRUE(absl::SimpleAtoi(port, &port_)) << port;
}

Prometheus::Prometheus(const std::string& config_path)
    : Daemon(absl::StrCat("prometheus --config.file=", config_path,
                          " --storage.tsdb.path=", NewDirectory())) {}

nlohmann::json Prometheus::Query(const std::string& expr) {
  const auto answer = nlohmann::json::parse(
      HttpGet(port(), "/api/v1/query?query=" + UrlEncoded(expr)), nullptr,
      /*allow_exceptions=*/false);
  // While it starts it has other things to say.
  if (!answer.is_object() || answer.value("status", "") != "success") return {};
  return answer["data"]["result"];
}

std::string Prometheus::Value(const std::string& expr) {
  const nlohmann::json result = Query(expr);
  if (!result.is_array() || result.size() != 1) return "";
  return result[0]["value"][1].get<std::string>();
}

void Prometheus::Await(const std::string& expr, const std::string& value) {
  EXPECT_TRUE(Happens([&] { return Value(expr) == value; }))
      << expr << " is " << Query(expr) << " and not " << value;
}

GreeterServer::GreeterServer()
    : child_({"examples/greeter/greeter_server", "--listen=127.0.0.1:0",
              "--http_port=0", "--fusebox_min_requests=1",
              "--fusebox_bucket_width=100ms", "--fusebox_min_recovery=100ms",
              "--fusebox_max_recovery=300ms",
              "--fusebox_max_open_duration=200ms"}) {
  const auto channel = grpc::CreateChannel(ReadAfter(child_, "listening on "),
                                           grpc::InsecureChannelCredentials());
  greeter_ = v1::Greeter::NewStub(channel);
  control_ = v1::FaultControl::NewStub(channel);
  const std::string port = ReadAfter(child_, "http on 127.0.0.1:");
  EXPECT_TRUE(absl::SimpleAtoi(port, &http_port_)) << port;
}

grpc::Status GreeterServer::SayHello() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::minutes(1));
  v1::HelloRequest request;
  v1::HelloReply reply;
  return greeter_->SayHello(&context, request, &reply);
}

void GreeterServer::SetFault(double fraction) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::minutes(1));
  v1::SetFaultRequest request;
  request.set_method("SayHello");
  request.set_status_code(grpc::StatusCode::INTERNAL);
  request.set_fraction(fraction);
  v1::SetFaultReply reply;
  EXPECT_TRUE(control_->SetFault(&context, request, &reply).ok());
}

}  // namespace greeter
