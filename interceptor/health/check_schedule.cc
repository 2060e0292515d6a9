#include "interceptor/health/check_schedule.h"

#include <algorithm>
#include <utility>

#include "interceptor/breaker/settings.h"

namespace fusebox {
namespace {

CheckResult NoAnswer(const CheckOptions& options) {
  return {false, "no answer within " + FormatDuration(options.deadline), {}};
}

}  // namespace

bool CheckSchedule::Entry::PastDeadline(TimePoint now) const {
  return under_way && now - started >= options.deadline;
}

void CheckSchedule::Add(std::string name, CheckOptions options, TimePoint now) {
  by_name_.emplace(name, checks_.size());
  Entry entry;
  entry.name = std::move(name);
  entry.options = std::move(options);
  entry.due = now;
  checks_.push_back(std::move(entry));
}

std::vector<std::size_t> CheckSchedule::Start(TimePoint now) {
  std::vector<std::size_t> started;
  for (std::size_t i = 0; i < checks_.size(); ++i) {
    Entry& entry = checks_[i];
    if (entry.under_way || now < entry.due) continue;
    entry.under_way = true;
    entry.started = now;
    started.push_back(i);
  }
  return started;
}

void CheckSchedule::Expire(TimePoint now) {
  for (Entry& entry : checks_) {
    if (entry.overdue || !entry.PastDeadline(now)) continue;
    entry.overdue = true;
    Conclude(entry, NoAnswer(entry.options), now - entry.started);
  }
}

void CheckSchedule::Finish(std::size_t check, CheckResult result,
                           TimePoint now) {
  Entry& entry = checks_[check];
  if (entry.PastDeadline(now)) {
    result = NoAnswer(entry.options);
  }
  Conclude(entry, std::move(result), now - entry.started);
  entry.under_way = false;
  entry.overdue = false;
  entry.due = now + entry.options.refresh_period;
}

void CheckSchedule::Conclude(Entry& entry, CheckResult result,
                             Duration response_time) {
  const bool was_healthy = !entry.result.has_value() || entry.result->healthy;
  if (was_healthy != result.healthy) {
    turns_.push_back({entry.name, result.healthy, result.message});
  }
  entry.result = std::move(result);
  entry.response_time = response_time;
}

TimePoint CheckSchedule::Next() const {
  TimePoint next = TimePoint::max();
  for (const Entry& entry : checks_) {
    if (!entry.under_way) {
      next = std::min(next, entry.due);
    } else if (!entry.overdue) {
      next = std::min(next, entry.started + entry.options.deadline);
    }
  }
  return next;
}

bool CheckSchedule::AllChecked() const {
  return std::all_of(checks_.begin(), checks_.end(), [](const Entry& entry) {
    return entry.result.has_value();
  });
}

ServiceHealth CheckSchedule::Health(TimePoint now) const {
  ServiceHealth health;
  health.components.reserve(checks_.size());
  for (const auto& [name, index] : by_name_) {
    const Entry& entry = checks_[index];
    Component component;
    component.name = name;
    component.critical = entry.options.critical;
    component.checked = true;
    CheckResult result;
    if (entry.PastDeadline(now)) {
      result = NoAnswer(entry.options);
      component.response_time = now - entry.started;
    } else if (entry.result.has_value()) {
      result = *entry.result;
      component.response_time = entry.response_time;
    } else {
      result.message = "not checked yet";
      component.checked = false;
    }
    component.healthy = result.healthy;
    component.message = std::move(result.message);
    component.fields = std::move(result.fields);
    health.healthy =
        health.healthy && (component.healthy || !component.critical);
    health.components.push_back(std::move(component));
  }
  return health;
}

std::map<std::string, bool> CheckSchedule::Names() const {
  std::map<std::string, bool> names;
  const auto add = [&names](const std::string& name, bool healthy) {
    bool& all = names.try_emplace(name, true).first->second;
    all = all && healthy;
  };
  for (const Entry& entry : checks_) {
    const bool healthy = entry.result.has_value() && entry.result->healthy;
    if (entry.options.critical) add("", healthy);
    for (const std::string& name : entry.options.health_names) {
      add(name, healthy);
    }
  }
  return names;
}

std::vector<ComponentTurn> CheckSchedule::TakeTurns() {
  return std::exchange(turns_, {});
}

}  // namespace fusebox
