#include "interceptor/refused.h"

#include "interceptor/handoff/handoff.h"
#include "interceptor/refusal_mark.h"

namespace fusebox {

bool Refused(const grpc::ServerContextBase& context) {
  // gRPC makes a map of a call's metadata when it is asked for it the first
  // time; admitted calls need not pay for that.
  if (!RefusalMark::AnyPut()) return false;
  RefusalMark* const mark = RefusalMark::Find(context.client_metadata());
  if (mark == nullptr) return false;
  mark->Heed();
  return true;
}

grpc::Status RefusedStatus() {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE,
                      "refused by a circuit breaker");
}

grpc::ServerGenericBidiReactor* GuardedCallbackGenericService::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  if (!Refused(*context)) return service_.CreateReactor(context);
  class Refusal final : public grpc::ServerGenericBidiReactor {
   public:
    Refusal() {
      ReleaseToGrpc(this);
      Finish(RefusedStatus());
    }
    void OnDone() override {
      AcquireFromGrpc(this);
      delete this;
    }
  };
  return new Refusal;
}

}  // namespace fusebox
