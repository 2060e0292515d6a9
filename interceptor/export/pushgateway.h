// Metrics pushed to every Prometheus Pushgateway behind a name.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_PUSHGATEWAY_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_PUSHGATEWAY_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/export/background_lookup.h"
#include "interceptor/export/pushgateway_path.h"

namespace fusebox {

struct PushgatewayOptions {
  // A name, or an address in figures, IPv6 without brackets. Each of its A and
  // AAAA records is a gateway. Requests name it in their Host header.
  std::string host;
  // 1 to 65535.
  int port = 9091;

  // The group that is replaced with each push. Processes whose group is the
  // same replace each other's metrics: where several run under one job, give
  // each a label of its own, such as "instance".
  std::string job;
  GroupingLabels labels;

  // From one push to the next. [100ms, 24h].
  Duration period = std::chrono::seconds(10);
  // How long a gateway may take for a push. It may be longer than the period: a
  // gateway at work on a push is left out of the next. [1ms, 1h].
  Duration timeout = std::chrono::seconds(15);
  // Push as soon as the name is resolved, not a period after the start.
  bool push_at_start = true;

  // Stop() takes no longer than this of real time, and leaves what is not done
  // by then. [1ms, 1h].
  Duration stop_timeout = std::chrono::seconds(5);
  // After the last push, delete the group, so that groups of processes that
  // have ended do not pile up. They are gone before Prometheus scrapes the last
  // push, unless it does so in between.
  bool delete_on_stop = false;

  // Of `host` and `port`; the ports it returns are not used.
  LookupFunction look_up = &LookUp;
  // The clock of periods and timeouts.
  NowFunction now = &FineNow;
};

// INVALID_ARGUMENT, naming field, value and range, unless all are valid.
absl::Status ValidatePushgatewayOptions(const PushgatewayOptions& options);

struct PushgatewayStats {
  struct Gateway {
    std::string address;
    std::uint64_t pushes = 0;    // taken by the gateway
    std::uint64_t failures = 0;  // pushes and deletes that were not
    // Periods that passed it by because it was at work on an earlier push.
    std::uint64_t skipped = 0;
    std::string last_error;  // stays when later pushes succeed
    std::optional<TimePoint> last_success;
  };
  // Those of the last good lookup, and those that are not but still at work
  // on a push; by address.
  std::vector<Gateway> gateways;

  std::uint64_t periods = 0;  // that have begun, the one of Stop() included
  std::uint64_t failed_lookups = 0;
  std::string last_lookup_error;       // stays when later ones succeed
  std::size_t left_out_addresses = 0;  // of the last good one; kMaxGateways
  std::uint64_t failed_texts = 0;      // the function threw
};

// Pushes a text of metrics to every gateway behind a name: every period it
// resolves the name anew, so that gateways may come and go, and sends
// `PUT /metrics/job/...` to all addresses at once.
//
// One thread of its own does this and never waits for a gateway: one that is
// slow, hung or dead costs the others nothing. The name is resolved on a second
// thread. If that fails, or takes more than half a period, the last good
// addresses are pushed to; a late answer counts in the next period.
//
// Not with TLS and without passwords: Pushgateways stand inside the cluster.
// Redirections are failures; proxies of the environment are not used.
//
// Thread-compatible; stats() and Wake() are thread-safe after Start(). Example:
//
//   fusebox::PushgatewayOptions options;
//   options.host = "pushgateway.monitoring";
//   options.job = "greeter";
//   options.labels = {{"instance", "10.0.0.7:50051"}};
//   fusebox::Pushgateway pushgateway(options, [&] {
//     return prometheus::TextSerializer().Serialize(metrics.Collect());
//   });
//   absl::Status status = pushgateway.Start();
class Pushgateway {
 public:
  // More addresses than these are left out.
  static constexpr std::size_t kMaxGateways = 256;

  // `text` returns what is pushed, in Prometheus's text format. It is called
  // once in a period, on the pushing thread, and should not block. What it
  // throws costs the period its push.
  Pushgateway(PushgatewayOptions options, std::function<std::string()> text);
  // Stops it.
  ~Pushgateway();
  Pushgateway(const Pushgateway&) = delete;
  Pushgateway& operator=(const Pushgateway&) = delete;

  // Begins. INVALID_ARGUMENT, naming field, value and range, if an option is
  // not valid; RESOURCE_EXHAUSTED if there is no thread to be had;
  // FAILED_PRECONDITION the second time.
  absl::Status Start();

  // Resolves and pushes a last time, deletes the group if that is wanted, and
  // ends. A gateway that is at work on a push gets the last one when it is done
  // with that. Afterwards nothing is sent.
  void Stop();

  PushgatewayStats stats() const;

  // Looks at the clock: for those who turn one of their own.
  void Wake();

 private:
  class Pusher;

  const std::unique_ptr<Pusher> pusher_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_PUSHGATEWAY_H_
