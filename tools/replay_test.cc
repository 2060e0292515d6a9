#include "tools/replay.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstdint>
#include <cstdlib>
#include <ostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

struct Replayed {
  std::string answers;
  std::string error;  // empty if all went well

  friend bool operator==(const Replayed& a, const Replayed& b) {
    return a.answers == b.answers && a.error == b.error;
  }
  friend std::ostream& operator<<(std::ostream& out, const Replayed& r) {
    return out << "answers\n" << r.answers << "error " << r.error;
  }
};

bool Apply(Replay& replay, const std::string& line, std::string& answers) {
  // The padding tempts the parser to read on.
  const std::string padded = line + std::string(Replay::kPadding, '"');
  return replay.Apply(std::string_view(padded.data(), line.size()), answers);
}

Replayed Play(const std::vector<std::string>& lines) {
  Replayed result;
  Replay replay;
  for (const std::string& line : lines) {
    if (!Apply(replay, line, result.answers)) {
      result.error = replay.error();
      return result;
    }
  }
  if (!replay.End()) result.error = replay.error();
  return result;
}

// Opens on the first failure, probes after a second, and draws exact waits.
constexpr char kTouchy[] =
    R"({"settings": {"min_requests": 0, "jitter":0, "backoff_multiplier": 1}})";

// Short forms of events of the method "m".
std::string Event(const std::string& t, const std::string& op,
                  const std::string& rest = "") {
  return "{\"t\":" + t + ",\"op\":\"" + op + "\",\"method\":\"m\"" + rest + "}";
}
std::string Admit(const std::string& t, int call,
                  const std::string& rest = "") {
  return Event(t, "admit", ",\"call\":" + std::to_string(call) + rest);
}
std::string Finish(const std::string& t, int call, const std::string& outcome,
                   const std::string& rest = "") {
  return Event(t, "finish",
               ",\"call\":" + std::to_string(call) + ",\"outcome\":\"" +
                   outcome + "\"" + rest);
}
std::string Report(const std::string& t, const std::string& outcome,
                   const std::string& rest = "") {
  return Event(t, "finish", ",\"outcome\":\"" + outcome + "\"" + rest);
}
std::string State(const std::string& t, const std::string& rest = "") {
  return Event(t, "state", rest);
}

// What the answers of "m" come to: "admitted CLOSED", "rejected OPEN", or the
// state alone.
std::vector<std::string> Decisions(const std::vector<std::string>& lines) {
  const Replayed replayed = Play(lines);
  EXPECT_EQ(replayed.error, "");
  std::vector<std::string> decisions;
  std::size_t begin = 0;
  while (begin < replayed.answers.size()) {
    const std::size_t end = replayed.answers.find('\n', begin);
    const std::string answer = replayed.answers.substr(begin, end - begin);
    std::string decision;
    if (answer.find("\"admitted\":true") != std::string::npos) {
      decision = "admitted ";
    } else if (answer.find("\"admitted\":false") != std::string::npos) {
      decision = "rejected ";
    }
    const std::string state = "\"state\":\"";
    const std::size_t at = answer.find(state) + state.size();
    decisions.push_back(decision + answer.substr(at, answer.size() - 2 - at));
    begin = end + 1;
  }
  return decisions;
}

using Strings = std::vector<std::string>;

// ---------------------------------------------------------------------------
// The form of the answers

TEST(ReplayTest, AnswersAdmitAndStateOnALineEach) {
  const std::string settings =
      R"({"settings": {"min_requests": 0, "min_recovery": 7.1, )"
      R"("max_open_duration": 7.1, "jitter": 0}})";
  const std::string admit =
      R"({"t": 12.5, "op": "admit", "method": "/pkg.S/M", "call": 7, )"
      R"("u": 0.31})";
  const std::string finish =
      R"({"t": 12.9, "op": "finish", "method": "/pkg.S/M", "call": 7, )"
      R"("outcome": "system_error", "latency": 0.4})";
  const std::string answers =
      R"({"t":12.5,"op":"admit","method":"/pkg.S/M","call":7,)"
      R"("admitted":true,"state":"CLOSED"})"
      "\n"
      R"({"t":20,"op":"state","method":"/pkg.S/M","state":"HALF_OPEN"})"
      "\n"
      R"({"t":20.5,"op":"admit","method":"/pkg.S/M","call":8,)"
      R"("admitted":true,"state":"HALF_OPEN"})"
      "\n"
      R"({"t":20.5,"op":"admit","method":"/pkg.S/M","call":-9,)"
      R"("admitted":false,"state":"HALF_OPEN"})"
      "\n";
  EXPECT_EQ(
      Play({settings, admit, finish,
            R"({"t": 20, "op": "state", "method": "/pkg.S/M"})",
            R"({"t": 20.5, "op": "admit", "method": "/pkg.S/M", "call": 8})",
            R"({"t": 20.5, "op": "admit", "method": "/pkg.S/M", "call": -9})"}),
      (Replayed{answers, ""}));
}

TEST(ReplayTest, TakesFieldsInAnyOrderAndAnySpacing) {
  EXPECT_EQ(Play({kTouchy,
                  "  {\t\"call\" :7 , \"method\":\"m\",\"u\":0,\"r\":0,"
                  "\"op\":\"admit\",\"t\":1 }\r\n"}),
            Play({kTouchy, Admit("1", 7)}));
}

TEST(ReplayTest, SkipsBlankLinesAndCountsThem) {
  EXPECT_EQ(Play({"", kTouchy, "\r\n", State("2"), " \t\n", State("1"), ""}),
            (Replayed{R"({"t":2,"op":"state","method":"m","state":"CLOSED"})"
                      "\n",
                      "line 6: t: 1 is before 2 of an earlier line"}));
}

TEST(ReplayTest, WritesTimesAsShortAsCanBe) {
  const struct {
    const char* in;
    const char* out;
  } cases[] = {{"0", "0"},           {"-0.0", "0"},
               {"12.500", "12.5"},   {"20.0", "20"},
               {"1.5e3", "1500"},    {"15E-1", "1.5"},
               {"0.001", "0.001"},   {"1700000000.123", "1700000000.123"},
               {"9e9", "9000000000"}};
  for (const auto& c : cases) {
    EXPECT_EQ(Play({kTouchy, State(c.in)}),
              (Replayed{std::string("{\"t\":") + c.out +
                            ",\"op\":\"state\",\"method\":\"m\",\"state\":"
                            "\"CLOSED\"}\n",
                        ""}));
  }
}

TEST(ReplayTest, GivesMethodsBackWhateverTheyAreMadeOf) {
  const struct {
    std::string in;
    std::string out;
  } cases[] = {
      {"", ""},
      {R"(a\/b)", "a/b"},
      {R"(\"\\\b\f\n\r\t)", R"(\"\\\b\f\n\r\t)"},
      {R"(\u0000\u001F\u007f)", "\\u0000\\u001f\x7f"},
      {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
      {R"(\u00fc\ud83d\ude00\uffff)", "\xc3\xbc\xf0\x9f\x98\x80\xef\xbf\xbf"},
      {"\xed\x9f\xbf", "\xed\x9f\xbf"},  // the last before the surrogates
  };
  for (const auto& c : cases) {
    EXPECT_EQ(
        Play({kTouchy, R"({"t":1,"op":"state","method":")" + c.in + "\"}"}),
        (Replayed{R"({"t":1,"op":"state","method":")" + c.out +
                      "\",\"state\":\"CLOSED\"}\n",
                  ""}));
  }
}

TEST(ReplayTest, KnowsAMethodByItsNameNotItsSpelling) {
  EXPECT_EQ(Decisions({kTouchy,
                       R"({"t":1,"op":"finish","method":"\u006d",)"
                       R"("outcome":"timeout"})",
                       State("1")}),
            (Strings{"OPEN"}));
}

// ---------------------------------------------------------------------------
// Settings

Settings SettingsOf(const std::string& fields) {
  Replay replay;
  std::string answers;
  EXPECT_TRUE(Apply(replay, "{\"settings\":{" + fields + "}}", answers))
      << replay.error();
  return replay.settings();
}

TEST(ReplaySettingsTest, MissingFieldsHaveTheirDefaults) {
  EXPECT_EQ(SettingsOf(""), Settings());
  EXPECT_EQ(SettingsOf(R"("preset":"doctor")"), DoctorSettings());
}

TEST(ReplaySettingsTest, TakesEveryField) {
  Settings expected;
  expected.bucket_width = milliseconds(250);
  expected.buckets = 7;
  expected.min_requests = 5'000'000'000;
  expected.timeout_threshold = 0.125;
  expected.system_error_threshold = 0.25;
  expected.unknown_error_threshold = std::nullopt;
  expected.failure_threshold = 1.0;
  expected.slow_call_duration = nanoseconds(300'000'001);
  expected.slow_call_threshold = 0.75;
  expected.min_counted_deadline = Duration::zero();
  expected.min_recovery = milliseconds(1500);
  expected.max_recovery = seconds(60);
  expected.backoff_multiplier = 1.5;
  expected.max_open_duration = seconds(30);
  expected.jitter = 0.0625;
  expected.probe_lease = seconds(3);
  expected.drain_window_before_recovery = true;
  expected.ramp_from_opening = true;
  expected.mode = Mode::kShadow;
  EXPECT_EQ(SettingsOf(R"("bucket_width": 0.25, "buckets": 7,
      "min_requests": 5000000000, "timeout_threshold": 0.125,
      "system_error_threshold": 25e-2, "unknown_error_threshold": "off",
      "failure_threshold": 1, "slow_call_duration": 0.300000001,
      "slow_call_threshold": 0.75, "min_counted_deadline": 0,
      "min_recovery": 1.5, "max_recovery": 60, "backoff_multiplier": 1.5,
      "max_open_duration": 3e1, "jitter": 0.0625, "probe_lease": 3.000,
      "drain_window_before_recovery": true, "ramp_from_opening": true,
      "mode": "shadow")"),
            expected);
  EXPECT_EQ(SettingsOf(R"("slow_call_duration": "off")"), Settings());
}

TEST(ReplaySettingsTest, FieldsChangeThePresetWhereverItStands) {
  Settings expected = DoctorSettings();
  expected.buckets = 10;
  expected.failure_threshold = 0.5;
  EXPECT_EQ(
      SettingsOf(R"("buckets":10,"preset":"doctor","failure_threshold":0.5)"),
      expected);
}

TEST(ReplaySettingsTest, NamesWhatIsWrong) {
  const struct {
    std::string line;
    std::string reason;
  } cases[] = {
      {R"({"t":1,"op":"state","method":"m"})",
       R"(must be {"settings": {...}})"},
      {"{}", R"(must be {"settings": {...}})"},
      {R"({"settings":5})", R"(must be {"settings": {...}})"},
      {R"({"settings":[]})", R"(must be {"settings": {...}})"},
      {R"({"settings":{},"t":1})", R"(must be {"settings": {...}})"},
      {R"({"settings":{},"settings":{}})", R"(must be {"settings": {...}})"},
      {R"([{"settings":{}}])", "not a JSON object"},
      {R"({"settings":{}}{})", "not JSON: something follows the object"},
      {R"({"settings":{"colour":"red"}})",
       R"("colour" is no field of the settings)"},
      {R"({"settings":{"buckets":5,"buckets":5}})",
       R"("buckets" is given twice)"},
      {R"({"settings":{"preset":"doctor","preset":"doctor"}})",
       R"("preset" is given twice)"},
      {R"({"settings":{"preset":"nurse"}})",
       R"(preset: "nurse" is no preset; there is "doctor")"},
      {R"({"settings":{"preset":null}})",
       R"(preset: null is no preset; there is "doctor")"},
      {R"({"settings":{"bucket_width":"20s"}})",
       R"(bucket_width: "20s" is no number)"},
      {R"({"settings":{"bucket_width":"off"}})",
       R"(bucket_width: "off" is no number)"},
      {R"({"settings":{"bucket_width":0.0123456789}})",
       "bucket_width: 0.0123456789 is finer than a nanosecond"},
      {R"({"settings":{"bucket_width":0.009}})",
       "bucket_width: 9ms is out of range [10ms, ...)"},
      {R"({"settings":{"max_recovery":1e10}})",
       "max_recovery: 1e10 is out of range: more than 292 years"},
      {R"({"settings":{"buckets":1001}})",
       "buckets: 1001 is out of range [1, 1000]"},
      {R"({"settings":{"buckets":1.5}})", "buckets: 1.5 is no integer"},
      {R"({"settings":{"buckets":4294967297}})",
       "buckets: 4294967297 is out of range: more than 32 bits"},
      {R"({"settings":{"min_requests":1e19}})",
       "min_requests: 1e19 is out of range: more than 64 bits"},
      {R"({"settings":{"min_requests":-1}})",
       "min_requests: -1 is out of range [0, ...)"},
      {R"({"settings":{"failure_threshold":0}})",
       "failure_threshold: 0 is out of range [0.000001, 1] or off"},
      {R"({"settings":{"failure_threshold":"on"}})",
       R"(failure_threshold: "on" is neither a number nor "off")"},
      {R"({"settings":{"failure_threshold":null}})",
       R"(failure_threshold: null is neither a number nor "off")"},
      {R"({"settings":{"slow_call_duration":true}})",
       R"(slow_call_duration: true is neither a number nor "off")"},
      {R"({"settings":{"slow_call_threshold":"off"}})",
       R"(slow_call_threshold: "off" is no number)"},
      {R"({"settings":{"backoff_multiplier":1e999}})",
       "backoff_multiplier: 1e999 is out of range of a double"},
      {R"({"settings":{"ramp_from_opening":1}})",
       "ramp_from_opening: 1 is neither true nor false"},
      {R"({"settings":{"mode":"on"}})",
       R"(mode: "on" is none of enforce, shadow, off)"},
      {R"({"settings":{"mode":{}}})",
       R"(mode: {...} is none of enforce, shadow, off)"},
      // Every bad value is named, not only the first.
      {R"({"settings":{"jitter":0.6,"probe_lease":0}})",
       "jitter: 0.6 is out of range [0, 0.5]; "
       "probe_lease: 0s is out of range [10ms, ...)"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Play({c.line}), (Replayed{"", "line 1: " + c.reason})) << c.line;
  }
  EXPECT_EQ(Play({}), (Replayed{"", R"(line 1: must be {"settings": {...}})"}));
  EXPECT_EQ(Play({"", "\n"}),
            (Replayed{"", R"(line 1: must be {"settings": {...}})"}));
}

// ---------------------------------------------------------------------------
// Events

TEST(ReplayTest, NamesWhatIsWrongWithALine) {
  const std::string long_text(100, 'x');
  const struct {
    std::string line;
    std::string reason;
  } cases[] = {
      {kTouchy, R"("settings" is no field of an event)"},
      {"{}", R"("op" is missing)"},
      {R"({"op":"state","method":"m"})", R"("t" is missing)"},
      {R"({"t":1,"op":"state"})", R"("method" is missing)"},
      {R"({"t":1,"method":"m"})", R"("op" is missing)"},
      {Event("1", "admit"), R"("call" is missing)"},
      {Event("1", "finish", R"(,"call":1)"), R"("outcome" is missing)"},
      {Event("1", "reset"), R"(op: "reset" is none of admit, finish, state)"},
      {R"({"t":1,"op":5,"method":"m"})",
       "op: 5 is none of admit, finish, state"},
      {R"({"t":1,"op":"state","method":5})", "method: 5 is no string"},
      {R"({"t":1,"op":"state","method":["m"]})", "method: [...] is no string"},
      {State("1", R"(,"expect":{"state":"OPEN"})"),
       R"("expect" is no field of an event)"},
      {State("1", R"(,")" + long_text + R"(":1)"),
       "\"" + long_text.substr(0, 60) + "...\" is no field of an event"},
      {State("1", R"(,"call":1)"), R"("call" is no field of op "state")"},
      {State("1", R"(,"outcome":"ok")"),
       R"("outcome" is no field of op "state")"},
      {Admit("1", 1, R"(,"latency":1)"),
       R"("latency" is no field of op "admit")"},
      {Admit("1", 1, R"(,"stale":true)"),
       R"("stale" is no field of op "admit")"},
      {State("1", R"(,"t":1)"), R"("t" is given twice)"},

      {State("\"1\""), R"(t: "1" is no number)"},
      {State("null"), "t: null is no number"},
      {State("0.0005"), "t: 0.0005 is finer than a millisecond"},
      {State("1.00000000000000000001"),
       "t: 1.00000000000000000001 is finer than a millisecond"},
      {State("-0.001"), "t: -0.001 is out of range [0, 9000000000]"},
      {State("9000000000.001"),
       "t: 9000000000.001 is out of range [0, 9000000000]"},
      {State("1e300"), "t: 1e300 is out of range [0, 9000000000]"},

      {Event("1", "admit", R"(,"call":"1")"), R"(call: "1" is no number)"},
      {Event("1", "admit", R"(,"call":1.5)"), "call: 1.5 is no integer"},
      {Event("1", "admit", R"(,"call":9223372036854775808)"),
       "call: 9223372036854775808 is out of range: more than 64 bits"},
      {Report("1", "bad"),
       R"(outcome: "bad" is none of ok, user_error, timeout, system_error, )"
       "unknown_error, ignored"},
      {Event("1", "finish", R"(,"outcome":1)"),
       "outcome: 1 is none of ok, user_error, timeout, system_error, "
       "unknown_error, ignored"},
      {Report("1", "ok", R"(,"latency":-1)"),
       "latency: -1 is out of range [0, ...)"},
      {Report("1", "ok", R"(,"latency":1e300)"),
       "latency: 1e300 is out of range: more than 292 years"},
      {Report("1", "ok", R"(,"latency":"1")"), R"(latency: "1" is no number)"},
      {Report("1", "ok", R"(,"stale":1)"),
       "stale: 1 is neither true nor false"},
      {Finish("1", 1, "ok", R"(,"stale":true)"),
       R"("stale" and "call" exclude each other: a recorded call has its own )"
       "generation"},
      {Admit("1", 1, R"(,"u":1)"), "u: 1 is out of range [0, 1)"},
      {Admit("1", 1, R"(,"u":-0.1)"), "u: -0.1 is out of range [0, 1)"},
      {Admit("1", 1, R"(,"u":"0")"), R"(u: "0" is no number)"},
      {State("1", R"(,"r":1.001)"), "r: 1.001 is out of range [-1, 1]"},
      {State("1", R"(,"r":-1.001)"), "r: -1.001 is out of range [-1, 1]"},
      {State("1", R"(,"r":false)"), "r: false is no number"},

      {Finish("1", 1, "ok"), R"(call: 1 of "m" is unknown)"},

      {"5", "not a JSON object"},
      {"[]", "not a JSON object"},
      {"\"t\"", "not a JSON object"},
      {State("1") + "{}", "not JSON: something follows the object"},
      {State("01"), R"(not JSON: the value of "t")"},
      {State("1.5.2"), R"(not JSON: the value of "t")"},
      {State("tru"), R"(not JSON: the value of "t")"},
      {State("nan"), R"(not JSON: the value of "t")"},
      {R"({"t":1,"op":"state","method":"\udc00"})",
       "not JSON: Problem while parsing a string"},
      {R"({"t":1,"op":"state","method":"\ud83d"})",
       "not JSON: Problem while parsing a string"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Play({kTouchy, c.line}), (Replayed{"", "line 2: " + c.reason}))
        << c.line;
  }
}

TEST(ReplayTest, RefusesWhatIsNotJson) {
  for (const std::string line :
       {"{", "}", "{\"t\":1", "{\"t\" 1}", "{\"t\":1,}", "{t:1}", "{'t':1}",
        "{\"t\":1 \"op\":\"state\"}", "{\"t\":}", "{\"t\":1]",
        "{\"method\":\"\xff\"}", "{\"method\":\"\xed\xa0\x80\"}",
        "{\"method\":\"a\nb\"}", "{\"method\":\"\\x\"}",
        "{\"method\":\"\\u12\"}", "{\"method\":\"m}", "\xef\xbb\xbf{}"}) {
    const Replayed replayed = Play({kTouchy, line});
    EXPECT_EQ(replayed.answers, "") << line;
    EXPECT_EQ(replayed.error.substr(0, 12), "line 2: not ") << line;
  }
}

TEST(ReplayTest, KeepsTheAnswersBeforeABadLine) {
  EXPECT_EQ(Play({kTouchy, State("1"), State("0.999")}),
            (Replayed{R"({"t":1,"op":"state","method":"m","state":"CLOSED"})"
                      "\n",
                      "line 3: t: 0.999 is before 1 of an earlier line"}));
}

TEST(ReplayTest, TimeNeverGoesBackOverAllMethods) {
  EXPECT_EQ(Play({kTouchy, Report("2.5", "ok"),
                  R"({"t":2,"op":"state","method":"other"})"}),
            (Replayed{"", "line 3: t: 2 is before 2.5 of an earlier line"}));
}

TEST(ReplayTest, CallIdsBelongToTheirMethodAndAreNeverUsedTwice) {
  const std::string other = R"({"t":1,"op":"admit","method":"o","call":1})";
  EXPECT_EQ(
      Play({kTouchy, Admit("1", 1), other, Finish("1", 1, "ok"), Admit("1", 2)})
          .error,
      "");
  EXPECT_EQ(Play({kTouchy, Admit("1", 1), Admit("2", 1)}).error,
            R"(line 3: call: 1 of "m" was used before)");
  EXPECT_EQ(
      Play({kTouchy, Admit("1", 1), Finish("1", 1, "ok"), Admit("2", 1)}).error,
      R"(line 4: call: 1 of "m" was used before)");
  // Rejected ones as well.
  EXPECT_EQ(
      Play({kTouchy, Report("1", "timeout"), Admit("1", 1), Admit("3", 1)})
          .error,
      R"(line 4: call: 1 of "m" was used before)");
  EXPECT_EQ(Play({kTouchy, other, Finish("2", 1, "ok")}).error,
            R"(line 3: call: 1 of "m" is unknown)");
}

// ---------------------------------------------------------------------------
// What events do

TEST(ReplayTest, AFinishCountsOnce) {
  // Two calls and a half of all that failed are needed.
  const std::string settings =
      R"({"settings": {"min_requests": 1, "jitter": 0}})";
  EXPECT_EQ(Decisions({settings, Admit("1", 1), Finish("1", 1, "timeout"),
                       Finish("1", 1, "timeout"), State("1"), Admit("1", 2),
                       Finish("1", 2, "timeout"), State("1")}),
            (Strings{"admitted CLOSED", "CLOSED", "admitted CLOSED", "OPEN"}));
}

TEST(ReplayTest, AFinishOfARejectedCallDoesNothing) {
  EXPECT_EQ(Decisions({kTouchy, Report("1", "timeout"), Admit("1", 1),
                       Admit("2", 2), Finish("2", 1, "ok"), State("2"),
                       Admit("2", 3), Finish("2", 2, "ok"), Admit("2", 4)}),
            (Strings{"rejected OPEN", "admitted HALF_OPEN", "HALF_OPEN",
                     "rejected HALF_OPEN", "admitted HALF_OPEN"}));
}

TEST(ReplayTest, AnOutcomeWithoutACallIsOfTheCurrentGenerationAndNoProbe) {
  const Strings probe_out = {kTouchy, Report("1", "timeout"), Admit("2", 1)};
  const auto then = [&](const std::string& event) {
    Strings lines = probe_out;
    lines.push_back(event);
    lines.push_back(Admit("2", 2));
    return Decisions(lines).back();
  };
  // Ignored: it does not free the probe's slot.
  EXPECT_EQ(then(Report("2", "ignored")), "rejected HALF_OPEN");
  EXPECT_EQ(then(Finish("2", 1, "ignored")), "admitted HALF_OPEN");
  EXPECT_EQ(then(Report("2", "ok")), "admitted HALF_OPEN");
  EXPECT_EQ(then(Report("2", "ok", R"(,"stale":false)")), "admitted HALF_OPEN");
  EXPECT_EQ(then(Report("2", "timeout")), "rejected OPEN");
  // Of an older generation: neither proves nor opens.
  EXPECT_EQ(then(Report("2", "ok", R"(,"stale":true)")), "rejected HALF_OPEN");
  EXPECT_EQ(then(Report("2", "timeout", R"(,"stale":true)")),
            "rejected HALF_OPEN");
}

TEST(ReplayTest, StateIsWhatTimeHasMadeOfIt) {
  EXPECT_EQ(
      Decisions({kTouchy, State("1"), Report("1", "timeout"), State("1.999"),
                 State("2"), Admit("2", 1), State("6.999"),
                 // The probe's lease has ended: open for a second more.
                 State("7"), State("8"), Admit("8", 2), Finish("8", 2, "ok"),
                 State("16.999"), State("17")}),
      (Strings{"CLOSED", "OPEN", "HALF_OPEN", "admitted HALF_OPEN", "HALF_OPEN",
               "OPEN", "HALF_OPEN", "admitted HALF_OPEN", "HALF_OPEN",
               "CLOSED"}));
}

TEST(ReplayTest, TheRampDrawsU) {
  const Strings proved = {kTouchy, Report("1", "timeout"), Admit("2", 1),
                          Finish("2", 1, "ok")};
  const auto at_share = [&](const std::string& t, const std::string& u) {
    Strings lines = proved;
    lines.push_back(Admit(t, 2, ",\"u\":" + u));
    return Decisions(lines).back();
  };
  // The ramp begins at a tenth and grows by a tenth a second.
  EXPECT_EQ(at_share("2", "0.0999"), "admitted HALF_OPEN");
  EXPECT_EQ(at_share("2", "0.1"), "rejected HALF_OPEN");
  EXPECT_EQ(at_share("6", "0.4999"), "admitted HALF_OPEN");
  EXPECT_EQ(at_share("6", "0.5"), "rejected HALF_OPEN");
  EXPECT_EQ(at_share("6", "5e-1"), "rejected HALF_OPEN");
  Strings by_default = proved;
  by_default.push_back(Admit("2", 2));
  EXPECT_EQ(Decisions(by_default).back(), "admitted HALF_OPEN");
}

TEST(ReplayTest, AnOpeningDrawsR) {
  const std::string jittery =
      R"({"settings": {"min_requests": 0, "jitter": 0.5}})";
  const auto first_probe_at = [&](const std::string& r, const std::string& t) {
    return Decisions({jittery, Report("1", "timeout", r), State(t)}).back();
  };
  EXPECT_EQ(first_probe_at("", "1.999"), "OPEN");
  EXPECT_EQ(first_probe_at("", "2"), "HALF_OPEN");
  EXPECT_EQ(first_probe_at(R"(,"r":1)", "2.499"), "OPEN");
  EXPECT_EQ(first_probe_at(R"(,"r":1)", "2.5"), "HALF_OPEN");
  EXPECT_EQ(first_probe_at(R"(,"r":-1.0)", "1.499"), "OPEN");
  EXPECT_EQ(first_probe_at(R"(,"r":-1.0)", "1.5"), "HALF_OPEN");

  // A lease that ended at 7 opens for 2 s with the draw of the line that finds
  // it so, whatever its op.
  for (const std::string& line :
       {State("7.1", R"(,"r":0.5)"), Admit("7.1", 9, R"(,"r":0.5)"),
        Report("7.1", "ignored", R"(,"r":0.5)")}) {
    const Strings decisions =
        Decisions({jittery, Report("1", "timeout"), Admit("2", 1), line,
                   State("9.499"), State("9.5")});
    EXPECT_EQ(decisions[decisions.size() - 2], "OPEN") << line;
    EXPECT_EQ(decisions.back(), "HALF_OPEN") << line;
  }
}

TEST(ReplayTest, LatencyReachesSlowCallDurationOrDoesNot) {
  const std::string settings =
      R"({"settings": {"min_requests": 0, "slow_call_duration": 0.3}})";
  const auto after = [&](const std::string& latency) {
    return Decisions({settings, Report("1", "ok", latency), State("1")}).back();
  };
  EXPECT_EQ(after(""), "CLOSED");
  EXPECT_EQ(after(R"(,"latency":0.299999999999999999)"), "CLOSED");
  EXPECT_EQ(after(R"(,"latency":0.3)"), "OPEN");
  EXPECT_EQ(after(R"(,"latency":3E-1)"), "OPEN");
  EXPECT_EQ(after(R"(,"latency":0.30000000000000004)"), "OPEN");
}

TEST(ReplayTest, ShadowAdmitsAndShowsTheState) {
  const std::string settings =
      R"({"settings": {"mode": "shadow", "min_requests": 0, "jitter": 0}})";
  EXPECT_EQ(
      Decisions({settings, Admit("1", 1), Finish("1", 1, "timeout"),
                 Admit("1", 2), State("1"), Admit("2", 3), Admit("2", 4),
                 // Those that would have been rejected have nothing to say.
                 Finish("2", 2, "ok"), Finish("2", 4, "timeout"), State("2"),
                 Finish("2", 3, "timeout"), State("2")}),
      (Strings{"admitted CLOSED", "admitted OPEN", "OPEN", "admitted HALF_OPEN",
               "admitted HALF_OPEN", "HALF_OPEN", "OPEN"}));
}

TEST(ReplayTest, OffAdmitsAndRecordsNothing) {
  const std::string settings =
      R"({"settings": {"mode": "off", "min_requests": 0}})";
  EXPECT_EQ(Decisions({settings, Admit("1", 1), Finish("1", 1, "timeout"),
                       Report("1", "timeout"), Admit("1", 2), State("1")}),
            (Strings{"admitted CLOSED", "admitted CLOSED", "CLOSED"}));
}

TEST(ReplayTest, MethodsShareNothing) {
  EXPECT_EQ(Play({kTouchy, Report("1", "timeout"), State("1"),
                  R"({"t":1,"op":"state","method":"mm"})"}),
            (Replayed{R"({"t":1,"op":"state","method":"m","state":"OPEN"})"
                      "\n"
                      R"({"t":1,"op":"state","method":"mm","state":"CLOSED"})"
                      "\n",
                      ""}));
}

// ---------------------------------------------------------------------------
// Whatever comes

TEST(ReplayTest, TakesOnlyJsonAndNeverCrashes) {
  const std::string settings =
      R"({"settings": {"preset": "doctor", "bucket_width": 20, "buckets": 20, )"
      R"("failure_threshold": "off", "jitter": 0.1, "mode": "shadow"}})";
  const std::string admit =
      R"({"t": 12.5, "op": "admit", "method": "/pkg.S/M", "call": 7, "u": 0.3})";
  const std::string finish =
      R"({"t": 1.29e1, "op": "finish", "method": "/pkg.S/M", "call": 7, )"
      R"("outcome": "system_error", "latency": 0.4, "r": -0.5})";
  const std::string report =
      R"({"t": 13, "op": "finish", "method": "\u00fc\ud83d\ude00", )"
      R"("outcome": "ok", "stale": true})";
  const Strings lines = {settings, admit, finish, report,
                         R"({"t": 20, "op": "state", "method": "/pkg.S/M"})"};
  const std::string alphabet = "{}[]\",:.\\eE+-0159tfnul \t\n\xc3\xbc\xff";

  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  const auto mutate = [&](std::string& line) {
    for (std::size_t n = below(4) + 1; n > 0 && !line.empty(); --n) {
      const std::size_t at = below(line.size());
      switch (below(5)) {
        case 0:
          line[at] = alphabet[below(alphabet.size())];
          break;
        case 1:
          line.insert(at, 1, alphabet[below(alphabet.size())]);
          break;
        case 2:
          line.erase(at, below(8) + 1);
          break;
        case 3:
          line.insert(at, line.substr(below(line.size()), below(20)));
          break;
        case 4:
          line.resize(at);
          break;
      }
    }
  };

  simdjson::dom::parser strict;
  int taken = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::size_t victim = below(lines.size());
    std::string mutant = lines[victim];
    mutate(mutant);
    Replay replay;
    std::string answers;
    if (victim != 0) {
      ASSERT_TRUE(Apply(replay, lines[0], answers));
    }
    if (victim == 2) {
      ASSERT_TRUE(Apply(replay, lines[1], answers));
    }
    if (!Apply(replay, mutant, answers)) {
      ASSERT_FALSE(replay.error().empty());
      continue;
    }
    if (mutant.find_first_not_of(" \t\r\n") == std::string::npos) continue;
    ++taken;
    ASSERT_EQ(strict.parse(mutant).error(), simdjson::SUCCESS) << mutant;
  }
  // Otherwise nothing was tested but the first check.
  EXPECT_GT(taken, 1'000);
}

}  // namespace
}  // namespace fusebox
