// Options outside their range, as exporters report them.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_OPTION_RANGE_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_OPTION_RANGE_H_

#include <string>

#include "absl/status/status.h"
#include "interceptor/breaker/clock.h"

namespace fusebox {

// INVALID_ARGUMENT: "period: 0s is out of range [1s, 24h]".
absl::Status OutOfRange(const std::string& field, const std::string& value,
                        const std::string& range);

// OutOfRange(), or OK if `value` is in [lowest, highest].
absl::Status InRange(const std::string& field, Duration value, Duration lowest,
                     Duration highest);
absl::Status InRange(const std::string& field, std::size_t value,
                     std::size_t lowest, std::size_t highest);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_OPTION_RANGE_H_
