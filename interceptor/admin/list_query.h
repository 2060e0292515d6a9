// Which breakers a list is to show: its filter, and its pages.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_LIST_QUERY_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_LIST_QUERY_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "interceptor/admin/operator_acts.h"
#include "interceptor/breaker/state.h"

namespace fusebox {

// A filter of ListBreakersRequest, whose language stands in
// proto/fusebox/v1/admin.proto. Thread-compatible.
class BreakerFilter {
 public:
  static constexpr std::size_t kMaxBytes = 1024;

  // Lets everything through.
  BreakerFilter() = default;

  // INVALID_ARGUMENT, naming field, value and what is valid.
  static absl::StatusOr<BreakerFilter> Parse(std::string_view text);

  // Whether conditions are about role, target and method only.
  bool names_only() const;

  bool Matches(const BreakerSnapshot& breaker) const;
  // Only for names_only().
  bool Matches(Role role, std::string_view target,
               std::string_view method) const;

 private:
  enum class Field : unsigned char {
    kState,
    kOverride,
    kRole,
    kMode,
    kTarget,
    kMethod
  };
  struct Condition {
    Field field;
    bool negated;
    // Words in the form that the names have in the library; or globs.
    std::vector<std::string> values;

    bool Holds(std::string_view value) const;
  };
  class Parser;

  std::vector<Condition> conditions_;
};

// Whether `text` is `glob`, in which * stands for any text. Takes time in
// proportion to the product of their sizes at worst.
bool GlobMatches(std::string_view glob, std::string_view text);

// Opaque: goes on after `last`, the breaker that came last, in a list with that
// filter.
std::string PageToken(const BreakerName& last, std::string_view filter);
// INVALID_ARGUMENT if it is no such token, or one of another filter.
absl::StatusOr<BreakerName> ParsePageToken(std::string_view token,
                                           std::string_view filter);

// The order of BreakerRegistry::Snapshots().
bool ListedBefore(const BreakerName& a, const BreakerName& b);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_LIST_QUERY_H_
