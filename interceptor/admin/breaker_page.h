// The page that shows the breakers of a process, and lets an operator act.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_BREAKER_PAGE_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_BREAKER_PAGE_H_

#include <functional>
#include <string>
#include <vector>

#include "interceptor/admin/operator_acts.h"
#include "interceptor/admin/transition_history.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/http/http_server.h"
#include "interceptor/settings/effective_settings.h"

namespace fusebox {

struct BreakerPageOptions {
  // Heads the page and tells one process from another: "orders on web-3".
  std::string title;

  // If given, breakers may be forced, released and reset from the page, by
  // everyone who can reach the port: see HttpServerOptions::address.
  OperatorActs* acts = nullptr;

  // If given, the page says where each setting comes from. Asked for each
  // answer, on several threads.
  std::function<EffectiveSettings()> settings;
  // If given, and it returns any text: why the settings file is not in force.
  std::function<std::string()> settings_error;

  // Names that the page may be asked for by, beside "localhost" and addresses
  // in figures: "web-3.example.com". Requests for others are refused, for a
  // foreign page could have its own name lead here (DNS rebinding).
  std::vector<std::string> hosts;

  // Whether to link to /status/, where another part of the program serves
  // statistics.
  bool link_to_statistics = false;
};

// Has `http` answer below /breakers/:
//
//   GET  /breakers/              the page, if the client accepts text/html;
//                                else a table in plain text, for curl
//   GET  /breakers/list.json     what the page shows of all breakers. With
//                                ?after=N the calls per second only after that
//                                second ("newest_second" of an earlier answer)
//   GET  /breakers/breaker.json?role=R&target=T&method=M
//                                one of them with settings and transitions
//   POST /breakers/force-open    {"role": "client", "target": "dns:///orders",
//   POST /breakers/force-closed   "method": "/orders.v1.Orders/Lookup",
//   POST /breakers/release        "ttl_s": 600, "comment": "database is down",
//   POST /breakers/reset          "etag": "..."}
//
// Durations are in seconds, and end at the moment of the answer or begin there.
// Of a POST, "target" may be missing on a server; "comment", "etag" (as in
// breaker.json: act only if nothing has changed since) and "ttl_s" (only to
// force; without it, until released) always.
//
// A POST has to bring "Content-Type: application/json" and a header
// "X-Fusebox-Act", which a foreign page cannot send; if it has an Origin, that
// of the page itself. Every request has to name a Host as in `hosts`. Refused
// with the reason as {"error": "..."}: 403 not allowed, 415 another type, 400 a
// bad body, 404 no such breaker, 409 nothing to release, or another etag. The
// address of who asked goes into history and log.
//
// The page loads nothing from elsewhere, and nobody may frame it. Names are
// shown as text, whatever they hold; what is not UTF-8 is shown as U+FFFD and
// cannot be acted on.
//
// What the page needs to know of the past (BreakerPageHistory) costs the
// dispatcher of `registry` a look at all breakers a second.
//
// `registry`, `history` and what the options point to must outlive `http`.
// Before Start().
void AddBreakerPage(HttpServer& http, BreakerRegistry* registry,
                    const TransitionHistory* history,
                    BreakerPageOptions options = {});

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_BREAKER_PAGE_H_
