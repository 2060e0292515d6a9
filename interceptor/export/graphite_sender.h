// The way of lines to carbon.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_GRAPHITE_SENDER_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_GRAPHITE_SENDER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "interceptor/breaker/clock.h"
#include "interceptor/export/background_lookup.h"
#include "interceptor/export/file_descriptor.h"
#include "interceptor/export/wakeup.h"

namespace fusebox {

struct GraphiteSenderOptions {
  HostPort carbon;
  LookupFunction look_up;
  Duration timeout;
  Duration min_retry;
  Duration max_retry;
  std::size_t max_buffered_bytes;
};

struct GraphiteSenderStats {
  std::uint64_t lines_sent = 0;
  std::uint64_t lines_dropped = 0;    // there was no room for them
  std::uint64_t failed_attempts = 0;  // to look up, connect, write or be read
  std::size_t buffered_bytes = 0;     // waiting now
  std::string last_error;             // of the last failed attempt
};

// Keeps lines until carbon has read them, within bounds, and never blocks.
//
// The protocol has no answers. But carbon closes a connection once it has read
// all of it, so there is a connection for each batch, at whose end the sender
// closes its side and waits for the other. A batch that does not come to that
// is sent again: carbon writes the same value of the same time once more, and
// nothing is lost when it is killed, whatever the kernels had in their buffers.
//
//   state       event                        next
//   ----------- ---------------------------- -----------------------------
//   idle        there are lines              looking up
//   looking up  addresses                    connecting to the first
//               none                         waiting
//   connecting  connected                    writing
//               failed, or `timeout` passed  connecting to the next address;
//                                            after the last one waiting
//   writing     all taken by the kernel      finishing
//               failed, or nothing taken     waiting
//               for `timeout`
//   finishing   closed by carbon             idle, the batch was sent
//               failed, or `timeout` passed  waiting
//   waiting     the wait is over             idle
//
// Waits begin at min_retry and double up to max_retry; a sent batch ends that.
// A batch has kBatchBytes at most (or one line, if that is longer), so a carbon
// that reads slowly, but one batch within `timeout`, is kept up with.
//
// When lines are more than max_buffered_bytes the oldest are dropped, those of
// the batch under way last.
//
// Thread-compatible.
class GraphiteSender {
 public:
  static constexpr std::size_t kBatchBytes = std::size_t{128} * 1024;

  explicit GraphiteSender(GraphiteSenderOptions options);

  // Keeps `lines`, each of which ends with '\n', for the next Tick().
  void Add(const std::string& lines);

  // Ends the wait after a failed attempt, if there is one.
  void Hurry();

  // Does what can be done without waiting. `now` must not decrease. Returns
  // when to call again.
  Awaited Tick(TimePoint now);

  GraphiteSenderStats stats() const;

 private:
  enum class State {
    kIdle,
    kLookingUp,
    kConnecting,
    kWriting,
    kFinishing,
    kWaiting
  };

  // One step; whether there may be another.
  bool Step(TimePoint now);
  bool TakeAddresses(TimePoint now);
  bool Connect(TimePoint now);
  bool AwaitConnected(TimePoint now);
  bool Write(TimePoint now);
  bool AwaitClose(TimePoint now);
  // False, or a failure if `timeout` has passed.
  bool NothingYet(TimePoint now, const char* what);
  bool Fail(TimePoint now, const std::string& error);
  void TakeBatch();
  void DropOldest();

  const GraphiteSenderOptions options_;
  std::string waiting_;
  std::string batch_;
  State state_ = State::kIdle;
  std::optional<BackgroundLookup> lookup_;
  std::vector<SocketAddress> addresses_;
  std::size_t next_address_ = 0;
  FileDescriptor socket_;
  std::size_t written_ = 0;  // of batch_
  TimePoint until_ = TimePoint::max();
  Duration retry_;
  GraphiteSenderStats stats_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_GRAPHITE_SENDER_H_
