#include "interceptor/admin/breaker_page.h"

#include <arpa/inet.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "interceptor/admin/breaker_page_files.h"
#include "interceptor/admin/breaker_page_history.h"
#include "interceptor/admin/breaker_page_report.h"
#include "interceptor/admin/printable_text.h"

namespace fusebox {
namespace {

using Json = nlohmann::ordered_json;

// Nothing from elsewhere, nothing inline, no frames, no forms that leave.
constexpr char kContentSecurityPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'";

HttpResponse Respond(int status, std::string body, std::string content_type) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  response.content_type = std::move(content_type);
  response.headers = {
      {"Content-Security-Policy", kContentSecurityPolicy},
      {"X-Frame-Options", "DENY"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
  };
  return response;
}

HttpResponse RespondJson(int status, const Json& json) {
  return Respond(status, Dump(json) + "\n", "application/json");
}

HttpResponse Refuse(int status, std::string_view why) {
  return RespondJson(status, {{"error", why}});
}

HttpResponse Refuse(const absl::Status& status) {
  int code = 500;
  if (absl::IsInvalidArgument(status)) code = 400;
  if (absl::IsNotFound(status)) code = 404;
  if (absl::IsFailedPrecondition(status) || absl::IsAborted(status)) code = 409;
  return Refuse(code, {status.message().data(), status.message().size()});
}

// "localhost" of "localhost:8080", "::1" of "[::1]:8080".
std::string HostName(std::string_view host) {
  const std::size_t bracket = host.find(']');
  if (!host.empty() && host.front() == '[' &&
      bracket != std::string_view::npos) {
    return std::string(host.substr(1, bracket - 1));
  }
  return std::string(host.substr(0, host.rfind(':')));
}

bool IsAddress(const std::string& name) {
  in6_addr address;
  return inet_pton(AF_INET, name.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &address) == 1;
}

bool SameText(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase({a.data(), a.size()}, {b.data(), b.size()});
}

// The first parameter of that name; empty if there is none.
std::string Parameter(const HttpRequest& request, std::string_view name) {
  for (const auto& [given, value] : request.parameters) {
    if (given == name) return value;
  }
  return "";
}

std::optional<Role> RoleFrom(std::string_view name) {
  for (const Role role : {Role::kClient, Role::kServer}) {
    if (name == RoleName(role)) return role;
  }
  return std::nullopt;
}

enum class Act { kForceOpen, kForceClosed, kRelease, kReset };

// What the body of a POST asks for.
struct Wish {
  OperatorActs::Request request;
  std::optional<Duration> ttl;
};

absl::StatusOr<Wish> ParseWish(const std::string& body, bool may_have_ttl) {
  const Json json = Json::parse(body, /*cb=*/nullptr,
                                /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError("the body is not a JSON object");
  }
  Wish wish;
  std::optional<Role> role;
  for (const auto& [name, value] : json.items()) {
    if (name == "ttl_s" && may_have_ttl) {
      if (value.is_null()) continue;
      // Beyond what a Duration holds nothing could be told from the number.
      const double longest =
          std::chrono::duration<double>(OperatorActs::kMaxTtl).count();
      if (!value.is_number() || !(value.get<double>() > 0) ||
          value.get<double>() > longest) {
        return absl::InvalidArgumentError(
            absl::StrCat("ttl_s: ", PrintableText(Dump(value)),
                         " is out of range (0, ", longest, "]"));
      }
      wish.ttl = std::chrono::duration_cast<Duration>(
          std::chrono::duration<double>(value.get<double>()));
      continue;
    }
    std::string* text = nullptr;
    if (name == "target") text = &wish.request.breaker.target;
    if (name == "method") text = &wish.request.breaker.method;
    if (name == "comment") text = &wish.request.comment;
    if (name == "etag") text = &wish.request.etag;
    if (text == nullptr && name != "role") {
      return absl::InvalidArgumentError(
          absl::StrCat("'", PrintableText(name), "' is not known here"));
    }
    if (!value.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": not a string"));
    }
    if (text != nullptr) {
      *text = value.get<std::string>();
    } else {
      role = RoleFrom(value.get<std::string>());
    }
  }
  if (!role.has_value()) {
    return absl::InvalidArgumentError("role: must be client or server");
  }
  wish.request.breaker.role = *role;
  return wish;
}

class BreakerPage {
 public:
  BreakerPage(BreakerRegistry* registry, const TransitionHistory* history,
              BreakerPageOptions options)
      : registry_(*registry),
        transitions_(*history),
        options_(std::move(options)),
        history_(registry) {}

  HttpResponse Get(const HttpRequest& request);
  HttpResponse Post(const HttpRequest& request, Act act);

 private:
  // What is wrong with the Host, or nothing.
  std::optional<HttpResponse> RefuseHost(const HttpRequest& request) const;
  // Whether a foreign page may be behind a POST, or it may not be at all.
  std::optional<HttpResponse> RefusePost(const HttpRequest& request) const;

  HttpResponse Page(const HttpRequest& request) const;
  HttpResponse List(const HttpRequest& request) const;
  HttpResponse One(const HttpRequest& request) const;

  BreakerRegistry& registry_;
  const TransitionHistory& transitions_;
  const BreakerPageOptions options_;
  BreakerPageHistory history_;
  // Tells this process from one that served the page before.
  const std::int64_t started_ =
      std::chrono::system_clock::now().time_since_epoch().count();
};

std::optional<HttpResponse> BreakerPage::RefuseHost(
    const HttpRequest& request) const {
  const std::string name = HostName(request.Header("Host"));
  const bool known =
      SameText(name, "localhost") || IsAddress(name) ||
      std::any_of(options_.hosts.begin(), options_.hosts.end(),
                  [&name](const auto& host) { return SameText(name, host); });
  if (known) return std::nullopt;
  return Refuse(403, absl::StrCat("host '", PrintableText(name),
                                  "' is not one of this page"));
}

std::optional<HttpResponse> BreakerPage::RefusePost(
    const HttpRequest& request) const {
  if (options_.acts == nullptr) {
    return Refuse(403, "this page is read-only");
  }
  if (request.Header("X-Fusebox-Act").empty()) {
    return Refuse(403, "the header X-Fusebox-Act is missing");
  }
  const std::string_view origin = request.Header("Origin");
  const std::string host(request.Header("Host"));
  if (!origin.empty() && !SameText(origin, "http://" + host) &&
      !SameText(origin, "https://" + host)) {
    return Refuse(403, absl::StrCat("origin '", PrintableText(origin),
                                    "' is not this page"));
  }
  std::string type(request.Header("Content-Type"));
  type.resize(std::min(type.size(), type.find(';')));
  absl::StripTrailingAsciiWhitespace(&type);
  if (!SameText(type, "application/json")) {
    return Refuse(415, "the content type has to be application/json");
  }
  return std::nullopt;
}

HttpResponse BreakerPage::Get(const HttpRequest& request) {
  if (auto refusal = RefuseHost(request)) return *std::move(refusal);
  if (request.rest == "list.json") return List(request);
  if (request.rest == "breaker.json") return One(request);
  if (request.rest.empty()) return Page(request);
  const std::tuple<const char*, std::string_view, const char*> files[] = {
      {"page.css", kBreakerPageCss, "text/css; charset=utf-8"},
      {"page.js", kBreakerPageJs, "text/javascript; charset=utf-8"},
      {"icon.svg", kBreakerPageSvg, "image/svg+xml"},
  };
  for (const auto& [name, content, type] : files) {
    if (request.rest == name) return Respond(200, std::string(content), type);
  }
  return Refuse(404, "not found");
}

HttpResponse BreakerPage::Page(const HttpRequest& request) const {
  if (absl::StrContains(std::string(request.Header("Accept")), "text/html")) {
    // The page asks for what lies beside it.
    if (request.path.back() != '/') {
      HttpResponse response = Respond(301, "", "text/plain; charset=utf-8");
      response.headers.emplace_back("Location", "/breakers/");
      return response;
    }
    return Respond(200, std::string(kBreakerPageHtml),
                   "text/html; charset=utf-8");
  }
  return Respond(200,
                 BreakerTable(registry_.Snapshots(), history_, registry_.Now()),
                 "text/plain; charset=utf-8");
}

HttpResponse BreakerPage::List(const HttpRequest& request) const {
  const std::int64_t newest = history_.newest();
  const auto oldest =
      newest - static_cast<std::int64_t>(BreakerPageHistory::kSeconds);
  std::int64_t after = oldest;
  if (request.HasParameter("after") &&
      !absl::SimpleAtoi(Parameter(request, "after"), &after)) {
    return Refuse(400, "after: not a number");
  }
  after = std::clamp(after, oldest, newest);

  Json breakers = Json::array();
  const TimePoint now = registry_.Now();
  for (const BreakerSnapshot& breaker : registry_.Snapshots()) {
    Json json = BreakerJson(breaker, history_, now);
    json["rates"] = RatesJson(history_.RatesOf(breaker.id, after, newest));
    breakers.push_back(std::move(json));
  }
  const BreakerRegistry::Stats stats = registry_.stats();
  return RespondJson(
      200, {{"title", options_.title},
            {"started", started_},
            {"may_act", options_.acts != nullptr},
            {"statistics", options_.link_to_statistics},
            {"after_second", after},
            {"newest_second", newest},
            {"settings_error",
             options_.settings_error ? options_.settings_error() : ""},
            {"overflowed", stats.overflowed},
            {"skipped", stats.skipped},
            {"breakers", std::move(breakers)}});
}

HttpResponse BreakerPage::One(const HttpRequest& request) const {
  const std::optional<Role> role = RoleFrom(Parameter(request, "role"));
  std::optional<BreakerSnapshot> breaker;
  if (role.has_value()) {
    breaker = registry_.Snapshot(*role, Parameter(request, "target"),
                                 Parameter(request, "method"));
  }
  if (!breaker.has_value()) return Refuse(404, "there is no such breaker");
  std::optional<EffectiveSettings> settings;
  if (options_.settings) settings = options_.settings();
  Json json = DetailsJson(*breaker, transitions_.LastOf(breaker->id),
                          settings.has_value() ? &*settings : nullptr);
  json["breaker"] = BreakerJson(*breaker, history_, registry_.Now());
  return RespondJson(200, json);
}

HttpResponse BreakerPage::Post(const HttpRequest& request, Act act) {
  if (auto refusal = RefuseHost(request)) return *std::move(refusal);
  if (auto refusal = RefusePost(request)) return *std::move(refusal);
  const bool forces = act == Act::kForceOpen || act == Act::kForceClosed;
  absl::StatusOr<Wish> wish = ParseWish(request.body, forces);
  if (!wish.ok()) return Refuse(wish.status());
  wish->request.who = "page, from " + request.remote;

  OperatorActs& acts = *options_.acts;
  absl::StatusOr<BreakerSnapshot> breaker;
  switch (act) {
    case Act::kForceOpen:
      breaker = acts.Force(wish->request, Override::kForcedOpen, wish->ttl);
      break;
    case Act::kForceClosed:
      breaker = acts.Force(wish->request, Override::kForcedClosed, wish->ttl);
      break;
    case Act::kRelease:
      breaker = acts.Release(wish->request);
      break;
    case Act::kReset:
      breaker = acts.Reset(wish->request);
      break;
  }
  if (!breaker.ok()) return Refuse(breaker.status());
  return RespondJson(
      200, {{"breaker", BreakerJson(*breaker, history_, registry_.Now())},
            {"etag", BreakerEtag(*breaker)}});
}

}  // namespace

void AddBreakerPage(HttpServer& http, BreakerRegistry* registry,
                    const TransitionHistory* history,
                    BreakerPageOptions options) {
  // Lives as long as the handlers.
  const auto page =
      std::make_shared<BreakerPage>(registry, history, std::move(options));
  http.Handle("/breakers/", {"GET"}, [page](const HttpRequest& request) {
    return page->Get(request);
  });
  const std::pair<const char*, Act> acts[] = {
      {"/breakers/force-open", Act::kForceOpen},
      {"/breakers/force-closed", Act::kForceClosed},
      {"/breakers/release", Act::kRelease},
      {"/breakers/reset", Act::kReset},
  };
  for (const auto& [path, act] : acts) {
    http.Handle(path, {"POST"}, [page, act = act](const HttpRequest& request) {
      return page->Post(request, act);
    });
  }
}

}  // namespace fusebox
