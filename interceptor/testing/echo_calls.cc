#include "interceptor/testing/echo_calls.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>

#include "interceptor/handoff/handoff.h"
#include "interceptor/testing/echo.grpc.pb.h"

namespace fusebox::testing {
namespace {

using ChannelPtr = std::shared_ptr<grpc::Channel>;

constexpr auto kPatience = std::chrono::minutes(1);

[[noreturn]] void Hang(const char* where) {
  std::fprintf(stderr, "%s: no event for a minute\n", where);
  std::abort();
}

// ---- synchronous

grpc::Status SyncUnary(const ChannelPtr& channel, grpc::ClientContext& context,
                       const EchoRequest& request) {
  EchoReply reply;
  return Echo::NewStub(channel)->Unary(&context, request, &reply);
}

grpc::Status SyncClientStream(const ChannelPtr& channel,
                              grpc::ClientContext& context,
                              const EchoRequest& request) {
  EchoReply reply;
  const auto writer = Echo::NewStub(channel)->ClientStream(&context, &reply);
  if (writer->Write(request)) writer->Write(request);
  writer->WritesDone();
  return writer->Finish();
}

grpc::Status SyncServerStream(const ChannelPtr& channel,
                              grpc::ClientContext& context,
                              const EchoRequest& request) {
  EchoReply reply;
  const auto reader = Echo::NewStub(channel)->ServerStream(&context, request);
  while (reader->Read(&reply)) {
  }
  return reader->Finish();
}

grpc::Status SyncBidi(const ChannelPtr& channel, grpc::ClientContext& context,
                      const EchoRequest& request) {
  EchoReply reply;
  const auto stream = Echo::NewStub(channel)->Bidi(&context);
  // Within a process nothing is written that nobody reads.
  if (stream->Write(request) && stream->Read(&reply)) stream->Write(request);
  stream->WritesDone();
  while (stream->Read(&reply)) {
  }
  return stream->Finish();
}

grpc::Status SyncBidiAwaitingMetadata(const ChannelPtr& channel,
                                      grpc::ClientContext& context,
                                      const EchoRequest& request) {
  EchoReply reply;
  const auto stream = Echo::NewStub(channel)->Bidi(&context);
  stream->Write(request);
  stream->WaitForInitialMetadata();
  stream->WritesDone();
  while (stream->Read(&reply)) {
  }
  return stream->Finish();
}

// ---- completion queue

class Queue {
 public:
  ~Queue() {
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  grpc::CompletionQueue* get() { return &queue_; }
  void* tag() { return this; }

  // The success of the one operation under way.
  bool Next(const char* where) {
    void* tag;
    bool ok = false;
    if (queue_.AsyncNext(&tag, &ok,
                         std::chrono::system_clock::now() + kPatience) !=
        grpc::CompletionQueue::GOT_EVENT) {
      Hang(where);
    }
    return ok;
  }

 private:
  grpc::CompletionQueue queue_;
};

// Tells a failed event of Finish() from any status: it must always succeed.
grpc::Status Finished(Queue& queue, const grpc::Status& status) {
  return queue.Next("Finish")
             ? status
             : grpc::Status(grpc::StatusCode::INTERNAL, "Finish() failed");
}

// A corked stream starts with its first message and has no event of its own.
bool Started(Queue& queue, bool corked) {
  return corked || queue.Next("start");
}

grpc::Status QueueUnary(const ChannelPtr& channel, grpc::ClientContext& context,
                        const EchoRequest& request) {
  Queue queue;
  EchoReply reply;
  grpc::Status status;
  const auto call =
      Echo::NewStub(channel)->AsyncUnary(&context, request, queue.get());
  call->Finish(&reply, &status, queue.tag());
  return Finished(queue, status);
}

grpc::Status QueueUnaryAwaitingMetadata(const ChannelPtr& channel,
                                        grpc::ClientContext& context,
                                        const EchoRequest& request) {
  Queue queue;
  EchoReply reply;
  grpc::Status status;
  const auto call =
      Echo::NewStub(channel)->PrepareAsyncUnary(&context, request, queue.get());
  call->StartCall();
  call->ReadInitialMetadata(queue.tag());
  queue.Next("ReadInitialMetadata");
  call->Finish(&reply, &status, queue.tag());
  return Finished(queue, status);
}

template <bool corked = false>
grpc::Status QueueClientStream(const ChannelPtr& channel,
                               grpc::ClientContext& context,
                               const EchoRequest& request) {
  context.set_initial_metadata_corked(corked);
  Queue queue;
  EchoReply reply;
  grpc::Status status;
  const auto writer = Echo::NewStub(channel)->AsyncClientStream(
      &context, &reply, queue.get(), queue.tag());
  bool ok = Started(queue, corked);
  for (int i = 0; i < 2 && ok; ++i) {
    writer->Write(request, queue.tag());
    ok = queue.Next("Write");
  }
  if (ok) {
    writer->WritesDone(queue.tag());
    queue.Next("WritesDone");
  }
  writer->Finish(&status, queue.tag());
  return Finished(queue, status);
}

grpc::Status QueueServerStream(const ChannelPtr& channel,
                               grpc::ClientContext& context,
                               const EchoRequest& request) {
  Queue queue;
  EchoReply reply;
  grpc::Status status;
  const auto reader = Echo::NewStub(channel)->AsyncServerStream(
      &context, request, queue.get(), queue.tag());
  bool ok = queue.Next("start");
  while (ok) {
    reader->Read(&reply, queue.tag());
    ok = queue.Next("Read");
  }
  reader->Finish(&status, queue.tag());
  return Finished(queue, status);
}

template <bool corked = false>
grpc::Status QueueBidi(const ChannelPtr& channel, grpc::ClientContext& context,
                       const EchoRequest& request) {
  context.set_initial_metadata_corked(corked);
  Queue queue;
  EchoReply reply;
  grpc::Status status;
  const auto stream =
      Echo::NewStub(channel)->AsyncBidi(&context, queue.get(), queue.tag());
  bool ok = Started(queue, corked);
  for (int i = 0; i < 2 && ok; ++i) {
    stream->Write(request, queue.tag());
    ok = queue.Next("Write");
    if (!ok || i == 1) continue;
    stream->Read(&reply, queue.tag());
    ok = queue.Next("Read");
  }
  if (ok) {
    stream->WritesDone(queue.tag());
    queue.Next("WritesDone");
  }
  do {
    stream->Read(&reply, queue.tag());
  } while (queue.Next("Read"));
  stream->Finish(&status, queue.tag());
  return Finished(queue, status);
}

// ---- generic

grpc::ByteBuffer Serialized(const EchoRequest& request) {
  grpc::ByteBuffer buffer;
  bool own_buffer;
  grpc::GenericSerialize<grpc::ProtoBufferWriter, EchoRequest>(request, &buffer,
                                                               &own_buffer);
  return buffer;
}

grpc::Status GenericUnary(const ChannelPtr& channel,
                          grpc::ClientContext& context,
                          const EchoRequest& request) {
  Queue queue;
  grpc::ByteBuffer reply;
  grpc::Status status;
  grpc::GenericStub stub(channel);
  // The name is gone when the call starts.
  auto name = std::make_unique<std::string>(kUnaryMethod);
  const auto call =
      stub.PrepareUnaryCall(&context, *name, Serialized(request), queue.get());
  name.reset();
  call->StartCall();
  call->Finish(&reply, &status, queue.tag());
  return Finished(queue, status);
}

// The stream through which a generic stub makes any kind of call.
template <const char* method>
grpc::Status GenericStream(const ChannelPtr& channel,
                           grpc::ClientContext& context,
                           const EchoRequest& request) {
  Queue queue;
  grpc::ByteBuffer reply;
  grpc::Status status;
  grpc::GenericStub stub(channel);
  const auto stream = stub.PrepareCall(&context, method, queue.get());
  stream->StartCall(queue.tag());
  bool ok = queue.Next("start");
  const int requests = method == kServerStreamMethod ? 1 : 2;
  for (int i = 0; i < requests && ok; ++i) {
    stream->Write(Serialized(request), queue.tag());
    ok = queue.Next("Write");
    if (!ok || i == 1 || method != kBidiMethod) continue;
    stream->Read(&reply, queue.tag());
    ok = queue.Next("Read");
  }
  if (ok) {
    stream->WritesDone(queue.tag());
    queue.Next("WritesDone");
  }
  do {
    stream->Read(&reply, queue.tag());
  } while (queue.Next("Read"));
  stream->Finish(&status, queue.tag());
  return Finished(queue, status);
}

// ---- callback

// The reactors tell ThreadSanitizer what gRPC keeps apart: see handoff.h.

class Done {
 public:
  void Set(const grpc::Status& status) {
    const std::lock_guard<std::mutex> lock(mu_);
    status_ = status;
    changed_.notify_all();
  }
  grpc::Status Await() {
    std::unique_lock<std::mutex> lock(mu_);
    if (!changed_.wait_for(lock, kPatience,
                           [this] { return status_.has_value(); })) {
      Hang("OnDone");
    }
    return *status_;
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::optional<grpc::Status> status_;
};

grpc::Status CallbackUnary(const ChannelPtr& channel,
                           grpc::ClientContext& context,
                           const EchoRequest& request) {
  const auto stub = Echo::NewStub(channel);
  EchoReply reply;
  Done done;
  stub->async()->Unary(&context, &request, &reply,
                       [&done](const grpc::Status& s) { done.Set(s); });
  return done.Await();
}

grpc::Status CallbackUnaryReactor(const ChannelPtr& channel,
                                  grpc::ClientContext& context,
                                  const EchoRequest& request) {
  struct Reactor : grpc::ClientUnaryReactor {
    void OnDone(const grpc::Status& status) override {
      AcquireFromGrpc(this);
      done.Set(status);
    }
    Done done;
  };
  const auto stub = Echo::NewStub(channel);
  EchoReply reply;
  Reactor reactor;
  stub->async()->Unary(&context, &request, &reply, &reactor);
  reactor.StartCall();
  return reactor.done.Await();
}

grpc::Status CallbackClientStream(const ChannelPtr& channel,
                                  grpc::ClientContext& context,
                                  const EchoRequest& request) {
  struct Reactor : grpc::ClientWriteReactor<EchoRequest> {
    explicit Reactor(const EchoRequest& r) : request(r) { ReleaseToGrpc(this); }
    void OnWriteDone(bool ok) override {
      AcquireFromGrpc(this);
      const EchoRequest* const next = ++written < 2 ? &request : nullptr;
      ReleaseToGrpc(this);
      if (!ok) return;
      if (next != nullptr) {
        StartWrite(next);
      } else {
        StartWritesDone();
      }
    }
    void OnDone(const grpc::Status& status) override {
      AcquireFromGrpc(this);
      done.Set(status);
    }
    const EchoRequest& request;
    int written = 0;
    Done done;
  };
  const auto stub = Echo::NewStub(channel);
  EchoReply reply;
  Reactor reactor(request);
  stub->async()->ClientStream(&context, &reply, &reactor);
  reactor.StartWrite(&request);
  reactor.StartCall();
  return reactor.done.Await();
}

grpc::Status CallbackServerStream(const ChannelPtr& channel,
                                  grpc::ClientContext& context,
                                  const EchoRequest& request) {
  struct Reactor : grpc::ClientReadReactor<EchoReply> {
    void OnReadDone(bool ok) override {
      ReleaseToGrpc(this);
      if (ok) StartRead(&reply);
    }
    void OnDone(const grpc::Status& status) override {
      AcquireFromGrpc(this);
      done.Set(status);
    }
    EchoReply reply;
    Done done;
  };
  const auto stub = Echo::NewStub(channel);
  Reactor reactor;
  stub->async()->ServerStream(&context, &request, &reactor);
  reactor.StartRead(&reactor.reply);
  reactor.StartCall();
  return reactor.done.Await();
}

grpc::Status CallbackBidi(const ChannelPtr& channel,
                          grpc::ClientContext& context,
                          const EchoRequest& request) {
  struct Reactor : grpc::ClientBidiReactor<EchoRequest, EchoReply> {
    explicit Reactor(const EchoRequest& r) : request(r) { ReleaseToGrpc(this); }
    void OnWriteDone(bool ok) override {
      AcquireFromGrpc(this);
      const EchoRequest* const next = ++written < 2 ? &request : nullptr;
      ReleaseToGrpc(this);
      if (!ok) return;
      if (next != nullptr) {
        StartWrite(next);
      } else {
        StartWritesDone();
      }
    }
    void OnReadDone(bool ok) override {
      ReleaseToGrpc(this);
      if (ok) StartRead(&reply);
    }
    void OnDone(const grpc::Status& status) override {
      AcquireFromGrpc(this);
      done.Set(status);
    }
    const EchoRequest& request;
    int written = 0;
    EchoReply reply;
    Done done;
  };
  const auto stub = Echo::NewStub(channel);
  Reactor reactor(request);
  stub->async()->Bidi(&context, &reactor);
  reactor.StartWrite(&request);
  reactor.StartRead(&reactor.reply);
  reactor.StartCall();
  return reactor.done.Await();
}

grpc::Status GenericCallbackUnary(const ChannelPtr& channel,
                                  grpc::ClientContext& context,
                                  const EchoRequest& request) {
  grpc::GenericStub stub(channel);
  const grpc::ByteBuffer bytes = Serialized(request);
  grpc::ByteBuffer reply;
  Done done;
  stub.UnaryCall(&context, kUnaryMethod, grpc::StubOptions(), &bytes, &reply,
                 [&done](const grpc::Status& s) { done.Set(s); });
  return done.Await();
}

grpc::Status GenericCallbackBidi(const ChannelPtr& channel,
                                 grpc::ClientContext& context,
                                 const EchoRequest& request) {
  struct Reactor : grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
    void OnReadDone(bool ok) override {
      ReleaseToGrpc(this);
      if (ok) StartRead(&reply);
    }
    void OnDone(const grpc::Status& status) override {
      AcquireFromGrpc(this);
      done.Set(status);
    }
    grpc::ByteBuffer reply;
    Done done;
  };
  grpc::GenericStub stub(channel);
  const grpc::ByteBuffer bytes = Serialized(request);
  Reactor reactor;
  stub.PrepareBidiStreamingCall(&context, kBidiMethod, grpc::StubOptions(),
                                &reactor);
  reactor.StartWriteLast(&bytes, grpc::WriteOptions());
  reactor.StartRead(&reactor.reply);
  reactor.StartCall();
  return reactor.done.Await();
}

// The same with the initial metadata held back until the first message.
template <grpc::Status (*make)(const ChannelPtr&, grpc::ClientContext&,
                               const EchoRequest&)>
grpc::Status Corked(const ChannelPtr& channel, grpc::ClientContext& context,
                    const EchoRequest& request) {
  context.set_initial_metadata_corked(true);
  return make(channel, context, request);
}

// ---- dropped

// Streams read what the server writes before it holds the call.

using Await = std::function<void()>;

void DropSyncClientStream(const ChannelPtr& channel,
                          grpc::ClientContext& context,
                          const EchoRequest& request, const Await& await) {
  EchoReply reply;
  const auto writer = Echo::NewStub(channel)->ClientStream(&context, &reply);
  writer->Write(request);
  await();
}

void DropSyncServerStream(const ChannelPtr& channel,
                          grpc::ClientContext& context,
                          const EchoRequest& request, const Await& await) {
  EchoReply reply;
  const auto reader = Echo::NewStub(channel)->ServerStream(&context, request);
  reader->Read(&reply);
  await();
}

void DropSyncBidi(const ChannelPtr& channel, grpc::ClientContext& context,
                  const EchoRequest& request, const Await& await) {
  EchoReply reply;
  const auto stream = Echo::NewStub(channel)->Bidi(&context);
  stream->Write(request);
  stream->Read(&reply);
  await();
}

void DropQueueUnary(const ChannelPtr& channel, grpc::ClientContext& context,
                    const EchoRequest& request, const Await& await) {
  Queue queue;
  const auto call =
      Echo::NewStub(channel)->AsyncUnary(&context, request, queue.get());
  call->ReadInitialMetadata(queue.tag());
  await();
  context.TryCancel();
  queue.Next("ReadInitialMetadata");
}

void DropQueueClientStream(const ChannelPtr& channel,
                           grpc::ClientContext& context,
                           const EchoRequest& request, const Await& await) {
  Queue queue;
  EchoReply reply;
  const auto writer = Echo::NewStub(channel)->AsyncClientStream(
      &context, &reply, queue.get(), queue.tag());
  queue.Next("start");
  writer->Write(request, queue.tag());
  queue.Next("Write");
  await();
}

void DropQueueServerStream(const ChannelPtr& channel,
                           grpc::ClientContext& context,
                           const EchoRequest& request, const Await& await) {
  Queue queue;
  EchoReply reply;
  const auto reader = Echo::NewStub(channel)->AsyncServerStream(
      &context, request, queue.get(), queue.tag());
  queue.Next("start");
  reader->Read(&reply, queue.tag());
  queue.Next("Read");
  await();
}

void DropQueueBidi(const ChannelPtr& channel, grpc::ClientContext& context,
                   const EchoRequest& request, const Await& await) {
  Queue queue;
  EchoReply reply;
  const auto stream =
      Echo::NewStub(channel)->AsyncBidi(&context, queue.get(), queue.tag());
  queue.Next("start");
  stream->Write(request, queue.tag());
  queue.Next("Write");
  stream->Read(&reply, queue.tag());
  queue.Next("Read");
  await();
}

template <const char* method>
void DropGenericStream(const ChannelPtr& channel, grpc::ClientContext& context,
                       const EchoRequest& request, const Await& await) {
  Queue queue;
  grpc::GenericStub stub(channel);
  const auto stream = stub.PrepareCall(&context, method, queue.get());
  stream->StartCall(queue.tag());
  queue.Next("start");
  stream->WriteLast(Serialized(request), grpc::WriteOptions(), queue.tag());
  queue.Next("Write");
  if (method != kClientStreamMethod) {
    grpc::ByteBuffer reply;
    stream->Read(&reply, queue.tag());
    queue.Next("Read");
  }
  await();
}

}  // namespace

const std::vector<EchoCall>& EchoCalls() {
  static const auto& calls = *new std::vector<EchoCall>{
      {"SyncUnary", kUnaryMethod, &SyncUnary},
      {"SyncClientStream", kClientStreamMethod, &SyncClientStream,
       &DropSyncClientStream},
      {"SyncServerStream", kServerStreamMethod, &SyncServerStream,
       &DropSyncServerStream},
      {"SyncBidi", kBidiMethod, &SyncBidi, &DropSyncBidi},
      {"SyncBidiAwaitingMetadata", kBidiMethod, &SyncBidiAwaitingMetadata},
      {"SyncClientStreamCorked", kClientStreamMethod,
       &Corked<&SyncClientStream>},
      {"SyncBidiCorked", kBidiMethod, &Corked<&SyncBidi>},
      {"CallbackUnary", kUnaryMethod, &CallbackUnary},
      {"CallbackUnaryReactor", kUnaryMethod, &CallbackUnaryReactor},
      {"CallbackClientStream", kClientStreamMethod, &CallbackClientStream},
      {"CallbackServerStream", kServerStreamMethod, &CallbackServerStream},
      {"CallbackBidi", kBidiMethod, &CallbackBidi},
      {"CallbackClientStreamCorked", kClientStreamMethod,
       &Corked<&CallbackClientStream>},
      {"CallbackBidiCorked", kBidiMethod, &Corked<&CallbackBidi>},
      {"QueueUnary", kUnaryMethod, &QueueUnary, &DropQueueUnary},
      {"QueueUnaryAwaitingMetadata", kUnaryMethod, &QueueUnaryAwaitingMetadata},
      {"QueueClientStream", kClientStreamMethod, &QueueClientStream<>,
       &DropQueueClientStream},
      {"QueueServerStream", kServerStreamMethod, &QueueServerStream,
       &DropQueueServerStream},
      {"QueueBidi", kBidiMethod, &QueueBidi<>, &DropQueueBidi},
      {"QueueClientStreamCorked", kClientStreamMethod,
       &QueueClientStream<true>},
      {"QueueBidiCorked", kBidiMethod, &QueueBidi<true>},
      {"GenericUnary", kUnaryMethod, &GenericUnary},
      {"GenericClientStream", kClientStreamMethod,
       &GenericStream<kClientStreamMethod>,
       &DropGenericStream<kClientStreamMethod>},
      {"GenericServerStream", kServerStreamMethod,
       &GenericStream<kServerStreamMethod>,
       &DropGenericStream<kServerStreamMethod>},
      {"GenericBidi", kBidiMethod, &GenericStream<kBidiMethod>,
       &DropGenericStream<kBidiMethod>},
      {"GenericCallbackUnary", kUnaryMethod, &GenericCallbackUnary},
      {"GenericCallbackBidi", kBidiMethod, &GenericCallbackBidi},
  };
  return calls;
}

}  // namespace fusebox::testing
