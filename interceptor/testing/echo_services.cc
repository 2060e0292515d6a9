#include "interceptor/testing/echo_services.h"

#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

#include "interceptor/handoff/handoff.h"
#include "interceptor/rejection.h"

namespace fusebox::testing {
namespace {

bool StartsWith(const std::string& text, std::string_view start) {
  return text.compare(0, start.size(), start) == 0;
}

// Waits until `condition` holds, looking every millisecond.
template <class Condition>
void Await(Condition condition) {
  while (!condition()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

bool DeadlinePassed(const grpc::ServerContextBase& context) {
  return std::chrono::system_clock::now() >= context.deadline();
}

}  // namespace

std::string_view MethodOf(CallKind kind) {
  switch (kind) {
    case CallKind::kUnary:
      return "/fusebox.testing.Echo/Unary";
    case CallKind::kClientStream:
      return "/fusebox.testing.Echo/ClientStream";
    case CallKind::kServerStream:
      return "/fusebox.testing.Echo/ServerStream";
    case CallKind::kBidi:
      return "/fusebox.testing.Echo/Bidi";
  }
  return "";
}

void EchoScript::Release() {
  std::vector<std::function<void()>> then;
  {
    const std::lock_guard<std::mutex> lock(mu_);
    released_ = true;
    then.swap(then_);
  }
  changed_.notify_all();
  for (const std::function<void()>& f : then) f();
}

void EchoScript::AwaitHeld(int count) {
  std::unique_lock<std::mutex> lock(mu_);
  changed_.wait(lock, [this, count] { return held_ >= count; });
}

void EchoScript::Hold(std::function<void()> then) {
  {
    const std::lock_guard<std::mutex> lock(mu_);
    ++held_;
    changed_.notify_all();
    if (!released_) {
      then_.push_back(std::move(then));
      return;
    }
  }
  then();
}

void EchoScript::Hold() {
  std::unique_lock<std::mutex> lock(mu_);
  ++held_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return released_; });
}

grpc::Status AskedFor(const std::string& text) {
  constexpr std::string_view kHold = "hold ";
  if (StartsWith(text, kHold)) return AskedFor(text.substr(kHold.size()));
  constexpr std::string_view kStatus = "status ";
  if (StartsWith(text, kStatus)) {
    const int code = std::atoi(text.c_str() + kStatus.size());
    return grpc::Status(static_cast<grpc::StatusCode>(code), "");
  }
  if (text == "rejection") {
    return RejectionStatus(Rejection{}, "/other.Service/Method",
                           std::chrono::seconds(1));
  }
  if (text == "throw") throw std::runtime_error("as asked for");
  return grpc::Status::OK;
}

// ---------------------------------------------------------------------------

grpc::Status SyncEcho::Act(grpc::ServerContext* context,
                           const std::string& text) {
  if (text == "late") Await([context] { return DeadlinePassed(*context); });
  if (StartsWith(text, "hold")) script_.Hold();
  if (text == "cancelled") {
    Await([context] { return context->IsCancelled(); });
    return grpc::Status(grpc::StatusCode::INTERNAL, "cancelled");
  }
  return AskedFor(text);
}

grpc::Status SyncEcho::Unary(grpc::ServerContext* context,
                             const EchoRequest* request, EchoReply* reply) {
  script_.CountRun();
  reply->set_text(request->text());
  return Act(context, request->text());
}

grpc::Status SyncEcho::ClientStream(grpc::ServerContext* context,
                                    grpc::ServerReader<EchoRequest>* reader,
                                    EchoReply* reply) {
  script_.CountRun();
  EchoRequest request;
  while (reader->Read(&request)) {
    reply->set_text(request.text());
    grpc::Status status = Act(context, request.text());
    if (!status.ok()) return status;
  }
  return grpc::Status::OK;
}

grpc::Status SyncEcho::ServerStream(grpc::ServerContext* context,
                                    const EchoRequest* request,
                                    grpc::ServerWriter<EchoReply>* writer) {
  script_.CountRun();
  EchoReply reply;
  reply.set_text(request->text());
  for (int i = 0; i < request->count(); ++i) writer->Write(reply);
  return Act(context, request->text());
}

grpc::Status SyncEcho::Bidi(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<EchoReply, EchoRequest>* stream) {
  script_.CountRun();
  EchoRequest request;
  while (stream->Read(&request)) {
    EchoReply reply;
    reply.set_text(request.text());
    stream->Write(reply);
    grpc::Status status = Act(context, request.text());
    if (!status.ok()) return status;
  }
  return grpc::Status::OK;
}

// ---------------------------------------------------------------------------

namespace {

// The end of a callback handler, for each kind of reactor.
template <class Reactor>
class ScriptedReactor : public Reactor {
 public:
  ScriptedReactor(EchoScript& script, grpc::CallbackServerContext* context)
      : script_(script), context_(context) {
    ReleaseToGrpc(this);
  }

  void OnCancel() override {
    AcquireFromGrpc(this);
    bool finish = false;
    {
      const std::lock_guard<std::mutex> lock(mu_);
      cancelled_ = true;
      finish = waits_;
    }
    if (finish) FinishCancelled();
  }
  void OnDone() override {
    AcquireFromGrpc(this);
    delete this;
  }

 protected:
  // Only as the last thing: the reactor may be gone afterwards.
  void Act(const std::string& text) {
    ReleaseToGrpc(this);
    if (StartsWith(text, "hold")) {
      script_.Hold([this, text] { this->Finish(AskedFor(text)); });
    } else if (text == "late") {
      std::thread([this] {
        Await([this] { return DeadlinePassed(*context_); });
        this->Finish(grpc::Status::OK);
      }).detach();
    } else if (text == "cancelled") {
      bool finish = false;
      {
        const std::lock_guard<std::mutex> lock(mu_);
        waits_ = true;
        finish = cancelled_;
      }
      if (finish) FinishCancelled();
    } else {
      this->Finish(AskedFor(text));
    }
  }

 private:
  void FinishCancelled() {
    this->Finish(grpc::Status(grpc::StatusCode::INTERNAL, "cancelled"));
  }

  EchoScript& script_;
  grpc::CallbackServerContext* const context_;
  std::mutex mu_;
  bool cancelled_ = false;
  bool waits_ = false;
};

class UnaryEcho final : public ScriptedReactor<grpc::ServerUnaryReactor> {
 public:
  UnaryEcho(EchoScript& script, grpc::CallbackServerContext* context,
            const std::string& text)
      : ScriptedReactor(script, context) {
    Act(text);
  }
};

class ReadEcho final
    : public ScriptedReactor<grpc::ServerReadReactor<EchoRequest>> {
 public:
  ReadEcho(EchoScript& script, grpc::CallbackServerContext* context,
           EchoReply* reply)
      : ScriptedReactor(script, context), reply_(reply) {
    ReleaseToGrpc(this);
    StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    AcquireFromGrpc(this);
    if (ok) {
      reply_->set_text(request_.text());
      ReleaseToGrpc(this);
      StartRead(&request_);
    } else {
      Act(reply_->text());
    }
  }

 private:
  EchoRequest request_;
  EchoReply* const reply_;
};

class WriteEcho final
    : public ScriptedReactor<grpc::ServerWriteReactor<EchoReply>> {
 public:
  WriteEcho(EchoScript& script, grpc::CallbackServerContext* context,
            const EchoRequest* request)
      : ScriptedReactor(script, context),
        text_(request->text()),
        left_(request->count()) {
    reply_.set_text(text_);
    Next();
  }
  void OnWriteDone(bool /*ok*/) override {
    AcquireFromGrpc(this);
    Next();
  }

 private:
  void Next() {
    if (left_-- > 0) {
      ReleaseToGrpc(this);
      StartWrite(&reply_);
    } else {
      Act(text_);
    }
  }
  const std::string text_;
  int left_;
  EchoReply reply_;
};

class BidiEcho final
    : public ScriptedReactor<grpc::ServerBidiReactor<EchoRequest, EchoReply>> {
 public:
  BidiEcho(EchoScript& script, grpc::CallbackServerContext* context)
      : ScriptedReactor(script, context) {
    ReleaseToGrpc(this);
    StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    AcquireFromGrpc(this);
    if (ok) {
      reply_.set_text(request_.text());
      ReleaseToGrpc(this);
      StartWrite(&reply_);
    } else {
      Act(reply_.text());
    }
  }
  void OnWriteDone(bool ok) override {
    AcquireFromGrpc(this);
    if (ok) {
      ReleaseToGrpc(this);
      StartRead(&request_);
    } else {
      Act(reply_.text());
    }
  }

 private:
  EchoRequest request_;
  EchoReply reply_;
};

}  // namespace

grpc::ServerUnaryReactor* CallbackEcho::Unary(
    grpc::CallbackServerContext* context, const EchoRequest* request,
    EchoReply* reply) {
  script_.CountRun();
  reply->set_text(request->text());
  if (request->text() == "throw") AskedFor("throw");
  return new UnaryEcho(script_, context, request->text());
}

grpc::ServerReadReactor<EchoRequest>* CallbackEcho::ClientStream(
    grpc::CallbackServerContext* context, EchoReply* reply) {
  script_.CountRun();
  return new ReadEcho(script_, context, reply);
}

grpc::ServerWriteReactor<EchoReply>* CallbackEcho::ServerStream(
    grpc::CallbackServerContext* context, const EchoRequest* request) {
  script_.CountRun();
  if (request->text() == "throw") AskedFor("throw");
  return new WriteEcho(script_, context, request);
}

grpc::ServerBidiReactor<EchoRequest, EchoReply>* CallbackEcho::Bidi(
    grpc::CallbackServerContext* context) {
  script_.CountRun();
  return new BidiEcho(script_, context);
}

// ---------------------------------------------------------------------------

EchoResult CallEcho(Echo::Stub& stub, CallKind kind,
                    grpc::ClientContext& context, const std::string& text,
                    int count) {
  EchoRequest request;
  request.set_text(text);
  request.set_count(count);
  EchoReply reply;
  EchoResult result;
  switch (kind) {
    case CallKind::kUnary:
      result.status = stub.Unary(&context, request, &reply);
      if (result.status.ok()) result.replies.push_back(reply.text());
      break;
    case CallKind::kClientStream: {
      const auto writer = stub.ClientStream(&context, &reply);
      writer->Write(request);
      writer->WritesDone();
      result.status = writer->Finish();
      if (result.status.ok()) result.replies.push_back(reply.text());
      break;
    }
    case CallKind::kServerStream: {
      const auto reader = stub.ServerStream(&context, request);
      while (reader->Read(&reply)) result.replies.push_back(reply.text());
      result.status = reader->Finish();
      break;
    }
    case CallKind::kBidi: {
      const auto stream = stub.Bidi(&context);
      stream->Write(request);
      stream->WritesDone();
      while (stream->Read(&reply)) result.replies.push_back(reply.text());
      result.status = stream->Finish();
      break;
    }
  }
  for (const auto& [key, value] : context.GetServerTrailingMetadata()) {
    result.trailers.emplace(std::string(key.data(), key.size()),
                            std::string(value.data(), value.size()));
  }
  return result;
}

EchoResult CallEcho(Echo::Stub& stub, CallKind kind, const std::string& text) {
  grpc::ClientContext context;
  return CallEcho(stub, kind, context, text);
}

}  // namespace fusebox::testing
