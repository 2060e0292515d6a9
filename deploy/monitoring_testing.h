// What the tests with real monitoring programs share.

#ifndef FUSEBOX_DEPLOY_MONITORING_TESTING_H_
#define FUSEBOX_DEPLOY_MONITORING_TESTING_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "examples/greeter/child_process.h"
#include "examples/greeter/greeter.grpc.pb.h"
#include "grpcpp/support/status.h"
#include "nlohmann/json.hpp"

namespace greeter {

// Looks several times a second until `condition` holds; false after 3 minutes.
bool Happens(const std::function<bool()>& condition);

// A file of this project, by its path.
std::string ReadFile(const std::string& path);
// Writes to `name` in the directory of this test and returns the path.
std::string WriteFile(const std::string& name, const std::string& text);

// `text` with each first part replaced by the second, wherever it is. Fails the
// test if it is nowhere.
std::string Replace(
    std::string text,
    const std::vector<std::pair<std::string, std::string>>& replacements);

// What is behind the header of the answer to a GET; "" if there is none.
std::string HttpGet(int port, const std::string& target);

// A program that takes a port of its own, which it names in its log as
// Prometheus's programs do.
class Daemon {
 public:
  // A command for bash; --web.listen-address is added to it.
  explicit Daemon(const std::string& command);

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  ChildProcess child_;
  int port_ = 0;
};

class Prometheus : public Daemon {
 public:
  // `config_path`: see WriteFile(). Begins without data.
  explicit Prometheus(const std::string& config_path);

  // The result of an instant query, an array; null if it was not answered.
  nlohmann::json Query(const std::string& expr);
  // The value of a query with one sample as its result; else "".
  std::string Value(const std::string& expr);
  // Waits until that is so. Fails the test if it does not come to it.
  void Await(const std::string& expr, const std::string& value);
};

// greeter_server with an HTTP port. Decides fast: opens at the second failure,
// probes after 100 ms, recovers within 200 ms.
class GreeterServer {
 public:
  GreeterServer();

  int http_port() const { return http_port_; }
  std::string http_address() const {
    return "127.0.0.1:" + std::to_string(http_port_);
  }

  grpc::Status SayHello();
  // Every SayHello that reaches its handler fails from now on; or no more.
  void Break() { SetFault(1); }
  void Mend() { SetFault(0); }

 private:
  void SetFault(double fraction);

  ChildProcess child_;
  int http_port_ = 0;
  std::unique_ptr<v1::Greeter::Stub> greeter_;
  std::unique_ptr<v1::FaultControl::Stub> control_;
};

}  // namespace greeter

#endif  // FUSEBOX_DEPLOY_MONITORING_TESTING_H_
