#include "interceptor/health/breaker_health.h"

namespace fusebox {
namespace {

// "/pkg.Service/Method" without the first slash, which is how clients of the
// health protocol name it.
std::string_view NameOf(std::string_view method) {
  if (!method.empty() && method.front() == '/') method.remove_prefix(1);
  return method;
}

std::string_view ServiceOf(std::string_view name) {
  return name.substr(0, name.rfind('/'));
}

}  // namespace

bool BreakerHealth::Group::Healthy(ServiceHealthRule rule) const {
  switch (rule) {
    case ServiceHealthRule::kAny:
      return unhealthy == 0;
    case ServiceHealthRule::kAll:
      return unhealthy < methods;
    case ServiceHealthRule::kNever:
      break;
  }
  return true;
}

void BreakerHealth::Add(std::string_view method) {
  const std::string_view name = NameOf(method);
  if (!methods_.emplace(name, true).second) return;
  ++services_[std::string(ServiceOf(name))].methods;
  ++server_.methods;
}

std::vector<BreakerHealth::Change> BreakerHealth::All() const {
  std::vector<Change> all;
  for (const auto& [name, healthy] : methods_) all.push_back({name, healthy});
  for (const auto& [name, group] : services_) {
    all.push_back({name, group.Healthy(options_.services)});
  }
  if (options_.server != ServiceHealthRule::kNever) {
    all.push_back({"", server_.Healthy(options_.server)});
  }
  return all;
}

std::vector<BreakerHealth::Change> BreakerHealth::Set(std::string_view method,
                                                      bool healthy) {
  std::vector<Change> changes;
  const auto found = methods_.find(NameOf(method));
  if (found == methods_.end() || found->second == healthy) return changes;
  found->second = healthy;
  const std::string& name = found->first;
  changes.push_back({name, healthy});

  const auto count = [healthy, &changes](Group& group, ServiceHealthRule rule,
                                         std::string_view group_name) {
    const bool before = group.Healthy(rule);
    group.unhealthy += healthy ? -1 : 1;
    if (group.Healthy(rule) != before) {
      changes.push_back({std::string(group_name), healthy});
    }
  };
  const auto service = services_.find(ServiceOf(name));
  count(service->second, options_.services, service->first);
  count(server_, options_.server, "");
  return changes;
}

}  // namespace fusebox
