#include "interceptor/never_guarded.h"

#include "interceptor/starts_with.h"

namespace fusebox {
bool IsNeverGuarded(std::string_view method) {
  // Asked for every call of a client, and hardly any begins like this.
  if (method.size() < 2) return false;
  switch (method[1]) {
    case 'g':
      return StartsWith(method, "/grpc.health.v1.Health/") ||
             StartsWith(method, "/grpc.reflection.") ||
             StartsWith(method, "/grpc.channelz.");
    case 'f':
      return StartsWith(method, "/fusebox.v1.");
    default:
      return false;
  }
}

}  // namespace fusebox
