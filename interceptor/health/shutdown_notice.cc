#include "interceptor/health/shutdown_notice.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/server_context.h>

#include <utility>

namespace fusebox {

struct ShutdownNotice::Call {
  grpc::ServerContext context;
  grpc::GenericServerAsyncReaderWriter stream{&context};
};

ShutdownNotice::ShutdownNotice(grpc::ServerBuilder& builder,
                               std::function<void()> notify, const char* method)
    : notify_(std::move(notify)),
      // Otherwise the synchronous services would leave the polling of their
      // connections to this queue.
      queue_(builder.AddCompletionQueue(/*is_frequently_polled=*/false)) {
  // A method without a handler is an asynchronous one.
  AddMethod(new grpc::internal::RpcServiceMethod(
      method, grpc::internal::RpcMethod::BIDI_STREAMING,
      /*handler=*/nullptr));
  MarkMethodAsync(0);
  builder.RegisterService(this);
}

ShutdownNotice::~ShutdownNotice() {
  if (thread_.joinable()) thread_.join();
  queue_->Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) {
    if (tag != requested_.get()) delete static_cast<Call*>(tag);
  }
}

void ShutdownNotice::Start() {
  // Not on the thread: by the time that runs, the server may be gone.
  Request();
  thread_ = std::thread([this] { Run(); });
}

void ShutdownNotice::Request() {
  requested_ = std::make_unique<Call>();
  RequestAsyncBidiStreaming(0, &requested_->context, &requested_->stream,
                            queue_.get(), queue_.get(), requested_.get());
}

void ShutdownNotice::Run() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) {
    if (tag != requested_.get()) {
      delete static_cast<Call*>(tag);  // finished
      continue;
    }
    if (!ok) break;
    // A client got the name out of this file. While its call is open the server
    // is there to be asked for the next one.
    Call* const call = requested_.release();
    Request();
    call->stream.Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, ""),
                        call);
  }
  notify_();
}

}  // namespace fusebox
