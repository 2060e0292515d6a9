#include "interceptor/admin/operator_acts.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "interceptor/admin/printable_text.h"
#include "interceptor/settings/settings_fields.h"

namespace fusebox {
namespace {

// FNV-1a, 64 bits (draft-eastlake-fnv).
std::uint64_t HashOf(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  return hash;
}

// "10m", "2400h".
std::string Written(Duration duration) {
  return absl::FormatDuration(absl::FromChrono(duration));
}

std::string Named(const BreakerName& name) {
  std::string text =
      absl::StrCat(PrintableText(name.method), " (", RoleName(name.role));
  if (!name.target.empty()) {
    absl::StrAppend(&text, " of ", PrintableText(name.target));
  }
  return text + ")";
}

}  // namespace

std::string BreakerEtag(const BreakerSnapshot& breaker) {
  std::string text = absl::StrCat(breaker.id, " ", breaker.generation, " ",
                                  breaker.since.time_since_epoch().count(), " ",
                                  StateName(breaker.state), " ",
                                  OverrideName(breaker.override_state));
  if (breaker.override_state != Override::kNone) {
    absl::StrAppend(&text, " ", breaker.next_change.time_since_epoch().count());
  }
  for (const SettingsField& field : SettingsFields()) {
    absl::StrAppend(&text, " ", GetSettingsField(breaker.settings, field.name));
  }
  return absl::StrCat(absl::Hex(HashOf(text), absl::kZeroPad16));
}

OperatorActs::OperatorActs(BreakerRegistry* registry,
                           TransitionHistory* history, Log log)
    : registry_(*registry),
      history_(*history),
      log_(log ? std::move(log) : registry->options().log) {}

absl::StatusOr<BreakerSnapshot> OperatorActs::Force(
    const Request& request, Override override_state,
    std::optional<Duration> ttl) {
  if (ttl.has_value() && (*ttl <= Duration::zero() || *ttl > kMaxTtl)) {
    return absl::InvalidArgumentError(
        absl::StrCat("ttl_duration: ", Written(*ttl), " is out of range (0, ",
                     Written(kMaxTtl), "]"));
  }
  OperatorAct act;
  act.kind = override_state == Override::kForcedOpen
                 ? OperatorAct::Kind::kForceOpen
                 : OperatorAct::Kind::kForceClose;
  act.detail = ttl.has_value() ? "for " + Written(*ttl) : "until released";
  return Perform(request, std::move(act), [&] {
    const BreakerName& name = request.breaker;
    const TimePoint until =
        ttl.has_value() ? registry_.Now() + *ttl : TimePoint::max();
    return registry_.Force(name.role, name.target, name.method, override_state,
                           until)
               ? absl::OkStatus()
               : absl::NotFoundError("it is gone");
  });
}

absl::StatusOr<BreakerSnapshot> OperatorActs::Release(const Request& request) {
  OperatorAct act;
  act.kind = OperatorAct::Kind::kRelease;
  return Perform(request, std::move(act), [&] {
    const BreakerName& name = request.breaker;
    return registry_.Release(name.role, name.target, name.method)
               ? absl::OkStatus()
               : absl::FailedPreconditionError(
                     absl::StrCat(Named(name), " is not forced"));
  });
}

absl::StatusOr<BreakerSnapshot> OperatorActs::Reset(const Request& request) {
  OperatorAct act;
  act.kind = OperatorAct::Kind::kReset;
  return Perform(request, std::move(act), [&] {
    const BreakerName& name = request.breaker;
    return registry_.Reset(name.role, name.target, name.method)
               ? absl::OkStatus()
               : absl::NotFoundError("it is gone");
  });
}

absl::StatusOr<BreakerSnapshot> OperatorActs::Update(
    const Request& request, const std::string& what,
    const std::function<absl::Status()>& apply) {
  OperatorAct act;
  act.kind = OperatorAct::Kind::kUpdate;
  act.detail = what;
  return Perform(request, std::move(act), apply);
}

absl::StatusOr<BreakerSnapshot> OperatorActs::Look(
    const Request& request) const {
  if (request.comment.size() > kMaxCommentBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("comment: ", request.comment.size(),
                     " bytes are out of range [0, ", kMaxCommentBytes, "]"));
  }
  const BreakerName& name = request.breaker;
  const std::optional<BreakerSnapshot> breaker =
      registry_.Snapshot(name.role, name.target, name.method);
  if (!breaker.has_value()) {
    return absl::NotFoundError(absl::StrCat("no breaker ", Named(name)));
  }
  if (!request.etag.empty() && request.etag != BreakerEtag(*breaker)) {
    return absl::AbortedError(absl::StrCat(
        "etag: ", Named(name), " has changed since it was looked at"));
  }
  return *breaker;
}

absl::StatusOr<BreakerSnapshot> OperatorActs::Perform(
    const Request& request, OperatorAct act,
    const std::function<absl::Status()>& perform) {
  act.who = PrintableText(request.who);
  act.comment = PrintableText(request.comment);
  const BreakerName& name = request.breaker;

  MutexLock lock(mu_);
  absl::StatusOr<BreakerSnapshot> before = Look(request);
  if (!before.ok()) return before.status();
  absl::StatusOr<BreakerSnapshot> result = before;
  const auto run = [&]() -> std::optional<TransitionHistory::Performed> {
    const absl::Status status = perform();
    if (!status.ok()) {
      result = status;
      return std::nullopt;
    }
    // One that is gone meanwhile, because it was idle, is shown as it was.
    if (const auto after =
            registry_.Snapshot(name.role, name.target, name.method)) {
      result = *after;
    }
    return TransitionHistory::Performed{act, *before, *result};
  };
  if (act.kind == OperatorAct::Kind::kUpdate) {
    // New settings are others' work, which transitions need not wait for.
    auto performed = run();
    history_.RecordAct([&] { return std::move(performed); });
  } else {
    history_.RecordAct(run);
  }
  if (result.ok()) Say(name, act);
  return result;
}

void OperatorActs::Say(const BreakerName& name, const OperatorAct& act) const {
  std::string line =
      absl::StrCat("fusebox: ", Named(name), ": ", ActName(act.kind));
  if (!act.detail.empty()) absl::StrAppend(&line, " ", act.detail);
  absl::StrAppend(&line, " by ", act.who.empty() ? "somebody" : act.who);
  if (!act.comment.empty()) absl::StrAppend(&line, ": ", act.comment);
  log_(line);
}

}  // namespace fusebox
