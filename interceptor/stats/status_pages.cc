#include "interceptor/stats/status_pages.h"

#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "interceptor/stats/stat_json.h"
#include "interceptor/stats/status_query.h"

namespace fusebox {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kRoot[] = "/status";

// Text as HTML shows it. Control characters, which it does not, are U+FFFD.
std::string Escaped(std::string_view text) {
  std::string html;
  for (const char c : text) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
          html += "\xef\xbf\xbd";
        } else {
          html += c;
        }
    }
  }
  return html;
}

// A name as part of an address.
std::string Encoded(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  constexpr std::string_view kPlain = "-._~";  // RFC 3986, section 2.3
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x80 && std::isalnum(byte) != 0) ||
        kPlain.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

std::string Link(const std::string& address, std::string_view text) {
  return "<a href=\"" + address + "\">" + Escaped(text) + "</a>";
}

// The members of an object, each name a link, as a list in a list.
void AppendTree(const Json& json, const std::string& address,
                std::string& html) {
  if (!json.is_object()) {
    html += "<span>" +
            Escaped(json.is_string() ? json.get<std::string>() : json.dump()) +
            "</span>";
    return;
  }
  html += "<ul>\n";
  for (const auto& [name, value] : json.items()) {
    const std::string below = address + "/" + Encoded(name);
    html += "<li>" + Link(below, name) + " ";
    AppendTree(value, below, html);
    html += "</li>\n";
  }
  html += "</ul>\n";
}

HttpResponse Error(int status, std::string message) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(message) + "\n";
  return response;
}

std::optional<std::string> Parameter(const HttpRequest& request,
                                     std::string_view name) {
  for (const auto& [parameter, value] : request.parameters) {
    if (parameter == name) return value;
  }
  return std::nullopt;
}

HttpResponse Status(Statistics& statistics, const HttpRequest& request) {
  const std::string format = Parameter(request, "format").value_or("html");
  if (format != "html" && format != "json" && format != "prettyjson") {
    return Error(400, "format is not valid: json or prettyjson");
  }
  const std::optional<std::string> query_text = Parameter(request, "query");
  std::optional<StatusQuery> query;
  if (query_text.has_value()) {
    query = ParseStatusQuery(*query_text);
    if (!query.has_value()) {
      return Error(400,
                   "query is not valid: KEY or KEY OP VALUE, OP one of >= > < "
                   "<= = == !=");
    }
  }

  const Json tree = statistics.Read();
  const std::optional<InTree> found = FindInTree(tree, request.rest);
  if (!found.has_value()) return Error(404, "not found");
  const Json shown =
      query.has_value() ? Select(*found->value, *query) : *found->value;

  HttpResponse response;
  if (format == "html") {
    Json valid_query = query_text.value_or("");
    MakeValid(valid_query);
    response.content_type = "text/html; charset=utf-8";
    response.headers.emplace_back(
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'");
    response.body =
        StatusHtml(shown, found->names, valid_query.get<std::string>());
  } else {
    response.content_type = "application/json";
    response.body = shown.dump(format == "json" ? -1 : 2) + "\n";
  }
  return response;
}

}  // namespace

std::string StatusHtml(const Json& tree, const std::vector<std::string>& names,
                       const std::string& query) {
  std::string address = kRoot;
  std::string heading = Link(address + "/", "status");
  std::string title = "status";
  for (const std::string& name : names) {
    address += "/" + Encoded(name);
    heading += " / " + Link(address, name);
    title += "/" + Escaped(name);
  }
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<title>" +
      title +
      "</title>\n<style>\n"
      "body { font: 14px/1.5 monospace; margin: 1em; }\n"
      "ul { list-style: none; margin: 0; padding-left: 2em; }\n"
      "span { font-weight: bold; }\n"
      "</style></head><body>\n<h1>" +
      heading + "</h1>\n<p>" + Link(address + "?format=prettyjson", "JSON") +
      "</p>\n<form><input name=\"query\" size=\"40\" value=\"" +
      Escaped(query) +
      "\" placeholder=\"key or key &gt;= value\"> "
      "<button>Query</button></form>\n";
  AppendTree(tree, address, html);
  html += "</body></html>\n";
  return html;
}

void AddStatusPages(HttpServer& http, Statistics* statistics) {
  http.Handle(std::string(kRoot) + "/", {"GET"},
              [statistics](const HttpRequest& request) {
                return Status(*statistics, request);
              });
}

}  // namespace fusebox
