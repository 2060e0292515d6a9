// Every interleaving of a few threads over a breaker, and every memory order,
// second look and atomic step of it broken once.

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "interceptor/breaker/circuit_breaker.h"
#include "interceptor/breaker/model/model_check.h"
#include "interceptor/breaker/model/relacy_sync.h"
#include "interceptor/breaker/policy.h"
#include "interceptor/breaker/random.h"
#include "interceptor/breaker/settings.h"
#include "interceptor/breaker/state.h"
#include "interceptor/breaker/thread_slot.h"

namespace fusebox::model {
namespace {

using namespace std::chrono_literals;

using Breaker = BasicCircuitBreaker<RelacySync>;

constexpr TimePoint kStart = TimePoint(1000s);
constexpr TimePoint At(std::chrono::milliseconds since_start) {
  return kStart + since_start;
}

// A failure among a hundred calls is too much. Opened for 1 s, 2 s, 4 s; a
// probe has 500 ms; the ramp takes 1 s.
std::shared_ptr<const Policy> PolicyWith(int buckets,
                                         std::int64_t min_requests) {
  Settings settings;
  settings.buckets = buckets;
  settings.bucket_width = 60s;
  settings.min_requests = min_requests;
  settings.timeout_threshold = std::nullopt;
  settings.system_error_threshold = std::nullopt;
  settings.unknown_error_threshold = std::nullopt;
  settings.failure_threshold = 0.01;
  settings.min_recovery = 1s;
  settings.max_recovery = 2s;
  settings.max_open_duration = 8s;
  settings.probe_lease = 500ms;
  settings.jitter = 0;
  return std::make_shared<const Policy>(settings);
}
// Made before any exploration: what is made within must be freed within.
const std::shared_ptr<const Policy>& QuickToOpen() {
  static const auto policy = PolicyWith(1, 0);
  return policy;
}
const std::shared_ptr<const Policy>& OpensAtTwo() {
  static const auto policy = PolicyWith(2, 1);
  return policy;
}
// Timeouts decide nothing; more than half must be system errors.
const std::shared_ptr<const Policy>& OpensBySystemErrors() {
  static const auto policy = [] {
    Settings settings = QuickToOpen()->settings;
    settings.failure_threshold = std::nullopt;
    settings.system_error_threshold = 0.6;
    return std::make_shared<const Policy>(settings);
  }();
  return policy;
}

const std::shared_ptr<const Policy>& Draining() {
  static const auto policy = [] {
    Settings settings = QuickToOpen()->settings;
    settings.drain_window_before_recovery = true;
    return std::make_shared<const Policy>(settings);
  }();
  return policy;
}

// QuickToOpen() with other times: for the probe, of the ramp and of the lease.
const std::shared_ptr<const Policy>& Slower() {
  static const auto policy = [] {
    Settings settings = QuickToOpen()->settings;
    settings.min_recovery = 3s;
    settings.max_recovery = 9s;
    settings.probe_lease = 5s;
    return std::make_shared<const Policy>(settings);
  }();
  return policy;
}
const std::shared_ptr<const Policy>& Quicker() {
  static const auto policy = [] {
    Settings settings = QuickToOpen()->settings;
    settings.min_recovery = 500ms;
    settings.max_recovery = 1500ms;
    settings.probe_lease = 50ms;
    return std::make_shared<const Policy>(settings);
  }();
  return policy;
}
// OpensAtTwo() with a window that it has no room for, of narrower buckets.
const std::shared_ptr<const Policy>& Widest() {
  static const auto policy = [] {
    Settings settings = OpensAtTwo()->settings;
    settings.buckets = 3;
    settings.bucket_width = 1s;
    settings.min_requests = 3;
    return std::make_shared<const Policy>(settings);
  }();
  return policy;
}
const std::shared_ptr<const Policy>& Shadow() {
  static const auto policy = [] {
    Settings settings = QuickToOpen()->settings;
    settings.mode = Mode::kShadow;
    return std::make_shared<const Policy>(settings);
  }();
  return policy;
}
const std::shared_ptr<const Policy>& Off() {
  static const auto policy = [] {
    Settings settings = QuickToOpen()->settings;
    settings.mode = Mode::kOff;
    return std::make_shared<const Policy>(settings);
  }();
  return policy;
}

void MakePolicies() {
  Draining();
  Slower();
  Quicker();
  Widest();
  Shadow();
  Off();
  QuickToOpen();
  OpensAtTwo();
  OpensBySystemErrors();
}

// A breaker, its permits, and what anybody can know of them from outside.
class BreakerScenario : public Scenario {
 protected:
  explicit BreakerScenario(const std::shared_ptr<const Policy>& policy)
      : breaker_(policy.get(), kStart, OptionsFor(this)) {
    RelacySync::slots = {0, kNoThreadSlot, kNoThreadSlot};
  }

  // Never draws a call into the ramp: the tests are about who is first.
  static Random& Draws() {
    static Random draws = Random::Scripted(0.999999, 0);
    return draws;
  }
  Breaker::Permit Admit(TimePoint now) {
    Breaker::Admission admission = breaker_.Admit(now, Draws());
    last_ = admission.rejection;
    if (admission.permit) ++admitted_;
    return std::move(admission.permit);
  }
  void Finish(Breaker::Permit& permit, Outcome outcome, TimePoint now) {
    if (!permit) return;
    permit.Finish(outcome, now, Duration::zero(), Draws());
    ++ended_;
  }
  BreakerSnapshot Snapshot(TimePoint now) {
    return breaker_.Snapshot(now, Draws());
  }
  void OpenAt(TimePoint now, Outcome outcome = Outcome::kTimeout) {
    Breaker::Permit permit = Admit(now);
    Finish(permit, outcome, now);
  }

  // B5 and the rest that holds whatever happened.
  BreakerSnapshot SettledSnapshot(TimePoint now) {
    BreakerSnapshot snapshot = Snapshot(now);
    MODEL_CHECK(snapshot.lifetime.total() + snapshot.ignored + snapshot.stale ==
                ended_);
    MODEL_CHECK(snapshot.in_flight == admitted_ - ended_);
    MODEL_CHECK(snapshot.window.total() <= snapshot.lifetime.total());
    Duration stays = snapshot.time_forced_open + snapshot.time_forced_closed;
    for (Duration stay : snapshot.time_in_state) stays += stay;
    MODEL_CHECK(stays == now - kStart);
    // Each change was told once, and they fit together.
    const StateView view = breaker_.View(now, Draws());
    MODEL_CHECK(view.changes < kMaxChanges);
    for (std::uint32_t n = 1; n <= view.changes; ++n) {
      MODEL_CHECK(told_[n].times == 1);
      if (n == 1) continue;
      MODEL_CHECK(told_[n].change.from == told_[n - 1].change.to);
      MODEL_CHECK(told_[n].change.override_from ==
                  told_[n - 1].change.override_to);
      MODEL_CHECK(told_[n].change.at >= told_[n - 1].change.at);
      MODEL_CHECK(told_[n].change.generation >= told_[n - 1].change.generation);
    }
    MODEL_CHECK(told_[view.changes + 1].times == 0);
    std::uint32_t moves = 0;
    for (const auto& from : snapshot.transitions) {
      for (std::uint32_t n : from) moves += n;
    }
    for (std::uint32_t n = 1; n <= view.changes; ++n) {
      if (told_[n].change.from != told_[n].change.to) --moves;
    }
    MODEL_CHECK(moves == 0);
    return snapshot;
  }
  // No record is lost: all but that of the word can still be taken.
  void CheckRecords(TimePoint now) {
    for (int i = 0; i < 5; ++i) breaker_.Reset(now, Draws());
  }

  static std::uint32_t Transitions(const BreakerSnapshot& snapshot, State from,
                                   State to) {
    return snapshot.transitions[static_cast<std::size_t>(from)]
                               [static_cast<std::size_t>(to)];
  }

  Breaker breaker_;
  std::uint64_t admitted_ = 0;
  std::uint64_t ended_ = 0;
  std::optional<Rejection> last_;  // of the last Admit() on any thread

 private:
  static constexpr std::uint32_t kMaxChanges = 30;
  struct Told {
    int times = 0;
    StateChange change;
  };

  static Breaker::Options OptionsFor(BreakerScenario* scenario) {
    static const Breaker::Listener listener = {&Notify, nullptr};
    Breaker::Options options;
    options.shards = 1;
    options.listener = &listener;
    options.listener_context = scenario;
    return options;
  }
  static void Notify(void* context, Breaker& /*breaker*/,
                     const StateChange& change, std::uint32_t number) {
    auto& told = static_cast<BreakerScenario*>(context)->told_;
    if (number >= told.size()) return;
    ++told[number].times;
    told[number].change = change;
  }

  std::array<Told, kMaxChanges + 2> told_ = {};
};

// Time for a probe, and three ask.
class RaceForTheProbe : public BreakerScenario {
 public:
  RaceForTheProbe() : BreakerScenario(QuickToOpen()) { OpenAt(At(0ms)); }
  void Thread(int index) override {
    permits_[static_cast<std::size_t>(index)] = Admit(At(1500ms));
    if (permits_[static_cast<std::size_t>(index)]) {
      ++probes_;
    } else {
      MODEL_CHECK(last_->reason == RejectionReason::kHalfOpenLimit);
      MODEL_CHECK(last_->retry_after == 500ms);
    }
  }
  void After() override {
    MODEL_CHECK(probes_ == 1);
    BreakerSnapshot snapshot = SettledSnapshot(At(1600ms));
    MODEL_CHECK(snapshot.state == State::kHalfOpen && !snapshot.proved);
    MODEL_CHECK(snapshot.rejected[1] == 2);
    MODEL_CHECK(snapshot.window.total() == 0);
    for (Breaker::Permit& permit : permits_) {
      Finish(permit, Outcome::kOk, At(1700ms));
    }
    snapshot = SettledSnapshot(At(1700ms));
    MODEL_CHECK(snapshot.proved && snapshot.window.total() == 1);
    CheckRecords(At(1800ms));
  }

 private:
  std::array<Breaker::Permit, 3> permits_;
  int probes_ = 0;
};

// A probe gives its slot back while others ask for it. B4.
class RaceForTheFreedSlot : public BreakerScenario {
 public:
  RaceForTheFreedSlot() : BreakerScenario(QuickToOpen()) {
    OpenAt(At(0ms));
    permits_[0] = Admit(At(1500ms));
    ++out_;
  }
  void Thread(int index) override {
    Breaker::Permit& permit = permits_[static_cast<std::size_t>(index)];
    if (index != 0) {
      permit = Admit(At(1600ms));
      if (!permit) return;
      MODEL_CHECK(++out_ == 1);
    }
    --out_;
    Finish(permit, Outcome::kIgnored, At(1700ms));
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(1800ms));
    MODEL_CHECK(snapshot.state == State::kHalfOpen && !snapshot.proved);
    MODEL_CHECK(snapshot.ignored == ended_ - 1);
    permits_[0] = Admit(At(1800ms));
    MODEL_CHECK(admitted_ == ended_ + 1);
    Finish(permits_[0], Outcome::kOk, At(1800ms));
    CheckRecords(At(1800ms));
  }

 private:
  std::array<Breaker::Permit, 3> permits_;
  int out_ = 0;
};

// A probe fails in a way that decides nothing. Whoever gets its slot sees what
// it counted.
class SlotHandedOn : public BreakerScenario {
 public:
  SlotHandedOn() : BreakerScenario(OpensBySystemErrors()) {
    OpenAt(At(0ms), Outcome::kSystemError);
    probe_ = Admit(At(1500ms));
  }
  void Thread(int index) override {
    if (index == 0) return Finish(probe_, Outcome::kTimeout, At(1600ms));
    Breaker::Permit next = Admit(At(1600ms));
    Finish(next, Outcome::kSystemError, At(1700ms));
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(1800ms));
    MODEL_CHECK(snapshot.state == State::kHalfOpen && !snapshot.proved);
    MODEL_CHECK(snapshot.window.total() == ended_ - 1);
    CheckRecords(At(1800ms));
  }

 private:
  Breaker::Permit probe_;
};

// The slot is given back at the end of the lease.
class SlotFreedAtLeaseEnd : public BreakerScenario {
 public:
  SlotFreedAtLeaseEnd() : BreakerScenario(QuickToOpen()) {
    OpenAt(At(0ms));
    probe_ = Admit(At(1500ms));
  }
  void Thread(int index) override {
    if (index == 0) return Finish(probe_, Outcome::kIgnored, At(1900ms));
    next_ = Admit(At(2100ms));
    if (!next_) MODEL_CHECK(last_->reason == RejectionReason::kOpen);
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(2200ms));
    if (next_) {
      MODEL_CHECK(snapshot.state == State::kHalfOpen);
      MODEL_CHECK(snapshot.next_change == At(2600ms));
      Finish(next_, Outcome::kIgnored, At(2200ms));
    } else {
      MODEL_CHECK(snapshot.state == State::kOpen);
      MODEL_CHECK(snapshot.since == At(2000ms));
    }
    CheckRecords(At(2200ms));
  }

 private:
  Breaker::Permit probe_;
  Breaker::Permit next_;
};

// Two failures, each of which is enough.
class OpeningAgainstOpening : public BreakerScenario {
 public:
  OpeningAgainstOpening() : BreakerScenario(QuickToOpen()) {
    for (Breaker::Permit& permit : permits_) permit = Admit(At(0ms));
  }
  void Thread(int index) override {
    Finish(permits_[static_cast<std::size_t>(index)], Outcome::kTimeout,
           At(index == 0 ? 10ms : 20ms));
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(100ms));
    MODEL_CHECK(snapshot.state == State::kOpen);
    MODEL_CHECK(snapshot.generation == 2);
    MODEL_CHECK(Transitions(snapshot, State::kClosed, State::kOpen) == 1);
    MODEL_CHECK(snapshot.since == At(10ms) || snapshot.since == At(20ms));
    MODEL_CHECK(snapshot.next_probe == snapshot.since + 1s);
    MODEL_CHECK(snapshot.window.total() == snapshot.lifetime.total());
    CheckRecords(At(200ms));
  }

 private:
  std::array<Breaker::Permit, 2> permits_;
};

// Opened by one, reset and opened again by another.
class OpenedTwice : public BreakerScenario {
 public:
  OpenedTwice() : BreakerScenario(QuickToOpen()) { permit_ = Admit(At(0ms)); }
  void Thread(int index) override {
    if (index == 0) return Finish(permit_, Outcome::kTimeout, At(10ms));
    breaker_.Reset(At(20ms), Draws());
    OpenAt(At(30ms));
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(100ms));
    MODEL_CHECK(snapshot.state == State::kOpen);
    MODEL_CHECK(snapshot.since == At(30ms));
    MODEL_CHECK(snapshot.next_probe == At(1030ms));
    MODEL_CHECK(snapshot.window.total() == 1);
    CheckRecords(At(200ms));
  }

 private:
  Breaker::Permit permit_;
};

// Open, and full of failures that have to roll out, until it is reset: never
// half-open in between.
class DrainingAgainstReset : public BreakerScenario {
 public:
  DrainingAgainstReset() : BreakerScenario(Draining()) { OpenAt(At(0ms)); }
  void Thread(int index) override {
    if (index == 0) {
      breaker_.Reset(At(1500ms), Draws());
      Breaker::Permit permit = Admit(At(1500ms));
      return Finish(permit, Outcome::kOk, At(1500ms));
    }
    MODEL_CHECK(breaker_.View(At(1500ms), Draws()).state != State::kHalfOpen);
  }
  void After() override {
    MODEL_CHECK(SettledSnapshot(At(1600ms)).state == State::kClosed);
    CheckRecords(At(1600ms));
  }
};

// Two failures that only together are enough: the later one must see both.
template <Outcome other, int seconds_later>
class OpeningTogether : public BreakerScenario {
 public:
  OpeningTogether() : BreakerScenario(OpensAtTwo()) {
    for (Breaker::Permit& permit : permits_) permit = Admit(At(0ms));
  }
  void Thread(int index) override {
    Finish(permits_[static_cast<std::size_t>(index)],
           index == 0 ? Outcome::kTimeout : other,
           At(index * std::chrono::milliseconds(1000 * seconds_later)));
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(21000ms));
    MODEL_CHECK(Transitions(snapshot, State::kClosed, State::kOpen) == 1);
    MODEL_CHECK(snapshot.window.failures() == 2);
  }

 private:
  std::array<Breaker::Permit, 2> permits_;
};

// A call of the closed breaker ends while it opens, probes and recovers.
template <Outcome late>
class LateFinish : public BreakerScenario {
 public:
  LateFinish() : BreakerScenario(QuickToOpen()) {
    // The shard of thread 0 has a bucket for the short way.
    Breaker::Permit warm = Admit(At(0ms));
    Finish(warm, Outcome::kOk, At(0ms));
    for (Breaker::Permit& permit : permits_) permit = Admit(At(0ms));
  }
  void Thread(int index) override {
    if (index == 0) return Finish(permits_[0], late, At(20ms));
    Finish(permits_[1], Outcome::kTimeout, At(10ms));
    Breaker::Permit probe = Admit(At(1500ms));
    MODEL_CHECK(static_cast<bool>(probe));
    Finish(probe, Outcome::kUserError, At(1600ms));
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(1700ms));
    MODEL_CHECK(snapshot.state == State::kHalfOpen && snapshot.proved);
    MODEL_CHECK(snapshot.generation == 2);
    MODEL_CHECK(snapshot.since == At(1500ms));
    MODEL_CHECK(snapshot.next_change == At(2600ms));
    // B6: of the new generation alone.
    MODEL_CHECK(snapshot.window.total() == 1);
    MODEL_CHECK(snapshot.window.of(Outcome::kUserError) == 1);
    CheckRecords(At(1800ms));
  }

 private:
  std::array<Breaker::Permit, 2> permits_;
};

// The probe answers late by the clock of another thread, which ends the lease.
template <Outcome answer>
class LeaseEnd : public BreakerScenario {
 public:
  LeaseEnd() : BreakerScenario(QuickToOpen()) {
    OpenAt(At(0ms));
    probe_ = Admit(At(1500ms));
  }
  void Thread(int index) override {
    if (index == 0) {
      // A stream: the first message, then the end.
      if (answer == Outcome::kUserError) probe_.Prove(At(1900ms), Draws());
      return Finish(probe_, answer, At(1900ms));
    }
    const Breaker::Permit none = Admit(At(2100ms));
    MODEL_CHECK(!none);
    rejection_ = *last_;
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(2100ms));
    const auto fell = Transitions(snapshot, State::kHalfOpen, State::kOpen);
    const bool lease_ended = snapshot.since == At(2000ms);
    MODEL_CHECK(Transitions(snapshot, State::kClosed, State::kOpen) == 1);
    MODEL_CHECK(fell <= 1);
    if (answer == Outcome::kIgnored) {
      MODEL_CHECK(snapshot.state == State::kOpen);
      MODEL_CHECK(fell == 1 && lease_ended);
    } else if (!IsFailure(answer)) {
      MODEL_CHECK(snapshot.state == State::kHalfOpen && snapshot.proved);
      MODEL_CHECK(snapshot.generation == 2);
      MODEL_CHECK(snapshot.window.total() == 1);
      MODEL_CHECK(lease_ended == (fell == 1));
      MODEL_CHECK(snapshot.since == (lease_ended ? At(2000ms) : At(1500ms)));
      MODEL_CHECK(snapshot.next_change == At(2900ms));
      // Rejected by the open breaker or by the ramp, each with its own wait.
      MODEL_CHECK(rejection_.reason == RejectionReason::kOpen
                      ? lease_ended && rejection_.retry_after == 1900ms
                      : rejection_.retry_after == 800ms);
    } else {
      MODEL_CHECK(snapshot.state == State::kOpen);
      MODEL_CHECK(fell == 1);
      MODEL_CHECK(snapshot.generation == (lease_ended ? 2u : 3u));
      // Counted before the lease ended, or not at all.
      MODEL_CHECK(snapshot.window.total() == 1 ||
                  (lease_ended && snapshot.window.total() == 0));
      MODEL_CHECK(snapshot.next_probe ==
                  (lease_ended ? At(4000ms) : At(3900ms)));
      MODEL_CHECK(rejection_.reason == RejectionReason::kOpen);
      MODEL_CHECK(rejection_.retry_after == snapshot.next_probe - At(2100ms));
    }
    CheckRecords(At(2200ms));
  }

 private:
  Breaker::Permit probe_;
  Rejection rejection_;
};

// An operator forces and releases the breaker while it opens.
class ForceAgainstTransition : public BreakerScenario {
 public:
  ForceAgainstTransition() : BreakerScenario(QuickToOpen()) {
    permit_ = Admit(At(0ms));
  }
  void Thread(int index) override {
    if (index == 0) return Finish(permit_, Outcome::kTimeout, At(10ms));
    breaker_.Force(Override::kForcedOpen, At(500ms), At(20ms), Draws());
    const Breaker::Permit none = Admit(At(30ms));
    MODEL_CHECK(!none);
    MODEL_CHECK(last_->reason == RejectionReason::kForcedOpen);
    MODEL_CHECK(last_->retry_after == 470ms);
    MODEL_CHECK(breaker_.Release(At(40ms), Draws()));
    Breaker::Permit next = Admit(At(50ms));
    MODEL_CHECK(static_cast<bool>(next));
    Finish(next, Outcome::kOk, At(50ms));
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(100ms));
    const std::uint32_t opened =
        Transitions(snapshot, State::kClosed, State::kOpen);
    MODEL_CHECK(snapshot.state == State::kClosed);
    MODEL_CHECK(snapshot.override_state == Override::kNone);
    MODEL_CHECK(snapshot.generation == 2 + opened);
    MODEL_CHECK(opened == Transitions(snapshot, State::kOpen, State::kClosed));
    MODEL_CHECK(snapshot.since == At(40ms));
    MODEL_CHECK(snapshot.time_forced_open == 20ms);
    // The failure went to a window before, or is stale.
    MODEL_CHECK(snapshot.window.total() == 1);
    MODEL_CHECK(snapshot.window.of(Outcome::kOk) == 1);
    MODEL_CHECK(opened + snapshot.stale <= 1);
    CheckRecords(At(200ms));
  }

 private:
  Breaker::Permit permit_;
};

// Two operators, with an end of their own each, and a reader.
class ForceAgainstForce : public BreakerScenario {
 public:
  ForceAgainstForce() : BreakerScenario(QuickToOpen()) {}
  void Thread(int index) override {
    switch (index) {
      case 0:
        return breaker_.Force(Override::kForcedOpen, At(1000ms), At(10ms),
                              Draws());
      case 1:
        return breaker_.Force(Override::kForcedClosed, At(2000ms), At(20ms),
                              Draws());
      default:
        return CheckView();
    }
  }
  void After() override {
    CheckView();
    const BreakerSnapshot snapshot = SettledSnapshot(At(100ms));
    MODEL_CHECK(snapshot.override_state != Override::kNone);
    MODEL_CHECK(snapshot.generation == 1);
    CheckRecords(At(200ms));
  }

 private:
  void CheckView() {
    const StateView view = breaker_.View(At(15ms), Draws());
    switch (view.override_state) {
      case Override::kNone:
        MODEL_CHECK(view.next_change == TimePoint::max() && view.changes == 0);
        break;
      case Override::kForcedOpen:
        MODEL_CHECK(view.next_change == At(1000ms));
        MODEL_CHECK(view.changes == 1 || view.changes == 2);
        break;
      case Override::kForcedClosed:
        MODEL_CHECK(view.next_change == At(2000ms));
        MODEL_CHECK(view.changes == 1 || view.changes == 2);
        break;
    }
  }
};

// One operator forces the breaker, twice, as another looks. The second record
// is the first one's again.
class ForceAgainstReuse : public BreakerScenario {
 public:
  ForceAgainstReuse() : BreakerScenario(QuickToOpen()) {
    breaker_.Force(Override::kForcedOpen, At(1000ms), At(10ms), Draws());
  }
  void Thread(int index) override {
    if (index == 0) {
      breaker_.Force(Override::kForcedClosed, At(2000ms), At(20ms), Draws());
      breaker_.Force(Override::kForcedOpen, At(3000ms), At(30ms), Draws());
      return;
    }
    const StateView view = breaker_.View(At(40ms), Draws());
    MODEL_CHECK(1 <= view.changes && view.changes <= 3);
    MODEL_CHECK(view.next_change ==
                At(std::chrono::milliseconds(1000 * view.changes)));
    MODEL_CHECK((view.override_state == Override::kForcedClosed) ==
                (view.changes == 2));
    MODEL_CHECK(view.generation == 1);
  }
  void After() override {
    SettledSnapshot(At(100ms));
    CheckRecords(At(200ms));
  }
};

// One operator releases what another forces.
class ReleaseAgainstForce : public BreakerScenario {
 public:
  ReleaseAgainstForce() : BreakerScenario(QuickToOpen()) {}
  void Thread(int index) override {
    if (index == 0) {
      return breaker_.Force(Override::kForcedOpen, At(1000ms), At(10ms),
                            Draws());
    }
    released_ = breaker_.Release(At(30ms), Draws());
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(100ms));
    MODEL_CHECK(snapshot.override_state ==
                (released_ ? Override::kNone : Override::kForcedOpen));
    MODEL_CHECK(snapshot.generation == (released_ ? 2u : 1u));
    MODEL_CHECK(snapshot.time_forced_open == (released_ ? 20ms : 90ms));
    CheckRecords(At(200ms));
  }

 private:
  bool released_ = false;
};

// Two operators force it again and again, and records change hands all the
// time.
class ForceStorm : public BreakerScenario {
 public:
  ForceStorm() : BreakerScenario(QuickToOpen()) {}
  void Thread(int index) override {
    for (int i = 0; i < 3 && index != 2; ++i) {
      const bool open = (index + i) % 2 == 0;
      breaker_.Force(open ? Override::kForcedOpen : Override::kForcedClosed,
                     open ? At(1000ms) : At(2000ms), At(i * 10ms), Draws());
    }
    CheckView();
  }
  void After() override {
    CheckView();
    SettledSnapshot(At(100ms));
    CheckRecords(At(200ms));
  }

 private:
  void CheckView() {
    const StateView view = breaker_.View(At(15ms), Draws());
    if (view.override_state == Override::kNone) return;
    MODEL_CHECK(view.next_change ==
                (view.override_state == Override::kForcedOpen ? At(1000ms)
                                                              : At(2000ms)));
  }
};

// The breaker is reset while a probe ends.
class ResetAgainstProbe : public BreakerScenario {
 public:
  ResetAgainstProbe() : BreakerScenario(QuickToOpen()) {
    OpenAt(At(0ms));
    probe_ = Admit(At(1500ms));
  }
  void Thread(int index) override {
    if (index == 0) return Finish(probe_, Outcome::kTimeout, At(1600ms));
    breaker_.Reset(At(1700ms), Draws());
    Breaker::Permit permit = breaker_.AdmitIfClosed();
    MODEL_CHECK(static_cast<bool>(permit));
    ++admitted_;
    Finish(permit, Outcome::kOk, At(1700ms));
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(1800ms));
    MODEL_CHECK(snapshot.state == State::kClosed);
    const auto failed = Transitions(snapshot, State::kHalfOpen, State::kOpen);
    MODEL_CHECK(snapshot.generation == 3 + failed);
    MODEL_CHECK(snapshot.window.total() == 1);
    MODEL_CHECK(snapshot.window.of(Outcome::kOk) == 1);
    CheckRecords(At(1800ms));
  }

 private:
  Breaker::Permit probe_;
};

// A record is used again while a call is answered: each state's own wait.
class RejectionAgainstReuse : public BreakerScenario {
 public:
  RejectionAgainstReuse() : BreakerScenario(QuickToOpen()) { OpenAt(At(0ms)); }
  void Thread(int index) override {
    if (index == 0) {
      Breaker::Permit probe = Admit(At(1500ms));
      MODEL_CHECK(static_cast<bool>(probe));
      Finish(probe, Outcome::kTimeout, At(1600ms));  // open to 3.6 s
      return;
    }
    Breaker::Admission admission = breaker_.Admit(At(900ms), Draws());
    MODEL_CHECK(!admission.admitted());
    const Duration wait = admission.rejection->retry_after;
    if (admission.rejection->reason == RejectionReason::kOpen) {
      MODEL_CHECK(wait == 100ms || wait == 2700ms);
    } else {
      MODEL_CHECK(wait == 1s);  // the lease until 2.0 s, at most 1 s
    }
  }
  void After() override {
    MODEL_CHECK(SettledSnapshot(At(1700ms)).generation == 3);
    CheckRecords(At(1700ms));
  }
};

// The ramp ends and the breaker opens again while a call asks.
class RampAgainstReuse : public BreakerScenario {
 public:
  RampAgainstReuse() : BreakerScenario(QuickToOpen()) {
    OpenAt(At(0ms));
    Breaker::Permit probe = Admit(At(1500ms));
    Finish(probe, Outcome::kOk, At(1600ms));  // a ramp to 2.6 s
    late_ = Admit(At(2600ms));                // closed at 2.6 s
    breaker_.Reset(At(2600ms), Draws());
    Finish(late_, Outcome::kOk, At(2600ms));
    OpenAt(At(3000ms));  // to 4.0 s
    probe_ = Admit(At(4000ms));
  }
  void Thread(int index) override {
    if (index == 0) {
      Finish(probe_, Outcome::kOk, At(4100ms));  // a ramp to 5.1 s
      Breaker::Permit closed = Admit(At(5200ms));
      MODEL_CHECK(static_cast<bool>(closed));
      Finish(closed, Outcome::kTimeout, At(5300ms));  // open to 6.3 s
      return;
    }
    Breaker::Admission admission = breaker_.Admit(At(4200ms), Draws());
    if (admission.admitted()) {
      ++admitted_;
      Finish(admission.permit, Outcome::kIgnored, At(5300ms));
      return;
    }
    const Duration wait = admission.rejection->retry_after;
    if (admission.rejection->reason == RejectionReason::kOpen) {
      MODEL_CHECK(wait == 2100ms);
    } else {
      // The lease until 4.5 s; the ramp until 5.1 s.
      MODEL_CHECK(wait == 300ms || wait == 900ms);
    }
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(5400ms));
    MODEL_CHECK(snapshot.state == State::kOpen);
    MODEL_CHECK(snapshot.next_probe == At(6300ms));
    CheckRecords(At(5400ms));
  }

 private:
  Breaker::Permit late_;
  Breaker::Permit probe_;
};

// The same in shadow mode, which goes the long way. Every call is drawn in, so
// only an open breaker turns one away.
class ShadowRampAgainstReuse : public BreakerScenario {
 public:
  ShadowRampAgainstReuse() : BreakerScenario(Shadow()) {
    OpenAt(At(0ms));
    Breaker::Permit probe = Admit(At(1500ms));
    Finish(probe, Outcome::kOk, At(1600ms));  // a ramp to 2.6 s
  }
  void Thread(int index) override {
    if (index == 0) {
      Breaker::Permit closed = Admit(At(2700ms));
      MODEL_CHECK(static_cast<bool>(closed));
      Finish(closed, Outcome::kTimeout, At(2800ms));  // open to 3.8 s
      return;
    }
    static Random draws_in = Random::Scripted(0, 0);
    Breaker::Admission admission = breaker_.Admit(At(1700ms), draws_in);
    if (admission.permit) {
      ++admitted_;
      Finish(admission.permit, Outcome::kIgnored, At(2800ms));
      return;
    }
    MODEL_CHECK(breaker_.View(At(1700ms), Draws()).state == State::kOpen);
  }
  void After() override { CheckRecords(At(2900ms)); }
};

// The state moves on three times while somebody takes a snapshot.
class SnapshotAgainstAll : public BreakerScenario {
 public:
  SnapshotAgainstAll() : BreakerScenario(QuickToOpen()) {
    held_ = Admit(At(0ms));
    permit_ = Admit(At(0ms));
  }
  void Thread(int index) override {
    if (index == 0) {
      Finish(permit_, Outcome::kTimeout, At(10ms));
      Breaker::Permit probe = Admit(At(1500ms));
      return Finish(probe, Outcome::kOk, At(1600ms));
    }
    const BreakerSnapshot snapshot = Snapshot(At(100ms));
    MODEL_CHECK(snapshot.override_state == Override::kNone);
    const auto opened = Transitions(snapshot, State::kClosed, State::kOpen);
    const auto probed = Transitions(snapshot, State::kOpen, State::kHalfOpen);
    switch (snapshot.state) {
      case State::kClosed:
        MODEL_CHECK(snapshot.generation == 1);
        MODEL_CHECK(snapshot.since == kStart);
        MODEL_CHECK(snapshot.next_change == TimePoint::max());
        MODEL_CHECK(opened == 0 && probed == 0);
        MODEL_CHECK(snapshot.time_in_state[0] == 100ms);
        MODEL_CHECK(snapshot.time_in_state[1] == 0ms);
        MODEL_CHECK(snapshot.time_in_state[2] == 0ms);
        break;
      case State::kOpen:
        MODEL_CHECK(snapshot.generation == 2);
        MODEL_CHECK(snapshot.since == At(10ms));
        MODEL_CHECK(snapshot.next_probe == At(1010ms));
        MODEL_CHECK(opened == 1 && probed == 0);
        MODEL_CHECK(snapshot.window.of(Outcome::kTimeout) == 1);
        MODEL_CHECK(snapshot.time_in_state[0] == 10ms);
        MODEL_CHECK(snapshot.time_in_state[1] == 90ms);
        MODEL_CHECK(snapshot.time_in_state[2] == 0ms);
        break;
      case State::kHalfOpen:
        MODEL_CHECK(snapshot.generation == 2);
        MODEL_CHECK(snapshot.since == At(1500ms));
        MODEL_CHECK(snapshot.next_change ==
                    (snapshot.proved ? At(2600ms) : At(2000ms)));
        MODEL_CHECK(opened == 1 && probed == 1);
        MODEL_CHECK(snapshot.window.of(Outcome::kTimeout) == 0);
        MODEL_CHECK(snapshot.time_in_state[0] == 10ms);
        MODEL_CHECK(snapshot.time_in_state[1] == 1490ms);
        MODEL_CHECK(snapshot.time_in_state[2] == 0ms);
        break;
    }
    MODEL_CHECK(snapshot.window.total() <= snapshot.lifetime.total());
    // Three permits at most, one of which is out all the while.
    MODEL_CHECK(snapshot.lifetime.total() <= 2);
    MODEL_CHECK(1 <= snapshot.in_flight && snapshot.in_flight <= 3);
  }
  void After() override {
    Finish(held_, Outcome::kIgnored, At(1700ms));
    SettledSnapshot(At(1700ms));
    CheckRecords(At(1800ms));
  }

 private:
  Breaker::Permit held_;
  Breaker::Permit permit_;
};

// Other settings, twice, while an open breaker is asked: the moment of the
// probe stays, so whoever mixes times and settings of two words gets it wrong.
// B8.
class SettingsAgainstAdmit : public BreakerScenario {
 public:
  SettingsAgainstAdmit() : BreakerScenario(QuickToOpen()) { OpenAt(At(0ms)); }
  void Thread(int index) override {
    if (index == 0) {
      breaker_.SetPolicy(Slower().get(), At(400ms), Draws());
      return breaker_.SetPolicy(Quicker().get(), At(500ms), Draws());
    }
    const Breaker::Permit none = Admit(At(600ms));
    MODEL_CHECK(!none);
    MODEL_CHECK(last_->reason == RejectionReason::kOpen);
    MODEL_CHECK(last_->retry_after == 400ms);
    const StateView view = breaker_.View(At(700ms), Draws());
    MODEL_CHECK(view.next_change == At(1000ms) && view.changes == 1);
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(800ms));
    MODEL_CHECK(snapshot.settings == Quicker()->settings);
    MODEL_CHECK(snapshot.state == State::kOpen && snapshot.generation == 2);
    MODEL_CHECK(snapshot.next_probe == At(1000ms));
    MODEL_CHECK(snapshot.window.of(Outcome::kTimeout) == 1);
    CheckRecords(At(900ms));
  }
};

// A ramp, whose end depends on the settings, under a reader.
class SettingsAgainstSnapshot : public BreakerScenario {
 public:
  SettingsAgainstSnapshot() : BreakerScenario(QuickToOpen()) {
    OpenAt(At(0ms));
    Breaker::Permit probe = Admit(At(1500ms));
    Finish(probe, Outcome::kOk, At(1600ms));  // a ramp to 2.6 s
  }
  void Thread(int index) override {
    if (index == 0) {
      breaker_.SetPolicy(Slower().get(), At(1700ms), Draws());  // to 7.6 s
      return breaker_.SetPolicy(Quicker().get(), At(1800ms),
                                Draws());  // to 2.6 s
    }
    const BreakerSnapshot snapshot = Snapshot(At(1900ms));
    MODEL_CHECK(snapshot.state == State::kHalfOpen && snapshot.proved);
    MODEL_CHECK(
        snapshot.next_change ==
        (snapshot.settings == Slower()->settings ? At(7600ms) : At(2600ms)));
    MODEL_CHECK(snapshot.window.of(Outcome::kOk) == 1);
    // The share at 2.0 s is 1.4 of 2, 3.4 of 9 or 0.9 of 1.5 seconds.
    Breaker::Admission admission = breaker_.Admit(At(2000ms), Draws());
    MODEL_CHECK(!admission.admitted());
    MODEL_CHECK(admission.rejection->retry_after == 600ms ||
                admission.rejection->retry_after == 3s ||
                admission.rejection->retry_after == 500ms);
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(2700ms));
    MODEL_CHECK(snapshot.state == State::kClosed);
    MODEL_CHECK(snapshot.since == At(2600ms));
    CheckRecords(At(2700ms));
  }
};

// A probe ends without a verdict while the settings change under it. B4.
template <Outcome answer>
class SettingsAgainstProbe : public BreakerScenario {
 public:
  SettingsAgainstProbe()
      : BreakerScenario(answer == Outcome::kIgnored ? QuickToOpen()
                                                    : OpensBySystemErrors()) {
    OpenAt(At(0ms), Outcome::kSystemError);
    probe_ = Admit(At(1500ms));
  }
  void Thread(int index) override {
    if (index == 0) return Finish(probe_, answer, At(1600ms));
    breaker_.SetPolicy(Slower().get(), At(1550ms), Draws());
    breaker_.SetPolicy(OpensBySystemErrors().get(), At(1560ms), Draws());
    next_ = Admit(At(1700ms));
  }
  void After() override {
    BreakerSnapshot snapshot = SettledSnapshot(At(1800ms));
    if (answer == Outcome::kTimeout && snapshot.state == State::kOpen) {
      // Judged by Slower(), to which timeouts are failures.
      MODEL_CHECK(snapshot.generation == 3);
      return CheckRecords(At(1800ms));
    }
    MODEL_CHECK(snapshot.state == State::kHalfOpen && !snapshot.proved);
    if (!next_) next_ = Admit(At(1800ms));
    MODEL_CHECK(static_cast<bool>(next_));
    Finish(next_, Outcome::kOk, At(1900ms));
    snapshot = SettledSnapshot(At(1900ms));
    MODEL_CHECK(snapshot.proved && snapshot.generation == 2);
    CheckRecords(At(1900ms));
  }

 private:
  Breaker::Permit probe_;
  Breaker::Permit next_;
};

// Outcomes, while the window gets buckets of another width, and more than there
// was room for.
template <Outcome second>
class SettingsAgainstCounts : public BreakerScenario {
 public:
  SettingsAgainstCounts() : BreakerScenario(OpensAtTwo()) {
    Breaker::Permit warm = Admit(At(0ms));
    Finish(warm, Outcome::kOk, At(0ms));
    for (Breaker::Permit& permit : permits_) permit = Admit(At(0ms));
  }
  void Thread(int index) override {
    if (index == 0) {
      Finish(permits_[0], Outcome::kOk, At(10ms));
      return Finish(permits_[1], second, At(20ms));
    }
    breaker_.SetPolicy(Widest().get(), At(30ms), Draws());
    const OutcomeCounts window = Snapshot(At(30ms)).window;
    MODEL_CHECK(window.of(Outcome::kOk) + window.failures() <= 2);
  }
  void After() override {
    BreakerSnapshot snapshot = SettledSnapshot(At(40ms));
    MODEL_CHECK(snapshot.settings == Widest()->settings);
    MODEL_CHECK(snapshot.lifetime.total() == 3);
    MODEL_CHECK(snapshot.window.total() <= 2);
    // Opened by the old settings, if at all: the new ones ask for more.
    MODEL_CHECK(snapshot.generation ==
                (snapshot.state == State::kOpen ? 2u : 1u));
    if (snapshot.state == State::kOpen) return CheckRecords(At(50ms));
    // Three buckets of a second each.
    const std::uint64_t before = snapshot.window.total();
    Finish(permits_[2], Outcome::kUserError, At(2000ms));
    snapshot = SettledSnapshot(At(2000ms));
    MODEL_CHECK(snapshot.window.total() == before + 1);
    snapshot = SettledSnapshot(At(4000ms));
    MODEL_CHECK(snapshot.window.total() == 1);
    CheckRecords(At(4000ms));
  }

 private:
  std::array<Breaker::Permit, 3> permits_;
};

// The mode becomes off, and enforce again, while a call fails.
class OffAgainstOpening : public BreakerScenario {
 public:
  OffAgainstOpening() : BreakerScenario(QuickToOpen()) {
    permit_ = Admit(At(0ms));
  }
  void Thread(int index) override {
    if (index == 0) return Finish(permit_, Outcome::kTimeout, At(10ms));
    breaker_.SetPolicy(Off().get(), At(20ms), Draws());
    Breaker::Admission off = breaker_.Admit(At(30ms), Draws());
    MODEL_CHECK(off.admitted() && !off.permit);
    breaker_.SetPolicy(Slower().get(), At(40ms), Draws());
    Breaker::Permit next = Admit(At(50ms));
    MODEL_CHECK(static_cast<bool>(next));
    Finish(next, Outcome::kOk, At(50ms));
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(60ms));
    const auto opened = Transitions(snapshot, State::kClosed, State::kOpen);
    MODEL_CHECK(snapshot.state == State::kClosed);
    MODEL_CHECK(snapshot.generation == 2 + opened);
    MODEL_CHECK(opened == Transitions(snapshot, State::kOpen, State::kClosed));
    MODEL_CHECK(opened + snapshot.stale <= 1);
    MODEL_CHECK(snapshot.window.total() == 1);
    MODEL_CHECK(snapshot.window.of(Outcome::kOk) == 1);
    CheckRecords(At(100ms));
  }

 private:
  Breaker::Permit permit_;
};

// One operator forces the breaker, another changes its settings.
class SettingsAgainstForce : public BreakerScenario {
 public:
  SettingsAgainstForce() : BreakerScenario(QuickToOpen()) {}
  void Thread(int index) override {
    if (index == 0) {
      breaker_.Force(Override::kForcedOpen, At(1000ms), At(10ms), Draws());
      return breaker_.Force(Override::kForcedClosed, At(2000ms), At(20ms),
                            Draws());
    }
    breaker_.SetPolicy(Slower().get(), At(15ms), Draws());
    breaker_.SetPolicy(Quicker().get(), At(16ms), Draws());
  }
  void After() override {
    const BreakerSnapshot snapshot = SettledSnapshot(At(100ms));
    MODEL_CHECK(snapshot.settings == Quicker()->settings);
    MODEL_CHECK(snapshot.override_state == Override::kForcedClosed);
    MODEL_CHECK(snapshot.next_change == At(2000ms));
    MODEL_CHECK(snapshot.generation == 1);
    CheckRecords(At(200ms));
  }
};

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      CaseOf<OpeningAgainstOpening>("opening against opening", 2, 3000, 2),
      CaseOf<OpeningTogether<Outcome::kTimeout, 0>>("opening together", 2, 3000,
                                                    2),
      CaseOf<OpeningTogether<Outcome::kSystemError, 0>>(
          "opening together, by two classes", 2, 3000, 2),
      CaseOf<OpeningTogether<Outcome::kTimeout, 21>>(
          "opening together, in two buckets", 2, 3000, 2),
      CaseOf<RaceForTheProbe>("three admits racing for the probe", 3, 3000, 1),
      CaseOf<RaceForTheFreedSlot>("admits racing for a freed slot", 3, 3000, 1),
      CaseOf<SlotHandedOn>("freed slot handed on", 2, 3000, 2),
      CaseOf<SlotFreedAtLeaseEnd>("slot freed at the end of the lease", 2, 3000,
                                  2),
      CaseOf<ForceAgainstReuse>("force against records used again", 2, 3000, 2),
      CaseOf<ForceStorm>("force storm", 3, 10000, -1),
      CaseOf<OpenedTwice>("opened twice", 2, 5000, 1),
      CaseOf<DrainingAgainstReset>("draining against reset", 2, 3000, 2),
      CaseOf<ReleaseAgainstForce>("release against force", 2, 3000, 2),
      CaseOf<LateFinish<Outcome::kOk>>("late success against a new generation",
                                       2, 3000, 2),
      CaseOf<LateFinish<Outcome::kTimeout>>(
          "late failure against a new generation", 2, 20000, 1),
      CaseOf<LeaseEnd<Outcome::kOk>>("lease end against late success", 2, 3000,
                                     2),
      CaseOf<LeaseEnd<Outcome::kUserError>>("lease end against late proof", 2,
                                            3000, 2),
      CaseOf<LeaseEnd<Outcome::kTimeout>>("lease end against late failure", 2,
                                          3000, 2),
      CaseOf<ForceAgainstTransition>("forced state against transition", 2,
                                     20000, 1),
      CaseOf<ForceAgainstForce>("force against force", 3, 3000, 1),
      CaseOf<ResetAgainstProbe>("reset against the end of a probe", 2, 20000,
                                1),
      CaseOf<RejectionAgainstReuse>("rejection against records used again", 2,
                                    3000, 2),
      CaseOf<RampAgainstReuse>("ramp against records used again", 2, 20000, 1),
      CaseOf<ShadowRampAgainstReuse>(
          "ramp in shadow mode against records used again", 2, 20000, 2),
      CaseOf<SnapshotAgainstAll>("snapshot against all", 2, 20000, 1),
      CaseOf<SettingsAgainstAdmit>("settings against admit", 2, 5000, 1),
      CaseOf<SettingsAgainstSnapshot>("settings against snapshot", 2, 5000, 1),
      CaseOf<SettingsAgainstProbe<Outcome::kIgnored>>(
          "settings against an ignored probe", 2, 5000, 1),
      CaseOf<SettingsAgainstProbe<Outcome::kTimeout>>(
          "settings against a probe without a verdict", 2, 5000, 1),
      CaseOf<SettingsAgainstCounts<Outcome::kOk>>("settings against successes",
                                                  2, 5000, 1),
      CaseOf<SettingsAgainstCounts<Outcome::kTimeout>>(
          "settings against a failure", 2, 5000, 1),
      CaseOf<OffAgainstOpening>("mode off against opening", 2, 5000, 1),
      CaseOf<SettingsAgainstForce>("settings against force", 2, 5000, 1),
  };
  return cases;
}

TEST(BreakerModelTest, EveryInterleavingHolds) {
  MakePolicies();
  for (const Case& test : Cases()) {
    const Result result = Explore(test);
    EXPECT_TRUE(result.holds) << test.name << ": " << result.failure;
    std::cout << "breaker: " << Describe(test, result) << std::endl;
  }
}

TEST(BreakerModelTest, EveryBrokenVariantIsCaught) {
  MakePolicies();
  const std::vector<Survivor> survivors = {
      {"no second look in ClaimRecord: load 1",
       "the swap that follows finds out, and tells what there is instead"},
      {"no second look in Admit: load 1",
       "the look at its end finds out, and the long way decides"},
      {"no second look in Finish: load 1",
       "the word that the call began with will do (B6)"},
      {"no acquire in ReadRecord: load 4",
       "takes four threads: an opening that fails leaves its generation in a "
       "free record, and a call that reads it there is taken for stale. The "
       "fields are read alike (B3)"},
      {"no release in StoreRecord: store 4", "the other half of that"},
      {"no release in FreeProbeSlot: compare-and-swap 1",
       "what the probe counted is sequentially consistent, and Relacy runs "
       "each "
       "thread in its own order: it cannot free the slot before it counts"},
  };
  for (const std::string& surprise :
       Surprises(Cases(), {"circuit_breaker.h", "circuit_breaker_inl.h"},
                 survivors)) {
    ADD_FAILURE() << surprise;
  }
}

// W8, which the tests of the window leave out.
TEST(BreakerModelTest, WithoutATotalOrderAnOpeningIsMissed) {
  MakePolicies();
  for (const std::string& surprise :
       Surprises(Cases(), {"rolling_window.h"}, {}, {Fault::kNoTotalOrder})) {
    ADD_FAILURE() << surprise;
  }
}

}  // namespace
}  // namespace fusebox::model
