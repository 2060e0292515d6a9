#include "interceptor/breaker/method_pattern.h"

#include <algorithm>
#include <cstddef>

namespace fusebox {
namespace {

bool IsName(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c != '/' && c != '*' && c != '\x7f' &&
           static_cast<unsigned char>(c) > ' ';
  });
}

}  // namespace

bool IsMethodPattern(std::string_view text) {
  const std::string_view service = ServicePart(text);
  if (service.size() < 2 || service.front() != '/') return false;
  const std::string_view method = text.substr(service.size());
  return IsName(service.substr(1, service.size() - 2)) &&
         (method == "*" || IsName(method));
}

std::string_view ServicePart(std::string_view method) {
  const std::size_t slash = method.rfind('/');
  return slash == std::string_view::npos ? std::string_view()
                                         : method.substr(0, slash + 1);
}

}  // namespace fusebox
