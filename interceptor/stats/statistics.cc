#include "interceptor/stats/statistics.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <typeindex>
#include <utility>
#include <vector>

#include "interceptor/stats/stat_json.h"

namespace fusebox {
namespace {

using Path = std::vector<std::string>;

// What stands in the tree and is no statistic of its own.
struct SumOfBelow {};
struct CountOfBelow {};

// A function of the user's.
class Called {
 public:
  explicit Called(std::function<StatValue()> function)
      : function_(std::move(function)) {}

  // Null if it throws, or was stopped.
  StatValue Read(IntegerStat& failed) FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (!function_) return nullptr;
    try {
      return function_();
    } catch (...) {
      failed.Add();
      return nullptr;
    }
  }
  void Stop() FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    function_ = nullptr;
  }

 private:
  Mutex mu_;
  std::function<StatValue()> function_ FUSEBOX_GUARDED_BY(mu_);
};
struct CalledGauge : Called {
  using Called::Called;
};
struct CalledView : Called {
  using Called::Called;
};

struct Entry {
  std::type_index kind;
  std::shared_ptr<void> stat;
  // Of a kind that is read here and now.
  std::function<StatValue()> read;
  // Of one that is asked for its value, else null.
  std::shared_ptr<Called> called;
};

std::string Quoted(std::string_view path) {
  return "path: '" + std::string(path) + "'";
}

// "/" is the empty path.
Path ParsePath(std::string_view text) {
  Path path;
  if (text == "/") return path;
  std::string_view rest = text;
  while (!rest.empty()) {
    if (rest[0] != '/') break;
    rest.remove_prefix(1);
    path.emplace_back(rest.substr(0, rest.find('/')));
    if (path.back().empty()) break;
    rest.remove_prefix(path.back().size());
  }
  if (path.empty() || !rest.empty() || path.back().empty()) {
    throw std::invalid_argument(Quoted(text) +
                                " is not valid: \"/name\", once "
                                "or more often");
  }
  return path;
}

bool IsPrefix(const Path& prefix, const Path& path) {
  return prefix.size() <= path.size() &&
         std::equal(prefix.begin(), prefix.end(), path.begin());
}

StatValue Shown(const IntegerStat& stat) { return stat.Value(); }
StatValue Shown(const DoubleStat& stat) { return stat.Value(); }
StatValue Shown(const StringStat& stat) { return stat.Value(); }
StatValue Shown(const MapStat& stat) {
  StatValue json = StatValue::object();
  for (const auto& [key, value] : stat.Values()) Append(json, key, value);
  return json;
}
StatValue Shown(const MeterStat& stat) {
  return RatesJson(stat.unit(), stat.Rates());
}
StatValue Shown(const DistributionStat& stat) {
  return DistributionJson(stat.Summary());
}
StatValue Shown(const StateStat& stat) {
  const StateStat::Times times = stat.Read();
  if (times.spent.empty()) return nullptr;
  StatValue seconds = StatValue::object();
  for (const auto& [state, spent] : times.spent) {
    Append(seconds, state, std::chrono::duration<double>(spent).count());
  }
  return {{"state", times.state}, {"seconds", std::move(seconds)}};
}

// Members that `json` does not have itself.
void Merge(StatValue& json, StatValue view) {
  if (!view.is_object()) return;
  for (auto& [name, value] : view.get_ref<StatValue::object_t&>()) {
    const auto own = json.find(name);
    if (own == json.end()) {
      Append(json, name, std::move(value));
    } else if (own->is_object()) {
      Merge(*own, std::move(value));
    }
  }
}

// Calls `found` with the members named `name` that are nearest below `json`.
template <typename Found>
void ForEachBelow(const StatValue& json, const std::string& name,
                  const Found& found) {
  if (!json.is_object()) return;
  const auto here = json.find(name);
  if (here != json.end()) {
    found(*here);
    return;
  }
  for (const StatValue& member : json) ForEachBelow(member, name, found);
}

// Wraps around, as IntegerStat does.
std::int64_t Plus(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) +
                                   static_cast<std::uint64_t>(b));
}

StatValue SumBelow(const StatValue& json, const std::string& name) {
  std::int64_t integers = 0;
  double doubles = 0;
  bool exact = true;
  for (const StatValue& child : json) {
    ForEachBelow(child, name, [&](const StatValue& value) {
      if (value.is_number_integer()) {
        integers = Plus(integers, value.get<std::int64_t>());
      } else if (value.is_number_float()) {
        doubles += value.get<double>();
        exact = false;
      }
    });
  }
  if (exact) return integers;
  return doubles + static_cast<double>(integers);
}

StatValue CountBelow(const StatValue& json, const std::string& name) {
  std::map<std::string, std::int64_t> counts;
  for (const StatValue& child : json) {
    ForEachBelow(child, name, [&](const StatValue& value) {
      if (value.is_object()) {
        for (const auto& [key, count] : value.items()) {
          if (!count.is_number_integer()) continue;
          counts[key] = Plus(counts[key], count.get<std::int64_t>());
        }
      } else if (value.is_string()) {
        ++counts[value.get<std::string>()];
      } else if (value.is_primitive() && !value.is_null()) {
        ++counts[value.dump()];
      }
    });
  }
  StatValue result = StatValue::object();
  for (const auto& [key, count] : counts) Append(result, key, count);
  return result;
}

struct Reading {
  Path path;
  std::shared_ptr<const Entry> entry;
  StatValue called;  // what the function said
};
using Readings = std::vector<Reading>::iterator;

// What is at and below a path of `depth` names: `first` to `last`, by path.
StatValue Render(Readings first, Readings last, std::size_t depth) {
  StatValue here;
  if (first->path.size() == depth) {
    here = first->entry->read ? first->entry->read() : std::move(first->called);
    if (++first == last && depth > 0) return here;
  }
  StatValue json = ObjectFor(static_cast<std::size_t>(last - first) +
                             (here.is_object() ? here.size() : 0));
  std::vector<Readings> of_below;
  while (first != last) {
    const std::string& name = first->path[depth];
    const auto end =
        std::find_if(first, last, [&name, depth](const Reading& reading) {
          return reading.path[depth] != name;
        });
    if (first->entry->read || first->entry->called ||
        first->path.size() > depth + 1) {
      Append(json, name, Render(first, end, depth + 1));
    } else {
      of_below.push_back(first);
    }
    first = end;
  }
  Merge(json, std::move(here));
  // Found before any is put in, so that none counts another beside it.
  std::vector<StatValue> found;
  for (const Readings& reading : of_below) {
    const std::string& name = reading->path[depth];
    found.push_back(reading->entry->kind == typeid(SumOfBelow)
                        ? SumBelow(json, name)
                        : CountBelow(json, name));
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    json[of_below[i]->path[depth]] = std::move(found[i]);
  }
  return json;
}

}  // namespace

void DoubleStat::Add(double x) {
  double value = value_.load(std::memory_order_relaxed);
  while (!value_.compare_exchange_weak(value, value + x,
                                       std::memory_order_relaxed)) {
  }
}

void StringStat::Set(std::string value) {
  MutexLock lock(mu_);
  value_ = std::move(value);
}

std::string StringStat::Value() const {
  MutexLock lock(mu_);
  return value_;
}

void MapStat::Add(std::string_view key, std::int64_t n) {
  MutexLock lock(mu_);
  auto found = values_.find(key);
  if (found == values_.end()) {
    if (values_.size() >= kMaxKeys) key = "other";
    found = values_.try_emplace(std::string(key), 0).first;
  }
  found->second = Plus(found->second, n);
}

std::map<std::string, std::int64_t> MapStat::Values() const {
  MutexLock lock(mu_);
  return {values_.begin(), values_.end()};
}

MeterStat::MeterStat(std::string unit, NowFunction now)
    : unit_(std::move(unit) + "/s"), now_(now), meter_(now()) {}

void MeterStat::Mark(std::uint64_t events) {
  MutexLock lock(mu_);
  meter_.Mark(now_(), events);
}

Meter::Rates MeterStat::Rates() const {
  MutexLock lock(mu_);
  return meter_.Read(now_());
}

void DistributionStat::Add(double value) {
  MutexLock lock(mu_);
  distribution_.Add(value);
}

DistributionSummary DistributionStat::Summary() const {
  MutexLock lock(mu_);
  return distribution_.Summary();
}

void StateStat::Enter(std::string_view state) {
  MutexLock lock(mu_);
  const TimePoint now = now_();
  if (!times_.spent.empty()) times_.spent[times_.state] += now - since_;
  since_ = now;
  times_.state = std::string(state);
  if (times_.spent.size() >= kMaxStates &&
      times_.spent.count(times_.state) == 0) {
    times_.state = "other";
  }
  times_.spent.try_emplace(times_.state, Duration::zero());
}

StateStat::Times StateStat::Read() const {
  MutexLock lock(mu_);
  Times times = times_;
  if (!times.spent.empty()) times.spent[times.state] += now_() - since_;
  return times;
}

class Statistics::Tree {
 public:
  // The statistic of kind T at `path`, which make() makes if there is none.
  template <typename T, typename Make>
  T& FindOrMake(std::string_view path, const Make& make) {
    return *static_cast<T*>(Add(path, typeid(T), /*or_find=*/true, [&make] {
                              std::shared_ptr<T> stat = make();
                              T* const plain = stat.get();
                              return Entry{typeid(T), std::move(stat),
                                           [plain] { return Shown(*plain); },
                                           nullptr};
                            })->stat.get());
  }

  template <typename T>
  void AddCalled(std::string_view path, std::function<StatValue()> function) {
    Add(path, typeid(T), /*or_find=*/false, [&function] {
      return Entry{typeid(T), nullptr, nullptr,
                   std::make_shared<T>(std::move(function))};
    });
  }

  template <typename T>
  void AddOfBelow(std::string_view path) {
    Add(path, typeid(T), /*or_find=*/true, [] {
      return Entry{typeid(T), nullptr, nullptr, nullptr};
    });
  }

  bool Remove(std::string_view text) FUSEBOX_EXCLUDES(mu_) {
    std::shared_ptr<Called> called;
    {
      const Path path = ParsePath(text);
      MutexLock lock(mu_);
      const auto found = entries_.find(path);
      if (found == entries_.end() || !found->second->called) return false;
      called = found->second->called;
      entries_.erase(found);
    }
    called->Stop();
    return true;
  }

  StatValue Read(IntegerStat& failed) FUSEBOX_EXCLUDES(mu_) {
    std::vector<Reading> readings;
    {
      MutexLock lock(mu_);
      readings.reserve(entries_.size());
      for (const auto& [path, entry] : entries_) {
        readings.push_back({path, entry, nullptr});
      }
    }
    // Before the rest, so that failures are in what is read.
    for (Reading& reading : readings) {
      if (reading.entry->called) {
        reading.called = reading.entry->called->Read(failed);
      }
    }
    StatValue json = Render(readings.begin(), readings.end(), 0);
    MakeValid(json);
    return json;
  }

 private:
  template <typename Make>
  std::shared_ptr<const Entry> Add(std::string_view text, std::type_index kind,
                                   bool or_find, const Make& make)
      FUSEBOX_EXCLUDES(mu_) {
    const Path path = ParsePath(text);
    const bool is_view = kind == typeid(CalledView);
    if (path.empty() && !is_view) {
      throw std::invalid_argument(Quoted(text) + " has no name");
    }
    MutexLock lock(mu_);
    const auto found = entries_.find(path);
    if (found != entries_.end()) {
      if (or_find && found->second->kind == kind) return found->second;
      throw std::invalid_argument(Quoted(text) + " is taken");
    }
    for (Path above = path; !above.empty();) {
      above.pop_back();
      const auto entry = entries_.find(above);
      if (entry != entries_.end() &&
          entry->second->kind != typeid(CalledView)) {
        throw std::invalid_argument(Quoted(text) +
                                    " is below another statistic");
      }
    }
    const auto next = entries_.upper_bound(path);
    if (!is_view && next != entries_.end() && IsPrefix(path, next->first)) {
      throw std::invalid_argument(Quoted(text) + " has statistics below it");
    }
    return entries_.try_emplace(path, std::make_shared<const Entry>(make()))
        .first->second;
  }

  Mutex mu_;
  // In the order of paths what is below one comes right behind it.
  std::map<Path, std::shared_ptr<const Entry>> entries_ FUSEBOX_GUARDED_BY(mu_);
};

Statistics::Statistics(NowFunction now)
    : now_(now),
      tree_(std::make_unique<Tree>()),
      failed_gauges_(Integer("/statistics/failed_gauges")) {}

Statistics::~Statistics() = default;

IntegerStat& Statistics::Integer(std::string_view path) {
  return tree_->FindOrMake<IntegerStat>(
      path, [] { return std::make_shared<IntegerStat>(); });
}

DoubleStat& Statistics::Double(std::string_view path) {
  return tree_->FindOrMake<DoubleStat>(
      path, [] { return std::make_shared<DoubleStat>(); });
}

StringStat& Statistics::String(std::string_view path) {
  return tree_->FindOrMake<StringStat>(
      path, [] { return std::make_shared<StringStat>(); });
}

MapStat& Statistics::Map(std::string_view path) {
  return tree_->FindOrMake<MapStat>(path,
                                    [] { return std::make_shared<MapStat>(); });
}

MeterStat& Statistics::Meter(std::string_view path, std::string_view unit) {
  return tree_->FindOrMake<MeterStat>(path, [this, unit] {
    return std::make_shared<MeterStat>(std::string(unit), now_);
  });
}

DistributionStat& Statistics::Distribution(std::string_view path) {
  return tree_->FindOrMake<DistributionStat>(
      path, [] { return std::make_shared<DistributionStat>(); });
}

StateStat& Statistics::State(std::string_view path) {
  return tree_->FindOrMake<StateStat>(
      path, [this] { return std::make_shared<StateStat>(now_); });
}

void Statistics::Gauge(std::string_view path, std::function<double()> gauge) {
  if (!gauge) throw std::invalid_argument(Quoted(path) + ": no function");
  tree_->AddCalled<CalledGauge>(
      path, [gauge = std::move(gauge)]() -> StatValue { return gauge(); });
}

void Statistics::View(std::string_view path, std::function<StatValue()> view) {
  if (!view) throw std::invalid_argument(Quoted(path) + ": no function");
  tree_->AddCalled<CalledView>(path, std::move(view));
}

bool Statistics::Remove(std::string_view path) { return tree_->Remove(path); }

void Statistics::Sum(std::string_view path) {
  tree_->AddOfBelow<SumOfBelow>(path);
}

void Statistics::CountByValue(std::string_view path) {
  tree_->AddOfBelow<CountOfBelow>(path);
}

StatValue Statistics::Read() { return tree_->Read(failed_gauges_); }

}  // namespace fusebox
