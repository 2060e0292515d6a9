#include "interceptor/http/request_target.h"

#include <cstddef>

namespace fusebox {
namespace {

// The value of a hexadecimal digit, or -1.
int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool Decode(std::string_view text, bool plus_is_space, std::string& out) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (text.size() - i < 3) return false;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return true;
}

// Cuts `text` off before the first `separator`, and returns what is behind it.
std::string_view CutAt(char separator, std::string_view& text) {
  const std::size_t at = text.find(separator);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = text.substr(at + 1);
  text = text.substr(0, at);
  return rest;
}

}  // namespace

std::optional<RequestTarget> ParseRequestTarget(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  std::string_view path = target;
  if (path.substr(0, kScheme.size()) == kScheme) {
    path.remove_prefix(kScheme.size());
    const std::size_t slash = path.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    path.remove_prefix(slash);
  }
  if (path.empty() || path[0] != '/') return std::nullopt;

  RequestTarget result;
  std::string_view query = CutAt('?', path);
  if (!Decode(path, false, result.path)) return std::nullopt;
  while (!query.empty()) {
    std::string_view name = query;
    query = CutAt('&', name);
    std::string_view value = CutAt('=', name);
    if (name.empty() && value.empty()) continue;
    auto& [decoded_name, decoded_value] = result.parameters.emplace_back();
    if (!Decode(name, true, decoded_name) ||
        !Decode(value, true, decoded_value)) {
      return std::nullopt;
    }
  }
  return result;
}

}  // namespace fusebox
