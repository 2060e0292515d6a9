#include "interceptor/health/shutdown_notice.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/server_context.h>

#include <utility>

namespace fusebox {

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
  }
}

void ShutdownNotice::Start() {
  thread_ = std::thread([this] { Run(); });
}

void ShutdownNotice::Run() {
  for (;;) {
    grpc::ServerContext context;
    grpc::GenericServerAsyncReaderWriter call(&context);
    void* tag = nullptr;
    bool ok = false;
    RequestAsyncBidiStreaming(0, &context, &call, queue_.get(), queue_.get(),
                              /*tag=*/this);
    if (!queue_->Next(&tag, &ok) || !ok) break;
    // A client got the name out of this file.
    call.Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, ""),
                /*tag=*/this);
    queue_->Next(&tag, &ok);
  }
  notify_();
}

}  // namespace fusebox
