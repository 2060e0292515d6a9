#include "interceptor/http/health_pages.h"

#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

namespace fusebox {
namespace {

using Json = nlohmann::ordered_json;

// "2014-09-03T23:09:38.702Z"
std::string Timestamp(std::chrono::system_clock::time_point now) {
  const auto since_epoch =
      std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const auto time = static_cast<std::time_t>(seconds.count());
  std::tm utc{};
  gmtime_r(&time, &utc);
  char text[64];
  const std::size_t size =
      std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + size, sizeof(text) - size, ".%03dZ",
                static_cast<int>((since_epoch - seconds).count()));
  return text;
}

// On one line, whatever a check had to say.
std::string OneLine(const std::string& text) {
  std::string line = text;
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  }
  return line;
}

HttpResponse NotFound() {
  HttpResponse response;
  response.status = 404;
  response.body = "not found\n";
  return response;
}

HttpResponse Healthcheck(const ServiceHealth& health, int unhealthy_status) {
  HttpResponse response;
  response.status = health.healthy ? 200 : unhealthy_status;
  response.content_type = "application/json";
  response.body = HealthcheckJson(health, std::chrono::system_clock::now());
  return response;
}

HttpResponse Readyz(const ServiceHealth& health, const HealthService* service,
                    bool verbose) {
  std::string lines = ReadyzLines(health);
  bool ready = health.healthy;
  if (service != nullptr) {
    if (service->StatusOf("") == ServingStatus::kServing) {
      lines += "[+]grpc.health.v1 ok\n";
    } else {
      ready = false;
      lines += "[-]grpc.health.v1 failed: the server is NOT_SERVING\n";
    }
  }
  HttpResponse response;
  response.status = ready ? 200 : 503;
  if (ready && !verbose) {
    response.body = "ok\n";
  } else {
    response.body =
        lines + (ready ? "readyz check passed\n" : "readyz check failed\n");
  }
  return response;
}

}  // namespace

std::string HealthcheckJson(const ServiceHealth& health,
                            std::chrono::system_clock::time_point now) {
  Json components = Json::object();
  for (const Component& component : health.components) {
    Json fields = {
        {"healthy", component.healthy},
        {"status_message", component.message},
        {"response_time",
         std::chrono::duration<double>(component.response_time).count()}};
    for (const auto& [name, value] : component.fields) {
      if (fields.contains(name)) continue;
      std::visit([&fields, key = name](const auto& v) { fields[key] = v; },
                 value);
    }
    components[component.name] = std::move(fields);
  }
  const Json document = {{"service_healthy", health.healthy},
                         {"timestamp", Timestamp(now)},
                         {"components", std::move(components)}};
  return document.dump(-1, ' ', /*ensure_ascii=*/false,
                       Json::error_handler_t::replace);
}

std::string ReadyzLines(const ServiceHealth& health) {
  std::string lines;
  for (const Component& component : health.components) {
    lines += component.healthy ? "[+]" : "[-]";
    lines += OneLine(component.name);
    if (component.healthy) {
      lines += " ok\n";
      continue;
    }
    lines += " failed: " + OneLine(component.message);
    lines += component.critical ? "\n" : " (not critical)\n";
  }
  return lines;
}

absl::Status AddHealthPages(HttpServer& http, const ComponentChecks* checks,
                            HealthPagesOptions options) {
  if (options.unhealthy_status < 400 || options.unhealthy_status > 599) {
    return absl::InvalidArgumentError(
        "unhealthy_status: " + std::to_string(options.unhealthy_status) +
        " is out of range [400, 599]");
  }
  http.Handle(
      "/healthcheck/", {"GET"},
      [checks, status = options.unhealthy_status](const HttpRequest& request) {
        if (!request.rest.empty()) return NotFound();
        return Healthcheck(checks->Health(), status);
      });
  http.Handle("/healthz", {"GET"}, [](const HttpRequest&) {
    HttpResponse response;
    response.body = "ok\n";
    return response;
  });
  http.Handle(
      "/readyz", {"GET"},
      [checks, health = std::move(options.health)](const HttpRequest& request) {
        return Readyz(checks->Health(), health.get(),
                      request.HasParameter("verbose"));
      });
  return absl::OkStatus();
}

}  // namespace fusebox
