#include <grpcpp/grpcpp.h>

#include <iostream>

#include "examples/greeter/greeter.grpc.pb.h"
#include "interceptor/client_interceptor.h"

int main() {
  fusebox::BreakerRegistry breakers;  // one breaker for each method
  auto channel = fusebox::CreateGuardedChannel(
      "localhost:50051", grpc::InsecureChannelCredentials(),
      grpc::ChannelArguments(), &breakers);
  auto greeter = greeter::v1::Greeter::NewStub(channel);
  greeter::v1::HelloRequest request;
  greeter::v1::HelloReply reply;
  request.set_name("world");
  grpc::ClientContext context;
  grpc::Status status = greeter->SayHello(&context, request, &reply);
  std::cout << (status.ok() ? reply.message() : status.error_message()) << "\n";
}
