#include "interceptor/admin/live_settings.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "interceptor/admin/read_timing.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/settings/settings_fields.h"
#include "interceptor/settings/settings_file.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;

// How long a file may be gone before that is an error.
constexpr Duration kLongestGone = std::chrono::seconds(1);
// Between two looks that must find the same.
constexpr Duration kSecondLook = milliseconds(100);

constexpr Duration kShortestLookPeriod = milliseconds(10);

TimePoint Now() { return FineNow(); }

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

// What tells one content of a file from another without reading it; nullopt if
// there is no such file.
using Identity =
    std::optional<std::tuple<dev_t, ino_t, off_t, std::int64_t, std::int64_t>>;

Identity IdentityOf(const std::string& path) {
  struct stat found;
  if (stat(path.c_str(), &found) != 0) return std::nullopt;
  const auto ns = [](const timespec& t) {
    return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
  };
  return std::tuple(found.st_dev, found.st_ino, found.st_size,
                    ns(found.st_mtim), ns(found.st_ctim));
}

// Whether an entry of a directory that has just been made is whole: links are,
// files are about to be written.
bool IsLink(const std::string& path) {
  struct stat found;
  return lstat(path.c_str(), &found) == 0 &&
         (S_ISLNK(found.st_mode) || found.st_nlink > 1);
}

// "* min_requests 10 -> 20 (orders.textproto:7:3)", and so on.
std::string Difference(const EffectiveSettings& before,
                       const EffectiveSettings& after) {
  std::set<std::string> patterns = {"*"};
  for (const EffectiveSettings* settings : {&before, &after}) {
    for (const auto& [pattern, own] : settings->registry.method_settings) {
      patterns.insert(pattern);
    }
  }
  std::vector<std::string> changes;
  for (const std::string& pattern : patterns) {
    for (const SettingsField& field : SettingsFields()) {
      const std::string from =
          GetSettingsField(before.SettingsOf(pattern), field.name);
      const std::string to =
          GetSettingsField(after.SettingsOf(pattern), field.name);
      if (from == to) continue;
      changes.push_back(
          absl::StrCat(pattern, " ", field.name, " ", from, " -> ", to, " (",
                       FormatSource(after.SourceOf(pattern, field.name)), ")"));
    }
  }
  return changes.empty() ? "nothing differs" : absl::StrJoin(changes, "; ");
}

// Whether a status code amounts to other things for some method.
bool OutcomesDiffer(const EffectiveSettings& a, const EffectiveSettings& b) {
  const auto of = [](const EffectiveSettings& settings, Role role,
                     const std::string& pattern, int code) {
    const OutcomeRules& rules = role == Role::kClient
                                    ? settings.client_outcomes
                                    : settings.server_outcomes;
    return rules.For(pattern).Of(code);
  };
  for (const EffectiveSettings* settings : {&a, &b}) {
    for (const auto& [key, source] : settings->outcome_sources) {
      const auto& [role, pattern, code] = key;
      if (of(a, role, pattern, code) != of(b, role, pattern, code)) return true;
    }
  }
  return false;
}

}  // namespace

class LiveSettings::State {
 public:
  State(BreakerRegistry* registry, EffectiveSettings in_force,
        LiveSettingsOptions options)
      : options_(std::move(options)),
        registry_(*registry),
        inotify_(options_.file.empty() || !options_.use_inotify
                     ? -1
                     : inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
        inotify_errno_(errno),
        effective_(std::move(in_force)) {
    if (options_.look_period < kShortestLookPeriod) {
      throw std::invalid_argument(
          "fusebox: look_period: " + FormatDuration(options_.look_period) +
          " is out of range [" + FormatDuration(kShortestLookPeriod) +
          ", ...)");
    }
    if (!options_.log) options_.log = registry_.options().log;
    if (options_.file.empty()) return;
    const std::size_t slash = options_.file.rfind('/');
    directory_ =
        slash == std::string::npos ? "." : options_.file.substr(0, slash + 1);
    name_ = options_.file.substr(slash + 1);
    WatchDirectory();
    if (options_.use_inotify && !uses_inotify_) {
      Log(absl::StrCat(
          "cannot have changes of ", options_.file,
          " told (inotify: ", std::generic_category().message(inotify_errno_),
          "): looking at it every ", FormatDuration(options_.look_period)));
    }
    // Watched already, so whatever comes after this is noticed.
    ReadFile(/*first=*/true);
    watcher_ = std::thread([this] { WatchFile(); });
  }

  ~State() {
    if (!watcher_.joinable()) return;
    eventfd_write(stop_.get(), 1);
    watcher_.join();
  }

  EffectiveSettings effective() const FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return effective_;
  }
  GivenByAdmin admin_layer() const FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return admin_;
  }
  Stats stats() const FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    Stats stats = stats_;
    stats.uses_inotify = uses_inotify_;
    return stats;
  }
  std::string last_error() const FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return last_error_;
  }

  absl::Status Update(
      std::string_view pattern,
      const std::map<std::string, std::optional<std::string>>& fields,
      std::string_view who, bool validate_only) FUSEBOX_EXCLUDES(mu_) {
    if (who.empty()) {
      return absl::InvalidArgumentError("who: must not be empty");
    }
    MutexLock lock(mu_);
    GivenByAdmin admin = admin_;
    GivenSettings& own = admin[std::string(pattern)];
    for (const auto& [field, text] : fields) {
      if (text.has_value()) {
        own[field] = {*text, {SettingSource::Kind::kAdmin, std::string(who)}};
      } else if (FindSettingsField(field) == nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat("'", field, "' is no setting"));
      } else {
        own.erase(field);
      }
    }
    absl::StatusOr<EffectiveSettings> together =
        PutTogether(file_, options_.flags, admin);
    if (!together.ok()) return together.status();
    if (validate_only) return absl::OkStatus();
    if (own.empty()) admin.erase(std::string(pattern));
    admin_ = std::move(admin);
    ++stats_.admin_updates;
    Apply(*std::move(together), "by " + std::string(who));
    return absl::OkStatus();
  }

 private:
  void Log(const std::string& text) const {
    // One line, whatever names and values are made of.
    options_.log("fusebox: settings: " +
                 absl::StrReplaceAll(text, {{"\n", "; "}, {"\r", " "}}));
  }

  // ---- what the settings are

  void Apply(EffectiveSettings next, const std::string& by)
      FUSEBOX_REQUIRES(mu_) {
    // Channels and servers have theirs for life.
    const bool outcomes_differ = OutcomesDiffer(effective_, next);
    next.client_outcomes = effective_.client_outcomes;
    next.server_outcomes = effective_.server_outcomes;
    next.outcome_sources = effective_.outcome_sources;
    registry_.SetSettings(next.registry.settings,
                          next.registry.method_settings);
    Log(absl::StrCat(by, ": ", Difference(effective_, next)));
    if (outcomes_differ && !stats_.outcomes_need_restart) {
      Log(absl::StrCat(options_.file,
                       ": what status codes amount to has changed: needs a "
                       "restart"));
    }
    stats_.outcomes_need_restart = outcomes_differ;
    effective_ = std::move(next);
  }

  void Fail(const absl::Status& status) FUSEBOX_REQUIRES(mu_) {
    ++stats_.failed_reloads;
    last_error_ = std::string(status.message());
    Log(absl::StrCat("nothing changed: ", last_error_));
  }

  // False if it is not to be read, and that is not an error yet.
  bool ReadFile(bool first = false, bool gone_for_long = true)
      FUSEBOX_EXCLUDES(mu_) {
    identity_ = IdentityOf(options_.file);
    absl::StatusOr<std::string> text = ReadSettingsText(options_.file);
    MutexLock lock(mu_);
    if (!text.ok()) {
      if (!gone_for_long) return false;
      if (last_error_ != text.status().message()) Fail(text.status());
      judged_.reset();
      return true;
    }
    if (judged_ == *text) return true;
    absl::StatusOr<SettingsFile> file = ParseSettingsFile(*text, options_.file);
    judged_ = *std::move(text);
    if (!file.ok()) {
      Fail(file.status());
      return true;
    }
    absl::StatusOr<EffectiveSettings> together =
        PutTogether(*file, options_.flags, admin_);
    if (!together.ok()) {
      Fail(together.status());
      return true;
    }
    file_ = *std::move(file);
    last_error_.clear();
    stats_.last_success = std::chrono::system_clock::now();
    if (first && !Differs(*together)) return true;
    if (!first) ++stats_.reloads;
    Apply(*std::move(together), options_.file);
    return true;
  }
  bool Differs(const EffectiveSettings& next) const FUSEBOX_REQUIRES(mu_) {
    return next.registry.settings != effective_.registry.settings ||
           next.registry.method_settings !=
               effective_.registry.method_settings ||
           OutcomesDiffer(effective_, next);
  }

  // ---- the thread that watches

  void WatchFile() {
    TimePoint next_look = Now() + options_.look_period;
    for (;;) {
      const TimePoint now = Now();
      Duration wait = std::min(next_look, NextMoment()) - now;
      wait = std::max(Duration::zero(), wait);
      const auto ms =
          std::chrono::duration_cast<milliseconds>(wait + milliseconds(1));
      std::array<pollfd, 2> ready = {
          {{stop_.get(), POLLIN, 0}, {inotify_.get(), POLLIN, 0}}};
      constexpr std::int64_t kLongestPoll = 3'600'000;
      poll(ready.data(), ready.size(),
           static_cast<int>(std::min<std::int64_t>(ms.count(), kLongestPoll)));
      if ((ready[0].revents & POLLIN) != 0) return;
      if ((ready[1].revents & POLLIN) != 0) TakeEvents();
      if (Now() >= next_look) {
        next_look = Now() + options_.look_period;
        WatchDirectory();
        Look();
      }
      ReadWhenDue();
    }
  }

  // Of reading, but for the next look.
  TimePoint NextMoment() const {
    return std::min(second_look_, Pending() ? timing_.due() : gone_error_);
  }
  bool Pending() const { return timing_.due() != TimePoint::max(); }

  void ReadWhenDue() {
    const TimePoint now = Now();
    if (now >= second_look_) {
      second_look_ = TimePoint::max();
      const Identity found = IdentityOf(options_.file);
      if (found != seen_) {
        seen_ = found;
        second_look_ = now + kSecondLook;
      } else if (found != identity_ && !Pending()) {
        timing_.Finished(now - ReadTiming::kQuiet);  // quiet that long already
      }
    }
    // Unless something has come in its place.
    const bool gone_for_long = !Pending() && now >= gone_error_;
    if (now < timing_.due() && !gone_for_long) return;
    timing_.Read();
    if (ReadFile(/*first=*/false, gone_for_long)) {
      gone_error_ = TimePoint::max();
    } else if (gone_error_ == TimePoint::max()) {
      gone_error_ = now + kLongestGone;
    }
  }

  // For what the kernel does not tell.
  void Look() {
    if (Pending() || second_look_ != TimePoint::max()) return;
    seen_ = IdentityOf(options_.file);
    if (seen_ != identity_) second_look_ = Now() + kSecondLook;
  }

  // Again now and then: the directory may be another one of that name.
  void WatchDirectory() FUSEBOX_EXCLUDES(mu_) {
    if (inotify_.get() < 0) return;
    const int watch = inotify_add_watch(inotify_.get(), directory_.c_str(),
                                        IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE |
                                            IN_MOVED_FROM | IN_MOVED_TO |
                                            IN_DELETE | IN_ONLYDIR);
    if (watch != watch_ && watch_ >= 0) {
      inotify_rm_watch(inotify_.get(), watch_);
    }
    watch_ = watch;
    inotify_errno_ = errno;
    MutexLock lock(mu_);
    uses_inotify_ = watch >= 0;
  }

  void TakeEvents() {
    alignas(inotify_event) std::array<char, 16'384> bytes;
    for (;;) {
      const ssize_t size = read(inotify_.get(), bytes.data(), bytes.size());
      if (size <= 0) return;
      for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
        inotify_event event;
        std::memcpy(&event, bytes.data() + at, sizeof(event));
        const std::string name =
            event.len == 0 ? "" : bytes.data() + at + sizeof(event);
        at += sizeof(event) + event.len;
        TakeEvent(event.mask, name);
      }
    }
  }

  void TakeEvent(std::uint32_t mask, const std::string& name) {
    if ((mask & IN_Q_OVERFLOW) != 0) return timing_.Finished(Now());
    // Another name matters if the path leads over it.
    if (name != name_ && IdentityOf(options_.file) == identity_) return;
    const bool being_written = (mask & IN_MODIFY) != 0 ||
                               ((mask & IN_CREATE) != 0 &&
                                !IsLink(absl::StrCat(directory_, "/", name)));
    if (being_written) {
      timing_.Changed(Now());
    } else {
      timing_.Finished(Now());
    }
  }

  LiveSettingsOptions options_;  // const once constructed
  BreakerRegistry& registry_;
  std::string directory_;
  std::string name_;
  const FileDescriptor inotify_;
  int inotify_errno_;  // why it is not to be had
  const FileDescriptor stop_{eventfd(0, EFD_CLOEXEC)};

  // The thread's.
  int watch_ = -1;
  ReadTiming timing_;
  Identity identity_;  // of what was read last
  Identity seen_;      // at the first of two looks
  TimePoint second_look_ = TimePoint::max();
  TimePoint gone_error_ = TimePoint::max();

  mutable Mutex mu_;
  SettingsFile file_ FUSEBOX_GUARDED_BY(mu_);  // the last valid one
  GivenByAdmin admin_ FUSEBOX_GUARDED_BY(mu_);
  EffectiveSettings effective_ FUSEBOX_GUARDED_BY(mu_);
  // The content that was last found valid or not; none if it was gone.
  std::optional<std::string> judged_ FUSEBOX_GUARDED_BY(mu_);
  std::string last_error_ FUSEBOX_GUARDED_BY(mu_);
  Stats stats_ FUSEBOX_GUARDED_BY(mu_);
  bool uses_inotify_ FUSEBOX_GUARDED_BY(mu_) = false;

  std::thread watcher_;
};

LiveSettings::LiveSettings(BreakerRegistry* registry,
                           EffectiveSettings in_force,
                           LiveSettingsOptions options)
    : state_(std::make_unique<State>(registry, std::move(in_force),
                                     std::move(options))) {}

LiveSettings::~LiveSettings() = default;

EffectiveSettings LiveSettings::effective() const {
  return state_->effective();
}

absl::Status LiveSettings::Update(
    std::string_view pattern,
    const std::map<std::string, std::optional<std::string>>& fields,
    std::string_view who, bool validate_only) {
  return state_->Update(pattern, fields, who, validate_only);
}

absl::Status LiveSettings::Set(std::string_view pattern, std::string_view field,
                               std::string_view text, std::string_view who,
                               bool validate_only) {
  return Update(pattern, {{std::string(field), std::string(text)}}, who,
                validate_only);
}

absl::Status LiveSettings::Unset(std::string_view pattern,
                                 std::string_view field, std::string_view who,
                                 bool validate_only) {
  return Update(pattern, {{std::string(field), std::nullopt}}, who,
                validate_only);
}

GivenByAdmin LiveSettings::admin_layer() const { return state_->admin_layer(); }

LiveSettings::Stats LiveSettings::stats() const { return state_->stats(); }

std::string LiveSettings::last_error() const { return state_->last_error(); }

}  // namespace fusebox
