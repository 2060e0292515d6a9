// The services of the example: a greeter that can be broken, and the breaking.

#ifndef FUSEBOX_EXAMPLES_GREETER_GREETER_SERVICE_H_
#define FUSEBOX_EXAMPLES_GREETER_GREETER_SERVICE_H_

#include "examples/greeter/faults.h"
#include "examples/greeter/greeter.grpc.pb.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/status.h"
#include "grpcpp/support/sync_stream.h"

namespace greeter {

// Greets, unless a fault hits the call. Thread-safe.
class GreeterService final : public v1::Greeter::Service {
 public:
  GreeterService() = default;

  Faults& faults() { return faults_; }

  grpc::Status SayHello(grpc::ServerContext* context,
                        const v1::HelloRequest* request,
                        v1::HelloReply* reply) override;
  grpc::Status SayHelloStream(
      grpc::ServerContext* context, const v1::HelloRequest* request,
      grpc::ServerWriter<v1::HelloReply>* writer) override;
  grpc::Status CollectNames(grpc::ServerContext* context,
                            grpc::ServerReader<v1::HelloRequest>* reader,
                            v1::HelloReply* reply) override;
  grpc::Status Chat(grpc::ServerContext* context,
                    grpc::ServerReaderWriter<v1::HelloReply, v1::HelloRequest>*
                        stream) override;

 private:
  // Counts the run of a handler and lets the fault act. The handler goes on if
  // this is OK.
  grpc::Status Enter(const char* method, const grpc::ServerContext& context);

  Faults faults_ = {"SayHello", "SayHelloStream", "CollectNames", "Chat"};
};

// Sets the faults of a greeter, which must outlive it. Thread-safe.
class FaultControlService final : public v1::FaultControl::Service {
 public:
  explicit FaultControlService(GreeterService& greeter) : greeter_(greeter) {}

  grpc::Status SetFault(grpc::ServerContext* context,
                        const v1::SetFaultRequest* request,
                        v1::SetFaultReply* reply) override;

 private:
  GreeterService& greeter_;
};

}  // namespace greeter

#endif  // FUSEBOX_EXAMPLES_GREETER_GREETER_SERVICE_H_
