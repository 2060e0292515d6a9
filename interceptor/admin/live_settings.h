// Settings that change while the program runs: by the file they are in, and by
// administrators.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_LIVE_SETTINGS_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_LIVE_SETTINGS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/settings/effective_settings.h"

namespace fusebox {

struct LiveSettingsOptions {
  // The settings file (settings_file.h). Empty: none, and nothing is watched.
  std::string file;

  // What stands above the file; GivenSettingsFlags() (settings_flags.h).
  GivenFlags flags;

  // Whether to have the kernel tell of changes (inotify). Without, or where
  // that is not to be had, the file is looked at every `look_period`.
  bool use_inotify = true;

  // How often the file is looked at besides: inotify is silent about network
  // file systems, and where a link leads out of the directory. At least 10 ms.
  Duration look_period = std::chrono::milliseconds(500);

  // Gets a line for each reload, failure and administrator's change; empty:
  // that of the registry. Called on the thread of LiveSettings or of Update().
  // Must not block for long, nor call this object.
  std::function<void(const std::string& line)> log;
};

// Keeps the settings of a registry's breakers as file, flags and administrators
// say, in rising order: defaults < file < explicit flags < administrators.
//
// The file is watched from construction on, and read once then. A change of it
// reaches every breaker, running or yet to be made, within one second after the
// last writer closed it or it was renamed into place. What breakers make of it:
// circuit_breaker.h, SetPolicy(). A file that is not valid as a whole changes
// nothing at all; its last valid content stays in force until it is mended.
//
// Every way of writing is understood: in place, by a new file renamed over the
// old one, deleted and made again, and the links of a Kubernetes ConfigMap
// (path -> ..data/path, ..data -> a directory that is exchanged). So that no
// half-written file is judged, it is read
//
//   open for writing   when the last change is 2 s old, or as below once closed
//   closed, renamed    when nothing has happened to it for 50 ms, or 250 ms
//                      after the first change
//   seen only by       when two looks, 100 ms apart, found the same
//   looking at it
//   gone               its being gone is an error after 1 s; nothing changes
//
// Not live: what status codes amount to (`outcomes` of the file). Channels and
// servers took theirs when they were made; a change is logged, "needs a
// restart", and shown in Stats. effective() keeps showing those in force.
//
// Thread-safe. The registry must live longer. Example:
//
//   const fusebox::SettingsFlags given = fusebox::GivenSettingsFlags();
//   fusebox::LiveSettingsOptions options;
//   options.file = given.file;
//   options.flags = given.flags;
//   fusebox::LiveSettings live(&breakers, fusebox::SettingsFromFlags(),
//                              options);
class LiveSettings {
 public:
  // `in_force` is what the registry, channels and servers were made with.
  // Throws std::invalid_argument, naming field, value and range, if look_period
  // is out of range.
  LiveSettings(BreakerRegistry* registry, EffectiveSettings in_force,
               LiveSettingsOptions options);
  // Ends the watch; the settings stay.
  ~LiveSettings();
  LiveSettings(const LiveSettings&) = delete;
  LiveSettings& operator=(const LiveSettings&) = delete;

  // What is in force, and who said so.
  EffectiveSettings effective() const;

  // ---- the layer of administrators

  // Gives fields of `pattern` ("*", "/pkg.Service/*" or "/pkg.Service/Method")
  // other values, as texts ("250ms", "0.5", "off"); nullopt takes back what an
  // administrator gave. All or nothing; with `validate_only` nothing, but the
  // same answer. `who` is shown as the source; it must not be empty.
  //
  // INVALID_ARGUMENT, with a line for each error naming field, value and range,
  // also if the value does not go together with those of other layers.
  //
  // This layer lives as long as the process: write what shall stay into the
  // file as well.
  absl::Status Update(
      std::string_view pattern,
      const std::map<std::string, std::optional<std::string>>& fields,
      std::string_view who, bool validate_only = false);
  // The same for one field.
  absl::Status Set(std::string_view pattern, std::string_view field,
                   std::string_view text, std::string_view who,
                   bool validate_only = false);
  absl::Status Unset(std::string_view pattern, std::string_view field,
                     std::string_view who, bool validate_only = false);

  // What administrators gave and did not take back.
  GivenByAdmin admin_layer() const;

  // ---- how it goes

  struct Stats {
    // Contents of the file that were taken over since construction; an equal
    // content is none.
    std::uint64_t reloads = 0;
    // Contents, or absences, of the file that were not.
    std::uint64_t failed_reloads = 0;
    // Updates by administrators that took effect.
    std::uint64_t admin_updates = 0;
    // When the file was last found valid, at construction included.
    std::optional<std::chrono::system_clock::time_point> last_success;
    // The kernel tells of changes; otherwise the file is looked at now and
    // then.
    bool uses_inotify = false;
    // The file says other things of status codes than what is in force.
    bool outcomes_need_restart = false;
  };
  Stats stats() const;

  // Why the file as it is now is not in force: a line for each error, "name:
  // line:column: ..." if it is about its content; empty if it is in force.
  std::string last_error() const;

 private:
  class State;
  const std::unique_ptr<State> state_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_LIVE_SETTINGS_H_
