// What happened in the demo, as the client's output tells it.

#ifndef FUSEBOX_EXAMPLES_GREETER_DEMO_STORY_H_
#define FUSEBOX_EXAMPLES_GREETER_DEMO_STORY_H_

#include <cstdint>
#include <string>
#include <vector>

namespace greeter {

// A change of the client's breaker.
struct StateLine {
  std::string from;
  std::string to;
  std::string reason;
};

// The last line of the client but for its details.
struct TotalsLine {
  std::int64_t sent = 0;
  std::int64_t ok = 0;
  std::int64_t failed = 0;
  std::int64_t rejected = 0;
};

// Understands the lines of greeter_client. Thread-compatible.
class DemoStory {
 public:
  // Takes the next line; any that it does not know says nothing.
  void Read(const std::string& line);

  const std::vector<StateLine>& changes() const { return changes_; }
  // What health said, one a second.
  const std::vector<std::string>& health() const { return health_; }
  // Calls rejected in the seconds so far.
  std::int64_t rejected() const { return rejected_; }
  // All zero until the client has ended.
  const TotalsLine& totals() const { return totals_; }

  bool Opened() const { return !changes_.empty(); }
  bool Closed() const { return Opened() && changes_.back().to == "CLOSED"; }
  // How often a probe failed, for whatever reason or for this one.
  int FailedProbes(const std::string& reason = "") const;

  // Whether the breaker went CLOSED, OPEN, HALF_OPEN, CLOSED; with failed
  // probes OPEN, HALF_OPEN more than once.
  bool IsOneOutage() const;
  // Whether health said SERVING, later NOT_SERVING, and SERVING at last.
  bool HealthCameBack() const;

 private:
  std::vector<StateLine> changes_;
  std::vector<std::string> health_;
  std::int64_t rejected_ = 0;
  TotalsLine totals_;
};

}  // namespace greeter

#endif  // FUSEBOX_EXAMPLES_GREETER_DEMO_STORY_H_
