// Metrics and events for DogStatsD, the statistics server of Datadog's agent.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/breaker/state.h"
#include "interceptor/export/background_lookup.h"
#include "interceptor/export/dogstatsd_format.h"
#include "interceptor/export/dogstatsd_socket.h"
#include "interceptor/export/wakeup.h"
#include "interceptor/health/component.h"

namespace fusebox {

struct DogStatsdOptions {
  // Where the server listens: "HOST:PORT" (UDP; without a port 8125), or
  // "unix:/path" (datagrams).
  std::string address = "127.0.0.1:8125";
  // Leads every name, with a dot between; empty: nothing does.
  std::string prefix = "fusebox";
  // Of every metric and event that has no tag with the same key of its own.
  DogStatsdTags tags;
  // How often metrics are sent. [1s, 3600s].
  Duration period = std::chrono::seconds(10);
  // How long an address of a name is used before that is looked up again.
  // [1s, 86400s].
  Duration lookup_period = std::chrono::seconds(60);
  // Of a packet; 0: 1432 for UDP, 8192 for Unix sockets. 0 or [64, 65507].
  std::size_t max_packet_bytes = 0;
  // Whether every transition of a breaker makes an event, or only those with
  // which it turns bad or good: bad is open, half-open and forced open.
  bool all_transitions = false;
  // Events that may wait to be sent; beyond it new ones are dropped and
  // counted. [1, 1000000].
  std::size_t event_queue_capacity = 256;

  // What it needs of the machine; tests have their own.
  LookupFunction look_up = &LookUp;
  // Without, nothing happens until Tick() is called: for tests with a clock of
  // their own.
  bool start_thread = true;
};

// Sends what the breakers of a registry count, and events when breakers and
// components turn. Nothing is sent for each call and nothing added to it: each
// period what the counters grew by in it is sent, as DogStatsD's counts.
//
//   name                 type       tags beside those below
//   call.successful      count      code: calls that ended with OK
//   call.failed          count      code: and with others
//   call.time            histogram  code; seconds; of calls that are no streams
//   breaker.calls        count      outcome
//   breaker.rejected_calls          reason
//   breaker....                     BreakerCounters() has all of them
//   breaker.state ...    gauge      BreakerGauges() has all of them
//
// All have the tags role and method ("pkg.Service/Method"), those of clients
// also target. Counts that did not grow are not sent. call.* needs
// RegistryOptions::call_stats. What was counted before Start() is not sent;
// what came after the last period is, by Stop().
//
// Times are those of the buckets of LatencySnapshot: for n calls of a bucket
// its middle is sent once, with the sample rate that stands for n. So counts
// are exact, and each time, thus every percentile and the average too, is
// within 1/128 = 0.79 % of the true one; minimum and maximum as well.
//
// Events: "pkg.Service/Method (server) turned bad: closed -> open", with the
// reason as text, alert type error, when it turned good success, otherwise
// info; and for components the same with what their check said.
//
// Lines are put together in packets. UDP has no answers, so what an absent
// server misses is lost: datagrams are not kept, only events are, while the
// first look-up takes. Whatever the server does, or the name servers, nothing
// but the thread of the exporter waits, and that can be stopped at any time;
// see DogStatsdSocket.
//
// Thread-compatible; stats() and what ComponentListener() returns are
// thread-safe. Example:
//
//   fusebox::DogStatsdOptions options;
//   options.address = "unix:/var/run/datadog/dsd.socket";
//   options.tags = {"env:prod"};
//   fusebox::DogStatsdExporter dogstatsd(options, &breakers);
//   checks.AddListener(dogstatsd.ComponentListener());
//   absl::Status status = dogstatsd.Start();
class DogStatsdExporter {
 public:
  // The registry must outlive the exporter. Throws std::system_error if the
  // process is out of file descriptors.
  DogStatsdExporter(DogStatsdOptions options, BreakerRegistry* registry);
  // Stops it.
  ~DogStatsdExporter();
  DogStatsdExporter(const DogStatsdExporter&) = delete;
  DogStatsdExporter& operator=(const DogStatsdExporter&) = delete;

  // INVALID_ARGUMENT, naming field, value and range, if an option is not valid;
  // RESOURCE_EXHAUSTED if there is no thread to be had. Once.
  absl::Status Start();
  // Sends what there is, without waiting for anything, and ends it.
  void Stop();

  // For ComponentChecks::AddListener(). May be called also when this exporter
  // is stopped or no more; then it does nothing.
  std::function<void(const ComponentTurn&)> ComponentListener();

  struct Stats : DogStatsdSocketStats {
    std::uint64_t metrics = 0;         // put into packets
    std::uint64_t events = 0;          // put into packets
    std::uint64_t lines_dropped = 0;   // longer than a packet
    std::uint64_t events_dropped = 0;  // the queue was full
  };
  Stats stats() const;

  // Does what is due, on this thread. Only after Start() without the thread;
  // `now` must not decrease. Returns what to wait for.
  Awaited Tick(TimePoint now);

 private:
  class EventQueue;
  class Packets;

  // What the counters were when they were last looked at, by breaker.
  struct Counted {
    std::vector<double> breaker;  // in the order of BreakerCounters()
    std::map<int, CallsOfCode> calls;
  };

  void Run();
  void SendEvents(Packets& packets);
  void Account(const Packets& packets);
  void OnTransition(const Transition& transition);
  // Puts what has changed since the last time into `packets`; null: takes note
  // of it only.
  void Look(Packets* packets);

  const DogStatsdOptions options_;
  BreakerRegistry* const registry_;
  const DogStatsdFormat format_;

  const std::shared_ptr<EventQueue> events_;
  // Made by Start().
  std::unique_ptr<DogStatsdSocket> socket_;
  std::size_t max_packet_bytes_ = 0;
  TimePoint next_flush_ = TimePoint::min();
  std::map<std::uint64_t, Counted> counted_;
  bool started_ = false;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
  BreakerRegistry::Watch watch_;

  mutable Mutex mu_;
  Stats stats_ FUSEBOX_GUARDED_BY(mu_);
};

// What Start() says of options that are not valid.
absl::Status ValidateDogStatsdOptions(const DogStatsdOptions& options);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_H_
