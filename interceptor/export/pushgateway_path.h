// The group of metrics in a Pushgateway, as the path of a URL.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_PUSHGATEWAY_PATH_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_PUSHGATEWAY_PATH_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace fusebox {

using GroupingLabels = std::vector<std::pair<std::string, std::string>>;

// "/metrics/job/JOB/LABEL/VALUE...". A value that is empty, "." or "..", or has
// bytes other than letters, digits and -._~: stands as base64 with the alphabet
// for URLs, and its label as LABEL@base64; an empty one is "=". That is what
// Pushgateway's README asks for. Thread-safe.
std::string PushgatewayPath(const std::string& job,
                            const GroupingLabels& labels);

// INVALID_ARGUMENT, naming what is wrong, unless Pushgateway takes the group:
// the job is not empty, and labels have names of Prometheus, each of its own
// and none "job" or with "__" in front. Thread-safe.
absl::Status ValidatePushgatewayGroup(const std::string& job,
                                      const GroupingLabels& labels);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_PUSHGATEWAY_PATH_H_
