// Figures in the form that they have in the tree of statistics.

#ifndef FUSEBOX_INTERCEPTOR_STATS_STAT_JSON_H_
#define FUSEBOX_INTERCEPTOR_STATS_STAT_JSON_H_

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "interceptor/stats/distribution.h"
#include "interceptor/stats/meter.h"

namespace fusebox {

// {"unit": "jobs/s", "count", "m1", "m5", "m15"}
nlohmann::ordered_json RatesJson(const std::string& unit,
                                 const Meter::Rates& rates);

// {"count", "min", "max", "mean", "stddev", "median", "75percentile",
// "95percentile", "98percentile", "99percentile", "999percentile"}; null
// without values, but for the count.
nlohmann::ordered_json DistributionJson(const DistributionSummary& summary);

// An object with room for so many members: to move on later would be to copy
// them, since their names are constant.
nlohmann::ordered_json ObjectFor(std::size_t members);

// Puts `value` behind the members of the object `json`, without a look at what
// these are called.
void Append(nlohmann::ordered_json& json, std::string name,
            nlohmann::ordered_json value);

// What JSON can hold: numbers that are not finite become null, bytes that are
// not UTF-8 U+FFFD; of members that get the same name by this, the later ones
// have " (2)" and so on behind it.
void MakeValid(nlohmann::ordered_json& json);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STATS_STAT_JSON_H_
