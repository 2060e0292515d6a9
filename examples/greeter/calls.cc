#include "examples/greeter/calls.h"

#include <array>
#include <memory>
#include <utility>

#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"

namespace greeter {
namespace {

using Done = std::function<void(const grpc::Status&)>;

// What a client says in the calls that take several names.
constexpr std::array<const char*, 3> kNames = {"Ada", "Grace", "Edsger"};

// Lives until the call is over, then deletes itself.
template <class Reactor>
class Call : public Reactor {
 public:
  Call(std::chrono::nanoseconds deadline, Done done) : done_(std::move(done)) {
    context_.set_deadline(
        std::chrono::system_clock::now() +
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            deadline));
    request_.set_name(kNames[0]);
  }

 protected:
  // Makes the next name the request; false if there is none.
  bool NextName() {
    if (++name_ == kNames.size()) return false;
    request_.set_name(kNames[name_]);
    return true;
  }

  grpc::ClientContext context_;
  v1::HelloRequest request_;
  v1::HelloReply reply_;

 private:
  void OnDone(const grpc::Status& status) override {
    done_(status);
    delete this;
  }

  std::size_t name_ = 0;
  const Done done_;
};

class SayHelloCall final : public Call<grpc::ClientUnaryReactor> {
 public:
  using Call::Call;

  void Begin(v1::Greeter::Stub& stub) {
    stub.async()->SayHello(&context_, &request_, &reply_, this);
    StartCall();
  }
};

class SayHelloStreamCall final
    : public Call<grpc::ClientReadReactor<v1::HelloReply>> {
 public:
  using Call::Call;

  void Begin(v1::Greeter::Stub& stub) {
    stub.async()->SayHelloStream(&context_, &request_, this);
    StartRead(&reply_);
    StartCall();
  }

 private:
  void OnReadDone(bool ok) override {
    if (ok) StartRead(&reply_);
  }
};

class CollectNamesCall final
    : public Call<grpc::ClientWriteReactor<v1::HelloRequest>> {
 public:
  using Call::Call;

  void Begin(v1::Greeter::Stub& stub) {
    stub.async()->CollectNames(&context_, &reply_, this);
    StartWrite(&request_);
    StartCall();
  }

 private:
  void OnWriteDone(bool ok) override {
    if (!ok) return;
    if (NextName()) {
      StartWrite(&request_);
    } else {
      StartWritesDone();
    }
  }
};

class ChatCall final
    : public Call<grpc::ClientBidiReactor<v1::HelloRequest, v1::HelloReply>> {
 public:
  using Call::Call;

  void Begin(v1::Greeter::Stub& stub) {
    stub.async()->Chat(&context_, this);
    StartRead(&reply_);
    StartWrite(&request_);
    StartCall();
  }

 private:
  void OnReadDone(bool ok) override {
    if (ok) StartRead(&reply_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return;
    if (NextName()) {
      StartWrite(&request_);
    } else {
      StartWritesDone();
    }
  }
};

template <class T>
void Start(v1::Greeter::Stub& stub, std::chrono::nanoseconds deadline,
           Done done) {
  // Not from the constructor: the call may be over before this returns.
  (new T(deadline, std::move(done)))->Begin(stub);
}

}  // namespace

StartCall FindCall(const std::string& method) {
  if (method == "SayHello") return &Start<SayHelloCall>;
  if (method == "SayHelloStream") return &Start<SayHelloStreamCall>;
  if (method == "CollectNames") return &Start<CollectNamesCall>;
  if (method == "Chat") return &Start<ChatCall>;
  return nullptr;
}

}  // namespace greeter
