#include "interceptor/admin/resource_name.h"

namespace fusebox {
namespace {

constexpr std::string_view kServers = "breakers/server";
constexpr std::string_view kClients = "breakers/client/";
constexpr char kNoTarget[] = "-";

bool IsPlainInTarget(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
         c == '~' || c == ':';
}

bool IsPlainInMethod(char c) { return c > ' ' && c < '\x7f' && c != '%'; }

void AppendEscaped(std::string& name, char c) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  name += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
}

int DigitOf(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::optional<std::string> Unescaped(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      bytes += text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const int high = DigitOf(text[i + 1]);
    const int low = DigitOf(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return bytes;
}

}  // namespace

std::string ResourceName(const BreakerName& breaker) {
  std::string name;
  if (breaker.role == Role::kServer) {
    name = kServers;
  } else {
    name = kClients;
    if (breaker.target.empty()) name += kNoTarget;
    if (breaker.target == kNoTarget) {
      AppendEscaped(name, kNoTarget[0]);
    } else {
      for (const char c : breaker.target) {
        if (IsPlainInTarget(c)) {
          name += c;
        } else {
          AppendEscaped(name, c);
        }
      }
    }
  }
  // Methods begin with a slash; what does not is marked.
  std::string_view method = breaker.method;
  name += '/';
  if (!method.empty() && method[0] == '/') {
    method.remove_prefix(1);
    if (!method.empty() && method[0] == '~') {
      AppendEscaped(name, '~');
      method.remove_prefix(1);
    }
  } else {
    name += '~';
  }
  for (const char c : method) {
    if (IsPlainInMethod(c)) {
      name += c;
    } else {
      AppendEscaped(name, c);
    }
  }
  return name;
}

std::optional<BreakerName> ParseResourceName(std::string_view name) {
  BreakerName breaker;
  std::string_view rest = name;
  if (rest.substr(0, kClients.size()) == kClients) {
    breaker.role = Role::kClient;
    rest.remove_prefix(kClients.size());
    const std::size_t slash = rest.find('/');
    if (slash == std::string_view::npos || slash == 0) return std::nullopt;
    const std::string_view target = rest.substr(0, slash);
    rest.remove_prefix(slash);
    if (target != kNoTarget) {
      std::optional<std::string> unescaped = Unescaped(target);
      if (!unescaped.has_value()) return std::nullopt;
      breaker.target = *std::move(unescaped);
    }
  } else if (rest.substr(0, kServers.size()) == kServers) {
    breaker.role = Role::kServer;
    rest.remove_prefix(kServers.size());
    if (rest.empty() || rest[0] != '/') return std::nullopt;
  } else {
    return std::nullopt;
  }
  const bool marked = rest.substr(0, 2) == "/~";
  std::optional<std::string> method = Unescaped(rest.substr(marked ? 2 : 0));
  if (!method.has_value()) return std::nullopt;
  breaker.method = *std::move(method);
  // One breaker has one name.
  if (ResourceName(breaker) != name) return std::nullopt;
  return breaker;
}

}  // namespace fusebox
