#include "interceptor/breaker/thread_slot.h"

#include <array>

#include "interceptor/breaker/mutex.h"

namespace fusebox::internal {
namespace {

class SlotTable {
 public:
  int Take() FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    for (int slot = 0; slot < kMaxThreadSlots; ++slot) {
      if (!taken_[static_cast<std::size_t>(slot)]) {
        taken_[static_cast<std::size_t>(slot)] = true;
        return slot;
      }
    }
    return kNoThreadSlot;
  }

  void GiveBack(int slot) FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    taken_[static_cast<std::size_t>(slot)] = false;
  }

 private:
  Mutex mu_;
  std::array<bool, kMaxThreadSlots> taken_ FUSEBOX_GUARDED_BY(mu_) = {};
};

// Never destroyed: threads may exit after static destruction began.
SlotTable& Slots() {
  static SlotTable* const slots = new SlotTable;
  return *slots;
}

struct ReturnAtThreadExit {
  ~ReturnAtThreadExit() {
    const int slot = thread_slot;
    // A later thread_local destructor of this thread may still record.
    thread_slot = kNoThreadSlot;
    if (slot < kMaxThreadSlots) Slots().GiveBack(slot);
  }
};

}  // namespace

int AcquireThreadSlot() {
  thread_local ReturnAtThreadExit return_at_thread_exit;
  (void)return_at_thread_exit;
  thread_slot = Slots().Take();
  return thread_slot;
}

}  // namespace fusebox::internal
