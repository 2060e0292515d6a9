// What Prometheus's blackbox exporter makes of the health of a guarded server.

#include <civetweb.h>

#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox {
namespace {

using ::testing::AllOf;
using testing::Api;
using testing::CallKind;
using testing::GuardedEcho;
using ::testing::HasSubstr;

// The exporter, on a port of its own.
class Exporter {
 public:
  Exporter()
      : child_({"/bin/bash", "-c",
                "exec prometheus-blackbox-exporter 2>&1"
                " --config.file=interceptor/health/clients/blackbox.yml"
                " --web.listen-address=127.0.0.1:0"}) {
    const std::string before_port = "\"Listening on\" address=127.0.0.1:";
    std::string seen;
    while (const auto line = child_.ReadLine(greeter::Soon())) {
      const std::size_t found = line->find(before_port);
      if (found != std::string::npos) {
        port_ = std::stoi(line->substr(found + before_port.size()));
        return;
      }
      absl::StrAppend(&seen, *line, "\n");
    }
    ADD_FAILURE() << "the exporter does not listen:\n" << seen;
  }

  // What it has measured of `target`, in Prometheus's text format.
  std::string Probe(const std::string& target, const std::string& module) {
    std::array<char, 200> error = {};
    mg_connection* const connection = mg_download(
        "127.0.0.1", port_, /*use_ssl=*/0, error.data(), error.size(),
        "GET /probe?target=%s&module=%s HTTP/1.0\r\n\r\n", target.c_str(),
        module.c_str());
    if (connection == nullptr) return error.data();
    std::string body;
    std::array<char, 4096> part;
    int size = 0;
    while ((size = mg_read(connection, part.data(), part.size())) > 0) {
      body.append(part.data(), static_cast<std::size_t>(size));
    }
    mg_close_connection(connection);
    return body;
  }

 private:
  greeter::ChildProcess child_;
  int port_ = 0;
};

TEST(BlackboxExporterTest, ProbesNamesUpAndDown) {
  GuardedEcho echo(Api::kCallback);
  Exporter exporter;
  const auto is = [](int success, const std::string& status) {
    return AllOf(HasSubstr(absl::StrCat("\nprobe_success ", success, "\n")),
                 HasSubstr(status));
  };
  const std::string serving =
      "\nprobe_grpc_healthcheck_response{serving_status=\"SERVING\"} 1\n";
  const std::string not_serving =
      "\nprobe_grpc_healthcheck_response{serving_status=\"NOT_SERVING\"} 1\n";
  const std::string not_found = "\nprobe_grpc_status_code 5\n";

  EXPECT_THAT(exporter.Probe(echo.address(), "server"), is(1, serving));
  EXPECT_THAT(exporter.Probe(echo.address(), "unary"), is(1, serving));
  EXPECT_THAT(exporter.Probe(echo.address(), "unknown"), is(0, not_found));

  echo.ForceOpen(CallKind::kUnary);
  echo.registry().Dispatch();
  EXPECT_THAT(exporter.Probe(echo.address(), "server"), is(1, serving));
  EXPECT_THAT(exporter.Probe(echo.address(), "unary"), is(0, not_serving));

  echo.Release(CallKind::kUnary);
  echo.registry().Dispatch();
  EXPECT_THAT(exporter.Probe(echo.address(), "unary"), is(1, serving));
}

}  // namespace
}  // namespace fusebox
