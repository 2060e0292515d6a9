#include <grpcpp/grpcpp.h>

#include <memory>
#include <utility>

#include "examples/greeter/greeter.grpc.pb.h"
#include "interceptor/server_interceptor.h"

// A call of SayHello, which deletes itself when it has been answered.
class Hello {
 public:
  Hello(greeter::v1::Greeter::AsyncService* service,
        grpc::ServerCompletionQueue* queue)
      : service_(service), queue_(queue) {
    service_->RequestSayHello(&context_, &in_, &responder_, queue_, queue_,
                              this);
  }

  void Proceed(bool ok) {
    if (answered_ || !ok) {
      delete this;
      return;
    }
    new Hello(service_, queue_);  // for the next call
    answered_ = true;
    if (fusebox::Refused(context_)) {
      responder_.FinishWithError(fusebox::RefusedStatus(), this);
      return;
    }
    greeter::v1::HelloReply out;
    out.set_message("Hello, " + in_.name() + "!");
    responder_.Finish(out, grpc::Status::OK, this);
  }

 private:
  greeter::v1::Greeter::AsyncService* const service_;
  grpc::ServerCompletionQueue* const queue_;
  grpc::ServerContext context_;
  greeter::v1::HelloRequest in_;
  grpc::ServerAsyncResponseWriter<greeter::v1::HelloReply> responder_{
      &context_};
  bool answered_ = false;
};

int main() {
  fusebox::BreakerRegistry breakers;
  greeter::v1::Greeter::AsyncService greeter;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("[::]:50051", grpc::InsecureServerCredentials());
  builder.RegisterService(&greeter);
  fusebox::ServerOptions options;
  options.async_services = {"greeter.v1.Greeter"};  // asks Refused()
  fusebox::GuardServer(builder, &breakers, std::move(options));
  const auto queue = builder.AddCompletionQueue();
  const auto server = builder.BuildAndStart();
  new Hello(&greeter, queue.get());
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<Hello*>(tag)->Proceed(ok);
}
