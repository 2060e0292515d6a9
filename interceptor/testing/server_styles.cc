#include "interceptor/testing/server_styles.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "interceptor/breaker/mutex.h"
#include "interceptor/handoff/handoff.h"
#include "interceptor/refused.h"
#include "interceptor/testing/echo_reactors.h"

namespace fusebox::testing {
namespace {

using grpc::ByteBuffer;
using grpc::CallbackServerContext;

constexpr char kEcho[] = "fusebox.testing.Echo";

std::string GenericName(CallKind kind) {
  return std::string(MethodOf(kind).substr(1));
}

// ---------------------------------------------------------------------------
// Synchronous and callback services

template <class Service>
class PlainEcho final : public StyledEcho {
 public:
  void Register(grpc::ServerBuilder& builder) override {
    builder.RegisterService(&service_);
  }
  EchoScript& script() override { return service_.script(); }

 private:
  Service service_;
};

class RawCallbackEcho final
    : public Echo::WithRawCallbackMethod_Unary<
          Echo::WithRawCallbackMethod_ClientStream<
              Echo::WithRawCallbackMethod_ServerStream<
                  Echo::WithRawCallbackMethod_Bidi<Echo::Service>>>> {
 public:
  EchoScript& script() { return script_; }

  grpc::ServerUnaryReactor* Unary(CallbackServerContext* context,
                                  const ByteBuffer* request,
                                  ByteBuffer* reply) override {
    script_.CountRun();
    return new UnaryReactor<ByteBuffer, ByteBuffer>(script_, context, *request,
                                                    reply);
  }
  grpc::ServerReadReactor<ByteBuffer>* ClientStream(
      CallbackServerContext* context, ByteBuffer* reply) override {
    script_.CountRun();
    return new ReadReactor<ByteBuffer, ByteBuffer>(script_, context, reply);
  }
  grpc::ServerWriteReactor<ByteBuffer>* ServerStream(
      CallbackServerContext* context, const ByteBuffer* request) override {
    script_.CountRun();
    return new WriteReactor<ByteBuffer, ByteBuffer>(script_, context, *request);
  }
  grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>* Bidi(
      CallbackServerContext* context) override {
    script_.CountRun();
    return new BidiReactor<ByteBuffer, ByteBuffer>(script_, context);
  }

 private:
  EchoScript script_;
};

// Calls that look like streams to their handlers, and to no one else.
class StreamedEcho final : public Echo::StreamedService {
 public:
  EchoScript& script() { return sync_.script(); }

  grpc::Status ClientStream(grpc::ServerContext* context,
                            grpc::ServerReader<EchoRequest>* reader,
                            EchoReply* reply) override {
    return sync_.ClientStream(context, reader, reply);
  }
  grpc::Status Bidi(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<EchoReply, EchoRequest>* stream) override {
    return sync_.Bidi(context, stream);
  }
  grpc::Status StreamedUnary(
      grpc::ServerContext* context,
      grpc::ServerUnaryStreamer<EchoRequest, EchoReply>* stream) override {
    EchoRequest request;
    EchoReply reply;
    stream->Read(&request);
    grpc::Status status = sync_.Unary(context, &request, &reply);
    if (status.ok()) stream->Write(reply);
    return status;
  }
  grpc::Status StreamedServerStream(
      grpc::ServerContext* context,
      grpc::ServerSplitStreamer<EchoRequest, EchoReply>* stream) override {
    sync_.script().CountRun();
    EchoRequest request;
    EchoReply reply;
    stream->Read(&request);
    reply.set_text(request.text());
    for (int i = 0; i < request.count(); ++i) stream->Write(reply);
    return sync_.Act(context, request.text());
  }

 private:
  SyncEcho sync_;
};

// ---------------------------------------------------------------------------
// Completion queues

// What a tag of the queue stands for.
struct Step {
  std::function<void(bool ok)> then;
  bool owned_by_queue = true;
};

class CallQueue {
 public:
  explicit CallQueue(bool tells_when_done)
      : tells_when_done_(tells_when_done) {}
  void AddTo(grpc::ServerBuilder& builder) {
    queue_ = builder.AddCompletionQueue();
  }
  void Start() {
    thread_ = std::thread([this] {
      void* tag = nullptr;
      bool ok = false;
      while (queue_->Next(&tag, &ok)) {
        auto* const step = static_cast<Step*>(tag);
        // What it does may be the end of the step itself.
        const std::function<void(bool)> then = step->then;
        if (step->owned_by_queue) delete step;
        then(ok);
      }
    });
  }
  // When the server has been shut down: calls end, and need the queue for it.
  void Stop() {
    {
      MutexLock lock(mu_);
      while (calls_ > 0) call_ended_.wait(mu_);
    }
    queue_->Shutdown();
    thread_.join();
  }

  void CallBegins() {
    MutexLock lock(mu_);
    ++calls_;
  }
  void CallEnds() {
    MutexLock lock(mu_);
    --calls_;
    call_ended_.notify_all();
  }

  grpc::ServerCompletionQueue* get() { return queue_.get(); }
  bool tells_when_done() const { return tells_when_done_; }

 private:
  const bool tells_when_done_;
  Mutex mu_;
  std::condition_variable_any call_ended_;
  int calls_ FUSEBOX_GUARDED_BY(mu_) = 0;  // that have arrived and not ended
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::thread thread_;
};

// What the calls of one service share.
struct QueuedService {
  explicit QueuedService(bool tells_when_done) : queue(tells_when_done) {}

  CallQueue queue;
  EchoScript script;
  bool careless = false;  // does not ask Refused()
};

// A call that waits to arrive, and deletes itself when it has ended. All its
// steps run on the thread of the queue.
template <class Context>
class QueuedCall {
 public:
  explicit QueuedCall(QueuedService& service) : service_(service) {
    if (!service_.queue.tells_when_done()) return;
    done_ = {[this](bool /*ok*/) { Done(); }, /*owned_by_queue=*/false};
    context_.AsyncNotifyWhenDone(&done_);
  }
  virtual ~QueuedCall() {
    if (arrived_) service_.queue.CallEnds();
  }
  QueuedCall(const QueuedCall&) = delete;
  QueuedCall& operator=(const QueuedCall&) = delete;

 protected:
  // Lets the next call of the method arrive.
  virtual void ReplaceMe() = 0;
  virtual void Begin() = 0;
  virtual void Finish(const grpc::Status& status) = 0;

  static void* Tag(std::function<void(bool ok)> then) {
    return new Step{std::move(then)};
  }
  void* Arrival() {
    return Tag([this](bool ok) {
      if (!ok) {
        delete this;
        return;
      }
      arrived_ = true;
      service_.queue.CallBegins();
      to_be_told_ = service_.queue.tells_when_done();
      ReplaceMe();
      if (!service_.careless && Refused(context_)) {
        Finish(RefusedStatus());
      } else {
        Begin();
      }
    });
  }
  void* End() {
    return Tag([this](bool /*ok*/) {
      ended_ = true;
      if (!to_be_told_) delete this;
    });
  }
  // Only as the last thing. Before that the request is still under way, and a
  // client that goes looks like one that has said all.
  void Act(const std::string& text) {
    service_.script.CountRun();
    if (text == "drop") {
      delete this;
    } else if (text == "cancelled") {
      finish_when_told_ = true;
      if (!to_be_told_) FinishCancelled();
    } else {
      service_.script.End(text, context_, [this](const grpc::Status& status) {
        Finish(status);
      });
    }
  }

  QueuedService& service_;
  Context context_;

 private:
  // The call is over for gRPC, which knows now whether it was cancelled.
  void Done() {
    to_be_told_ = false;
    if (ended_) {
      delete this;
    } else if (finish_when_told_) {
      FinishCancelled();
    }
  }
  void FinishCancelled() {
    Finish(grpc::Status(grpc::StatusCode::INTERNAL, "cancelled"));
  }

  Step done_;
  bool arrived_ = false;
  bool to_be_told_ = false;
  bool ended_ = false;
  bool finish_when_told_ = false;
};

template <class Request, class Reply>
class QueuedUnary final : public QueuedCall<grpc::ServerContext> {
 public:
  using Writer = grpc::ServerAsyncResponseWriter<Reply>;
  using Ask = std::function<void(grpc::ServerContext*, Request*, Writer*,
                                 grpc::ServerCompletionQueue*, void* tag)>;
  QueuedUnary(QueuedService& service, Ask ask)
      : QueuedCall(service), ask_(std::move(ask)) {
    ask_(&context_, &request_, &writer_, service.queue.get(), Arrival());
  }

 private:
  void ReplaceMe() override { new QueuedUnary(service_, ask_); }
  void Begin() override {
    const std::string text = RequestIn(request_).text();
    SetReply(text, &reply_);
    Act(text);
  }
  void Finish(const grpc::Status& status) override {
    if (status.ok()) {
      writer_.Finish(reply_, status, End());
    } else {
      writer_.FinishWithError(status, End());
    }
  }

  const Ask ask_;
  Request request_;
  Reply reply_;
  Writer writer_{&context_};
};

template <class Request, class Reply>
class QueuedClientStream final : public QueuedCall<grpc::ServerContext> {
 public:
  using Reader = grpc::ServerAsyncReader<Reply, Request>;
  using Ask = std::function<void(grpc::ServerContext*, Reader*,
                                 grpc::ServerCompletionQueue*, void* tag)>;
  QueuedClientStream(QueuedService& service, Ask ask)
      : QueuedCall(service), ask_(std::move(ask)) {
    ask_(&context_, &reader_, service.queue.get(), Arrival());
  }

 private:
  void ReplaceMe() override { new QueuedClientStream(service_, ask_); }
  void Begin() override {
    reader_.Read(&request_, Tag([this](bool ok) {
      if (ok) {
        text_ = RequestIn(request_).text();
        Begin();
      } else {
        SetReply(text_, &reply_);
        Act(text_);
      }
    }));
  }
  void Finish(const grpc::Status& status) override {
    if (status.ok()) {
      reader_.Finish(reply_, status, End());
    } else {
      reader_.FinishWithError(status, End());
    }
  }

  const Ask ask_;
  Request request_;
  std::string text_;
  Reply reply_;
  Reader reader_{&context_};
};

template <class Request, class Reply>
class QueuedServerStream final : public QueuedCall<grpc::ServerContext> {
 public:
  using Writer = grpc::ServerAsyncWriter<Reply>;
  using Ask = std::function<void(grpc::ServerContext*, Request*, Writer*,
                                 grpc::ServerCompletionQueue*, void* tag)>;
  QueuedServerStream(QueuedService& service, Ask ask)
      : QueuedCall(service), ask_(std::move(ask)) {
    ask_(&context_, &request_, &writer_, service.queue.get(), Arrival());
  }

 private:
  void ReplaceMe() override { new QueuedServerStream(service_, ask_); }
  void Begin() override {
    const EchoRequest request = RequestIn(request_);
    if (written_++ < request.count()) {
      SetReply(request.text(), &reply_);
      writer_.Write(reply_, Tag([this](bool /*ok*/) { Begin(); }));
    } else {
      Act(request.text());
    }
  }
  void Finish(const grpc::Status& status) override {
    writer_.Finish(status, End());
  }

  const Ask ask_;
  Request request_;
  int written_ = 0;
  Reply reply_;
  Writer writer_{&context_};
};

template <class Request, class Reply>
class QueuedBidi final : public QueuedCall<grpc::ServerContext> {
 public:
  using Stream = grpc::ServerAsyncReaderWriter<Reply, Request>;
  using Ask = std::function<void(grpc::ServerContext*, Stream*,
                                 grpc::ServerCompletionQueue*, void* tag)>;
  QueuedBidi(QueuedService& service, Ask ask)
      : QueuedCall(service), ask_(std::move(ask)) {
    ask_(&context_, &stream_, service.queue.get(), Arrival());
  }

 private:
  void ReplaceMe() override { new QueuedBidi(service_, ask_); }
  void Begin() override {
    stream_.Read(&request_, Tag([this](bool ok) {
      if (!ok) {
        Act(text_);
        return;
      }
      text_ = RequestIn(request_).text();
      SetReply(text_, &reply_);
      stream_.Write(reply_, Tag([this](bool /*ok*/) { Begin(); }));
    }));
  }
  void Finish(const grpc::Status& status) override {
    stream_.Finish(status, End());
  }

  const Ask ask_;
  Request request_;
  std::string text_;
  Reply reply_;
  Stream stream_{&context_};
};

// How many replies a generic handler gives before its status.
int RepliesBefore(std::string_view method, const EchoRequest& last,
                  int requests) {
  if (method == MethodOf(CallKind::kServerStream)) return last.count();
  return method == MethodOf(CallKind::kBidi) ? requests : 0;
}
// Whether the reply goes with a good status.
bool HasOneReply(std::string_view method) {
  return method == MethodOf(CallKind::kUnary) ||
         method == MethodOf(CallKind::kClientStream);
}

// Serves any method: reads all requests, then replies.
class QueuedGeneric final : public QueuedCall<grpc::GenericServerContext> {
 public:
  QueuedGeneric(QueuedService& service, grpc::AsyncGenericService& generic)
      : QueuedCall(service), generic_(generic) {
    generic_.RequestCall(&context_, &stream_, service.queue.get(),
                         service.queue.get(), Arrival());
  }

 private:
  void ReplaceMe() override { new QueuedGeneric(service_, generic_); }
  void Begin() override {
    stream_.Read(&bytes_, Tag([this](bool ok) {
      if (ok) {
        last_ = RequestIn(bytes_);
        ++requests_;
        Begin();
      } else {
        SetReply(last_.text(), &bytes_);
        replies_ = RepliesBefore(context_.method(), last_, requests_);
        Reply();
      }
    }));
  }
  void Reply() {
    if (replies_-- > 0) {
      stream_.Write(bytes_, Tag([this](bool /*ok*/) { Reply(); }));
    } else {
      Act(last_.text());
    }
  }
  void Finish(const grpc::Status& status) override {
    if (status.ok() && HasOneReply(context_.method())) {
      stream_.WriteAndFinish(bytes_, grpc::WriteOptions(), status, End());
    } else {
      stream_.Finish(status, End());
    }
  }

  grpc::AsyncGenericService& generic_;
  ByteBuffer bytes_;
  EchoRequest last_;
  int requests_ = 0;
  int replies_ = 0;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
};

// Lets calls of `service` arrive, each of its method. `Request` and `Reply` as
// the methods are made.
template <class Request, class Reply, class Service>
void ServeUnary(QueuedService& queued, Service& service) {
  new QueuedUnary<Request, Reply>(
      queued, [&service](auto* context, auto* request, auto* writer,
                         auto* queue, void* tag) {
        service.RequestUnary(context, request, writer, queue, queue, tag);
      });
}
template <class Request, class Reply, class Service>
void ServeClientStream(QueuedService& queued, Service& service) {
  new QueuedClientStream<Request, Reply>(
      queued, [&service](auto* context, auto* reader, auto* queue, void* tag) {
        service.RequestClientStream(context, reader, queue, queue, tag);
      });
}
template <class Request, class Reply, class Service>
void ServeServerStream(QueuedService& queued, Service& service) {
  new QueuedServerStream<Request, Reply>(
      queued, [&service](auto* context, auto* request, auto* writer,
                         auto* queue, void* tag) {
        service.RequestServerStream(context, request, writer, queue, queue,
                                    tag);
      });
}
template <class Request, class Reply, class Service>
void ServeBidi(QueuedService& queued, Service& service) {
  new QueuedBidi<Request, Reply>(
      queued, [&service](auto* context, auto* stream, auto* queue, void* tag) {
        service.RequestBidi(context, stream, queue, queue, tag);
      });
}

using RawEcho = Echo::WithRawMethod_Unary<Echo::WithRawMethod_ClientStream<
    Echo::WithRawMethod_ServerStream<Echo::WithRawMethod_Bidi<Echo::Service>>>>;

template <class Service, class Request, class Reply>
class AsyncEcho final : public StyledEcho {
 public:
  explicit AsyncEcho(bool tells_when_done, bool careless = false)
      : queued_(tells_when_done) {
    queued_.careless = careless;
  }
  void Register(grpc::ServerBuilder& builder) override {
    builder.RegisterService(&service_);
    queued_.queue.AddTo(builder);
  }
  void Declare(ServerOptions& options) const override {
    options.async_services = {kEcho};
  }
  void Start() override {
    ServeUnary<Request, Reply>(queued_, service_);
    ServeClientStream<Request, Reply>(queued_, service_);
    ServeServerStream<Request, Reply>(queued_, service_);
    ServeBidi<Request, Reply>(queued_, service_);
    queued_.queue.Start();
  }
  void Stop() override { queued_.queue.Stop(); }
  EchoScript& script() override { return queued_.script; }

 private:
  QueuedService queued_;
  Service service_;
};

// ---------------------------------------------------------------------------
// Generic services

void NameGenericMethods(ServerOptions& options) {
  for (const CallKind kind : kAllCallKinds) {
    options.generic_methods.push_back(GenericName(kind));
  }
}

class AsyncGenericEcho final : public StyledEcho {
 public:
  explicit AsyncGenericEcho(bool tells_when_done) : queued_(tells_when_done) {}
  void Register(grpc::ServerBuilder& builder) override {
    builder.RegisterAsyncGenericService(&generic_);
    queued_.queue.AddTo(builder);
  }
  void Declare(ServerOptions& options) const override {
    NameGenericMethods(options);
  }
  void Start() override {
    new QueuedGeneric(queued_, generic_);
    queued_.queue.Start();
  }
  void Stop() override { queued_.queue.Stop(); }
  EchoScript& script() override { return queued_.script; }

 private:
  QueuedService queued_;
  grpc::AsyncGenericService generic_;
};

class GenericReactor final
    : public ScriptedReactor<grpc::ServerGenericBidiReactor> {
 public:
  GenericReactor(EchoScript& script,
                 grpc::GenericCallbackServerContext* context)
      : ScriptedReactor(script, context), method_(context->method()) {
    ReleaseToGrpc(this);
    StartRead(&bytes_);
  }
  void OnReadDone(bool ok) override {
    AcquireFromGrpc(this);
    if (ok) {
      last_ = RequestIn(bytes_);
      ++requests_;
      ReleaseToGrpc(this);
      StartRead(&bytes_);
      return;
    }
    SetReply(last_.text(), &bytes_);
    replies_ = RepliesBefore(method_, last_, requests_);
    // Its status may yet be another one; then the client does not look at this.
    if (HasOneReply(method_)) replies_ = 1;
    Reply();
  }
  void OnWriteDone(bool /*ok*/) override {
    AcquireFromGrpc(this);
    Reply();
  }

 private:
  void Reply() {
    if (replies_-- > 0) {
      ReleaseToGrpc(this);
      StartWrite(&bytes_);
    } else {
      Act(last_.text());
    }
  }

  const std::string method_;
  ByteBuffer bytes_;
  EchoRequest last_;
  int requests_ = 0;
  int replies_ = 0;
};

class CallbackGeneric final : public grpc::CallbackGenericService {
 public:
  explicit CallbackGeneric(EchoScript& script) : script_(script) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    script_.CountRun();
    return new GenericReactor(script_, context);
  }

 private:
  EchoScript& script_;
};

class CallbackGenericEcho final : public StyledEcho {
 public:
  explicit CallbackGenericEcho(bool careless = false) : careless_(careless) {}
  void Register(grpc::ServerBuilder& builder) override {
    if (careless_) {
      builder.RegisterCallbackGenericService(&generic_);
    } else {
      builder.RegisterCallbackGenericService(&guarded_);
    }
  }
  void Declare(ServerOptions& options) const override {
    NameGenericMethods(options);
  }
  EchoScript& script() override { return script_; }

 private:
  const bool careless_;
  EchoScript script_;
  CallbackGeneric generic_{script_};
  GuardedCallbackGenericService guarded_{&generic_};
};

// ---------------------------------------------------------------------------
// Each method in another way

// Unary from a queue, client streams with callbacks, server streams
// synchronous, bidi generic from the queue.
class HybridQueueFirst final : public StyledEcho {
 public:
  void Register(grpc::ServerBuilder& builder) override {
    builder.RegisterService(&service_);
    builder.RegisterAsyncGenericService(&generic_);
    queued_.queue.AddTo(builder);
  }
  void Declare(ServerOptions& options) const override {
    options.async_services = {GenericName(CallKind::kUnary)};
    options.generic_methods = {GenericName(CallKind::kBidi)};
  }
  void Start() override {
    ServeUnary<EchoRequest, EchoReply>(queued_, service_);
    new QueuedGeneric(queued_, generic_);
    queued_.queue.Start();
  }
  void Stop() override { queued_.queue.Stop(); }
  EchoScript& script() override { return queued_.script; }

 private:
  class Service final : public Echo::WithAsyncMethod_Unary<
                            Echo::WithCallbackMethod_ClientStream<
                                Echo::WithGenericMethod_Bidi<Echo::Service>>> {
   public:
    explicit Service(EchoScript& script) : script_(script), sync_(&script) {}
    grpc::ServerReadReactor<EchoRequest>* ClientStream(
        CallbackServerContext* context, EchoReply* reply) override {
      script_.CountRun();
      return new ReadReactor<EchoRequest, EchoReply>(script_, context, reply);
    }
    grpc::Status ServerStream(grpc::ServerContext* context,
                              const EchoRequest* request,
                              grpc::ServerWriter<EchoReply>* writer) override {
      return sync_.ServerStream(context, request, writer);
    }

   private:
    EchoScript& script_;
    SyncEcho sync_;
  };

  QueuedService queued_{/*tells_when_done=*/true};
  Service service_{queued_.script};
  grpc::AsyncGenericService generic_;
};

// Unary generic with callbacks, client streams synchronous, server streams as
// bytes from a queue, bidi as bytes with callbacks.
class HybridGenericFirst final : public StyledEcho {
 public:
  void Register(grpc::ServerBuilder& builder) override {
    builder.RegisterService(&service_);
    builder.RegisterCallbackGenericService(&guarded_);
    queued_.queue.AddTo(builder);
  }
  void Declare(ServerOptions& options) const override {
    options.async_services = {kEcho};
    options.generic_methods = {GenericName(CallKind::kUnary)};
  }
  void Start() override {
    ServeServerStream<ByteBuffer, ByteBuffer>(queued_, service_);
    queued_.queue.Start();
  }
  void Stop() override { queued_.queue.Stop(); }
  EchoScript& script() override { return queued_.script; }

 private:
  class Service final
      : public Echo::WithGenericMethod_Unary<Echo::WithRawMethod_ServerStream<
            Echo::WithRawCallbackMethod_Bidi<Echo::Service>>> {
   public:
    explicit Service(EchoScript& script) : script_(script), sync_(&script) {}
    grpc::Status ClientStream(grpc::ServerContext* context,
                              grpc::ServerReader<EchoRequest>* reader,
                              EchoReply* reply) override {
      return sync_.ClientStream(context, reader, reply);
    }
    grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>* Bidi(
        CallbackServerContext* context) override {
      script_.CountRun();
      return new BidiReactor<ByteBuffer, ByteBuffer>(script_, context);
    }

   private:
    EchoScript& script_;
    SyncEcho sync_;
  };

  QueuedService queued_{/*tells_when_done=*/true};
  Service service_{queued_.script};
  CallbackGeneric generic_{queued_.script};
  GuardedCallbackGenericService guarded_{&generic_};
};

using Made = std::unique_ptr<StyledEcho>;

template <class Style>
Made Make() {
  return std::make_unique<Style>();
}

}  // namespace

const std::vector<ServerStyle>& ServerStyles() {
  static const auto& styles = *new std::vector<ServerStyle>{
      {"Sync", &Make<PlainEcho<SyncEcho>>},
      {"StreamedUnary", &Make<PlainEcho<StreamedEcho>>},
      {"Callback", &Make<PlainEcho<CallbackEcho>>},
      {"RawCallback", &Make<PlainEcho<RawCallbackEcho>>},
      {"CallbackGeneric", &Make<CallbackGenericEcho>},
      {"Async",
       []() -> Made {
         return std::make_unique<
             AsyncEcho<Echo::AsyncService, EchoRequest, EchoReply>>(false);
       },
       /*knows_cancellation=*/false, /*can_drop=*/true},
      {"AsyncToldWhenDone",
       []() -> Made {
         return std::make_unique<
             AsyncEcho<Echo::AsyncService, EchoRequest, EchoReply>>(true);
       }},
      {"RawAsync",
       []() -> Made {
         return std::make_unique<AsyncEcho<RawEcho, ByteBuffer, ByteBuffer>>(
             false);
       },
       /*knows_cancellation=*/false, /*can_drop=*/true},
      {"AsyncGeneric",
       []() -> Made { return std::make_unique<AsyncGenericEcho>(false); },
       /*knows_cancellation=*/false, /*can_drop=*/true},
      {"AsyncGenericToldWhenDone",
       []() -> Made { return std::make_unique<AsyncGenericEcho>(true); }},
      {"HybridQueueFirst", &Make<HybridQueueFirst>},
      {"HybridGenericFirst", &Make<HybridGenericFirst>},
  };
  return styles;
}

std::unique_ptr<StyledEcho> CarelessAsyncEcho() {
  return std::make_unique<
      AsyncEcho<Echo::AsyncService, EchoRequest, EchoReply>>(
      /*tells_when_done=*/false, /*careless=*/true);
}

std::unique_ptr<StyledEcho> CarelessGenericEcho() {
  return std::make_unique<CallbackGenericEcho>(/*careless=*/true);
}

}  // namespace fusebox::testing
