// Echo services for tests of servers, whose requests say what they come to, and
// a client for them.

#ifndef FUSEBOX_INTERCEPTOR_TESTING_ECHO_SERVICES_H_
#define FUSEBOX_INTERCEPTOR_TESTING_ECHO_SERVICES_H_

#include <grpcpp/grpcpp.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "interceptor/testing/echo.grpc.pb.h"

namespace fusebox::testing {

enum class CallKind { kUnary, kClientStream, kServerStream, kBidi };
inline constexpr std::array<CallKind, 4> kAllCallKinds = {
    CallKind::kUnary, CallKind::kClientStream, CallKind::kServerStream,
    CallKind::kBidi};

// "/fusebox.testing.Echo/Unary" and so on.
std::string_view MethodOf(CallKind kind);

// What the handlers of one service did and wait for. Thread-safe.
//
// The text of the (first) request says how the handler ends:
//   "status N"   with status code N and no message
//   "rejection"  with the rejection of another server's breaker
//   "throw"      by an exception; not in streams of callback services
//   "late"       with OK, but not before the deadline has passed
//   "hold"       with OK, once Release() is called; "hold status N": with N
//   "cancelled"  with INTERNAL, once it knows that it is cancelled
//   else         with OK, echoing; server streams reply `count` times
class EchoScript {
 public:
  // How many handlers were entered.
  int runs() const { return runs_.load(); }
  void CountRun() { ++runs_; }

  // Lets the handlers that hold go, now and from now on.
  void Release();
  // Waits until `count` handlers hold.
  void AwaitHeld(int count);

  // What a handler that holds calls: at once, or at Release() if that is to
  // come.
  void Hold(std::function<void()> then);
  // The same, waiting.
  void Hold();

  // Calls `finish` as `text` says, except for "cancelled": at once, when the
  // deadline has passed, or at Release().
  void End(const std::string& text, const grpc::ServerContextBase& context,
           std::function<void(const grpc::Status&)> finish);

 private:
  std::atomic<int> runs_{0};
  std::mutex mu_;
  std::condition_variable changed_;
  bool released_ = false;
  int held_ = 0;
  std::vector<std::function<void()>> then_;
};

// The status that a text asks for, OK by default. Throws if asked to.
grpc::Status AskedFor(const std::string& text);

class SyncEcho final : public Echo::Service {
 public:
  SyncEcho() = default;
  // With a script that others share.
  explicit SyncEcho(EchoScript* script) : script_(*script) {}

  EchoScript& script() { return script_; }

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

  // Ends a call as `text` says.
  grpc::Status Act(grpc::ServerContext* context, const std::string& text);

 private:
  EchoScript own_script_;
  EchoScript& script_ = own_script_;
};

class CallbackEcho final : public Echo::CallbackService {
 public:
  EchoScript& script() { return script_; }

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context,
                                  const EchoRequest* request,
                                  EchoReply* reply) override;
  grpc::ServerReadReactor<EchoRequest>* ClientStream(
      grpc::CallbackServerContext* context, EchoReply* reply) override;
  grpc::ServerWriteReactor<EchoReply>* ServerStream(
      grpc::CallbackServerContext* context,
      const EchoRequest* request) override;
  grpc::ServerBidiReactor<EchoRequest, EchoReply>* Bidi(
      grpc::CallbackServerContext* context) override;

 private:
  EchoScript script_;
};

// How a call ended for the client.
struct EchoResult {
  grpc::Status status;
  std::vector<std::string> replies;
  std::multimap<std::string, std::string> trailers;
};

// Makes a call of any kind, with one request, and waits for its end.
EchoResult CallEcho(Echo::Stub& stub, CallKind kind,
                    grpc::ClientContext& context, const std::string& text,
                    int count = 1);
EchoResult CallEcho(Echo::Stub& stub, CallKind kind, const std::string& text);

}  // namespace fusebox::testing

#endif  // FUSEBOX_INTERCEPTOR_TESTING_ECHO_SERVICES_H_
