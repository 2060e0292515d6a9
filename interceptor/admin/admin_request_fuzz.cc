// What a client of the admin service may send: whatever it is, it is refused or
// means something, and what means something has one way to be written.
//
// The first byte says what the rest is: f a filter, p a page token, n the name
// of a breaker, u an UpdateBreakerRequest, t a text to be shown.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "interceptor/admin/admin_messages.h"
#include "interceptor/admin/list_query.h"
#include "interceptor/admin/printable_text.h"
#include "interceptor/admin/resource_name.h"
#include "interceptor/settings/settings_fields.h"
#include "proto/fusebox/v1/admin.pb.h"

namespace fusebox {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

// Errors are for people: they say what is wrong, and are fit to be shown.
void RequireGoodError(const absl::Status& status) {
  Require(status.code() == absl::StatusCode::kInvalidArgument);
  const std::string message(status.message());
  Require(!message.empty() && PrintableText(message) == message);
}

void TryFilter(const std::string& text) {
  const auto filter = BreakerFilter::Parse(text);
  if (!filter.ok()) return RequireGoodError(filter.status());
  BreakerSnapshot breaker;
  breaker.target = "dns:///stock";
  breaker.method = "/pkg.Stock/Get";
  const bool matches = filter->Matches(breaker);
  if (filter->names_only()) {
    Require(filter->Matches(breaker.role, breaker.target, breaker.method) ==
            matches);
  }
  // Said twice it is the same.
  if (2 * text.size() + 1 <= BreakerFilter::kMaxBytes) {
    const auto twice = BreakerFilter::Parse(text + " " + text);
    Require(twice.ok() && twice->Matches(breaker) == matches);
  }
}

void TryPageToken(const std::string& token) {
  const auto last = ParsePageToken(token, "");
  if (!last.ok()) return RequireGoodError(last.status());
  const auto again = ParsePageToken(PageToken(*last, ""), "");
  Require(again.ok() && !ListedBefore(*last, *again) &&
          !ListedBefore(*again, *last));
}

void TryName(const std::string& name) {
  const auto parsed = ParseResourceName(name);
  if (parsed.has_value()) Require(ResourceName(*parsed) == name);
  // And any method has a name.
  for (const Role role : {Role::kClient, Role::kServer}) {
    const BreakerName breaker = {
        role, role == Role::kClient ? name.substr(0, name.size() / 2) : "",
        name.substr(name.size() / 2)};
    const auto found = ParseResourceName(ResourceName(breaker));
    Require(found.has_value() && found->role == role &&
            found->target == breaker.target && found->method == breaker.method);
  }
}

void TryUpdate(const std::string& bytes) {
  v1::UpdateBreakerRequest request;
  if (!request.ParseFromString(bytes)) return;
  const auto fields = ReadUpdate(request);
  if (!fields.ok()) return RequireGoodError(fields.status());
  Require(!fields->empty());
  Settings settings;
  for (const auto& [field, text] : *fields) {
    Require(FindSettingsField(field) != nullptr);
    if (text.has_value()) SetSettingsField(settings, field, *text);
  }
  // What is valid comes back as it is.
  if (!ValidateSettings(settings).empty()) return;
  v1::UpdateBreakerRequest back;
  FillSettings(settings, *back.mutable_breaker()->mutable_config());
  const auto all = ReadUpdate(back);
  Require(all.ok() && all->size() == SettingsFields().size());
  Settings again;
  for (const auto& [field, text] : *all) {
    Require(text.has_value() && SetSettingsField(again, field, *text));
  }
  Require(ValidateSettings(again).empty());
}

void TryText(const std::string& text) {
  const std::string printable = PrintableText(text);
  Require(PrintableText(printable) == printable);
  for (const char c : printable) {
    Require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  }
}

}  // namespace
}  // namespace fusebox

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  if (size == 0) return 0;
  const std::string rest(data + 1, data + size);
  switch (data[0]) {
    case 'f':
      fusebox::TryFilter(rest);
      break;
    case 'p':
      fusebox::TryPageToken(rest);
      break;
    case 'n':
      fusebox::TryName(rest);
      break;
    case 'u':
      fusebox::TryUpdate(rest);
      break;
    case 't':
      fusebox::TryText(rest);
      break;
    default:
      break;
  }
  return 0;
}
