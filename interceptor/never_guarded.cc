#include "interceptor/never_guarded.h"

namespace fusebox {

bool IsNeverGuarded(std::string_view method) {
  // Asked for every call of a client, and hardly any begins like this.
  if (method.size() < 2 || (method[1] != 'g' && method[1] != 'f')) return false;
  constexpr std::string_view kStarts[] = {
      "/grpc.health.v1.Health/",
      "/grpc.reflection.",
      "/grpc.channelz.",
      "/fusebox.v1.",
  };
  for (std::string_view start : kStarts) {
    if (method.substr(0, start.size()) == start) return true;
  }
  return false;
}

}  // namespace fusebox
