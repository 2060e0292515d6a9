#include "interceptor/testing/echo_services.h"

#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

#include "interceptor/rejection.h"
#include "interceptor/starts_with.h"
#include "interceptor/testing/echo_reactors.h"

namespace fusebox::testing {
namespace {

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

void EchoScript::End(const std::string& text,
                     const grpc::ServerContextBase& context,
                     std::function<void(const grpc::Status&)> finish) {
  if (StartsWith(text, "hold")) {
    Hold([text, finish = std::move(finish)] { finish(AskedFor(text)); });
  } else if (text == "late") {
    std::thread([&context, finish = std::move(finish)] {
      Await([&context] { return DeadlinePassed(context); });
      finish(grpc::Status::OK);
    }).detach();
  } else {
    finish(AskedFor(text));
  }
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

EchoRequest RequestIn(const grpc::ByteBuffer& bytes) {
  grpc::ByteBuffer copy(bytes);
  EchoRequest request;
  grpc::SerializationTraits<EchoRequest>::Deserialize(&copy, &request);
  return request;
}

void SetReply(const std::string& text, grpc::ByteBuffer* reply) {
  EchoReply message;
  message.set_text(text);
  bool own_buffer = false;
  grpc::SerializationTraits<EchoReply>::Serialize(message, reply, &own_buffer);
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

grpc::ServerUnaryReactor* CallbackEcho::Unary(
    grpc::CallbackServerContext* context, const EchoRequest* request,
    EchoReply* reply) {
  script_.CountRun();
  if (request->text() == "throw") AskedFor("throw");
  return new UnaryReactor<EchoRequest, EchoReply>(script_, context, *request,
                                                  reply);
}

grpc::ServerReadReactor<EchoRequest>* CallbackEcho::ClientStream(
    grpc::CallbackServerContext* context, EchoReply* reply) {
  script_.CountRun();
  return new ReadReactor<EchoRequest, EchoReply>(script_, context, reply);
}

grpc::ServerWriteReactor<EchoReply>* CallbackEcho::ServerStream(
    grpc::CallbackServerContext* context, const EchoRequest* request) {
  script_.CountRun();
  if (request->text() == "throw") AskedFor("throw");
  return new WriteReactor<EchoRequest, EchoReply>(script_, context, *request);
}

grpc::ServerBidiReactor<EchoRequest, EchoReply>* CallbackEcho::Bidi(
    grpc::CallbackServerContext* context) {
  script_.CountRun();
  return new BidiReactor<EchoRequest, EchoReply>(script_, context);
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
