// Learning that a grpc::Server begins to shut down.
//
// A server waits for its calls when it shuts down, for ever if no deadline was
// given, and tells nobody that it does. A call that ends only when the server
// ends it, such as a health watch, would make Server::Shutdown() hang.

#ifndef FUSEBOX_INTERCEPTOR_HEALTH_SHUTDOWN_NOTICE_H_
#define FUSEBOX_INTERCEPTOR_HEALTH_SHUTDOWN_NOTICE_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_builder.h>

#include <functional>
#include <memory>
#include <thread>

namespace fusebox {

// The names of the methods by which notices are known to their server, one for
// each. No URL path looks like that, so reflection does not list them.
inline constexpr char kShutdownNoticeMethod[] = "fusebox.ShutdownNotice";
inline constexpr char kAdminShutdownNoticeMethod[] =
    "fusebox.AdminShutdownNotice";

// Calls a function once, when the server begins to shut down.
//
// How: what gRPC does tell, and at once, is that an asynchronous method will be
// asked for no more calls. So this is an asynchronous service with a method
// that nobody calls, and a thread that waits for the bad news.
//
// The server needs to have another service, synchronous or callback: the
// completion queue here is polled for nothing but the notice.
//
// Thread-compatible. Must stay until the server has been shut down, if it was
// ever started.
class ShutdownNotice final : public grpc::Service {
 public:
  // Registers with `builder`. `notify` is called on a thread of the notice, and
  // Server::Shutdown() goes on meanwhile. `method`: one of the names above,
  // which no other notice of that server has.
  ShutdownNotice(grpc::ServerBuilder& builder, std::function<void()> notify,
                 const char* method = kShutdownNoticeMethod);
  ~ShutdownNotice() override;

  // To be called when the server has started, and before it can be gone.
  void Start();

 private:
  struct Call;

  void Request();
  void Run();

  const std::function<void()> notify_;
  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<Call> requested_;  // the call that is to come
  std::thread thread_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HEALTH_SHUTDOWN_NOTICE_H_
