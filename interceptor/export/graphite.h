// Numbers for Graphite, sent to carbon.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_GRAPHITE_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_GRAPHITE_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/export/background_lookup.h"
#include "interceptor/export/graphite_rules.h"
#include "interceptor/export/graphite_sender.h"
#include "interceptor/export/wakeup.h"

namespace fusebox {

struct GraphiteOptions {
  // Where carbon listens for lines: "HOST:PORT"; without a port 2003.
  std::string address = "127.0.0.1:2003";
  // Leads every path, and may have dots. Each part between them is cleaned as
  // GraphitePathPart() says. Empty: paths begin with what the source says.
  std::string prefix = "fusebox";
  // What is sent. By default nothing.
  GraphiteRules rules;
  // How often values are read and sent; should be what carbon's storage schema
  // has. [1s, 86400s].
  Duration period = std::chrono::seconds(60);
  // How long carbon may take to accept a connection, to take more of a batch,
  // and to read a batch to its end. [10ms, 3600s].
  Duration timeout = std::chrono::seconds(10);
  // The first wait after a failed attempt, and the longest; each is twice the
  // one before. [10ms, 3600s], and not above the longest.
  Duration min_retry = std::chrono::seconds(1);
  Duration max_retry = std::chrono::seconds(60);
  // Lines kept while carbon does not take them; beyond it the oldest are
  // dropped and counted. Bytes; a breaker has about 3 KiB of lines each period.
  // [1 KiB, 1 GiB].
  std::size_t max_buffered_bytes = std::size_t{4} * 1024 * 1024;
  // How long Stop() waits for carbon to read a last round and what was kept
  // before. [0s, 3600s]; 0s: there is no last round.
  Duration stop_timeout = std::chrono::seconds(1);

  // What it needs of the machine; tests have their own.
  LookupFunction look_up = &LookUp;
  std::function<std::time_t()> wall_clock = [] { return std::time(nullptr); };
  // Without, nothing happens until Tick() is called: for tests with a clock of
  // their own.
  bool start_thread = true;
};

struct GraphiteValue {
  std::vector<std::string> path;  // cleaned as GraphitePathPart() says
  double value = 0;               // left out, and counted, if NaN or infinite
};

// Is called on the thread of the exporter. What it throws costs one round and
// is counted.
using GraphiteSource = std::function<std::vector<GraphiteValue>()>;

// BreakerCounters() and BreakerGauges() of every breaker, under the path
//   server.<service>.<method>.<name>[.<value of the label>]
//   client.<target>.<service>.<method>.<name>[.<value of the label>]
// "/pkg.Service/Method" is "pkg-Service.Method" there; the overflow breaker has
// no service. The registry must outlive the source.
GraphiteSource BreakersForGraphite(BreakerRegistry* registry);

// Sends the values of a source to carbon, one line each: "path value epoch\n",
// as many digits as it takes to read the same number back.
//
// The first round is at once, the others at multiples of the period after it; a
// round that is late is not made up for; the last one is at Stop(). Whatever
// carbon does, or the name servers, nothing but the thread of the exporter
// waits, and Stop() no longer than `stop_timeout`; see GraphiteSender.
//
// Thread-compatible; stats() is thread-safe. Example:
//
//   fusebox::GraphiteOptions options;
//   options.address = "carbon.internal";
//   options.rules.Allow("server");
//   fusebox::GraphiteExporter graphite(options,
//                                      fusebox::BreakersForGraphite(&breakers));
//   absl::Status status = graphite.Start();
class GraphiteExporter {
 public:
  GraphiteExporter(GraphiteOptions options, GraphiteSource source);
  // Stops it.
  ~GraphiteExporter();
  GraphiteExporter(const GraphiteExporter&) = delete;
  GraphiteExporter& operator=(const GraphiteExporter&) = delete;

  // INVALID_ARGUMENT, naming field, value and range, if an option is not valid;
  // RESOURCE_EXHAUSTED if there is no thread or file descriptor to be had.
  // Once.
  absl::Status Start();
  void Stop();

  struct Stats : GraphiteSenderStats {
    std::uint64_t rounds = 0;         // in which the source was asked
    std::uint64_t source_errors = 0;  // rounds in which it threw
    std::uint64_t not_numbers = 0;    // values left out: NaN or infinite
    std::uint64_t forbidden = 0;      // values left out: no rule allows them
  };
  Stats stats() const;

  // Does what is due, on this thread. Only after Start() without the thread;
  // `now` must not decrease. Returns what to wait for.
  Awaited Tick(TimePoint now);

 private:
  std::string Lines();
  void Run();
  void SendLastRound();

  const GraphiteOptions options_;
  const GraphiteSource source_;

  // Made by Start().
  std::unique_ptr<Wakeup> wakeup_;
  std::unique_ptr<GraphiteSender> sender_;
  std::string path_prefix_;
  TimePoint next_round_ = TimePoint::min();
  std::atomic<bool> stop_ = false;
  std::thread thread_;

  mutable Mutex mu_;
  Stats stats_ FUSEBOX_GUARDED_BY(mu_);
};

// What Start() says of options that are not valid.
absl::Status ValidateGraphiteOptions(const GraphiteOptions& options);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_GRAPHITE_H_
