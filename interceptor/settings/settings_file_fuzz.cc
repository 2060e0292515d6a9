// Settings files: what is accepted makes breakers; what is not is told with its
// place.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/settings/effective_settings.h"
#include "interceptor/settings/settings_file.h"

namespace fusebox {
namespace {

void CheckErrors(const absl::Status& status) {
  if (status.message().substr(0, 2) != "f:") std::abort();
}

void Check(std::string_view text) {
  const absl::StatusOr<SettingsFile> file = ParseSettingsFile(text, "f");
  if (!file.ok()) return CheckErrors(file.status());
  absl::StatusOr<EffectiveSettings> effective = PutTogether(*file, {});
  if (!effective.ok()) return CheckErrors(effective.status());

  effective->registry.start_dispatcher = false;
  effective->registry.log = [](const std::string&) {};
  effective->registry.shards = 1;
  BreakerRegistry registry(effective->registry);
  const auto scope = registry.Scope(Role::kServer, "");
  for (const auto& [pattern, settings] : effective->registry.method_settings) {
    if (scope->Find(pattern.c_str()).settings() != settings) std::abort();
  }
}

}  // namespace
}  // namespace fusebox

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  fusebox::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
