#include "interceptor/health/grpc_health_check.h"

#include <grpc/grpc.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/slice.h>

#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "interceptor/health/health_codec.h"

namespace fusebox {
namespace {

// How soon a run notices that it is cancelled.
constexpr auto kCancelInterval = std::chrono::milliseconds(100);

const char* StatusText(int status) {
  switch (status) {
    case 0:
      return "UNKNOWN";
    case 1:
      return "SERVING";
    case 2:
      return "NOT_SERVING";
    case 3:
      return "SERVICE_UNKNOWN";
    default:
      return "in a state that this version does not know";
  }
}

const char* CodeText(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
      return "UNAVAILABLE";
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return "DEADLINE_EXCEEDED";
    case grpc::StatusCode::CANCELLED:
      return "CANCELLED";
    case grpc::StatusCode::UNIMPLEMENTED:
      return "UNIMPLEMENTED";
    case grpc::StatusCode::PERMISSION_DENIED:
      return "PERMISSION_DENIED";
    case grpc::StatusCode::UNAUTHENTICATED:
      return "UNAUTHENTICATED";
    default:
      return nullptr;
  }
}

// One call of Check, on this thread.
grpc::Status CallCheck(grpc::GenericStub& stub, const std::string& service,
                       const CheckRun& run, std::string& response) {
  const grpc::Slice slice(EncodeHealthRequest(service));
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ClientContext context;
  context.set_deadline(
      std::chrono::system_clock::now() +
      std::chrono::duration_cast<std::chrono::system_clock::duration>(
          run.time_limit()));
  grpc::CompletionQueue queue;
  grpc::ByteBuffer reply;
  grpc::Status status;
  const auto call = stub.PrepareUnaryCall(
      &context, "/grpc.health.v1.Health/Check", request, &queue);
  call->StartCall();
  call->Finish(&reply, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  while (queue.AsyncNext(&tag, &ok,
                         std::chrono::system_clock::now() + kCancelInterval) ==
         grpc::CompletionQueue::TIMEOUT) {
    if (run.cancelled()) context.TryCancel();
  }
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  if (status.ok() && reply.Length() > 0) {
    grpc::Slice bytes;
    const grpc::Status dumped = reply.DumpToSingleSlice(&bytes);
    if (!dumped.ok()) return dumped;
    response.assign(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  }
  return status;
}

}  // namespace

Check GrpcHealthCheck(const std::string& target,
                      const std::shared_ptr<grpc::ChannelCredentials>& creds,
                      std::string service) {
  grpc::ChannelArguments arguments;
  // Connections shared with other channels would bring their backoff along,
  // which grows to two minutes.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  auto stub = std::make_shared<grpc::GenericStub>(
      grpc::CreateCustomChannel(target, creds, arguments));
  return [stub, target,
          service = std::move(service)](const CheckRun& run) -> CheckResult {
    const std::string name =
        service.empty() ? target : service + " at " + target;
    std::string response;
    const grpc::Status status = CallCheck(*stub, service, run, response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
      return {false, name + " is not known there", {}};
    }
    if (!status.ok()) {
      const char* const code = CodeText(status.error_code());
      return {false,
              name + " cannot be asked: " +
                  (code != nullptr
                       ? code
                       : "status " + std::to_string(status.error_code())) +
                  ": " + status.error_message(),
              {}};
    }
    const std::optional<int> serving = DecodeHealthResponse(response);
    if (!serving.has_value()) {
      return {false, name + " answers with something else than its health", {}};
    }
    return {*serving == 1, name + " is " + StatusText(*serving), {}};
  };
}

}  // namespace fusebox
