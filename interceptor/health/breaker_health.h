// What the breakers of a server say about the health of its names.

#ifndef FUSEBOX_INTERCEPTOR_HEALTH_BREAKER_HEALTH_H_
#define FUSEBOX_INTERCEPTOR_HEALTH_BREAKER_HEALTH_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace fusebox {

// When the methods below a name make it unhealthy.
enum class ServiceHealthRule : unsigned char {
  kAny = 0,  // as soon as one of its guarded methods is
  kAll = 1,  // when all of them are
  kNever = 2,
};

struct HealthOptions {
  // For each "pkg.Service", over its guarded methods.
  ServiceHealthRule services = ServiceHealthRule::kAll;
  // For "", the whole server, over all guarded methods.
  ServiceHealthRule server = ServiceHealthRule::kNever;
};

// Derives the health of services, and of the server, from that of methods.
// Thread-compatible.
class BreakerHealth {
 public:
  struct Change {
    std::string name;  // "pkg.Service/Method", "pkg.Service" or ""
    bool healthy;
  };

  explicit BreakerHealth(const HealthOptions& options) : options_(options) {}

  // Adds a method as healthy, with its service; a method that is known already
  // stays as it is. `method` as gRPC writes it: "/pkg.Service/Method". Nothing
  // is said about "" unless options.server is other than kNever.
  void Add(std::string_view method);

  // Every name, with its present health.
  std::vector<Change> All() const;

  // Sets the health of a method that was added, and returns what changes by it.
  std::vector<Change> Set(std::string_view method, bool healthy);

 private:
  struct Group {
    int methods = 0;
    int unhealthy = 0;

    bool Healthy(ServiceHealthRule rule) const;
  };

  const HealthOptions options_;
  std::map<std::string, bool, std::less<>> methods_;  // to its health
  std::map<std::string, Group, std::less<>> services_;
  Group server_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HEALTH_BREAKER_HEALTH_H_
