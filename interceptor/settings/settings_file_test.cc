#include "interceptor/settings/settings_file.h"

#include <chrono>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/settings/effective_settings.h"
#include "interceptor/settings/settings_fields.h"
#include "interceptor/status_outcome.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What a file "f" with this text amounts to, without flags.
absl::StatusOr<EffectiveSettings> Load(const std::string& text) {
  const absl::StatusOr<SettingsFile> file = ParseSettingsFile(text, "f");
  if (!file.ok()) return file.status();
  return PutTogether(*file, {});
}

EffectiveSettings LoadGood(const std::string& text) {
  const absl::StatusOr<EffectiveSettings> effective = Load(text);
  EXPECT_TRUE(effective.ok()) << effective.status();
  return effective.value_or(EffectiveSettings());
}

std::vector<std::string> Errors(const std::string& text) {
  const absl::Status status = Load(text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  return absl::StrSplit(status.message(), '\n');
}

TEST(SettingsFileTest, EveryFieldCanBeSet) {
  const EffectiveSettings effective = LoadGood(R"(
    # Comments and any layout.
    defaults {
      bucket_width: "250ms"
      buckets: 20
      min_requests: 0
      timeout_threshold: "0.1"
      system_error_threshold: "off"
      unknown_error_threshold: "1"
      failure_threshold: '0.75';
      slow_call_duration: "1.5s",
      slow_call_threshold: "0.9"
      min_counted_deadline: "0"
      min_recovery: "2s"
      max_recovery: "1m30s"
      backoff_multiplier: 1.5
      max_open_duration: "1m"
      jitter: .25
      probe_lease: "3s"
      drain_window_before_recovery: true
      ramp_from_opening: true
      mode: SHADOW
    })");
  Settings expected;
  expected.bucket_width = milliseconds(250);
  expected.buckets = 20;
  expected.min_requests = 0;
  expected.timeout_threshold = 0.1;
  expected.system_error_threshold = std::nullopt;
  expected.unknown_error_threshold = 1;
  expected.failure_threshold = 0.75;
  expected.slow_call_duration = milliseconds(1500);
  expected.slow_call_threshold = 0.9;
  expected.min_counted_deadline = Duration::zero();
  expected.min_recovery = seconds(2);
  expected.max_recovery = seconds(90);
  expected.backoff_multiplier = 1.5;
  expected.max_open_duration = seconds(60);
  expected.jitter = 0.25;
  expected.probe_lease = seconds(3);
  expected.drain_window_before_recovery = true;
  expected.ramp_from_opening = true;
  expected.mode = Mode::kShadow;
  EXPECT_EQ(effective.registry.settings, expected);
  EXPECT_TRUE(effective.registry.method_settings.empty());
}

TEST(SettingsFileTest, FieldByFieldTheMostSpecificWins) {
  const EffectiveSettings effective = LoadGood(R"(
    methods {
      name: "pkg.S/M"
      settings { min_requests: 5 }
    }
    methods {
      name: "pkg.S/*"
      settings { min_requests: 4 buckets: 4 }
    }
    methods {
      name: "*"
      settings { min_requests: 3 buckets: 3 jitter: 0.3 }
    }
    defaults { min_requests: 2 buckets: 2 jitter: 0.2 backoff_multiplier: 2.5 }
  )");
  Settings others;
  others.min_requests = 3;
  others.buckets = 3;
  others.jitter = 0.3;
  others.backoff_multiplier = 2.5;
  Settings service = others;
  service.min_requests = 4;
  service.buckets = 4;
  Settings method = service;
  method.min_requests = 5;
  EXPECT_EQ(effective.registry.settings, others);
  EXPECT_EQ(effective.registry.method_settings,
            (std::map<std::string, Settings>{{"/pkg.S/*", service},
                                             {"/pkg.S/M", method}}));

  const auto source = [&](const char* name, const char* field) {
    return FormatSource(effective.SourceOf(name, field));
  };
  EXPECT_EQ(source("/pkg.S/M", "min_requests"), "f:4:18");
  EXPECT_EQ(source("/pkg.S/M", "buckets"), "f:8:34");
  EXPECT_EQ(source("/pkg.S/M", "jitter"), "f:12:45");
  EXPECT_EQ(source("/pkg.S/M", "backoff_multiplier"), "f:14:55");
  EXPECT_EQ(source("/pkg.S/M", "mode"), "default");
  EXPECT_EQ(source("/pkg.S/N", "min_requests"), "f:8:18");
  EXPECT_EQ(source("/pkg.T/M", "min_requests"), "f:12:18");
}

TEST(SettingsFileTest, AMethodWithOutcomesOnlyKeepsTheSettingsOfItsService) {
  const EffectiveSettings effective = LoadGood(R"(
    methods { name: "S/*" settings { buckets: 4 } }
    methods { name: "S/M" outcomes { code: OK outcome: IGNORED } }
  )");
  EXPECT_EQ(effective.registry.method_settings.count("/S/M"), 0u);
  EXPECT_EQ(FormatSource(effective.SourceOf("/S/M", "buckets")), "f:2:38");
}

TEST(SettingsFileTest, APresetIsWhatTheRestStartsFrom) {
  const EffectiveSettings effective =
      LoadGood("defaults { jitter: 0.5 } preset: DOCTOR");
  Settings expected = DoctorSettings();
  expected.jitter = 0.5;
  EXPECT_EQ(effective.registry.settings, expected);
  EXPECT_EQ(FormatSource(effective.SourceOf("/S/M", "mode")), "preset doctor");
  EXPECT_EQ(LoadGood("preset: DEFAULT").registry.settings, Settings());
}

TEST(SettingsFileTest, OutcomesAreSetForMethodsServicesAndRoles) {
  const EffectiveSettings effective = LoadGood(R"(
    outcomes { code: NOT_FOUND outcome: SYSTEM_ERROR }
    outcomes { code: RESOURCE_EXHAUSTED outcome: IGNORED role: CLIENT }
    outcomes { code: RESOURCE_EXHAUSTED outcome: TIMEOUT role: SERVER }
    outcomes { code: ABOVE_16 outcome: USER_ERROR }
    methods {
      name: "S/*"
      outcomes { code: NOT_FOUND outcome: UNKNOWN_ERROR role: SERVER }
    }
    methods {
      name: "/S/M"
      outcomes { code: NOT_FOUND outcome: OK }
    })");
  const auto client = [&](const char* method, int code) {
    return effective.client_outcomes.For(method).Of(code);
  };
  const auto server = [&](const char* method, int code) {
    return effective.server_outcomes.For(method).Of(code);
  };
  EXPECT_EQ(client("/T/M", 5), Outcome::kSystemError);
  EXPECT_EQ(server("/T/M", 5), Outcome::kSystemError);
  EXPECT_EQ(client("/T/M", 8), Outcome::kIgnored);
  EXPECT_EQ(server("/T/M", 8), Outcome::kTimeout);
  EXPECT_EQ(client("/T/M", 42), Outcome::kUserError);
  EXPECT_EQ(client("/T/M", 3), Outcome::kUserError);
  EXPECT_EQ(client("/S/N", 5), Outcome::kSystemError);
  EXPECT_EQ(server("/S/N", 5), Outcome::kUnknownError);
  EXPECT_EQ(client("/S/M", 5), Outcome::kOk);
  EXPECT_EQ(server("/S/M", 5), Outcome::kOk);

  const auto source = [&](Role role, const char* method, int code) {
    return FormatSource(effective.SourceOf(role, method, code));
  };
  EXPECT_EQ(source(Role::kServer, "/S/M", 5), "f:12:7");
  EXPECT_EQ(source(Role::kServer, "/S/N", 5), "f:8:7");
  EXPECT_EQ(source(Role::kClient, "/S/N", 5), "f:2:5");
  EXPECT_EQ(source(Role::kClient, "/S/N", 3), "default");
}

TEST(SettingsFileTest, EveryOutcomeAndCodeHasAWord) {
  for (const Outcome outcome : kAllOutcomes) {
    const std::string word(OutcomeName(outcome));
    const EffectiveSettings effective = LoadGood(absl::StrCat(
        "outcomes { code: INTERNAL outcome: ", absl::AsciiStrToUpper(word),
        " }"));
    EXPECT_EQ(effective.client_outcomes.For("").Of(13), outcome) << word;
  }
  const std::vector<std::string> codes = {
      "OK",
      "CANCELLED",
      "UNKNOWN",
      "INVALID_ARGUMENT",
      "DEADLINE_EXCEEDED",
      "NOT_FOUND",
      "ALREADY_EXISTS",
      "PERMISSION_DENIED",
      "RESOURCE_EXHAUSTED",
      "FAILED_PRECONDITION",
      "ABORTED",
      "OUT_OF_RANGE",
      "UNIMPLEMENTED",
      "INTERNAL",
      "UNAVAILABLE",
      "DATA_LOSS",
      "UNAUTHENTICATED",
      "ABOVE_16",
  };
  for (int code = 0; code < 18; ++code) {
    const auto& word = codes[static_cast<std::size_t>(code)];
    OutcomeRules expected(Role::kClient);
    for (const Outcome outcome : {Outcome::kIgnored, Outcome::kTimeout}) {
      expected.Set(code, outcome);
      const EffectiveSettings effective = LoadGood(absl::StrCat(
          "outcomes { code: ", word, " outcome: ",
          outcome == Outcome::kIgnored ? "IGNORED" : "TIMEOUT", " }"));
      for (int other = 0; other < 18; ++other) {
        EXPECT_EQ(effective.client_outcomes.For("").Of(other),
                  expected.For("").Of(other))
            << word << " " << other;
      }
    }
  }
}

// ---- errors: place, field, value, range

struct BadFile {
  const char* text;
  const char* error;
};

class BadFileTest : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadFileTest, IsToldWithPlaceFieldValueAndRange) {
  EXPECT_THAT(Errors(GetParam().text), ElementsAre(GetParam().error));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadFileTest,
    ::testing::Values(
        // Out of range, or no such text.
        BadFile{"defaults {\n  buckets: 1001\n}",
                "f:2:3: buckets: 1001 is out of range [1, 1000]"},
        BadFile{"defaults { failure_threshold: \"1.5\" }",
                "f:1:12: failure_threshold: 1.5 is out of range "
                "[0.000001, 1] or off"},
        BadFile{"defaults { jitter: nan }",
                "f:1:12: jitter: nan is out of range [0, 0.5]"},
        BadFile{"defaults { backoff_multiplier: 1e999 }",
                "f:1:12: backoff_multiplier: inf is out of range [1, ...)"},
        BadFile{"defaults { min_recovery: \"soon\" }",
                "f:1:12: min_recovery: 'soon' is not valid: [10ms, ...)"},
        BadFile{"defaults { min_recovery: \"10\" }",
                "f:1:12: min_recovery: '10' is not valid: [10ms, ...)"},
        BadFile{"defaults { min_recovery: \"\" }",
                "f:1:12: min_recovery: '' is not valid: [10ms, ...)"},
        BadFile{"defaults { probe_lease: \"101h2400h\" }",
                "f:1:12: probe_lease: 9003600s is out of range "
                "(..., 8640000s]"},
        // One field bounds another.
        BadFile{"defaults { min_recovery: \"5s\" max_recovery: \"4s\" }",
                "f:1:31: max_recovery: 4s is out of range (5s (min_recovery), "
                "...); min_recovery is from f:1:12"},
        BadFile{"defaults { max_open_duration: \"900ms\" }",
                "f:1:12: max_open_duration: 900ms is out of range "
                "[1s (min_recovery), ...)"},
        BadFile{
            "methods { name: \"a/b\" settings {\n min_recovery: \"5.5s\" } }",
            "f:2:2: max_open_duration: 5s is out of range "
            "[5.5s (min_recovery), ...)"},
        // Of the wrong kind.
        BadFile{"defaults { buckets: ten }",
                "f:1:21: buckets: Expected integer, got: ten. "
                "Valid: [1, 1000]"},
        BadFile{"defaults {\n\tbuckets:\tten }",
                "f:2:25: buckets: Expected integer, got: ten. "
                "Valid: [1, 1000]"},
        BadFile{"defaults { min_requests: - ten }",
                "f:1:28: min_requests: Expected integer, got: ten. "
                "Valid: [0, ...)"},
        BadFile{"defaults { buckets: \"10\" }",
                "f:1:21: buckets: Expected integer, got: \"10\". "
                "Valid: [1, 1000]"},
        BadFile{"defaults { buckets: 99999999999 }",
                "f:1:21: buckets: Integer out of range (99999999999). "
                "Valid: [1, 1000]"},
        BadFile{"defaults { failure_threshold: 0.5 }",
                "f:1:31: failure_threshold: Expected string, got: 0.5. "
                "Valid: [0.000001, 1] or off, in quotes"},
        BadFile{"defaults { ramp_from_opening: maybe }",
                "f:1:37: ramp_from_opening: Invalid value for boolean field "
                "\"ramp_from_opening\". Value: \"maybe\". "
                "Valid: true or false"},
        BadFile{"defaults { mode: shadow }",
                "f:1:25: mode: Unknown enumeration value of \"shadow\" for "
                "field \"mode\". Valid: ENFORCE, SHADOW or OFF"},
        BadFile{"defaults { mode: 7 }",
                "f:1:12: mode: 7 is not valid: ENFORCE, SHADOW or OFF"},
        BadFile{"defaults { mode: MODE_UNSPECIFIED }",
                "f:1:12: mode: MODE_UNSPECIFIED is not valid: "
                "ENFORCE, SHADOW or OFF"},
        BadFile{"preset: 9",
                "f:1:1: preset: 9 is not valid: DEFAULT or DOCTOR"},
        // Unknown or repeated.
        BadFile{"defaults {\n  bukets: 3\n}",
                "f:2:9: Message type \"fusebox.v1.BreakerSettings\" has no "
                "field named \"bukets\"."},
        BadFile{"defaults { buckets: 3 buckets: 4 }",
                "f:1:30: buckets: Non-repeated field \"buckets\" is specified "
                "multiple times. Valid: [1, 1000]"},
        BadFile{"defaults { } defaults { }",
                "f:1:23: Non-repeated field \"defaults\" is specified "
                "multiple times."},
        // Names of methods.
        BadFile{"methods {\n  name: \"pkg.S\"\n}",
                "f:2:3: name: 'pkg.S' is not valid: pkg.Service/Method, "
                "pkg.Service/* or *"},
        BadFile{"methods { name: \"pkg.*/M\" }",
                "f:1:11: name: 'pkg.*/M' is not valid: pkg.Service/Method, "
                "pkg.Service/* or *"},
        BadFile{"methods { settings { } }", "f:1:1: methods: name is missing"},
        BadFile{"methods { name: \"S/M\" }\nmethods { name: \"/S/M\" }",
                "f:2:11: name: '/S/M' is already at f:1:11"},
        // Outcomes.
        BadFile{"outcomes { outcome: OK }", "f:1:1: outcomes: code is missing"},
        BadFile{"outcomes { code: OK }", "f:1:1: outcomes: outcome is missing"},
        BadFile{"outcomes { code: OK outcome: 12 }",
                "f:1:1: outcome: 12 is not valid: OK, USER_ERROR, TIMEOUT, "
                "SYSTEM_ERROR, UNKNOWN_ERROR or IGNORED"},
        BadFile{"outcomes { code: OK outcome: OK role: 3 }",
                "f:1:1: role: 3 is not valid: CLIENT or SERVER"},
        BadFile{"outcomes { code: ABORTED outcome: OK }\n"
                "outcomes { code: ABORTED outcome: OK role: CLIENT }",
                "f:2:1: outcomes: ABORTED of the client is already at f:1:1"}));

TEST(SettingsFileErrorTest, AllThatIsFoundIsToldOnce) {
  EXPECT_THAT(Errors(R"(defaults { buckets: 0 jitter: 0.6 }
methods { name: "S/*" settings { min_requests: -1 } }
methods { name: "S/M" settings { probe_lease: "1ms" } })"),
              ElementsAre("f:1:12: buckets: 0 is out of range [1, 1000]",
                          "f:1:23: jitter: 0.6 is out of range [0, 0.5]",
                          "f:2:34: min_requests: -1 is out of range [0, ...)",
                          "f:3:34: probe_lease: 1ms is out of range "
                          "[10ms, ...)"));
}

TEST(SettingsFileErrorTest, SyntaxErrorsHaveTheirPlace) {
  EXPECT_THAT(Errors("defaults {\n  buckets 3\n}"),
              ElementsAre(HasSubstr("f:2:11: ")));
  EXPECT_THAT(Errors("defaults { min_recovery: 250ms }"),
              ElementsAre(HasSubstr("f:1:29: "),
                          "f:1:26: min_recovery: Expected string, got: 250. "
                          "Valid: [10ms, ...), in quotes"));
  EXPECT_THAT(Errors("defaults {"), ElementsAre(HasSubstr("f:1:11: ")));
  EXPECT_THAT(Errors("\"\n"), ElementsAre(HasSubstr("f:1:"), HasSubstr("f:")));
}

TEST(SettingsFileErrorTest, TooLargeFilesAreRefused) {
  EXPECT_THAT(Errors(std::string((1 << 20) + 1, '#')),
              ElementsAre("f: more than 1 MiB"));
  EXPECT_TRUE(Load(std::string(1 << 20, '#')).ok());
}

// ---- settings.proto says what the code does

// A field of message BreakerSettings in settings.proto, with the comment in
// front of it.
struct ProtoField {
  std::string name;
  std::string comment;
};

std::vector<ProtoField> BreakerSettingsFields() {
  std::ifstream file("proto/fusebox/v1/settings.proto");
  EXPECT_TRUE(file);
  std::vector<ProtoField> fields;
  bool inside = false;
  std::string comment;
  for (std::string line; std::getline(file, line);) {
    if (line == "message BreakerSettings {") inside = true;
    if (line == "}") inside = false;
    const absl::string_view text = absl::StripLeadingAsciiWhitespace(line);
    if (!inside) continue;
    if (absl::StartsWith(text, "//")) {
      absl::StrAppend(&comment, absl::StripPrefix(text, "//"));
    } else if (absl::StartsWith(text, "optional ")) {
      const std::vector<std::string> words = absl::StrSplit(text, ' ');
      fields.push_back({words.at(2), comment});
    }
    if (text.empty()) comment.clear();
  }
  return fields;
}

TEST(SettingsProtoTest, HasEveryFieldWithItsDefaultAndRange) {
  const std::vector<ProtoField> documented = BreakerSettingsFields();
  ASSERT_EQ(documented.size(), SettingsFields().size());
  for (std::size_t i = 0; i < documented.size(); ++i) {
    const SettingsField& field = SettingsFields()[i];
    EXPECT_EQ(documented[i].name, field.name);
    EXPECT_TRUE(absl::EndsWith(documented[i].comment,
                               absl::StrCat("Default: ", field.default_value,
                                            ". Valid: ", field.range, ".")))
        << field.name << ":" << documented[i].comment;
  }
}

// The example at the top of settings.proto is accepted.
TEST(SettingsProtoTest, TheExampleWorks) {
  std::ifstream file("proto/fusebox/v1/settings.proto");
  ASSERT_TRUE(file);
  std::string example;
  for (std::string line; std::getline(file, line) && !line.empty();) {
    if (absl::StartsWith(line, "//   "))
      absl::StrAppend(&example, line.substr(2), "\n");
    if (line == "//   }") break;
  }
  const EffectiveSettings effective = LoadGood(example);
  EXPECT_EQ(effective.registry.settings.mode, Mode::kShadow);
  EXPECT_EQ(effective.registry.settings.min_recovery, milliseconds(250));
  ASSERT_EQ(effective.registry.method_settings.count("/orders.v1.Orders/*"),
            1u);
  EXPECT_EQ(effective.client_outcomes.For("/orders.v1.Orders/Get").Of(5),
            Outcome::kSystemError);
}

}  // namespace
}  // namespace fusebox
