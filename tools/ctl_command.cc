#include "tools/ctl_command.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "interceptor/admin/printable_text.h"
#include "tools/admin_client.h"
#include "tools/channel_flags.h"
#include "tools/command_line.h"

namespace fusebox {
namespace {

using google::protobuf::FieldDescriptor;

constexpr char kHelp[] =
    R"(usage: fusebox ctl -addr=ADDRESS [FLAG...] COMMAND [BREAKER] [FIELD=VALUE...]

Looks at the circuit breakers of a running process, and acts on them, over its
admin service (fusebox.v1.BreakerAdmin).

  list                   all breakers; -filter
  get BREAKER            all about one: counts, settings and where they come
                         from, the latest transitions and who caused them
  set BREAKER F=V...     change settings of its method until the process ends:
                         buckets=5, min_recovery=250ms, mode=shadow;
                         FIELD=default takes a change back; -validate-only
  force-open BREAKER     refuse every call; -ttl
  force-close BREAKER    admit every call; -ttl
  release BREAKER        end an override
  reset BREAKER          closed, with an empty window
  watch                  all breakers, then each transition, until interrupted;
                         -filter (by name), -after

BREAKER is a method, "pkg.Service/Method", or a name as `-o json list` shows it:
"breakers/server/pkg.Service/Method". If a method has several breakers, -role
and -target tell them apart.

  -o table|json          default: table
  -filter=TEXT           such as 'state=OPEN,HALF_OPEN method=/pkg.Orders/*'; see
                         ListBreakersRequest in proto/fusebox/v1/admin.proto
  -role=client|server    of BREAKER
  -target=TARGET         of BREAKER, on the client side
  -ttl=TIME              how long an override lasts; default: until released
  -comment=TEXT          why, for the log and the history
  -etag=TEXT             act only if the breaker is as `get` showed it
  -operator=NAME         who acts; default: $USER. A client certificate or the
                         server's authoriser has the last word
  -validate-only         only look whether `set` could be done
  -after=N               resume a watch after sequence N
)";

constexpr char kExitHelp[] =
    R"(
Exits with
  0  done
  1  called wrongly, or the server found a value that is not valid
  2  no connection by -connect-timeout
  3  the call failed, was denied, or gave no answer by -rpc-timeout
  4  no such breaker
  5  the breaker is not what -etag says any more
)";

struct Options {
  ChannelFlags channel;
  std::string output = "table";
  std::string filter;
  std::string role;
  std::string target;
  std::string ttl_text;
  std::string comment;
  std::string etag;
  std::string operator_name;
  bool validate_only = false;
  std::string after_text;

  std::string command;
  std::string breaker;
  std::vector<std::string> settings;  // FIELD=VALUE

  // Made from the texts by Check().
  std::optional<google::protobuf::Duration> ttl;
  std::optional<std::uint64_t> after;
  v1::UpdateBreakerRequest update;

  bool json() const { return output == "json"; }
};

// ---------------------------------------------------------------------------
// What was asked for

// Sets a field of `config` to what the text says, so far as the type goes; the
// rest is for the server.
Problem ReadSetting(const std::string& text, v1::UpdateBreakerRequest& update) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) {
    return absl::StrCat("a setting is FIELD=VALUE, not \"", text, "\"");
  }
  const std::string name = text.substr(0, equals);
  const std::string value = text.substr(equals + 1);
  v1::BreakerSettings& config = *update.mutable_breaker()->mutable_config();
  const google::protobuf::Descriptor& fields =
      *v1::BreakerSettings::descriptor();
  const FieldDescriptor* field = fields.FindFieldByName(name);
  if (field == nullptr) {
    std::string known;
    for (int i = 0; i < fields.field_count(); ++i) {
      absl::StrAppend(&known, i == 0 ? "" : ", ", fields.field(i)->name());
    }
    return absl::StrCat("there is no setting \"", name, "\", only: ", known);
  }
  update.mutable_update_mask()->add_paths("config." + name);
  const google::protobuf::Reflection& reflection =
      *v1::BreakerSettings::GetReflection();
  if (value == "default") {
    reflection.ClearField(&config, field);
    return std::nullopt;
  }
  const auto wrong = [&](const std::string& what) {
    return absl::StrCat(name, " is ", what, ", not \"", value, "\"");
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      reflection.SetString(&config, field, value);
      return std::nullopt;
    case FieldDescriptor::CPPTYPE_INT32: {
      std::int32_t number = 0;
      if (!absl::SimpleAtoi(value, &number)) return wrong("a number");
      reflection.SetInt32(&config, field, number);
      return std::nullopt;
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      std::int64_t number = 0;
      if (!absl::SimpleAtoi(value, &number)) return wrong("a number");
      reflection.SetInt64(&config, field, number);
      return std::nullopt;
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double number = 0;
      if (!absl::SimpleAtod(value, &number)) return wrong("a number");
      reflection.SetDouble(&config, field, number);
      return std::nullopt;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      if (value != "true" && value != "false") return wrong("true or false");
      reflection.SetBool(&config, field, value == "true");
      return std::nullopt;
    default: {
      const auto* word =
          field->enum_type()->FindValueByName(absl::AsciiStrToUpper(value));
      if (word == nullptr || word->number() == 0) {
        return wrong("enforce, shadow or off");
      }
      reflection.SetEnum(&config, field, word);
      return std::nullopt;
    }
  }
}

Problem Check(Options& options, std::vector<std::string> operands) {
  if (Problem problem = CheckChannelFlags(options.channel)) return problem;
  if (operands.empty()) return "a command is missing: list, get, ...";
  options.command = operands.front();
  operands.erase(operands.begin());
  constexpr const char* kWithBreaker[] = {
      "get", "set", "force-open", "force-close", "release", "reset"};
  const auto is = [&](const char* name) { return options.command == name; };
  const bool with_breaker =
      std::any_of(std::begin(kWithBreaker), std::end(kWithBreaker), is);
  if (!with_breaker && !is("list") && !is("watch")) {
    return absl::StrCat("unknown command \"", options.command, "\"");
  }
  if (with_breaker) {
    if (operands.empty()) {
      return absl::StrCat(options.command, " takes the name of a breaker");
    }
    options.breaker = operands.front();
    operands.erase(operands.begin());
  }
  if (is("set")) {
    if (operands.empty()) return "set takes FIELD=VALUE, one or more";
    for (const std::string& text : std::exchange(operands, {})) {
      if (Problem problem = ReadSetting(text, options.update)) return problem;
    }
  }
  if (!operands.empty()) {
    return absl::StrCat("unexpected argument \"", operands.front(), "\"");
  }
  if (options.output != "table" && options.output != "json") {
    return absl::StrCat("-o is table or json, not \"", options.output, "\"");
  }
  if (!options.role.empty() && options.role != "client" &&
      options.role != "server") {
    return absl::StrCat("-role is client or server, not \"", options.role,
                        "\"");
  }
  if (!options.ttl_text.empty()) {
    if (!is("force-open") && !is("force-close")) {
      return "-ttl goes with force-open and force-close only";
    }
    absl::Duration ttl;
    if (Problem problem = ReadTimeout("-ttl", options.ttl_text, ttl)) {
      return problem;
    }
    options.ttl = google::protobuf::util::TimeUtil::NanosecondsToDuration(
        absl::ToInt64Nanoseconds(ttl));
  }
  if (!options.after_text.empty()) {
    std::uint64_t after = 0;
    if (!is("watch")) return "-after goes with watch only";
    if (!absl::SimpleAtoi(options.after_text, &after)) {
      return absl::StrCat("-after is a number, not \"", options.after_text,
                          "\"");
    }
    options.after = after;
  }
  if (!options.filter.empty() && with_breaker) {
    return "-filter goes with list and watch only";
  }
  if (options.validate_only && !is("set")) {
    return "-validate-only goes with set only";
  }
  return std::nullopt;
}

// ---------------------------------------------------------------------------
// What is shown

void PrintJson(const google::protobuf::Message& message, bool on_one_line) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.add_whitespace = !on_one_line;
  std::string text;
  // Cannot fail with what came over the wire.
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  std::printf("%s%s", text.c_str(), on_one_line ? "\n" : "");
  std::fflush(stdout);
}

void PrintTable(const std::vector<v1::Breaker>& breakers) {
  std::vector<std::vector<std::string>> rows = {
      {"STATE", "FOR", "FAILURES", "CALLS", "REJECTED", "IN FLIGHT", "ROLE",
       "METHOD"}};
  for (const v1::Breaker& breaker : breakers) {
    rows.push_back({StateText(breaker),
                    AgeText(absl::Now() - TimeOf(breaker.state_time())),
                    RatioText(breaker),
                    absl::StrCat(TotalCount(breaker.window())),
                    absl::StrCat(RejectedCount(breaker)),
                    absl::StrCat(breaker.in_flight_count()),
                    breaker.role() == v1::Breaker::CLIENT ? "client" : "server",
                    NameText(breaker)});
  }
  for (const std::string& line : AlignColumns(
           rows, {false, true, true, true, true, true, false, false})) {
    std::printf("%s\n", line.c_str());
  }
}

std::string Moment(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", TimeOf(time),
                          absl::UTCTimeZone());
}

// "2026-01-02T03:04:05.678Z closed -> FORCED OPEN (forced): force_open for 10m
// by alice: INC-7"
std::string TransitionText(const v1::Transition& transition) {
  std::string text =
      absl::StrCat(Moment(transition.time()), " ",
                   StateText(transition.from(), transition.override_from()));
  if (transition.sequence() != 0) {
    absl::StrAppend(&text, " -> ",
                    StateText(transition.to(), transition.override_to()), " (",
                    PrintableText(transition.reason()), ")");
  }
  if (!transition.act().empty()) {
    absl::StrAppend(&text, ": ", PrintableText(transition.act()));
    if (!transition.detail().empty()) {
      absl::StrAppend(&text, " ", PrintableText(transition.detail()));
    }
    absl::StrAppend(&text, " by ", PrintableText(transition.operator_()));
    if (!transition.comment().empty()) {
      absl::StrAppend(&text, ": ", PrintableText(transition.comment()));
    }
  }
  return text;
}

void PrintWhole(const v1::Breaker& breaker) {
  const auto line = [](const char* name, const std::string& text) {
    std::printf("%-12s %s\n", name, text.c_str());
  };
  const auto counts = [&](const char* name, const v1::OutcomeCounts& c) {
    line(name,
         absl::StrCat(TotalCount(c), " calls: ", c.ok_count(), " ok, ",
                      c.user_error_count(), " user error, ", c.timeout_count(),
                      " timeout, ", c.system_error_count(), " system error, ",
                      c.unknown_error_count(), " unknown error; ",
                      c.slow_count(), " slow"));
  };
  line("name", PrintableText(breaker.name()));
  line("etag", PrintableText(breaker.etag()));
  line("method", PrintableText(breaker.method()));
  if (!breaker.target().empty())
    line("target", PrintableText(breaker.target()));
  line("state",
       absl::StrCat(StateText(breaker), breaker.ramp() ? " (ramp)" : "",
                    " since ", Moment(breaker.state_time())));
  if (breaker.override() != v1::Breaker::OVERRIDE_NONE) {
    line("override",
         absl::StrCat(breaker.has_override_end_time()
                          ? "until " + Moment(breaker.override_end_time())
                          : "until released",
                      breaker.override_operator().empty() ? "" : " by ",
                      PrintableText(breaker.override_operator()),
                      breaker.override_comment().empty() ? "" : ": ",
                      PrintableText(breaker.override_comment())));
  }
  if (breaker.has_next_probe_time()) {
    line("next probe", Moment(breaker.next_probe_time()));
  }
  line("failures", RatioText(breaker));
  counts("window", breaker.window());
  counts("lifetime", breaker.lifetime());
  line("rejected",
       absl::StrCat(RejectedCount(breaker), ": ", breaker.open_rejected_count(),
                    " open, ", breaker.half_open_rejected_count(),
                    " half-open, ", breaker.forced_rejected_count(),
                    " forced; ", breaker.shadow_rejected_count(),
                    " would have been (shadow)"));
  line("in flight", absl::StrCat(breaker.in_flight_count()));

  std::printf("\nsettings\n");
  std::vector<std::vector<std::string>> rows;
  const google::protobuf::Descriptor& fields =
      *v1::BreakerSettings::descriptor();
  for (int i = 0; i < fields.field_count(); ++i) {
    const FieldDescriptor& field = *fields.field(i);
    std::string value;
    google::protobuf::TextFormat::PrintFieldValueToString(breaker.config(),
                                                          &field, -1, &value);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      value = v1::BreakerSettings::GetReflection()->GetString(breaker.config(),
                                                              &field);
    }
    const auto source = breaker.config_sources().find(field.name());
    rows.push_back({"", field.name(), AsciiText(absl::AsciiStrToLower(value)),
                    source == breaker.config_sources().end()
                        ? ""
                        : PrintableText(source->second)});
  }
  for (const std::string& text :
       AlignColumns(rows, {false, false, false, false})) {
    std::printf("%s\n", text.c_str());
  }
  if (!breaker.transitions().empty()) std::printf("\nlatest, newest first\n");
  for (const v1::Transition& transition : breaker.transitions()) {
    std::printf("  %s\n", TransitionText(transition).c_str());
  }
}

// ---------------------------------------------------------------------------
// The calls

class Ctl {
 public:
  Ctl(const Options& options, AdminClient& client)
      : options_(options), client_(client) {}

  AdminExitCode Run() {
    if (const AdminExitCode code = client_.Connect(); code != kAdminOk) {
      return code;
    }
    if (options_.command == "list") return List();
    if (options_.command == "watch") return Watch();
    std::string name;
    if (const AdminExitCode code = FindName(name); code != kAdminOk) {
      return code;
    }
    if (options_.command == "set") return Set(name);
    if (options_.command == "get") {
      return Send<v1::GetBreakerRequest>(name,
                                         &v1::BreakerAdmin::Stub::GetBreaker);
    }
    if (options_.command == "force-open") {
      return Act<v1::ForceOpenBreakerRequest>(
          name, &v1::BreakerAdmin::Stub::ForceOpenBreaker, SetTtl{});
    }
    if (options_.command == "force-close") {
      return Act<v1::ForceCloseBreakerRequest>(
          name, &v1::BreakerAdmin::Stub::ForceCloseBreaker, SetTtl{});
    }
    if (options_.command == "release") {
      return Act<v1::ReleaseBreakerRequest>(
          name, &v1::BreakerAdmin::Stub::ReleaseBreaker);
    }
    return Act<v1::ResetBreakerRequest>(name,
                                        &v1::BreakerAdmin::Stub::ResetBreaker);
  }

 private:
  template <class Request>
  using Method = grpc::Status (v1::BreakerAdmin::Stub::*)(grpc::ClientContext*,
                                                          const Request&,
                                                          v1::Breaker*);
  struct SetTtl {
    template <class Request>
    void operator()(const Options& options, Request& request) const {
      if (options.ttl.has_value()) {
        *request.mutable_ttl_duration() = *options.ttl;
      }
    }
  };
  struct SetNothing {
    template <class Request>
    void operator()(const Options& /*options*/, Request& /*request*/) const {}
  };

  // The name of the breaker that is meant.
  AdminExitCode FindName(std::string& name) {
    if (absl::StartsWith(options_.breaker, "breakers/")) {
      name = options_.breaker;
      return kAdminOk;
    }
    std::string filter = "method=" + Quoted(options_.breaker);
    if (!options_.role.empty()) filter += " role=" + options_.role;
    if (!options_.target.empty()) {
      filter += " target=" + Quoted(options_.target);
    }
    v1::ListBreakersResponse list;
    const grpc::Status status = client_.ListAll(filter, list);
    if (!status.ok()) return client_.Fail(status, "ListBreakers");
    const auto& found = list.breakers();
    if (found.empty()) {
      client_.Complain(
          absl::StrCat("no breaker ", PrintableText(options_.breaker)));
      return kAdminNotFound;
    }
    if (found.size() > 1) {
      std::string names;
      for (const v1::Breaker& breaker : found) {
        absl::StrAppend(&names, "\n  ", PrintableText(breaker.name()));
      }
      client_.Complain(absl::StrCat(
          "which of these is meant? Give its name, or -role and -target",
          names));
      return kAdminMisused;
    }
    name = found.Get(0).name();
    return kAdminOk;
  }

  static std::string Quoted(const std::string& text) {
    std::string quoted = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
    return quoted + '"';
  }

  AdminExitCode List() {
    v1::ListBreakersResponse list;
    const grpc::Status status = client_.ListAll(options_.filter, list);
    if (!status.ok()) return client_.Fail(status, "ListBreakers");
    if (options_.json()) {
      PrintJson(list, /*on_one_line=*/false);
      return kAdminOk;
    }
    PrintTable({list.breakers().begin(), list.breakers().end()});
    if (!list.settings_file_error().empty()) {
      client_.Complain("the settings file is not in force: " +
                       PrintableText(list.settings_file_error()));
    }
    return kAdminOk;
  }

  AdminExitCode Show(const grpc::Status& status, const v1::Breaker& breaker) {
    if (!status.ok()) return client_.Fail(status, options_.command.c_str());
    if (options_.json()) {
      PrintJson(breaker, /*on_one_line=*/false);
    } else if (options_.command == "get" || options_.command == "set") {
      PrintWhole(breaker);
    } else {
      PrintTable({breaker});
    }
    return kAdminOk;
  }

  template <class Request>
  AdminExitCode Send(const Request& request, Method<Request> method) {
    grpc::ClientContext context;
    client_.Prepare(context);
    v1::Breaker breaker;
    const grpc::Status status =
        (client_.stub().*method)(&context, request, &breaker);
    return Show(status, breaker);
  }
  template <class Request>
  AdminExitCode Send(const std::string& name, Method<Request> method) {
    Request request;
    request.set_name(name);
    return Send(request, method);
  }
  template <class Request, class Rest = SetNothing>
  AdminExitCode Act(const std::string& name, Method<Request> method,
                    Rest set_rest = Rest()) {
    Request request;
    request.set_name(name);
    request.set_etag(options_.etag);
    request.set_comment(options_.comment);
    set_rest(options_, request);
    return Send(request, method);
  }

  AdminExitCode Set(const std::string& name) {
    v1::UpdateBreakerRequest request = options_.update;
    request.mutable_breaker()->set_name(name);
    request.mutable_breaker()->set_etag(options_.etag);
    request.set_validate_only(options_.validate_only);
    request.set_comment(options_.comment);
    return Send<v1::UpdateBreakerRequest>(
        request, &v1::BreakerAdmin::Stub::UpdateBreaker);
  }

  AdminExitCode Watch() {
    grpc::ClientContext context;
    client_.Prepare(context, /*is_stream=*/true);
    v1::WatchBreakersRequest request;
    request.set_filter(options_.filter);
    if (options_.after.has_value()) {
      request.set_after_sequence(*options_.after);
    }
    const auto reader = client_.stub().WatchBreakers(&context, request);
    v1::WatchBreakersResponse response;
    std::vector<v1::Breaker> initial;
    while (reader->Read(&response)) {
      if (options_.json()) {
        PrintJson(response, /*on_one_line=*/true);
        continue;
      }
      initial.insert(initial.end(), response.breakers().begin(),
                     response.breakers().end());
      if (response.initial_complete() && !initial.empty()) {
        PrintTable(std::exchange(initial, {}));
      }
      if (response.skipped_count() != 0) {
        std::printf("(%s transitions are lost)\n",
                    absl::StrCat(response.skipped_count()).c_str());
      }
      if (response.has_transition()) {
        std::printf("%s %s %s\n", absl::StrCat(response.sequence()).c_str(),
                    AsciiText(response.transition().breaker()).c_str(),
                    TransitionText(response.transition()).c_str());
      }
      std::fflush(stdout);
    }
    return client_.Fail(reader->Finish(), "WatchBreakers");
  }

  const Options& options_;
  AdminClient& client_;
};

}  // namespace

int RunCtl(const std::vector<std::string_view>& arguments) {
  Options options;
  options.channel.connect_timeout_text = "5s";
  options.channel.rpc_timeout_text = "5s";
  if (const char* user = std::getenv("USER")) options.operator_name = user;
  std::vector<Flag> known = {{"o", &options.output},
                             {"filter", &options.filter},
                             {"role", &options.role},
                             {"target", &options.target},
                             {"ttl", &options.ttl_text},
                             {"comment", &options.comment},
                             {"etag", &options.etag},
                             {"operator", &options.operator_name},
                             {"validate-only", &options.validate_only},
                             {"after", &options.after_text}};
  AddChannelFlags(options.channel, known);
  std::vector<std::string> operands;
  const ParsedFlags flags = ParseFlags(arguments, known, &operands);
  if (flags.help) {
    std::printf("%s\n%s%s", kHelp, kChannelHelp, kExitHelp);
    return kAdminOk;
  }
  Problem problem;
  if (!flags.error.empty()) problem = flags.error;
  if (!problem) problem = Check(options, std::move(operands));
  if (problem) {
    std::fprintf(stderr, "fusebox ctl: %s; try `fusebox ctl --help`\n",
                 PrintableText(*problem).c_str());
    return kAdminMisused;
  }
  SilenceGrpc();
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if ((problem = MakeCredentials(options.channel, credentials))) {
    std::fprintf(stderr, "fusebox ctl: %s\n", problem->c_str());
    return kAdminMisused;
  }
  AdminClient client(options.channel, "ctl", options.operator_name,
                     credentials);
  return Ctl(options, client).Run();
}

}  // namespace fusebox
