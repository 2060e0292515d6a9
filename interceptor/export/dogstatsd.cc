#include "interceptor/export/dogstatsd.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "interceptor/export/breaker_numbers.h"
#include "interceptor/export/option_range.h"
#include "interceptor/stats/latency_snapshot.h"
#include "interceptor/stats/status_code_names.h"

namespace fusebox {
namespace {

using std::chrono::seconds;

std::string_view WithoutSlash(std::string_view method) {
  return method.substr(method.substr(0, 1) == "/" ? 1 : 0);
}

DogStatsdTags TagsOf(Role role, const std::string& target,
                     std::string_view method) {
  DogStatsdTags tags = {absl::StrCat("role:", RoleName(role)),
                        "method:" + std::string(WithoutSlash(method))};
  if (!target.empty()) tags.push_back("target:" + target);
  return tags;
}

DogStatsdTags With(DogStatsdTags tags, std::string_view key,
                   const std::string& value) {
  if (!key.empty()) tags.push_back(std::string(key) + ":" + value);
  return tags;
}

bool IsBad(State state, Override override_state) {
  if (override_state != Override::kNone) {
    return override_state == Override::kForcedOpen;
  }
  return state != State::kClosed;
}

std::string Shown(State state, Override override_state) {
  return override_state == Override::kNone ? StateName(state)
                                           : OverrideName(override_state);
}

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

// Filled by the dispatcher and by components, emptied by the exporter; may be
// left over when that is gone.
class DogStatsdExporter::EventQueue {
 public:
  explicit EventQueue(std::size_t capacity) : capacity_(capacity) {}

  void Open() FUSEBOX_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    open_ = true;
  }
  void Close() FUSEBOX_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    open_ = false;
    events_.clear();
  }

  void Add(DogStatsdEvent event) FUSEBOX_EXCLUDES(mu_) {
    {
      const MutexLock lock(mu_);
      if (!open_) return;
      if (events_.size() >= capacity_) {
        ++dropped_;
        return;
      }
      events_.push_back(std::move(event));
    }
    wakeup_.Wake();
  }

  std::deque<DogStatsdEvent> TakeAll() FUSEBOX_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    return std::exchange(events_, {});
  }
  std::uint64_t dropped() const FUSEBOX_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    return dropped_;
  }
  const Wakeup& wakeup() const { return wakeup_; }

 private:
  const std::size_t capacity_;
  const Wakeup wakeup_;
  mutable Mutex mu_;
  bool open_ FUSEBOX_GUARDED_BY(mu_) = false;
  std::deque<DogStatsdEvent> events_ FUSEBOX_GUARDED_BY(mu_);
  std::uint64_t dropped_ FUSEBOX_GUARDED_BY(mu_) = 0;
};

// Puts lines together and sends what is full.
class DogStatsdExporter::Packets {
 public:
  Packets(DogStatsdSocket& socket, std::size_t max_bytes)
      : socket_(socket), max_bytes_(max_bytes) {}

  // Whether it fits into a packet at all.
  bool Add(const std::string& line) {
    if (line.size() > max_bytes_) {
      ++dropped_;
      return false;
    }
    if (!packet_.empty() && packet_.size() + 1 + line.size() > max_bytes_) {
      Send();
    }
    if (!packet_.empty()) packet_ += '\n';
    packet_ += line;
    return true;
  }
  void AddMetric(const std::string& line) { metrics_ += Add(line) ? 1 : 0; }
  void AddEvent(const std::string& line) { events_ += Add(line) ? 1 : 0; }

  void Send() {
    if (packet_.empty()) return;
    socket_.Send(packet_);
    packet_.clear();
  }

  std::uint64_t metrics() const { return metrics_; }
  std::uint64_t events() const { return events_; }
  std::uint64_t dropped() const { return dropped_; }

 private:
  DogStatsdSocket& socket_;
  const std::size_t max_bytes_;
  std::string packet_;
  std::uint64_t metrics_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t dropped_ = 0;
};

absl::Status ValidateDogStatsdOptions(const DogStatsdOptions& options) {
  if (!ParseDogStatsdAddress(options.address).has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "address: '", options.address,
        "' is not valid: HOST or HOST:PORT, ports [1, 65535], or unix:PATH, "
        "paths of [1, 107] bytes"));
  }
  const absl::Status found[] = {
      InRange("period", options.period, seconds(1), seconds(3600)),
      InRange("lookup_period", options.lookup_period, seconds(1),
              seconds(86400)),
      options.max_packet_bytes == 0
          ? absl::OkStatus()
          : InRange("max_packet_bytes", options.max_packet_bytes, 64, 65507),
      InRange("event_queue_capacity", options.event_queue_capacity, 1,
              1'000'000),
  };
  for (const absl::Status& status : found) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

DogStatsdExporter::DogStatsdExporter(DogStatsdOptions options,
                                     BreakerRegistry* registry)
    : options_(std::move(options)),
      registry_(registry),
      format_(options_.prefix, options_.tags),
      events_(std::make_shared<EventQueue>(options_.event_queue_capacity)) {}

DogStatsdExporter::~DogStatsdExporter() { Stop(); }

absl::Status DogStatsdExporter::Start() {
  absl::Status status = ValidateDogStatsdOptions(options_);
  if (!status.ok()) return status;
  const DogStatsdAddress address = *ParseDogStatsdAddress(options_.address);
  max_packet_bytes_ = options_.max_packet_bytes != 0
                          ? options_.max_packet_bytes
                          : address.max_packet_bytes();
  socket_ = std::make_unique<DogStatsdSocket>(address, options_.look_up,
                                              options_.lookup_period);
  Look(nullptr);
  events_->Open();
  watch_ = registry_->WatchTransitions(
      [this](const Transition& transition) { OnTransition(transition); });
  if (options_.start_thread) {
    try {
      thread_ = std::thread([this] { Run(); });
    } catch (const std::system_error& error) {
      Stop();
      return absl::ResourceExhaustedError(error.what());
    }
  }
  started_ = true;
  return absl::OkStatus();
}

void DogStatsdExporter::Stop() {
  watch_.Stop();
  if (thread_.joinable()) {
    stop_ = true;
    events_->wakeup().Wake();
    thread_.join();
  }
  if (std::exchange(started_, false)) {
    Packets packets(*socket_, max_packet_bytes_);
    SendEvents(packets);
    Look(&packets);
    packets.Send();
    Account(packets);
  }
  events_->Close();
}

void DogStatsdExporter::Run() {
  while (!stop_) {
    const Awaited awaited = Tick(FineNow());
    events_->wakeup().Wait(awaited, FineNow());
  }
}

std::function<void(const ComponentTurn&)>
DogStatsdExporter::ComponentListener() {
  return [events = events_](const ComponentTurn& turn) {
    using Alert = DogStatsdEvent::Alert;
    events->Add({absl::StrCat("component ", turn.name,
                              turn.healthy ? " turned good" : " turned bad"),
                 turn.message,
                 turn.healthy ? Alert::kSuccess : Alert::kError,
                 {"component:" + turn.name}});
  };
}

void DogStatsdExporter::OnTransition(const Transition& transition) {
  using Alert = DogStatsdEvent::Alert;
  const bool was_bad = IsBad(transition.from, transition.override_from);
  const bool is_bad = IsBad(transition.to, transition.override_to);
  const bool turned = was_bad != is_bad;
  if (!turned && !options_.all_transitions) return;
  const std::string_view method = WithoutSlash(transition.method);
  std::string title =
      absl::StrCat(absl::string_view(method.data(), method.size()), " (",
                   RoleName(transition.role));
  if (!transition.target.empty()) {
    absl::StrAppend(&title, " of ", transition.target);
  }
  absl::StrAppend(&title, ") ",
                  !turned  ? "changed"
                  : is_bad ? "turned bad"
                           : "turned good",
                  ": ", Shown(transition.from, transition.override_from),
                  " -> ", Shown(transition.to, transition.override_to));
  DogStatsdTags tags =
      TagsOf(transition.role, transition.target, transition.method);
  tags.push_back(
      absl::StrCat("state:", Shown(transition.to, transition.override_to)));
  events_->Add({std::move(title),
                absl::StrCat(TransitionReasonName(transition.reason),
                             ", generation ", transition.generation),
                !turned  ? Alert::kInfo
                : is_bad ? Alert::kError
                         : Alert::kSuccess,
                std::move(tags)});
}

Awaited DogStatsdExporter::Tick(TimePoint now) {
  // Takes up addresses that have been found, and looks up anew if it turns out
  // that they do not work.
  socket_->Refresh(now);
  Packets packets(*socket_, max_packet_bytes_);
  if (!socket_->starting()) SendEvents(packets);
  if (next_flush_ == TimePoint::min()) {
    next_flush_ = now + options_.period;
  } else if (now >= next_flush_) {
    next_flush_ +=
        ((now - next_flush_) / options_.period + 1) * options_.period;
    Look(&packets);
  }
  packets.Send();
  Awaited awaited = socket_->Refresh(now);
  awaited.until = std::min(awaited.until, next_flush_);
  Account(packets);
  return awaited;
}

void DogStatsdExporter::SendEvents(Packets& packets) {
  for (const DogStatsdEvent& event : events_->TakeAll()) {
    packets.AddEvent(format_.Event(event, max_packet_bytes_));
  }
}

void DogStatsdExporter::Account(const Packets& packets) {
  const MutexLock lock(mu_);
  static_cast<DogStatsdSocketStats&>(stats_) = socket_->stats();
  stats_.metrics += packets.metrics();
  stats_.events += packets.events();
  stats_.lines_dropped += packets.dropped();
}

void DogStatsdExporter::Look(Packets* packets) {
  // Breakers that are no more are forgotten.
  std::map<std::uint64_t, Counted> before = std::exchange(counted_, {});

  for (const BreakerSnapshot& breaker : registry_->Snapshots()) {
    const DogStatsdTags tags =
        TagsOf(breaker.role, breaker.target, breaker.method);
    const std::vector<BreakerNumber> counters = BreakerCounters(breaker);
    std::vector<double>& counted = counted_[breaker.id].breaker;
    const std::vector<double>& known = before[breaker.id].breaker;
    for (std::size_t i = 0; i < counters.size(); ++i) {
      const BreakerNumber& counter = counters[i];
      const double grown = counter.number - (known.empty() ? 0 : known[i]);
      counted.push_back(counter.number);
      if (packets == nullptr || grown <= 0) continue;
      packets->AddMetric(format_.Count(
          "breaker." + std::string(counter.name), grown,
          format_.Tags(With(tags, counter.label, counter.value))));
    }
    if (packets == nullptr) continue;
    for (const BreakerNumber& gauge : BreakerGauges(breaker)) {
      packets->AddMetric(
          format_.Gauge("breaker." + std::string(gauge.name), gauge.number,
                        format_.Tags(With(tags, gauge.label, gauge.value))));
    }
  }

  for (MethodCalls& calls : registry_->Calls()) {
    const DogStatsdTags tags = TagsOf(calls.role, calls.target, calls.method);
    std::map<int, CallsOfCode>& counted = counted_[calls.breaker_id].calls;
    std::map<int, CallsOfCode>& known = before[calls.breaker_id].calls;
    for (CallsOfCode& of_code : calls.codes) {
      const CallsOfCode& earlier = known[of_code.code];
      if (packets != nullptr && of_code.calls > earlier.calls) {
        const std::string all_tags = format_.Tags(
            With(tags, "code",
                 kStatusCodeNames[static_cast<std::size_t>(of_code.code)]));
        packets->AddMetric(format_.Count(
            of_code.code == 0 ? "call.successful" : "call.failed",
            static_cast<double>(of_code.calls - earlier.calls), all_tags));
        of_code.latency.Since(earlier.latency)
            .ForEachBucket(
                [&](Duration low, Duration high, std::uint64_t count) {
                  packets->AddMetric(format_.Histogram(
                      "call.time", Seconds(low + (high - low) / 2), count,
                      all_tags));
                });
      }
      counted[of_code.code] = std::move(of_code);
    }
  }
}

DogStatsdExporter::Stats DogStatsdExporter::stats() const {
  const MutexLock lock(mu_);
  Stats stats = stats_;
  stats.events_dropped = events_->dropped();
  return stats;
}

}  // namespace fusebox
