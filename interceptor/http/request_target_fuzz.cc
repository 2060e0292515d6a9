// Targets of requests: what is understood, written down again, is understood to
// be the same.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "interceptor/http/request_target.h"

namespace {

// Every byte as "%XX".
std::string Encoded(const std::string& text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto target = fusebox::ParseRequestTarget(input);
  if (!target.has_value()) return 0;
  if (target->path.empty() || target->path[0] != '/') std::abort();
  if (target->path.size() > size) std::abort();

  std::string again = "/" + Encoded(target->path.substr(1));
  char separator = '?';
  for (const auto& [name, value] : target->parameters) {
    again += separator + Encoded(name) + "=" + Encoded(value);
    separator = '&';
  }
  const auto reread = fusebox::ParseRequestTarget(again);
  if (!reread.has_value()) std::abort();
  if (reread->path != target->path) std::abort();
  if (reread->parameters != target->parameters) std::abort();
  return 0;
}
