#include "interceptor/export/dogstatsd_format.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "interceptor/export/shortest_number.h"

namespace fusebox {
namespace {

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

bool IsControl(char c) {
  return absl::ascii_iscntrl(static_cast<unsigned char>(c));
}

std::string CleanName(std::string_view name) {
  std::string clean(name);
  for (char& c : clean) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '_' &&
        c != '.') {
      c = '_';
    }
  }
  return clean;
}

std::string CleanTag(std::string tag) {
  for (char& c : tag) {
    if (IsControl(c) || c == '|' || c == ',' || c == '@' || c == '#') c = '_';
  }
  return tag;
}

std::string_view KeyOf(std::string_view tag) {
  return tag.substr(0, tag.find(':'));
}

// One line of what may have been several.
std::string Escape(std::string_view text) {
  std::string escaped;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && text.substr(i + 1, 1) == "\n") continue;
    if (text[i] == '\n' || text[i] == '\r') {
      escaped += "\\n";
    } else {
      escaped += IsControl(text[i]) ? ' ' : text[i];
    }
  }
  return escaped;
}

// Cuts `text` to `size` bytes or a few less, not within a character or "\n".
void Cut(std::string& text, std::size_t size) {
  if (text.size() <= size) return;
  const auto continues = [&](std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
  };
  const std::size_t limit = size;
  while (size > 0 && limit - size < 4 && continues(size)) --size;
  if (size > 0 && text[size - 1] == '\\' && text[size] == 'n') --size;
  text.resize(size);
}

const char* AlertName(DogStatsdEvent::Alert alert) {
  switch (alert) {
    case DogStatsdEvent::Alert::kError:
      return "error";
    case DogStatsdEvent::Alert::kWarning:
      return "warning";
    case DogStatsdEvent::Alert::kInfo:
      return "info";
    case DogStatsdEvent::Alert::kSuccess:
      return "success";
  }
  return "info";
}

}  // namespace

DogStatsdFormat::DogStatsdFormat(std::string_view prefix,
                                 const DogStatsdTags& default_tags)
    : prefix_(prefix.empty() ? "" : CleanName(prefix) + ".") {
  for (const std::string& tag : default_tags) {
    default_tags_.push_back(CleanTag(tag));
  }
}

std::string DogStatsdFormat::Tags(const DogStatsdTags& tags) const {
  DogStatsdTags all;
  for (const std::string& tag : tags) all.push_back(CleanTag(tag));
  const std::size_t own = all.size();
  for (const std::string& tag : default_tags_) {
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(own);
    if (std::none_of(all.begin(), end, [&](const std::string& mine) {
          return KeyOf(mine) == KeyOf(tag);
        })) {
      all.push_back(tag);
    }
  }
  if (all.empty()) return "";
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return "|#" + absl::StrJoin(all, ",");
}

std::string DogStatsdFormat::Name(std::string_view name) const {
  return prefix_ + CleanName(name);
}

std::string DogStatsdFormat::Count(std::string_view name, double by,
                                   std::string_view tags) const {
  return absl::StrCat(Name(name), ":", ShortestNumber(by), "|c", View(tags));
}

std::string DogStatsdFormat::Gauge(std::string_view name, double value,
                                   std::string_view tags) const {
  return absl::StrCat(Name(name), ":", ShortestNumber(value), "|g", View(tags));
}

std::string DogStatsdFormat::Histogram(std::string_view name, double value,
                                       std::uint64_t times,
                                       std::string_view tags) const {
  const std::string rate =
      times == 1 ? "" : "|@" + ShortestNumber(SampleRate(times));
  return absl::StrCat(Name(name), ":", ShortestNumber(value), "|h", rate,
                      View(tags));
}

std::string DogStatsdFormat::Event(const DogStatsdEvent& event,
                                   std::size_t max_bytes) const {
  std::string title = Escape(event.title);
  std::string text = Escape(event.text);
  const std::string end =
      absl::StrCat("|t:", AlertName(event.alert), View(Tags(event.tags)));
  const auto head = [&] {
    return absl::StrCat("_e{", title.size(), ",", text.size(), "}:");
  };
  // What is over, or 0. Lengths only shrink by cutting.
  const auto excess = [&] {
    const std::size_t size =
        head().size() + title.size() + 1 + text.size() + end.size();
    return size - std::min(size, max_bytes);
  };
  if (excess() > 0) Cut(text, text.size() - std::min(text.size(), excess()));
  // An event without a title is none.
  if (excess() > 0) {
    Cut(title, title.size() - std::min(title.size() - 1, excess()));
  }
  return absl::StrCat(head(), title, "|", text, end);
}

double SampleRate(std::uint64_t times) {
  const auto count = static_cast<double>(times);
  double rate = 1 / count;
  while (1 / rate < count) rate = std::nextafter(rate, 0);
  return rate;
}

}  // namespace fusebox
