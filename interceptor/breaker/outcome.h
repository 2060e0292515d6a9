// What a call came to, as far as the health of its method is concerned.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_OUTCOME_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_OUTCOME_H_

#include <array>
#include <optional>
#include <string_view>

namespace fusebox {

enum class Outcome : unsigned char {
  kOk = 0,
  kUserError = 1,     // an answer that blames the caller: counts as a success
  kTimeout = 2,       // a failure
  kSystemError = 3,   // a failure
  kUnknownError = 4,  // a failure
  kIgnored = 5,       // says nothing about the method: never counted
};

// Outcomes that are counted, that is all but kIgnored; they index arrays.
inline constexpr int kCountedOutcomes = 5;
inline constexpr std::array<Outcome, 6> kAllOutcomes = {
    Outcome::kOk,          Outcome::kUserError,    Outcome::kTimeout,
    Outcome::kSystemError, Outcome::kUnknownError, Outcome::kIgnored};

constexpr bool IsFailure(Outcome outcome) {
  return outcome == Outcome::kTimeout || outcome == Outcome::kSystemError ||
         outcome == Outcome::kUnknownError;
}

// "ok", "user_error", "timeout", "system_error", "unknown_error", "ignored".
constexpr std::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk:
      return "ok";
    case Outcome::kUserError:
      return "user_error";
    case Outcome::kTimeout:
      return "timeout";
    case Outcome::kSystemError:
      return "system_error";
    case Outcome::kUnknownError:
      return "unknown_error";
    case Outcome::kIgnored:
      return "ignored";
  }
  return "invalid";
}

// The inverse of OutcomeName; nothing for any other text.
constexpr std::optional<Outcome> OutcomeFromName(std::string_view name) {
  for (Outcome outcome : kAllOutcomes) {
    if (OutcomeName(outcome) == name) return outcome;
  }
  return std::nullopt;
}

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_OUTCOME_H_
