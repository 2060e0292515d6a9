// How the guard of a refused call and what stands for its handler find each
// other.

#ifndef FUSEBOX_INTERCEPTOR_REFUSAL_MARK_H_
#define FUSEBOX_INTERCEPTOR_REFUSAL_MARK_H_

#include <grpcpp/support/string_ref.h>

#include <atomic>
#include <map>

namespace fusebox {

// Belongs to one call and tells, once the call is refused, whether whoever
// serves it has heeded that. A wrapped handler is told by HandlerRefusal
// (server_refusal.h). Others ask Refused() (refused.h), which finds the mark
// through the metadata that the call was received with: in an entry whose key
// stands at an address that only Fusebox knows. What a client sends stands
// elsewhere, whatever it says.
//
// Thread-safe, but for Put().
class RefusalMark {
 public:
  using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

  RefusalMark() = default;
  ~RefusalMark();
  RefusalMark(const RefusalMark&) = delete;
  RefusalMark& operator=(const RefusalMark&) = delete;

  // Makes the mark findable. `received` must not outlive it. At most once.
  void Put(Metadata& received);
  // The mark that was put there, or null.
  static RefusalMark* Find(const Metadata& received);
  // Whether there is any mark to be found, in whichever call.
  static bool AnyPut();

  void Heed() { heeded_.store(true, std::memory_order_release); }
  bool heeded() const { return heeded_.load(std::memory_order_acquire); }

 private:
  bool put_ = false;
  std::atomic<bool> heeded_{false};
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_REFUSAL_MARK_H_
