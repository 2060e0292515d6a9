// Handlers of Echo, for messages as generated and as bytes.

#ifndef FUSEBOX_INTERCEPTOR_TESTING_ECHO_REACTORS_H_
#define FUSEBOX_INTERCEPTOR_TESTING_ECHO_REACTORS_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <mutex>
#include <string>
#include <utility>

#include "interceptor/handoff/handoff.h"
#include "interceptor/testing/echo_services.h"

namespace fusebox::testing {

// A request or reply as the generated message, and back.
inline const EchoRequest& RequestIn(const EchoRequest& request) {
  return request;
}
EchoRequest RequestIn(const grpc::ByteBuffer& bytes);
inline void SetReply(const std::string& text, EchoReply* reply) {
  reply->set_text(text);
}
void SetReply(const std::string& text, grpc::ByteBuffer* reply);

// The end of a callback handler, for each kind of reactor.
template <class Reactor>
class ScriptedReactor : public Reactor {
 public:
  ScriptedReactor(EchoScript& script, grpc::CallbackServerContext* context)
      : script_(script), context_(*context) {
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
    if (text == "cancelled") {
      bool finish = false;
      {
        const std::lock_guard<std::mutex> lock(mu_);
        waits_ = true;
        finish = cancelled_;
      }
      if (finish) FinishCancelled();
      return;
    }
    script_.End(text, context_,
                [this](const grpc::Status& status) { this->Finish(status); });
  }

 private:
  void FinishCancelled() {
    this->Finish(grpc::Status(grpc::StatusCode::INTERNAL, "cancelled"));
  }

  EchoScript& script_;
  const grpc::CallbackServerContext& context_;
  std::mutex mu_;
  bool cancelled_ = false;
  bool waits_ = false;
};

template <class Request, class Reply>
class UnaryReactor final : public ScriptedReactor<grpc::ServerUnaryReactor> {
 public:
  UnaryReactor(EchoScript& script, grpc::CallbackServerContext* context,
               const Request& request, Reply* reply)
      : ScriptedReactor(script, context) {
    const std::string text = RequestIn(request).text();
    SetReply(text, reply);
    Act(text);
  }
};

template <class Request, class Reply>
class ReadReactor final
    : public ScriptedReactor<grpc::ServerReadReactor<Request>> {
 public:
  ReadReactor(EchoScript& script, grpc::CallbackServerContext* context,
              Reply* reply)
      : ScriptedReactor<grpc::ServerReadReactor<Request>>(script, context),
        reply_(*reply) {
    ReleaseToGrpc(this);
    this->StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    AcquireFromGrpc(this);
    if (ok) {
      text_ = RequestIn(request_).text();
      ReleaseToGrpc(this);
      this->StartRead(&request_);
    } else {
      SetReply(text_, &reply_);
      this->Act(text_);
    }
  }

 private:
  Request request_;
  std::string text_;
  Reply& reply_;
};

template <class Request, class Reply>
class WriteReactor final
    : public ScriptedReactor<grpc::ServerWriteReactor<Reply>> {
 public:
  WriteReactor(EchoScript& script, grpc::CallbackServerContext* context,
               const Request& request)
      : ScriptedReactor<grpc::ServerWriteReactor<Reply>>(script, context),
        text_(RequestIn(request).text()),
        left_(RequestIn(request).count()) {
    SetReply(text_, &reply_);
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
      this->StartWrite(&reply_);
    } else {
      this->Act(text_);
    }
  }
  const std::string text_;
  int left_;
  Reply reply_;
};

template <class Request, class Reply>
class BidiReactor final
    : public ScriptedReactor<grpc::ServerBidiReactor<Request, Reply>> {
 public:
  BidiReactor(EchoScript& script, grpc::CallbackServerContext* context)
      : ScriptedReactor<grpc::ServerBidiReactor<Request, Reply>>(script,
                                                                 context) {
    ReleaseToGrpc(this);
    this->StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    AcquireFromGrpc(this);
    if (ok) {
      text_ = RequestIn(request_).text();
      SetReply(text_, &reply_);
      ReleaseToGrpc(this);
      this->StartWrite(&reply_);
    } else {
      this->Act(text_);
    }
  }
  void OnWriteDone(bool ok) override {
    AcquireFromGrpc(this);
    if (ok) {
      ReleaseToGrpc(this);
      this->StartRead(&request_);
    } else {
      this->Act(text_);
    }
  }

 private:
  Request request_;
  std::string text_;
  Reply reply_;
};

}  // namespace fusebox::testing

#endif  // FUSEBOX_INTERCEPTOR_TESTING_ECHO_REACTORS_H_
