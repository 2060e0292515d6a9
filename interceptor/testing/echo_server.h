// A server of Echo on a port of its own, whose answers the requests choose.

#ifndef FUSEBOX_INTERCEPTOR_TESTING_ECHO_SERVER_H_
#define FUSEBOX_INTERCEPTOR_TESTING_ECHO_SERVER_H_

#include <grpcpp/channel.h>
#include <grpcpp/server.h>
#include <grpcpp/support/client_interceptor.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "interceptor/testing/echo.grpc.pb.h"

namespace fusebox::testing {

// What the text of a request asks for; of a stream's first request, if the
// client streams. All other texts are echoed.
inline constexpr char kFail[] = "fail";    // ends with status code `count`
inline constexpr char kFlaky[] = "flaky";  // fails so until asked 3 times
// Rejected as by a breaker further down.
inline constexpr char kReject[] = "reject";
// Answers only when released; a stream answers one message before.
inline constexpr char kHold[] = "hold";

// Thread-safe.
class EchoServer final : private Echo::Service {
 public:
  // Listens on 127.0.0.1. Port 0: any.
  explicit EchoServer(int port = 0);
  // Ends calls in flight.
  ~EchoServer() override;

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // A channel within the process.
  std::shared_ptr<grpc::Channel> InProcessChannel(
      std::vector<std::unique_ptr<
          grpc::experimental::ClientInterceptorFactoryInterface>>
          interceptors);

  // Times a handler was entered.
  int handled() const { return handled_; }
  // Returns when so many calls are held, and fails after a minute.
  void AwaitHeld(int calls);
  // Lets all held calls go, now and from now on.
  void Release();

 private:
  grpc::Status Unary(grpc::ServerContext* context, const EchoRequest* request,
                     EchoReply* reply) override;
  grpc::Status ClientStream(grpc::ServerContext* context,
                            grpc::ServerReader<EchoRequest>* reader,
                            EchoReply* reply) override;
  grpc::Status ServerStream(grpc::ServerContext* context,
                            const EchoRequest* request,
                            grpc::ServerWriter<EchoReply>* writer) override;
  grpc::Status Bidi(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<EchoReply, EchoRequest>* stream) override;

  grpc::Status Answer(grpc::ServerContext* context, const EchoRequest& request);

  std::atomic<int> handled_{0};
  std::mutex mu_;
  std::condition_variable changed_;
  int held_ = 0;
  bool released_ = false;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace fusebox::testing

#endif  // FUSEBOX_INTERCEPTOR_TESTING_ECHO_SERVER_H_
