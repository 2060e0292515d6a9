#include <grpcpp/grpcpp.h>

#include "examples/greeter/greeter.grpc.pb.h"
#include "interceptor/server_interceptor.h"

class Greeter final : public greeter::v1::Greeter::Service {
  grpc::Status SayHello(grpc::ServerContext*,
                        const greeter::v1::HelloRequest* in,
                        greeter::v1::HelloReply* out) override {
    out->set_message("Hello, " + in->name() + "!");
    return grpc::Status::OK;
  }
};

int main() {
  fusebox::BreakerRegistry breakers;
  Greeter greeter;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("[::]:50051", grpc::InsecureServerCredentials());
  builder.RegisterService(&greeter);
  fusebox::GuardServer(builder, &breakers);  // refusals, outcomes, health
  builder.BuildAndStart()->Wait();
}
