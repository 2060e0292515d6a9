// The breakers as texts, for the status page.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_BREAKER_PAGE_REPORT_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_BREAKER_PAGE_REPORT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "interceptor/admin/breaker_page_history.h"
#include "interceptor/admin/transition_history.h"
#include "interceptor/breaker/state.h"
#include "interceptor/settings/effective_settings.h"

namespace fusebox {

// A class of bad calls, as the policy judges it.
struct JudgedShare {
  const char* name;  // "failure", "timeout", "slow_call"; as the settings
  std::uint64_t calls = 0;
  double share = 0;  // of the window; 0 if that is empty
  Threshold threshold;
};

// All classes of a breaker; failures first, slow calls last, and those only if
// slow_call_duration is on.
std::vector<JudgedShare> JudgedShares(const BreakerSnapshot& breaker);

// The one that is nearest to its threshold, or furthest beyond it. Of equals,
// and if no threshold is on, the first.
JudgedShare NearestShare(const BreakerSnapshot& breaker);

// One breaker, without calls per second:
//
//   {"role": "client", "target": "dns:///orders",
//    "method": "/orders.v1.Orders/Lookup", "mode": "enforce", "state": "open",
//    "override": "none", "ramp": false, "state_age_s": 12.3,
//    "next_probe_s": 0.7, "override_left_s": null,
//    "window": {"calls": 20, "min": 10, "judged": true},
//    "nearest": {"class": "failure", "share": 0.6, "threshold": 0.5},
//    "calls_per_s": 9.5, "rejected_per_s": 8, "rejected": 412,
//    "shadow_rejected": 0, "in_flight": 0, "last_reason": "failure_threshold"}
//
// The two rates are means of the last ten seconds.
nlohmann::ordered_json BreakerJson(const BreakerSnapshot& breaker,
                                   const BreakerPageHistory& history,
                                   TimePoint now);

// The calls per second after a second: {"ok": [...], "failed": [...],
// "rejected": [...]}; null if there were none.
nlohmann::ordered_json RatesJson(
    const std::vector<BreakerPageHistory::Rates>& rates);

// What breaker.json has beside "breaker".
nlohmann::ordered_json DetailsJson(const BreakerSnapshot& breaker,
                                   const std::vector<HistoryEntry>& last,
                                   const EffectiveSettings* settings);

// JSON text; bytes that are not UTF-8 become U+FFFD.
std::string Dump(const nlohmann::ordered_json& json);

// A line for each breaker under a line of headings, in the order of the page:
// what is not closed first, then by failures, then by calls.
std::string BreakerTable(std::vector<BreakerSnapshot> breakers,
                         const BreakerPageHistory& history, TimePoint now);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_BREAKER_PAGE_REPORT_H_
