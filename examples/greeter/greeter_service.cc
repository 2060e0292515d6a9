#include "examples/greeter/greeter_service.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include "google/protobuf/util/time_util.h"

namespace greeter {
namespace {

using std::chrono::steady_clock;

// Returns early when nobody waits for the answer any more, so that a server
// that shuts down need not wait either.
void Wait(std::chrono::nanoseconds delay, const grpc::ServerContext& context) {
  constexpr std::chrono::nanoseconds step = std::chrono::milliseconds(10);
  const steady_clock::time_point end = steady_clock::now() + delay;
  while (!context.IsCancelled()) {
    const std::chrono::nanoseconds left = end - steady_clock::now();
    if (left <= std::chrono::nanoseconds::zero()) return;
    std::this_thread::sleep_for(std::min(left, step));
  }
}

}  // namespace

grpc::Status GreeterService::Enter(const char* method,
                                   const grpc::ServerContext& context) {
  const Verdict verdict = faults_.Run(method);
  Wait(verdict.delay, context);
  return verdict.status;
}

grpc::Status GreeterService::SayHello(grpc::ServerContext* context,
                                      const v1::HelloRequest* request,
                                      v1::HelloReply* reply) {
  grpc::Status status = Enter("SayHello", *context);
  if (status.ok()) reply->set_message("Hello, " + request->name() + "!");
  return status;
}

grpc::Status GreeterService::SayHelloStream(
    grpc::ServerContext* context, const v1::HelloRequest* request,
    grpc::ServerWriter<v1::HelloReply>* writer) {
  grpc::Status status = Enter("SayHelloStream", *context);
  if (!status.ok()) return status;
  for (const char* hello : {"Hello", "Hallo", "Bonjour"}) {
    v1::HelloReply reply;
    reply.set_message(std::string(hello) + ", " + request->name() + "!");
    if (!writer->Write(reply)) break;
  }
  return status;
}

grpc::Status GreeterService::CollectNames(
    grpc::ServerContext* context, grpc::ServerReader<v1::HelloRequest>* reader,
    v1::HelloReply* reply) {
  grpc::Status status = Enter("CollectNames", *context);
  if (!status.ok()) return status;
  std::string everybody;
  v1::HelloRequest request;
  while (reader->Read(&request)) everybody += ", " + request.name();
  reply->set_message("Hello" + everybody + "!");
  return status;
}

grpc::Status GreeterService::Chat(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<v1::HelloReply, v1::HelloRequest>* stream) {
  grpc::Status status = Enter("Chat", *context);
  if (!status.ok()) return status;
  v1::HelloRequest request;
  while (stream->Read(&request)) {
    v1::HelloReply reply;
    reply.set_message("Hello, " + request.name() + "!");
    if (!stream->Write(reply)) break;
  }
  return status;
}

grpc::Status FaultControlService::SetFault(grpc::ServerContext* /*context*/,
                                           const v1::SetFaultRequest* request,
                                           v1::SetFaultReply* reply) {
  using google::protobuf::util::TimeUtil;
  if (!request->method().empty()) {
    Fault fault;
    fault.code = static_cast<grpc::StatusCode>(request->status_code());
    fault.fraction = request->fraction();
    fault.delay = std::chrono::nanoseconds(
        TimeUtil::DurationToNanoseconds(request->delay()));
    grpc::Status status = greeter_.faults().Set(request->method(), fault);
    if (!status.ok()) return status;
  }
  for (const auto& [method, runs] : greeter_.faults().HandlerRuns()) {
    (*reply->mutable_handler_runs())[method] = runs;
  }
  return grpc::Status::OK;
}

}  // namespace greeter
