#include "interceptor/testing/flood.h"

#include <grpc/grpc.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace fusebox::testing {
namespace {

// The next event; whoever gets none for a minute hangs.
void* Next(grpc::CompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  if (queue.AsyncNext(
          &tag, &ok,
          std::chrono::system_clock::now() + std::chrono::minutes(1)) !=
      grpc::CompletionQueue::GOT_EVENT) {
    std::fprintf(stderr, "no event for a minute\n");
    std::abort();
  }
  return tag;
}

}  // namespace

StatusCounts Flood(const std::shared_ptr<grpc::Channel>& channel,
                   const std::vector<HostileCall>& calls,
                   const std::function<void()>& before_cancel) {
  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer reply;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  };
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  std::vector<Call> pending(calls.size());
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const HostileCall& call = calls[i];
    Call& made = pending[i];
    if (!call.timeout.empty()) {
      made.context.AddMetadata("grpc-timeout", call.timeout);
    }
    const grpc::Slice request(call.request);
    made.reader = stub.PrepareUnaryCall(&made.context, call.method,
                                        grpc::ByteBuffer(&request, 1), &queue);
    made.reader->StartCall();
    made.reader->Finish(&made.reply, &made.status, &made);
  }
  if (before_cancel) before_cancel();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (calls[i].cancel) pending[i].context.TryCancel();
  }
  StatusCounts counts = {};
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const auto code = static_cast<Call*>(Next(queue))->status.error_code();
    ++counts.at(static_cast<std::size_t>(code));
  }
  queue.Shutdown();
  return counts;
}

std::shared_ptr<grpc::Channel> OwnConnection(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                   arguments);
}

struct IdleStreams::Stream {
  grpc::ClientContext context;
  grpc::Status status;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call;
};

IdleStreams::IdleStreams(const std::shared_ptr<grpc::Channel>& channel,
                         const std::string& method, int count,
                         std::size_t metadata_bytes) {
  grpc::GenericStub stub(channel);
  streams_.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    auto stream = std::make_unique<Stream>();
    // No two alike: HPACK would send, and the server keep, but one.
    std::string value = std::to_string(i);
    value.resize(metadata_bytes, 'x');
    stream->context.AddMetadata("abuse", value);
    stream->call = stub.PrepareCall(&stream->context, method, &queue_);
    stream->call->StartCall(stream.get());
    streams_.push_back(std::move(stream));
  }
  AwaitAll(streams_.size());
}

IdleStreams::~IdleStreams() {
  for (const auto& stream : streams_) {
    stream->context.TryCancel();
    stream->call->Finish(&stream->status, stream.get());
  }
  AwaitAll(streams_.size());
  queue_.Shutdown();
}

void IdleStreams::AwaitAll(std::size_t events) {
  for (std::size_t i = 0; i < events; ++i) Next(queue_);
}

std::size_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace fusebox::testing
