#include "tools/replay.h"

#include <array>
#include <charconv>
#include <chrono>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>
#include <variant>

#include "interceptor/breaker/outcome.h"
#include "interceptor/breaker/random.h"
#include "interceptor/breaker/state.h"
#include "tools/decimal.h"

namespace fusebox {
namespace {

using Kind = JsonField::Kind;
using Fit = ScaledDecimal::Fit;

// ---------------------------------------------------------------------------
// Values
//
// Each of these reads the value of one field. False, with `error` saying what
// is wrong, if that is not what the field takes.

bool Wrong(const JsonField& field, const std::string& reason,
           std::string& error) {
  error = std::string(field.name) + ": " + QuoteValue(field) + " " + reason;
  return false;
}

// A number of units of 10^-places, cut off below one unless it must be exact.
bool ReadScaled(const JsonField& field, int places, Fit worst,
                const char* finer, const char* too_large, std::int64_t& out,
                std::string& error) {
  if (field.kind != Kind::kNumber) return Wrong(field, "is no number", error);
  const ScaledDecimal scaled = ScaleDecimal(field.text, places);
  if (scaled.fit == Fit::kTooLarge) return Wrong(field, too_large, error);
  if (scaled.fit > worst) return Wrong(field, finer, error);
  out = scaled.value;
  return true;
}

bool Read(const JsonField& field, std::int64_t& out, std::string& error) {
  return ReadScaled(field, 0, Fit::kExact, "is no integer",
                    "is out of range: more than 64 bits", out, error);
}

bool Read(const JsonField& field, int& out, std::string& error) {
  std::int64_t wide = 0;
  if (!Read(field, wide, error)) return false;
  out = static_cast<int>(wide);
  return out == wide ||
         Wrong(field, "is out of range: more than 32 bits", error);
}

bool Read(const JsonField& field, Duration& out, std::string& error) {
  std::int64_t ns = 0;
  if (!ReadScaled(field, 9, Fit::kExact, "is finer than a nanosecond",
                  "is out of range: more than 292 years", ns, error)) {
    return false;
  }
  out = Duration(ns);
  return true;
}

bool Read(const JsonField& field, double& out, std::string& error) {
  if (field.kind != Kind::kNumber) return Wrong(field, "is no number", error);
  const char* const end = field.text.data() + field.text.size();
  if (std::from_chars(field.text.data(), end, out).ec != std::errc()) {
    return Wrong(field, "is out of range of a double", error);
  }
  return true;
}

bool Read(const JsonField& field, bool& out, std::string& error) {
  if (field.kind != Kind::kBool) {
    return Wrong(field, "is neither true nor false", error);
  }
  out = field.text == "true";
  return true;
}

// Thresholds and slow_call_duration.
template <class T>
bool Read(const JsonField& field, std::optional<T>& out, std::string& error) {
  if (field.kind == Kind::kString && field.text == "off") {
    out.reset();
    return true;
  }
  if (field.kind != Kind::kNumber) {
    return Wrong(field, "is neither a number nor \"off\"", error);
  }
  return Read(field, out.emplace(), error);
}

bool Read(const JsonField& field, std::string_view& out, std::string& error) {
  if (field.kind != Kind::kString) return Wrong(field, "is no string", error);
  out = field.text;
  return true;
}

// ---------------------------------------------------------------------------
// Settings

bool Read(const JsonField& field, Mode& out, std::string& error) {
  for (Mode mode : {Mode::kEnforce, Mode::kShadow, Mode::kOff}) {
    if (field.kind == Kind::kString && field.text == ModeName(mode)) {
      out = mode;
      return true;
    }
  }
  return Wrong(field, "is none of enforce, shadow, off", error);
}

struct SettingsMember {
  std::string_view name;
  std::variant<Duration Settings::*, std::optional<Duration> Settings::*,
               Threshold Settings::*, int Settings::*, std::int64_t Settings::*,
               double Settings::*, bool Settings::*, Mode Settings::*>
      member;
};

constexpr SettingsMember kSettingsMembers[] = {
    {"bucket_width", &Settings::bucket_width},
    {"buckets", &Settings::buckets},
    {"min_requests", &Settings::min_requests},
    {"timeout_threshold", &Settings::timeout_threshold},
    {"system_error_threshold", &Settings::system_error_threshold},
    {"unknown_error_threshold", &Settings::unknown_error_threshold},
    {"failure_threshold", &Settings::failure_threshold},
    {"slow_call_duration", &Settings::slow_call_duration},
    {"slow_call_threshold", &Settings::slow_call_threshold},
    {"min_counted_deadline", &Settings::min_counted_deadline},
    {"min_recovery", &Settings::min_recovery},
    {"max_recovery", &Settings::max_recovery},
    {"backoff_multiplier", &Settings::backoff_multiplier},
    {"max_open_duration", &Settings::max_open_duration},
    {"jitter", &Settings::jitter},
    {"probe_lease", &Settings::probe_lease},
    {"drain_window_before_recovery", &Settings::drain_window_before_recovery},
    {"ramp_from_opening", &Settings::ramp_from_opening},
    {"mode", &Settings::mode},
};

bool ReadMember(const JsonField& field, Settings& settings,
                std::string& error) {
  for (const SettingsMember& row : kSettingsMembers) {
    if (row.name != field.name) continue;
    return std::visit(
        [&](auto member) { return Read(field, settings.*member, error); },
        row.member);
  }
  error = QuoteText(field.name) + " is no field of the settings";
  return false;
}

bool ReadSettings(const std::vector<JsonField>& fields, Settings& settings,
                  std::string& error) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (fields[i].name != fields[j].name) continue;
      error = QuoteText(fields[i].name) + " is given twice";
      return false;
    }
  }
  // The preset first, wherever it stands: the other fields are changes to it.
  for (const JsonField& field : fields) {
    if (field.name != "preset") continue;
    if (field.kind != Kind::kString || field.text != "doctor") {
      return Wrong(field, "is no preset; there is \"doctor\"", error);
    }
    settings = DoctorSettings();
  }
  for (const JsonField& field : fields) {
    if (field.name == "preset") continue;
    if (!ReadMember(field, settings, error)) return false;
  }
  for (const SettingsIssue& issue : ValidateSettings(settings)) {
    if (!error.empty()) error += "; ";
    error += issue.message;
  }
  return error.empty();
}

// ---------------------------------------------------------------------------
// Events

enum class Op : unsigned char { kAdmit, kFinish, kState };

constexpr std::string_view kOpNames[] = {"admit", "finish", "state"};

enum EventField : std::size_t {
  kTime,
  kOp,
  kMethod,
  kCall,
  kOutcome,
  kLatency,
  kStale,
  kU,
  kR,
  kEventFields,
  kNoEventField = kEventFields,
};

constexpr std::array<std::string_view, kEventFields> kEventFieldNames = {
    "t", "op", "method", "call", "outcome", "latency", "stale", "u", "r"};

EventField EventFieldOf(std::string_view name) {
  std::size_t i = 0;
  while (i < kEventFields && kEventFieldNames[i] != name) ++i;
  return static_cast<EventField>(i);
}

constexpr unsigned Bit(EventField field) { return 1u << field; }

constexpr unsigned kOfEveryEvent = Bit(kTime) | Bit(kOp) | Bit(kMethod);
constexpr unsigned kDraws = Bit(kU) | Bit(kR);

// By Op.
constexpr unsigned kRequired[] = {kOfEveryEvent | Bit(kCall),
                                  kOfEveryEvent | Bit(kOutcome), kOfEveryEvent};
constexpr unsigned kAllowed[] = {
    kRequired[0] | kDraws,
    kRequired[1] | kDraws | Bit(kCall) | Bit(kLatency) | Bit(kStale),
    kRequired[2] | kDraws};

bool Read(const JsonField& field, Op& out, std::string& error) {
  for (Op op : {Op::kAdmit, Op::kFinish, Op::kState}) {
    if (field.kind == Kind::kString &&
        field.text == kOpNames[static_cast<std::size_t>(op)]) {
      out = op;
      return true;
    }
  }
  return Wrong(field, "is none of admit, finish, state", error);
}

bool Read(const JsonField& field, Outcome& out, std::string& error) {
  std::optional<Outcome> outcome;
  if (field.kind == Kind::kString) outcome = OutcomeFromName(field.text);
  if (!outcome.has_value()) {
    return Wrong(field,
                 "is none of ok, user_error, timeout, system_error, "
                 "unknown_error, ignored",
                 error);
  }
  out = *outcome;
  return true;
}

bool ReadTime(const JsonField& field, std::int64_t& ms, std::string& error) {
  static const std::string out_of_range =
      "is out of range [0, " + std::to_string(Replay::kLastSecond) + "]";
  if (!ReadScaled(field, 3, Fit::kExact, "is finer than a millisecond",
                  out_of_range.c_str(), ms, error)) {
    return false;
  }
  return (ms >= 0 && ms <= Replay::kLastSecond * 1000) ||
         Wrong(field, out_of_range, error);
}

bool ReadLatency(const JsonField& field, Duration& out, std::string& error) {
  // Cutting off decides nothing: slow_call_duration is a whole number of
  // nanoseconds, and a latency reaches it iff its whole nanoseconds do.
  std::int64_t ns = 0;
  if (!ReadScaled(field, 9, Fit::kTruncated, "",
                  "is out of range: more than 292 years", ns, error)) {
    return false;
  }
  out = Duration(ns);
  return ns >= 0 || Wrong(field, "is out of range [0, ...)", error);
}

}  // namespace

struct Replay::Event {
  std::int64_t ms = 0;
  Op op = Op::kState;
  std::string_view method;
  std::optional<std::int64_t> call;
  Outcome outcome = Outcome::kIgnored;
  Duration latency = Duration::zero();
  bool stale = false;
  double u = 0;
  double r = 0;

  TimePoint time() const { return TimePoint(std::chrono::milliseconds(ms)); }

  bool ReadFrom(const std::vector<JsonField>& fields, std::string& error) {
    unsigned given = 0;
    for (const JsonField& field : fields) {
      const EventField which = EventFieldOf(field.name);
      if (which == kNoEventField) {
        error = QuoteText(field.name) + " is no field of an event";
        return false;
      }
      if ((given & Bit(which)) != 0) {
        error = QuoteText(field.name) + " is given twice";
        return false;
      }
      given |= Bit(which);
      if (!ReadValue(which, field, error)) return false;
    }
    if (!CheckFields(given, error)) return false;
    if (stale && call.has_value()) {
      error =
          "\"stale\" and \"call\" exclude each other: a recorded call has "
          "its own generation";
      return false;
    }
    return true;
  }

 private:
  // `given`: bits of the fields that were there.
  bool CheckFields(unsigned given, std::string& error) const {
    const auto index = static_cast<std::size_t>(op);
    const bool has_op = (given & Bit(kOp)) != 0;
    const unsigned missing = (has_op ? kRequired[index] : Bit(kOp)) & ~given;
    const unsigned surplus = has_op ? given & ~kAllowed[index] : 0;
    for (std::size_t i = 0; i < kEventFields; ++i) {
      const unsigned bit = 1u << i;
      if ((missing & bit) != 0) {
        error = QuoteText(kEventFieldNames[i]) + " is missing";
      } else if ((surplus & bit) != 0) {
        error = QuoteText(kEventFieldNames[i]) + " is no field of op " +
                QuoteText(kOpNames[index]);
      } else {
        continue;
      }
      return false;
    }
    return true;
  }

  bool ReadValue(EventField which, const JsonField& field, std::string& error) {
    switch (which) {
      case kTime:
        return ReadTime(field, ms, error);
      case kOp:
        return Read(field, op, error);
      case kMethod:
        return Read(field, method, error);
      case kCall:
        return Read(field, call.emplace(), error);
      case kOutcome:
        return Read(field, outcome, error);
      case kLatency:
        return ReadLatency(field, latency, error);
      case kStale:
        return Read(field, stale, error);
      case kU:
        return Read(field, u, error) &&
               ((u >= 0 && u < 1) ||
                Wrong(field, "is out of range [0, 1)", error));
      case kR:
        return Read(field, r, error) &&
               ((r >= -1 && r <= 1) ||
                Wrong(field, "is out of range [-1, 1]", error));
      case kNoEventField:
        break;
    }
    return false;
  }
};

// ---------------------------------------------------------------------------
// The trace

namespace {

CircuitBreaker::Options BreakerOptions() {
  CircuitBreaker::Options options;
  options.shards = 1;
  // Asked only by permits that are dropped, when nothing is answered any more:
  // the machine's clock has no part in a replay.
  options.now = [] { return TimePoint(); };
  return options;
}

}  // namespace

Replay::Method::Method(std::string_view method_name, const Settings& settings,
                       TimePoint now)
    : name(method_name), breaker(settings, now, BreakerOptions()) {
  AppendJsonString(name, json_name);
}

bool Replay::Fail(std::string reason) {
  error_ = "line " + std::to_string(line_) + ": " + std::move(reason);
  return false;
}

bool Replay::Apply(std::string_view line, std::string& answers) {
  ++line_;
  if (line.find_first_not_of(" \t\r\n") == std::string_view::npos) return true;
  if (started_) return ApplyEvent(line, answers);
  started_ = true;
  return ApplySettings(line);
}

bool Replay::End() {
  if (started_) return true;
  line_ = 1;
  return Fail("must be {\"settings\": {...}}");
}

bool Replay::ApplySettings(std::string_view line) {
  std::string reason;
  if (!parser_.Parse(line, "settings")) return Fail(parser_.error());
  return ReadSettings(parser_.fields(), settings_, reason) ||
         Fail(std::move(reason));
}

bool Replay::ApplyEvent(std::string_view line, std::string& answers) {
  if (!parser_.Parse(line)) return Fail(parser_.error());
  Event event;
  std::string reason;
  if (!event.ReadFrom(parser_.fields(), reason)) return Fail(std::move(reason));
  if (event.ms < last_ms_) {
    reason = "t: ";
    AppendSeconds(event.ms, reason);
    reason += " is before ";
    AppendSeconds(last_ms_, reason);
    return Fail(reason + " of an earlier line");
  }
  last_ms_ = event.ms;

  Random random = Random::Scripted(event.u, event.r);
  switch (event.op) {
    case Op::kAdmit:
      return Admit(event, random, answers);
    case Op::kFinish:
      return Finish(event, random);
    case Op::kState:
      Answer(event, MethodOf(event), std::nullopt, random, answers);
      return true;
  }
  return false;
}

Replay::Method& Replay::MethodOf(const Event& event) {
  const auto found = methods_.find(event.method);
  if (found != methods_.end()) return *found->second;
  auto method = std::make_unique<Method>(event.method, settings_, event.time());
  const std::string_view name = method->name;
  return *methods_.emplace(name, std::move(method)).first->second;
}

bool Replay::Admit(const Event& event, Random& random, std::string& answers) {
  Method& method = MethodOf(event);
  const auto [entry, is_new] = method.permits.try_emplace(*event.call);
  if (!is_new) {
    return Fail("call: " + std::to_string(*event.call) + " of " +
                QuoteText(event.method) + " was used before");
  }
  Admission admission = method.breaker.Admit(event.time(), random);
  entry->second = std::move(admission.permit);
  Answer(event, method, admission.admitted(), random, answers);
  return true;
}

bool Replay::Finish(const Event& event, Random& random) {
  if (!event.call.has_value()) {
    MethodOf(event).breaker.Report(event.outcome, event.time(), event.latency,
                                   random, event.stale);
    return true;
  }
  if (const auto method = methods_.find(event.method);
      method != methods_.end()) {
    auto& permits = method->second->permits;
    if (const auto permit = permits.find(*event.call);
        permit != permits.end()) {
      permit->second.Finish(event.outcome, event.time(), event.latency, random);
      return true;
    }
  }
  return Fail("call: " + std::to_string(*event.call) + " of " +
              QuoteText(event.method) + " is unknown");
}

void Replay::Answer(const Event& event, Method& method,
                    std::optional<bool> admitted, Random& random,
                    std::string& answers) {
  answers += "{\"t\":";
  AppendSeconds(event.ms, answers);
  answers += ",\"op\":\"";
  answers += kOpNames[static_cast<std::size_t>(event.op)];
  answers += "\",\"method\":";
  answers += method.json_name;
  if (event.call.has_value()) {
    answers += ",\"call\":";
    answers += std::to_string(*event.call);
  }
  if (admitted.has_value()) {
    answers += *admitted ? ",\"admitted\":true" : ",\"admitted\":false";
  }
  answers += ",\"state\":\"";
  answers += StateLabel(method.breaker.View(event.time(), random).state);
  answers += "\"}\n";
}

}  // namespace fusebox
