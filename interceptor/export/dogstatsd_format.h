// Datagrams as DogStatsD's servers read them.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_FORMAT_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fusebox {

// "key:value", or a word alone.
using DogStatsdTags = std::vector<std::string>;

struct DogStatsdEvent {
  enum class Alert { kError, kWarning, kInfo, kSuccess };

  std::string title;
  std::string text;
  Alert alert = Alert::kInfo;
  DogStatsdTags tags;
};

// Writes metrics and events, one line each, without an end of line:
//
//   prefix.name:5|c|#tags               Count
//   prefix.name:0.5|g|#tags             Gauge
//   prefix.name:0.012|h|@0.25|#tags     Histogram
//   _e{5,4}:title|text|t:error|#tags    Event; lengths in bytes
//
// Tags are those of the metric and the default ones whose key it has not,
// sorted by their bytes, each once. What breaks the protocol becomes '_': in
// names all but ASCII letters, digits, '_' and '.'; in tags | , @ # and control
// characters, in the keys of default tags nothing else. Of events, titles and
// texts are UTF-8 or whatever they are: line ends become "\n" in two
// characters, which the server turns back, other control characters spaces;
// '|' may stay, since the lengths say where they end.
//
// Numbers must be finite. Thread-safe. Example:
//
//   DogStatsdFormat format("fusebox", {"env:prod"});
//   format.Count("calls", 3, {"method:pkg.Service/Method"});
//   // "fusebox.calls:3|c|#env:prod,method:pkg.Service/Method"
class DogStatsdFormat {
 public:
  // An empty prefix leaves names as they are.
  DogStatsdFormat(std::string_view prefix, const DogStatsdTags& default_tags);

  // "|#a:b,c:d" for the functions below; empty if there are none.
  std::string Tags(const DogStatsdTags& tags) const;

  // `tags` as Tags() gives them.
  std::string Count(std::string_view name, double by,
                    std::string_view tags) const;
  std::string Gauge(std::string_view name, double value,
                    std::string_view tags) const;
  // A value that occurred `times` times, at least once: the sample rate says
  // so.
  std::string Histogram(std::string_view name, double value,
                        std::uint64_t times, std::string_view tags) const;
  // The text, and then the title, is cut at a character's end so that the whole
  // takes no more than `max_bytes`. Longer only if the tags alone are.
  std::string Event(const DogStatsdEvent& event, std::size_t max_bytes) const;

 private:
  std::string Name(std::string_view name) const;

  const std::string prefix_;
  DogStatsdTags default_tags_;
};

// The sample rate that stands for `times` (at least 1) occurrences: about 1 /
// times, and so that 1 / rate, computed with doubles, is not below `times` and
// cut to a whole number is `times`. Servers compute the count like that, and
// 1 / (1 / 93.0) would be 92.
double SampleRate(std::uint64_t times);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_FORMAT_H_
