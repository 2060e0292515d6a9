// What an operator may do to a breaker.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_OPERATOR_ACTS_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_OPERATOR_ACTS_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "interceptor/admin/transition_history.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/breaker/state.h"

namespace fusebox {

// Names of a breaker as BreakerSnapshot has them.
struct BreakerName {
  Role role = Role::kServer;
  std::string target;  // client side; empty on a server
  std::string method;  // "/pkg.Service/Method"
};

// Changes whenever state, override (with its end) or settings do; 16 letters
// and digits.
std::string BreakerEtag(const BreakerSnapshot& breaker);

// Performs, records and logs acts, whoever asks for them: the admin service or
// the status page. Whether somebody may is for those to decide.
//
// Acts are performed one at a time, so of two with one etag the second is
// ABORTED; therefore all who act on a registry share one of these. A change
// that calls cause between the look at the etag and the act goes unnoticed.
//
// Thread-safe. Example:
//
//   fusebox::TransitionHistory history(&breakers);
//   fusebox::OperatorActs acts(&breakers, &history);
//   acts.Force({{Role::kServer, "", "/pkg.S/M"}, "alice", "INC-7"},
//              Override::kForcedOpen, std::chrono::minutes(10));
class OperatorActs {
 public:
  static constexpr std::size_t kMaxCommentBytes = 1024;
  static constexpr Duration kMaxTtl = std::chrono::hours(100 * 24);

  // Gets one line for each act: who did what to which breaker, for how long,
  // and the comment.
  using Log = std::function<void(const std::string& line)>;

  struct Request {
    BreakerName breaker;
    // Go into log and history as PrintableText() of them.
    std::string who;
    std::string comment;
    std::string etag;  // empty: whatever it is
  };

  // Both must outlive it. Without a `log`, that of the registry.
  OperatorActs(BreakerRegistry* registry, TransitionHistory* history,
               Log log = nullptr);

  // All return the breaker as it is afterwards, or
  //   NOT_FOUND         no such breaker
  //   ABORTED           the etag is another
  //   INVALID_ARGUMENT  the comment is too long, or the ttl out of range; names
  //                     field, value and range

  // Forces the breaker for `ttl`, above 0 and up to kMaxTtl; nothing: until
  // released. `override_state` must not be kNone.
  absl::StatusOr<BreakerSnapshot> Force(const Request& request,
                                        Override override_state,
                                        std::optional<Duration> ttl);
  // Also FAILED_PRECONDITION: it is not forced.
  absl::StatusOr<BreakerSnapshot> Release(const Request& request);
  absl::StatusOr<BreakerSnapshot> Reset(const Request& request);

  // The same for new settings: `apply` does it, and its error is returned.
  // `what` is for history and log: "min_recovery=2s".
  absl::StatusOr<BreakerSnapshot> Update(
      const Request& request, const std::string& what,
      const std::function<absl::Status()>& apply);

 private:
  // The breaker, if it may be acted on.
  absl::StatusOr<BreakerSnapshot> Check(const Request& request) const;
  absl::StatusOr<BreakerSnapshot> Perform(
      const Request& request, OperatorAct act,
      const std::function<absl::Status()>& perform) FUSEBOX_EXCLUDES(mu_);
  void Say(const BreakerName& name, const OperatorAct& act) const;

  BreakerRegistry& registry_;
  TransitionHistory& history_;
  const Log log_;
  Mutex mu_;  // held by whoever acts
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_OPERATOR_ACTS_H_
