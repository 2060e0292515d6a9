#include "interceptor/admin/admin_service.h"

#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/impl/server_initializer.h>
#include <grpcpp/security/auth_context.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "interceptor/admin/admin_messages.h"
#include "interceptor/admin/list_query.h"
#include "interceptor/admin/live_settings.h"
#include "interceptor/admin/printable_text.h"
#include "interceptor/admin/resource_name.h"
#include "interceptor/handoff/handoff.h"
#include "interceptor/health/shutdown_notice.h"
#include "interceptor/settings/effective_settings.h"
#include "interceptor/settings/settings_fields.h"

namespace fusebox {
namespace {

// Breakers in one message of a watch: far below gRPC's limit of 4 MiB, and
// enough to be quick.
constexpr std::size_t kBreakersPerMessage = 100;
constexpr std::size_t kMaxTransitionsShown = 20;
constexpr std::size_t kMaxWhoBytes = 200;
constexpr char kOperatorMetadata[] = "fusebox-operator";

grpc::Status GrpcStatus(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message()));
}

grpc::Status Draining() {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE,
                      "the server is shutting down");
}

// Who seems to call.
std::string WhoCalls(const grpc::ServerContextBase& context) {
  const auto auth = context.auth_context();
  if (auth != nullptr && auth->IsPeerAuthenticated()) {
    const std::vector<grpc::string_ref> identity = auth->GetPeerIdentity();
    if (!identity.empty()) {
      return std::string(identity.front().data(),
                         std::min(identity.front().size(), kMaxWhoBytes));
    }
  }
  const auto& metadata = context.client_metadata();
  const auto said = metadata.find(kOperatorMetadata);
  std::string who = "somebody";
  if (said != metadata.end() && !said->second.empty()) {
    who.assign(said->second.data(),
               std::min(said->second.size(), kMaxWhoBytes));
  }
  return absl::StrCat(who, " (not verified, ", context.peer(), ")");
}

absl::StatusOr<BreakerName> ReadName(const std::string& name) {
  std::optional<BreakerName> parsed = ParseResourceName(name);
  if (!parsed.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("name: '", PrintableText(name),
                     "' is not valid: breakers/server/pkg.Service/Method or "
                     "breakers/client/TARGET/pkg.Service/Method"));
  }
  return *std::move(parsed);
}

BreakerName NameOf(const BreakerSnapshot& breaker) {
  return {breaker.role, breaker.target, breaker.method};
}

void FillSources(const EffectiveSettings& effective, const std::string& method,
                 v1::Breaker& message) {
  auto& sources = *message.mutable_config_sources();
  for (const SettingsField& field : SettingsFields()) {
    sources[field.name] =
        PrintableText(FormatSource(effective.SourceOf(method, field.name)));
  }
}

// A watch that is refused.
class RefusedWatch final
    : public grpc::ServerWriteReactor<v1::WatchBreakersResponse> {
 public:
  explicit RefusedWatch(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

// One open watch. All but what gRPC calls is guarded by the service's lock.
class BreakerAdminService::Watcher final
    : public grpc::ServerWriteReactor<v1::WatchBreakersResponse> {
 public:
  Watcher(BreakerAdminService& service, grpc::CallbackServerContext& call,
          BreakerFilter shown)
      : context(call), filter(std::move(shown)), service_(service) {
    ReleaseToGrpc(this);
  }

  void OnWriteDone(bool ok) override {
    AcquireFromGrpc(this);
    service_.OnWriteDone(*this, ok);
  }
  void OnCancel() override {
    AcquireFromGrpc(this);
    service_.OnCancel(*this);
  }
  void OnDone() override {
    AcquireFromGrpc(this);
    service_.OnDone(*this);
    delete this;
  }

  grpc::CallbackServerContext& context;
  const BreakerFilter filter;
  // Not sent yet, the last first.
  std::vector<BreakerSnapshot> initial;
  bool initial_sent = false;
  std::uint64_t sequence = 0;  // how far it is
  bool writing = false;
  bool ending = false;
  v1::WatchBreakersResponse message;  // gRPC's while writing

 private:
  BreakerAdminService& service_;
};

BreakerAdminService::BreakerAdminService(BreakerRegistry* registry,
                                         TransitionHistory* history,
                                         OperatorActs* acts,
                                         BreakerAdminOptions options)
    : registry_(*registry),
      history_(*history),
      acts_(*acts),
      options_(std::move(options)),
      log_(options_.log ? options_.log : registry->options().log),
      listener_(history->AddListener([this] { UpdateAll(); })) {}

BreakerAdminService::~BreakerAdminService() {
  history_.RemoveListener(listener_);
}

void BreakerAdminService::Drain(Duration patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  MutexLock lock(mu_);
  drained_ = true;
  for (Watcher* watcher : watchers_) End(*watcher, Draining());
  while (!watchers_.empty()) {
    if (watcher_gone_.wait_until(mu_, deadline) == std::cv_status::timeout) {
      for (Watcher* watcher : watchers_) watcher->context.TryCancel();
      return;
    }
  }
}

std::size_t BreakerAdminService::watches() const {
  MutexLock lock(mu_);
  return watchers_.size();
}

// ---------------------------------------------------------------------------
// Who may

grpc::Status BreakerAdminService::Permit(const AdminCall& call,
                                         std::string& who) const {
  grpc::Status status;
  who = WhoCalls(call.context);
  if (call.changes && !options_.allow_changes) {
    status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED,
                          "this service is read-only");
  } else if (options_.authorize) {
    status = options_.authorize(call, who);
  }
  if (call.changes || !status.ok()) {
    std::string line = absl::StrCat(
        "fusebox: admin: ", std::string(call.method), " ",
        PrintableText(call.breaker.substr(0, kMaxWhoBytes)),
        call.breaker.empty() ? "" : " ", "by ", PrintableText(who));
    if (status.ok()) {
      absl::StrAppend(&line, " permitted");
    } else {
      // Not the message: it may quote what the client sent.
      absl::StrAppend(&line, " denied: ",
                      absl::StatusCodeToString(
                          static_cast<absl::StatusCode>(status.error_code())));
    }
    log_(line);
  }
  return status;
}

template <class Answer>
grpc::ServerUnaryReactor* BreakerAdminService::Reply(
    grpc::CallbackServerContext* context, const char* method, bool changes,
    const std::string& breaker, Answer answer) {
  std::string who;
  grpc::Status status = Permit({method, changes, breaker, *context}, who);
  if (status.ok()) status = GrpcStatus(answer(who));
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

// ---------------------------------------------------------------------------
// To look at

grpc::ServerUnaryReactor* BreakerAdminService::ListBreakers(
    grpc::CallbackServerContext* context,
    const v1::ListBreakersRequest* request,
    v1::ListBreakersResponse* response) {
  const auto answer = [&](const std::string& /*who*/) -> absl::Status {
    if (request->page_size() < 0 || request->page_size() > kMaxPageSize) {
      return absl::InvalidArgumentError(
          absl::StrCat("page_size: ", request->page_size(),
                       " is out of range [0, ", kMaxPageSize, "]"));
    }
    const int page_size =
        request->page_size() == 0 ? kDefaultPageSize : request->page_size();
    const absl::StatusOr<BreakerFilter> filter =
        BreakerFilter::Parse(request->filter());
    if (!filter.ok()) return filter.status();
    std::optional<BreakerName> after;
    if (!request->page_token().empty()) {
      absl::StatusOr<BreakerName> parsed =
          ParsePageToken(request->page_token(), request->filter());
      if (!parsed.ok()) return parsed.status();
      after = *std::move(parsed);
    }
    if (options_.live_settings != nullptr && !after.has_value()) {
      response->set_settings_file_error(
          PrintableText(options_.live_settings->last_error()));
    }
    std::optional<BreakerName> last;
    for (const BreakerSnapshot& breaker : registry_.Snapshots()) {
      const BreakerName name = NameOf(breaker);
      if (after.has_value() && !ListedBefore(*after, name)) continue;
      if (!filter->Matches(breaker)) continue;
      if (response->breakers_size() == page_size) {
        response->set_next_page_token(PageToken(*last, request->filter()));
        break;
      }
      FillBreaker(breaker, history_, *response->add_breakers());
      last = name;
    }
    return absl::OkStatus();
  };
  return Reply(context, "ListBreakers", /*changes=*/false, "", answer);
}

void BreakerAdminService::FillWhole(const BreakerSnapshot& breaker,
                                    v1::Breaker& message) const {
  FillBreaker(breaker, history_, message);
  if (options_.live_settings != nullptr) {
    FillSources(options_.live_settings->effective(), breaker.method, message);
  }
  const std::vector<HistoryEntry> entries =
      history_.LastOf(breaker.id, kMaxTransitionsShown);
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    FillTransition(*entry, *message.add_transitions());
  }
}

grpc::ServerUnaryReactor* BreakerAdminService::GetBreaker(
    grpc::CallbackServerContext* context, const v1::GetBreakerRequest* request,
    v1::Breaker* response) {
  const auto answer = [&](const std::string& /*who*/) -> absl::Status {
    const absl::StatusOr<BreakerName> name = ReadName(request->name());
    if (!name.ok()) return name.status();
    const std::optional<BreakerSnapshot> breaker =
        registry_.Snapshot(name->role, name->target, name->method);
    if (!breaker.has_value()) {
      return absl::NotFoundError(
          absl::StrCat("no breaker ", PrintableText(request->name())));
    }
    FillWhole(*breaker, *response);
    return absl::OkStatus();
  };
  return Reply(context, "GetBreaker", /*changes=*/false, request->name(),
               answer);
}

// ---------------------------------------------------------------------------
// To act on

grpc::ServerUnaryReactor* BreakerAdminService::UpdateBreaker(
    grpc::CallbackServerContext* context,
    const v1::UpdateBreakerRequest* request, v1::Breaker* response) {
  const auto answer = [&](const std::string& who) -> absl::Status {
    absl::StatusOr<BreakerName> name = ReadName(request->breaker().name());
    if (!name.ok()) return name.status();
    const auto fields = ReadUpdate(*request);
    if (!fields.ok()) return fields.status();
    LiveSettings* const settings = options_.live_settings;
    if (settings == nullptr) {
      return absl::FailedPreconditionError(
          "this server takes no settings while it runs");
    }
    std::string what;
    for (const auto& [field, text] : *fields) {
      absl::StrAppend(&what, what.empty() ? "" : " ", field, "=",
                      text.has_value() ? PrintableText(*text) : "(taken back)");
    }
    const std::string method = name->method;
    const OperatorActs::Request act = {
        *std::move(name), who, request->comment(), request->breaker().etag()};
    const absl::StatusOr<BreakerSnapshot> breaker =
        request->validate_only()
            ? acts_.Look(act)
            : acts_.Update(act, what, [&] {
                return settings->Update(method, *fields, PrintableText(who));
              });
    if (!breaker.ok()) return breaker.status();
    if (request->validate_only()) {
      absl::Status status = settings->Update(
          method, *fields, PrintableText(who), /*validate_only=*/true);
      if (!status.ok()) return status;
    }
    FillWhole(*breaker, *response);
    if (request->validate_only()) {
      Settings would_be = breaker->settings;
      for (const auto& [field, text] : *fields) {
        if (text.has_value()) SetSettingsField(would_be, field, *text);
      }
      FillSettings(would_be, *response->mutable_config());
    }
    return absl::OkStatus();
  };
  // Looking whether one could is no change, but it tells what one may do.
  return Reply(context, "UpdateBreaker", /*changes=*/true,
               request->breaker().name(), answer);
}

template <class Request>
grpc::ServerUnaryReactor* BreakerAdminService::ReplyToForce(
    grpc::CallbackServerContext* context, const char* method,
    Override override_state, const Request& request, v1::Breaker* response) {
  const auto answer = [&](const std::string& who) -> absl::Status {
    absl::StatusOr<BreakerName> name = ReadName(request.name());
    if (!name.ok()) return name.status();
    std::optional<Duration> ttl;
    if (request.has_ttl_duration()) {
      const absl::StatusOr<Duration> read =
          ReadDuration(request.ttl_duration(), "ttl_duration");
      if (!read.ok()) return read.status();
      ttl = *read;
    }
    const absl::StatusOr<BreakerSnapshot> breaker =
        acts_.Force({*std::move(name), who, request.comment(), request.etag()},
                    override_state, ttl);
    if (!breaker.ok()) return breaker.status();
    FillWhole(*breaker, *response);
    return absl::OkStatus();
  };
  return Reply(context, method, /*changes=*/true, request.name(), answer);
}

grpc::ServerUnaryReactor* BreakerAdminService::ForceOpenBreaker(
    grpc::CallbackServerContext* context,
    const v1::ForceOpenBreakerRequest* request, v1::Breaker* response) {
  return ReplyToForce(context, "ForceOpenBreaker", Override::kForcedOpen,
                      *request, response);
}

grpc::ServerUnaryReactor* BreakerAdminService::ForceCloseBreaker(
    grpc::CallbackServerContext* context,
    const v1::ForceCloseBreakerRequest* request, v1::Breaker* response) {
  return ReplyToForce(context, "ForceCloseBreaker", Override::kForcedClosed,
                      *request, response);
}

grpc::ServerUnaryReactor* BreakerAdminService::ReleaseBreaker(
    grpc::CallbackServerContext* context,
    const v1::ReleaseBreakerRequest* request, v1::Breaker* response) {
  const auto answer = [&](const std::string& who) -> absl::Status {
    absl::StatusOr<BreakerName> name = ReadName(request->name());
    if (!name.ok()) return name.status();
    const absl::StatusOr<BreakerSnapshot> breaker = acts_.Release(
        {*std::move(name), who, request->comment(), request->etag()});
    if (!breaker.ok()) return breaker.status();
    FillWhole(*breaker, *response);
    return absl::OkStatus();
  };
  return Reply(context, "ReleaseBreaker", /*changes=*/true, request->name(),
               answer);
}

grpc::ServerUnaryReactor* BreakerAdminService::ResetBreaker(
    grpc::CallbackServerContext* context,
    const v1::ResetBreakerRequest* request, v1::Breaker* response) {
  const auto answer = [&](const std::string& who) -> absl::Status {
    absl::StatusOr<BreakerName> name = ReadName(request->name());
    if (!name.ok()) return name.status();
    const absl::StatusOr<BreakerSnapshot> breaker = acts_.Reset(
        {*std::move(name), who, request->comment(), request->etag()});
    if (!breaker.ok()) return breaker.status();
    FillWhole(*breaker, *response);
    return absl::OkStatus();
  };
  return Reply(context, "ResetBreaker", /*changes=*/true, request->name(),
               answer);
}

// ---------------------------------------------------------------------------
// An open watch
//
// There is no queue for each: when a write is done, the service looks what the
// history has beyond the watcher's sequence. Operations may be started with the
// lock held, because gRPC reports their end on another stack.

grpc::ServerWriteReactor<v1::WatchBreakersResponse>*
BreakerAdminService::WatchBreakers(grpc::CallbackServerContext* context,
                                   const v1::WatchBreakersRequest* request) {
  std::string who;
  const grpc::Status permitted =
      Permit({"WatchBreakers", /*changes=*/false, "", *context}, who);
  if (!permitted.ok()) return new RefusedWatch(permitted);
  absl::StatusOr<BreakerFilter> filter =
      BreakerFilter::Parse(request->filter());
  if (filter.ok() && !filter->names_only()) {
    filter = absl::InvalidArgumentError(
        "filter: a watch knows the fields role, target and method only");
  }
  if (!filter.ok()) return new RefusedWatch(GrpcStatus(filter.status()));

  // First the sequence, then the breakers: what they do not show yet comes as a
  // transition.
  const std::uint64_t now_at = history_.sequence();
  std::uint64_t sequence = now_at;
  std::vector<BreakerSnapshot> initial;
  if (request->has_after_sequence()) {
    sequence = request->after_sequence();
    if (sequence > now_at) {
      return new RefusedWatch(grpc::Status(
          grpc::StatusCode::OUT_OF_RANGE,
          absl::StrCat("after_sequence: ", sequence, " is out of range [0, ",
                       now_at, "]: this is another process; watch anew")));
    }
  } else {
    initial = registry_.Snapshots();
    initial.erase(std::remove_if(initial.begin(), initial.end(),
                                 [&](const BreakerSnapshot& breaker) {
                                   return !filter->Matches(breaker);
                                 }),
                  initial.end());
    std::reverse(initial.begin(), initial.end());
  }

  MutexLock lock(mu_);
  if (drained_) return new RefusedWatch(Draining());
  if (watchers_.size() >= kMaxWatches) {
    return new RefusedWatch(
        grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                     absl::StrCat(kMaxWatches, " watches are open")));
  }
  auto* watcher = new Watcher(*this, *context, *std::move(filter));
  watcher->initial = std::move(initial);
  watcher->sequence = sequence;
  watchers_.insert(watcher);
  Update(*watcher);
  return watcher;
}

bool BreakerAdminService::Compose(Watcher& watcher) const {
  v1::WatchBreakersResponse& message = watcher.message;
  message.Clear();
  if (!watcher.initial_sent) {
    for (std::size_t i = 0; i < kBreakersPerMessage && !watcher.initial.empty();
         ++i) {
      FillBreaker(watcher.initial.back(), history_, *message.add_breakers());
      watcher.initial.pop_back();
    }
    if (watcher.initial.empty()) {
      watcher.initial_sent = true;
      message.set_initial_complete(true);
    }
    message.set_sequence(watcher.sequence);
    return true;
  }
  std::uint64_t skipped = 0;
  for (;;) {
    const std::uint64_t skipped_before = skipped;
    const std::optional<HistoryEntry> entry =
        history_.After(watcher.sequence, skipped);
    if (!entry.has_value()) {
      watcher.sequence += skipped - skipped_before;
      break;
    }
    const Transition& transition = entry->transition;
    watcher.sequence = transition.sequence;
    if (watcher.filter.Matches(transition.role, transition.target,
                               transition.method)) {
      FillTransition(*entry, *message.mutable_transition());
      break;
    }
  }
  message.set_sequence(watcher.sequence);
  message.set_skipped_count(skipped);
  return message.has_transition() || skipped != 0;
}

void BreakerAdminService::Update(Watcher& watcher) {
  if (watcher.ending || watcher.writing || !Compose(watcher)) return;
  watcher.writing = true;
  watcher.StartWrite(&watcher.message);
}

void BreakerAdminService::UpdateAll() {
  MutexLock lock(mu_);
  for (Watcher* watcher : watchers_) Update(*watcher);
}

void BreakerAdminService::End(Watcher& watcher, const grpc::Status& status) {
  if (watcher.ending) return;
  watcher.ending = true;
  watcher.Finish(status);
}

void BreakerAdminService::OnWriteDone(Watcher& watcher, bool ok) {
  MutexLock lock(mu_);
  watcher.writing = false;
  if (ok) {
    Update(watcher);
  } else {
    End(watcher, grpc::Status::CANCELLED);
  }
}

void BreakerAdminService::OnCancel(Watcher& watcher) {
  MutexLock lock(mu_);
  End(watcher, grpc::Status::CANCELLED);
}

void BreakerAdminService::OnDone(Watcher& watcher) {
  MutexLock lock(mu_);
  watchers_.erase(&watcher);
  watcher_gone_.notify_all();
}

// ---------------------------------------------------------------------------
// On a server

namespace {

// A service without methods, which the server owns as it does every service
// that a plugin registers; so what this one holds goes when the server goes,
// and before what the thread of a notice still looks at.
class HeldNotice final : public grpc::Service {
 public:
  explicit HeldNotice(std::unique_ptr<ShutdownNotice> notice)
      : notice_(std::move(notice)) {}

 private:
  const std::unique_ptr<ShutdownNotice> notice_;
};

// What gRPC calls in BuildAndStart(), in the order of the functions below.
class AdminPlugin final : public grpc::ServerBuilderPlugin {
 public:
  explicit AdminPlugin(BreakerAdminService* service) : service_(*service) {}

  std::string name() override { return "fusebox_admin"; }
  void UpdateServerBuilder(grpc::ServerBuilder* builder) override {
    builder->RegisterService(&service_);
    notice_ = std::make_unique<ShutdownNotice>(
        *builder, [&service = service_] { service.Drain(); },
        kAdminShutdownNoticeMethod);
    started_ = notice_.get();
  }
  void InitServer(grpc::ServerInitializer* initializer) override {
    initializer->RegisterService(
        std::make_shared<HeldNotice>(std::move(notice_)));
  }
  void Finish(grpc::ServerInitializer* /*initializer*/) override {
    started_->Start();
  }
  void ChangeArguments(const std::string& /*name*/, void* /*value*/) override {}

 private:
  BreakerAdminService& service_;
  std::unique_ptr<ShutdownNotice> notice_;
  ShutdownNotice* started_ = nullptr;
};

class AdminOption final : public grpc::ServerBuilderOption {
 public:
  explicit AdminOption(BreakerAdminService* service) : service_(service) {}

  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    plugins->push_back(std::make_unique<AdminPlugin>(service_));
  }

 private:
  BreakerAdminService* const service_;
};

}  // namespace

void ServeBreakerAdmin(grpc::ServerBuilder& builder,
                       BreakerAdminService* service) {
  builder.SetOption(std::make_unique<AdminOption>(service));
}

}  // namespace fusebox
