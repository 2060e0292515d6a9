#include "interceptor/testing/echo_server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>
#include <gtest/gtest.h>

#include <chrono>
#include <utility>

#include "interceptor/rejection.h"

namespace fusebox::testing {
namespace {

EchoReply ReplyTo(const EchoRequest& request) {
  EchoReply reply;
  reply.set_text(request.text());
  return reply;
}

}  // namespace

EchoServer::EchoServer(int port) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port),
                           grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  EXPECT_NE(server_, nullptr);
}

EchoServer::~EchoServer() {
  Release();
  server_->Shutdown(std::chrono::system_clock::now());
}

std::shared_ptr<grpc::Channel> EchoServer::InProcessChannel(
    std::vector<
        std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
        interceptors) {
  return server_->experimental().InProcessChannelWithInterceptors(
      grpc::ChannelArguments(), std::move(interceptors));
}

void EchoServer::AwaitHeld(int calls) {
  std::unique_lock<std::mutex> lock(mu_);
  EXPECT_TRUE(changed_.wait_for(lock, std::chrono::minutes(1),
                                [&] { return held_ >= calls; }))
      << held_ << " calls held, expected " << calls;
}

void EchoServer::Release() {
  const std::lock_guard<std::mutex> lock(mu_);
  released_ = true;
  changed_.notify_all();
}

grpc::Status EchoServer::Unary(grpc::ServerContext* context,
                               const EchoRequest* request, EchoReply* reply) {
  ++handled_;
  *reply = ReplyTo(*request);
  return Answer(context, *request);
}

grpc::Status EchoServer::ClientStream(grpc::ServerContext* context,
                                      grpc::ServerReader<EchoRequest>* reader,
                                      EchoReply* reply) {
  ++handled_;
  EchoRequest first;
  if (!reader->Read(&first)) return grpc::Status::OK;
  *reply = ReplyTo(first);
  if (first.text() != kHold) {
    EchoRequest more;
    while (reader->Read(&more)) {
    }
  }
  return Answer(context, first);
}

grpc::Status EchoServer::ServerStream(grpc::ServerContext* context,
                                      const EchoRequest* request,
                                      grpc::ServerWriter<EchoReply>* writer) {
  ++handled_;
  writer->Write(ReplyTo(*request));
  return Answer(context, *request);
}

grpc::Status EchoServer::Bidi(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<EchoReply, EchoRequest>* stream) {
  ++handled_;
  EchoRequest first;
  if (!stream->Read(&first)) return grpc::Status::OK;
  stream->Write(ReplyTo(first));
  if (first.text() != kHold) {
    EchoRequest more;
    while (stream->Read(&more)) stream->Write(ReplyTo(more));
  }
  return Answer(context, first);
}

grpc::Status EchoServer::Answer(grpc::ServerContext* context,
                                const EchoRequest& request) {
  grpc::Status failure(static_cast<grpc::StatusCode>(request.count()),
                       "as asked");
  if (request.text() == kFail) return failure;
  if (request.text() == kFlaky && handled_ < 3) return failure;
  if (request.text() == kReject) {
    const Rejection rejection{RejectionReason::kOpen, std::chrono::seconds(1)};
    return RejectionStatus(rejection, "/further.Down/M", rejection.retry_after);
  }
  if (request.text() == kHold) {
    std::unique_lock<std::mutex> lock(mu_);
    ++held_;
    changed_.notify_all();
    // gRPC tells synchronous handlers of a cancellation only when asked.
    while (!released_ && !context->IsCancelled()) {
      changed_.wait_for(lock, std::chrono::milliseconds(2));
    }
    --held_;
  }
  return grpc::Status::OK;
}

}  // namespace fusebox::testing
