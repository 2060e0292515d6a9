// The status page in headless Chromium. The breakers are here; what is done in
// the browser, and what is to be seen there, stands in
// breaker_page_browser_test.js.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "gtest/gtest.h"
#include "interceptor/admin/breaker_page.h"
#include "interceptor/admin/operator_acts.h"
#include "interceptor/admin/transition_history.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/state.h"
#include "interceptor/http/http_server.h"
#include "interceptor/settings/effective_settings.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;

struct Method {
  Role role;
  std::string target;
  std::string method;
};

// Open ones stay so, but for those of the service Flaky, which await a probe
// at once.
EffectiveSettings MakeSettings() {
  SettingsFile file;
  const auto give = [](const char* text, const char* place) {
    return GivenSetting{text, {SettingSource::Kind::kFile, place}};
  };
  file.defaults.settings = {
      {"min_recovery", give("1h", "orders.textproto:2:3")},
      {"max_recovery", give("2h", "orders.textproto:3:3")},
      {"max_open_duration", give("1h", "orders.textproto:4:3")},
      {"min_requests", give("5", "orders.textproto:5:3")},
      {"jitter", give("0", "orders.textproto:6:3")},
  };
  file.methods["/orders.v1.Flaky/*"].settings = {
      {"min_recovery", give("10ms", "orders.textproto:9:5")},
  };
  file.methods["/orders.v1.Trial/*"].settings = {
      {"mode", give("shadow", "orders.textproto:13:5")},
  };
  return PutTogether(file, GivenFlags()).value();
}

RegistryOptions Quiet(RegistryOptions options) {
  options.log = [](const std::string&) {};
  return options;
}

// Breakers, and calls of them that go on until the end.
class Traffic {
 public:
  explicit Traffic(std::vector<Method> methods)
      : settings_(MakeSettings()),
        registry_(Quiet(settings_.registry)),
        history_(&registry_),
        acts_(&registry_, &history_),
        methods_(std::move(methods)) {
    for (const Method& method : methods_) {
      registry_.Pin(method.role, method.target, method.method);
    }
    thread_ = std::thread([this] { Run(); });
  }
  ~Traffic() {
    {
      const std::lock_guard lock(mu_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  const EffectiveSettings& settings() const { return settings_; }
  BreakerRegistry& registry() { return registry_; }
  TransitionHistory& history() { return history_; }
  OperatorActs& acts() { return acts_; }

  // So many calls of the method, whatever its role and target.
  void Call(const std::string& name, Outcome outcome, int calls) {
    for (const Method& method : methods_) {
      if (method.method != name) continue;
      CircuitBreaker& breaker =
          registry_.Pin(method.role, method.target, method.method);
      for (int i = 0; i < calls; ++i) {
        Admission admission = breaker.Admit(registry_.Now());
        admission.permit.Finish(outcome, registry_.Now());
      }
    }
  }

 private:
  // One method after the other, 50 times a second; some calls fail.
  void Run() {
    std::size_t next = 0;
    std::unique_lock lock(mu_);
    while (
        !changed_.wait_for(lock, milliseconds(20), [this] { return over_; })) {
      const std::size_t turns = methods_.size() / 20 + 1;
      for (std::size_t i = 0; i < turns; ++i) {
        const Method& method = methods_[next++ % methods_.size()];
        const bool fails = next % 11 == 0;
        Call(method.method, fails ? Outcome::kTimeout : Outcome::kOk, 1);
      }
    }
  }

  const EffectiveSettings settings_;
  BreakerRegistry registry_;
  TransitionHistory history_;
  OperatorActs acts_;
  const std::vector<Method> methods_;
  std::mutex mu_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

// A port that serves the page of `traffic`. POST to /test/call has it called.
class Site {
 public:
  Site(Traffic& traffic, const std::string& title, bool may_act) {
    BreakerPageOptions options;
    options.title = title;
    if (may_act) options.acts = &traffic.acts();
    options.settings = [&traffic] { return traffic.settings(); };
    AddBreakerPage(http_, &traffic.registry(), &traffic.history(), options);
    http_.Handle("/test/call", {"POST"},
                 [&traffic](const HttpRequest& request) {
                   const auto& [method, outcome] = request.parameters.at(0);
                   traffic.Call(method, OutcomeFromName(outcome).value(), 100);
                   return HttpResponse();
                 });
    const absl::Status started = http_.Start();
    EXPECT_TRUE(started.ok()) << started;
  }

  std::string url() const {
    return absl::StrCat("http://127.0.0.1:", http_.port());
  }

 private:
  HttpServer http_;
};

std::vector<Method> AFewMethods() {
  return {
      {Role::kServer, "", "/orders.v1.Orders/Lookup"},
      {Role::kServer, "", "/orders.v1.Orders/Place"},
      {Role::kServer, "", "/orders.v1.Orders/Cancel"},
      {Role::kServer, "", "/orders.v1.Trial/Search"},
      {Role::kClient, "dns:///stock.internal:443", "/stock.v1.Stock/Reserve"},
      {Role::kClient, "dns:///stock.internal:443", "/orders.v1.Flaky/Confirm"},
      {Role::kClient, "dns:///pay.internal:443",
       "/payments.internal.v1.PaymentAuthorisation/AuthoriseWithStoredCard"},
      {Role::kClient, "<img src=x onerror='window.hacked=1'>",
       "/<script>window.hacked=1</script>/\"><b onclick=window.hacked=1>x"},
      {Role::kClient, "x",
       "/evil.\xe2\x80\xae"
       "cilbup.v1/Reversed"},
  };
}

std::vector<Method> AThousandMethods() {
  std::vector<Method> methods;
  for (int i = 0; i < 1000; ++i) {
    methods.push_back({i % 2 == 0 ? Role::kServer : Role::kClient,
                       i % 2 == 0 ? "" : "dns:///backend.internal:443",
                       absl::StrCat("/shop.v1.Service", i / 20, "/Method", i)});
  }
  return methods;
}

TEST(BreakerPageBrowserTest, Chromium) {
  Traffic few(AFewMethods());
  Traffic many(AThousandMethods());
  Site acting(few, "orders on web-3", true);
  Site read_only(few, "orders, read-only", false);
  Site crowd(many, "a thousand", true);

  greeter::ChildProcess driver(
      {"/usr/bin/env", "node",
       "interceptor/admin/browser/breaker_page_browser_test.js", acting.url(),
       read_only.url(), crowd.url()});
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(4);
  while (const auto line = driver.ReadLine(end)) std::cout << *line << "\n";
  EXPECT_EQ(driver.Wait(end), 0) << driver.errors();
}

}  // namespace
}  // namespace fusebox
