// How a thread that waits in poll() is told that there is something to do.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_WAKEUP_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_WAKEUP_H_

#include "interceptor/breaker/clock.h"
#include "interceptor/export/file_descriptor.h"

namespace fusebox {

// What a thread waits for.
struct Awaited {
  int fd = -1;       // below 0: nothing
  short events = 0;  // of poll()
  TimePoint until = TimePoint::max();
};

// Thread-safe.
class Wakeup {
 public:
  // Throws std::system_error if the process is out of file descriptors.
  Wakeup();

  // Never blocks. Several before the next Wait() count as one.
  void Wake() const;
  // Forgets what was said so far.
  void Clear() const;

  // Returns when woken, when something is up with `awaited.fd`, or when `now`
  // (of the clock FineNow()) reaches `awaited.until`; now and then for no
  // reason. Forgets what was said so far.
  void Wait(const Awaited& awaited, TimePoint now) const;

  // Readable once woken.
  int fd() const { return fd_.get(); }

 private:
  const FileDescriptor fd_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_WAKEUP_H_
