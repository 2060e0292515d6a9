#include "interceptor/health/component_checks.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <map>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "interceptor/breaker/mutex.h"
#include "interceptor/breaker/settings.h"
#include "interceptor/health/check_schedule.h"
#include "interceptor/health/health_codec.h"

namespace fusebox {
namespace {

// A deadline on the real clock. A condition variable takes no more than this.
std::chrono::steady_clock::time_point RealDeadline(Duration patience) {
  constexpr Duration kLong = std::chrono::hours(24 * 365);
  return std::chrono::steady_clock::now() + std::min(patience, kLong);
}

absl::Status Validate(const std::string& name, const CheckOptions& options,
                      const Check& check) {
  const auto error = [&name](const std::string& what) {
    return absl::InvalidArgumentError("check '" + name + "': " + what);
  };
  if (name.empty() || !IsUtf8(name)) {
    return absl::InvalidArgumentError(
        "the name of a check must not be empty, and must be UTF-8");
  }
  if (check == nullptr) return error("no function");
  if (options.deadline <= Duration::zero()) {
    return error("deadline: " + FormatDuration(options.deadline) +
                 " is out of range (0s, ...)");
  }
  if (options.refresh_period <= Duration::zero()) {
    return error("refresh_period: " + FormatDuration(options.refresh_period) +
                 " is out of range (0s, ...)");
  }
  for (const std::string& health_name : options.health_names) {
    if (health_name.size() > HealthService::kMaxNameBytes ||
        !IsUtf8(health_name)) {
      return error("health_names: no client could ask for one of them");
    }
  }
  return absl::OkStatus();
}

CheckResult Call(const Check& check, const CheckRun& run) {
  try {
    return check(run);
  } catch (const std::exception& e) {
    return {false, std::string("the check threw: ") + e.what(), {}};
  } catch (...) {
    return {false, "the check threw something that is no std::exception", {}};
  }
}

}  // namespace

// What ComponentChecks is about. Its threads own it together.
class ComponentChecks::Scheduler {
 public:
  explicit Scheduler(NowFunction now) : now_(now) {}

  absl::Status Register(const std::shared_ptr<Scheduler>& self,
                        std::string name, CheckOptions options, Check check)
      FUSEBOX_EXCLUDES(mu_);
  void DriveHealth(std::shared_ptr<HealthService> health) FUSEBOX_EXCLUDES(mu_);
  void AddListener(Listener listener) FUSEBOX_EXCLUDES(mu_);
  ServiceHealth Health() const FUSEBOX_EXCLUDES(mu_);
  bool AwaitFirstResults(Duration patience) const FUSEBOX_EXCLUDES(mu_);
  void AwaitRuns() const FUSEBOX_EXCLUDES(mu_);

  // Polls whenever there is something to do, until stopped, on a thread of its
  // own.
  void StartThread() {
    thread_ = std::thread([this] { Run(); });
  }
  void Poll() FUSEBOX_EXCLUDES(mu_);
  void Stop() FUSEBOX_EXCLUDES(mu_);

 private:
  // One check and its thread.
  struct Worker {
    std::size_t index = 0;
    Duration time_limit = Duration::zero();
    Check check;
    std::condition_variable_any wake;
    std::atomic<bool> cancelled = false;
    bool run = false;    // guarded by mu_, as is the next
    bool ended = false;  // the thread is about to return
    std::thread thread;
  };

  void Run() FUSEBOX_EXCLUDES(mu_);
  void Work(Worker& worker) FUSEBOX_EXCLUDES(mu_);
  void Step() FUSEBOX_REQUIRES(mu_);
  // Tells listeners what has turned.
  void Deliver() FUSEBOX_EXCLUDES(mu_);
  void TellHealth() FUSEBOX_REQUIRES(mu_);
  bool AllDone() const FUSEBOX_REQUIRES(mu_);

  const NowFunction now_;
  std::thread thread_;

  mutable Mutex mu_;
  std::condition_variable_any wake_;           // the scheduler's thread
  mutable std::condition_variable_any ended_;  // a run, or a worker's thread
  bool stopping_ FUSEBOX_GUARDED_BY(mu_) = false;
  CheckSchedule schedule_ FUSEBOX_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<Worker>> workers_ FUSEBOX_GUARDED_BY(mu_);
  // Not changed where they are: a delivery goes on with those it began with.
  std::shared_ptr<const std::vector<Listener>> listeners_
      FUSEBOX_GUARDED_BY(mu_) = std::make_shared<std::vector<Listener>>();
  std::shared_ptr<HealthService> health_ FUSEBOX_GUARDED_BY(mu_);
  std::map<std::string, bool> told_ FUSEBOX_GUARDED_BY(mu_);
};

absl::Status ComponentChecks::Scheduler::Register(
    const std::shared_ptr<Scheduler>& self, std::string name,
    CheckOptions options, Check check) {
  absl::Status status = Validate(name, options, check);
  if (!status.ok()) return status;

  auto worker = std::make_shared<Worker>();
  worker->time_limit = options.deadline;
  worker->check = std::move(check);
  MutexLock lock(mu_);
  if (schedule_.Has(name)) {
    return absl::AlreadyExistsError("there is a check named '" + name +
                                    "' already");
  }
  worker->index = workers_.size();
  try {
    worker->thread = std::thread([self, worker] { self->Work(*worker); });
  } catch (const std::system_error& e) {
    return absl::ResourceExhaustedError("check '" + name +
                                        "': no thread: " + e.what());
  }
  workers_.push_back(std::move(worker));
  schedule_.Add(std::move(name), std::move(options), now_());
  TellHealth();
  wake_.notify_all();
  return absl::OkStatus();
}

void ComponentChecks::Scheduler::DriveHealth(
    std::shared_ptr<HealthService> health) {
  MutexLock lock(mu_);
  health_.swap(health);  // the old one goes without the lock
  told_.clear();
  TellHealth();
}

void ComponentChecks::Scheduler::AddListener(Listener listener) {
  MutexLock lock(mu_);
  auto listeners = std::make_shared<std::vector<Listener>>(*listeners_);
  listeners->push_back(std::move(listener));
  listeners_ = std::move(listeners);
}

ServiceHealth ComponentChecks::Scheduler::Health() const {
  MutexLock lock(mu_);
  return schedule_.Health(now_());
}

bool ComponentChecks::Scheduler::AwaitFirstResults(Duration patience) const {
  const auto deadline = RealDeadline(patience);
  MutexLock lock(mu_);
  while (!schedule_.AllChecked()) {
    if (ended_.wait_until(mu_, deadline) == std::cv_status::timeout) {
      return schedule_.AllChecked();
    }
  }
  return true;
}

void ComponentChecks::Scheduler::AwaitRuns() const {
  MutexLock lock(mu_);
  for (;;) {
    bool under_way = false;
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      under_way |= schedule_.UnderWay(i) && !schedule_.Overdue(i);
    }
    if (!under_way) return;
    ended_.wait(mu_);
  }
}

// Holds the lock while the service sets the names, so that two changes cannot
// overtake each other; the service never calls back.
void ComponentChecks::Scheduler::TellHealth() {
  if (health_ == nullptr || stopping_) return;
  for (const auto& [name, healthy] : schedule_.Names()) {
    const auto [told, is_new] = told_.try_emplace(name, healthy);
    if (!is_new && told->second == healthy) continue;
    told->second = healthy;
    health_->SetComponentHealth(name, healthy);
  }
}

void ComponentChecks::Scheduler::Step() {
  const TimePoint now = now_();
  schedule_.Expire(now);
  for (const std::size_t index : schedule_.Start(now)) {
    workers_[index]->run = true;
    workers_[index]->wake.notify_one();
  }
  TellHealth();
  ended_.notify_all();
}

void ComponentChecks::Scheduler::Deliver() {
  std::vector<ComponentTurn> turns;
  std::shared_ptr<const std::vector<Listener>> listeners;
  {
    MutexLock lock(mu_);
    turns = schedule_.TakeTurns();
    listeners = listeners_;
  }
  if (listeners == nullptr) return;  // stopped
  for (const ComponentTurn& turn : turns) {
    for (const Listener& listener : *listeners) listener(turn);
  }
}

void ComponentChecks::Scheduler::Poll() {
  {
    MutexLock lock(mu_);
    Step();
  }
  Deliver();
}

void ComponentChecks::Scheduler::Run() {
  for (;;) {
    {
      MutexLock lock(mu_);
      if (stopping_) return;
      Step();
      if (!schedule_.HasTurns()) {
        const TimePoint next = schedule_.Next();
        if (next == TimePoint::max()) {
          wake_.wait(mu_);
        } else {
          wake_.wait_until(mu_, RealDeadline(next - now_()));
        }
        continue;
      }
    }
    Deliver();
  }
}

void ComponentChecks::Scheduler::Work(Worker& worker) {
  const CheckRun run(worker.time_limit, worker.cancelled);
  for (;;) {
    {
      MutexLock lock(mu_);
      while (!worker.run && !stopping_) worker.wake.wait(mu_);
      if (stopping_) break;
      worker.run = false;
    }
    CheckResult result = Call(worker.check, run);
    MutexLock lock(mu_);
    schedule_.Finish(worker.index, std::move(result), now_());
    TellHealth();
    wake_.notify_all();
    ended_.notify_all();
  }
  MutexLock lock(mu_);
  worker.ended = true;
  ended_.notify_all();
}

bool ComponentChecks::Scheduler::AllDone() const {
  for (const std::shared_ptr<Worker>& worker : workers_) {
    if (!worker->ended && !schedule_.Overdue(worker->index)) return false;
  }
  return true;
}

void ComponentChecks::Scheduler::Stop() {
  const auto deadline = RealDeadline(kPatience);
  // What others gave goes without the lock.
  std::vector<std::shared_ptr<Worker>> workers;
  std::shared_ptr<HealthService> health;
  std::shared_ptr<const std::vector<Listener>> listeners;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    schedule_.Expire(now_());
    wake_.notify_all();
    for (const std::shared_ptr<Worker>& worker : workers_) {
      worker->cancelled = true;
      worker->wake.notify_one();
    }
    while (!AllDone() &&
           ended_.wait_until(mu_, deadline) != std::cv_status::timeout) {
    }
    workers.swap(workers_);
    health.swap(health_);
    listeners.swap(listeners_);
    for (const std::shared_ptr<Worker>& worker : workers) {
      if (!worker->ended) worker->thread.detach();
    }
  }
  for (const std::shared_ptr<Worker>& worker : workers) {
    if (worker->thread.joinable()) worker->thread.join();
  }
  if (thread_.joinable()) thread_.join();
}

// ---------------------------------------------------------------------------

ComponentChecks::ComponentChecks(const ComponentChecksOptions& options)
    : scheduler_(std::make_shared<Scheduler>(options.now)) {
  if (options.start_scheduler) scheduler_->StartThread();
}

ComponentChecks::~ComponentChecks() { scheduler_->Stop(); }

absl::Status ComponentChecks::Register(std::string name, CheckOptions options,
                                       Check check) {
  return scheduler_->Register(scheduler_, std::move(name), std::move(options),
                              std::move(check));
}

void ComponentChecks::DriveHealth(std::shared_ptr<HealthService> health) {
  scheduler_->DriveHealth(std::move(health));
}

void ComponentChecks::AddListener(Listener listener) {
  scheduler_->AddListener(std::move(listener));
}

ServiceHealth ComponentChecks::Health() const { return scheduler_->Health(); }

bool ComponentChecks::AwaitFirstResults(Duration patience) const {
  return scheduler_->AwaitFirstResults(patience);
}

void ComponentChecks::AwaitRuns() const { scheduler_->AwaitRuns(); }

void ComponentChecks::Poll() { scheduler_->Poll(); }

}  // namespace fusebox
