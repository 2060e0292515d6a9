#include "interceptor/admin/admin_messages.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/time_util.h>

#include <charconv>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "interceptor/admin/operator_acts.h"
#include "interceptor/admin/printable_text.h"
#include "interceptor/admin/resource_name.h"
#include "interceptor/settings/settings_fields.h"

namespace fusebox {
namespace {

using google::protobuf::FieldDescriptor;

google::protobuf::Timestamp TimestampOf(
    std::chrono::system_clock::time_point time) {
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::nanoseconds>(
          time.time_since_epoch())
          .count());
}

v1::Breaker::State StateOf(State state) {
  switch (state) {
    case State::kClosed:
      return v1::Breaker::CLOSED;
    case State::kOpen:
      return v1::Breaker::OPEN;
    case State::kHalfOpen:
      return v1::Breaker::HALF_OPEN;
  }
  return v1::Breaker::STATE_UNSPECIFIED;
}

v1::Breaker::Override OverrideOf(Override override_state) {
  switch (override_state) {
    case Override::kNone:
      break;
    case Override::kForcedOpen:
      return v1::Breaker::FORCED_OPEN;
    case Override::kForcedClosed:
      return v1::Breaker::FORCED_CLOSED;
  }
  return v1::Breaker::OVERRIDE_NONE;
}

std::int64_t CountOf(std::uint64_t count) {
  return static_cast<std::int64_t>(count);
}

void FillCounts(const OutcomeCounts& counts, v1::OutcomeCounts& message) {
  message.set_ok_count(CountOf(counts.of(Outcome::kOk)));
  message.set_user_error_count(CountOf(counts.of(Outcome::kUserError)));
  message.set_timeout_count(CountOf(counts.of(Outcome::kTimeout)));
  message.set_system_error_count(CountOf(counts.of(Outcome::kSystemError)));
  message.set_unknown_error_count(CountOf(counts.of(Outcome::kUnknownError)));
  message.set_slow_count(CountOf(counts.slow));
}

// The field of the message with the name of a setting, and back, as text.
// fusebox.v1.BreakerSettings has one for each setting; a test compares them.

std::string TextOf(const v1::BreakerSettings& message,
                   const FieldDescriptor& field) {
  const google::protobuf::Reflection& reflection =
      *v1::BreakerSettings::GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.GetString(message, &field);
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(reflection.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(reflection.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, &field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      char text[32];
      const auto [end, error] =
          std::to_chars(std::begin(text), std::end(text),
                        reflection.GetDouble(message, &field));
      return error == std::errc() ? std::string(std::begin(text), end) : "";
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = field.enum_type()->FindValueByNumber(
          reflection.GetEnumValue(message, &field));
      return value == nullptr ? "unknown"
                              : absl::AsciiStrToLower(value->name());
    }
    default:
      return "";
  }
}

void SetFromText(v1::BreakerSettings& message, const FieldDescriptor& field,
                 const std::string& text) {
  const google::protobuf::Reflection& reflection =
      *v1::BreakerSettings::GetReflection();
  // What GetSettingsField() writes can be read.
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.SetString(&message, &field, text);
    case FieldDescriptor::CPPTYPE_INT32: {
      int value = 0;
      if (absl::SimpleAtoi(text, &value)) {
        reflection.SetInt32(&message, &field, value);
      }
      return;
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      std::int64_t value = 0;
      if (absl::SimpleAtoi(text, &value)) {
        reflection.SetInt64(&message, &field, value);
      }
      return;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.SetBool(&message, &field, text == "true");
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double value = 0;
      if (absl::SimpleAtod(text, &value)) {
        reflection.SetDouble(&message, &field, value);
      }
      return;
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value =
          field.enum_type()->FindValueByName(absl::AsciiStrToUpper(text));
      if (value != nullptr) reflection.SetEnum(&message, &field, value);
      return;
    }
    default:
      return;
  }
}

}  // namespace

void FillSettings(const Settings& settings, v1::BreakerSettings& message) {
  const auto& descriptor = *v1::BreakerSettings::descriptor();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor.field(i);
    SetFromText(message, field, GetSettingsField(settings, field.name()));
  }
}

void FillBreaker(const BreakerSnapshot& breaker,
                 const TransitionHistory& history, v1::Breaker& message) {
  message.set_name(
      ResourceName({breaker.role, breaker.target, breaker.method}));
  message.set_etag(BreakerEtag(breaker));
  message.set_role(breaker.role == Role::kClient ? v1::Breaker::CLIENT
                                                 : v1::Breaker::SERVER);
  message.set_target(PrintableText(breaker.target));
  message.set_method(PrintableText(breaker.method));

  message.set_state(StateOf(breaker.state));
  message.set_override(OverrideOf(breaker.override_state));
  if (breaker.override_state != Override::kNone) {
    if (breaker.next_change != TimePoint::max()) {
      *message.mutable_override_end_time() =
          TimestampOf(history.WallTime(breaker.next_change));
    }
    if (const auto act = history.StandingForce(breaker.id)) {
      message.set_override_operator(act->who);
      message.set_override_comment(act->comment);
    }
  }
  *message.mutable_state_time() = TimestampOf(history.WallTime(breaker.since));
  if (breaker.state == State::kOpen &&
      breaker.override_state == Override::kNone &&
      breaker.next_probe != TimePoint::max()) {
    *message.mutable_next_probe_time() =
        TimestampOf(history.WallTime(breaker.next_probe));
  }
  message.set_ramp(breaker.state == State::kHalfOpen && breaker.proved);

  FillCounts(breaker.window, *message.mutable_window());
  if (const std::uint64_t total = breaker.window.total(); total != 0) {
    message.set_failure_ratio(static_cast<double>(breaker.window.failures()) /
                              static_cast<double>(total));
  }
  FillCounts(breaker.lifetime, *message.mutable_lifetime());
  const auto rejected = [&](RejectionReason reason) {
    return CountOf(breaker.rejected[static_cast<std::size_t>(reason)]);
  };
  message.set_open_rejected_count(rejected(RejectionReason::kOpen));
  message.set_half_open_rejected_count(
      rejected(RejectionReason::kHalfOpenLimit));
  message.set_forced_rejected_count(rejected(RejectionReason::kForcedOpen));
  message.set_shadow_rejected_count(CountOf(breaker.shadow_rejected));
  message.set_in_flight_count(CountOf(breaker.in_flight));
  FillSettings(breaker.settings, *message.mutable_config());
}

void FillTransition(const HistoryEntry& entry, v1::Transition& message) {
  const Transition& transition = entry.transition;
  message.set_sequence(transition.sequence);
  *message.mutable_time() = TimestampOf(entry.time);
  message.set_breaker(
      ResourceName({transition.role, transition.target, transition.method}));
  message.set_from(StateOf(transition.from));
  message.set_to(StateOf(transition.to));
  message.set_override_from(OverrideOf(transition.override_from));
  message.set_override_to(OverrideOf(transition.override_to));
  if (transition.sequence != 0) {
    message.set_reason(TransitionReasonName(transition.reason));
  }
  message.set_generation(static_cast<std::int32_t>(transition.generation));
  if (entry.act.has_value()) {
    message.set_act(ActName(entry.act->kind));
    message.set_operator_(entry.act->who);
    message.set_comment(entry.act->comment);
    message.set_detail(entry.act->detail);
  }
}

absl::StatusOr<std::map<std::string, std::optional<std::string>>> ReadUpdate(
    const v1::UpdateBreakerRequest& request) {
  const std::string prefix = "config.";
  const v1::BreakerSettings& config = request.breaker().config();
  const auto& descriptor = *v1::BreakerSettings::descriptor();
  std::map<std::string, std::optional<std::string>> fields;
  const auto add = [&](const FieldDescriptor& field) {
    std::optional<std::string>& text = fields[field.name()];
    if (v1::BreakerSettings::GetReflection()->HasField(config, &field)) {
      text = TextOf(config, field);
    }
  };
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "config") {
      for (int i = 0; i < descriptor.field_count(); ++i) {
        add(*descriptor.field(i));
      }
      continue;
    }
    const FieldDescriptor* field =
        absl::StartsWith(path, prefix)
            ? descriptor.FindFieldByName(path.substr(prefix.size()))
            : nullptr;
    if (field == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("update_mask: '", PrintableText(path),
                       "' cannot be changed: config, or config.FIELD"));
    }
    add(*field);
  }
  if (request.update_mask().paths().empty()) {
    for (int i = 0; i < descriptor.field_count(); ++i) {
      const FieldDescriptor& field = *descriptor.field(i);
      if (v1::BreakerSettings::GetReflection()->HasField(config, &field))
        add(field);
    }
  }
  if (fields.empty()) {
    return absl::InvalidArgumentError(
        "update_mask: names nothing, and no field of breaker.config is set");
  }
  return fields;
}

absl::StatusOr<Duration> ReadDuration(const google::protobuf::Duration& message,
                                      const char* field) {
  constexpr std::int64_t kMaxSeconds = 9'000'000'000;  // 285 years
  if (message.seconds() < -kMaxSeconds || message.seconds() > kMaxSeconds ||
      message.nanos() <= -1'000'000'000 || message.nanos() >= 1'000'000'000 ||
      (message.seconds() > 0 && message.nanos() < 0) ||
      (message.seconds() < 0 && message.nanos() > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": ", message.seconds(), " s and ", message.nanos(),
                     " ns are no duration, or out of range"));
  }
  return std::chrono::seconds(message.seconds()) +
         std::chrono::nanoseconds(message.nanos());
}

}  // namespace fusebox
