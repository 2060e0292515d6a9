#include "tools/top_view.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "interceptor/admin/printable_text.h"
#include "tools/admin_client.h"

namespace fusebox {
namespace {

// All calls that asked to be admitted, but for those under way.
std::int64_t AskedCount(const v1::Breaker& breaker) {
  return TotalCount(breaker.lifetime()) + RejectedCount(breaker);
}

// What needs a look comes first.
int RankOf(const v1::Breaker& breaker) {
  if (breaker.override() != v1::Breaker::OVERRIDE_NONE) return 1;
  switch (breaker.state()) {
    case v1::Breaker::OPEN:
      return 0;
    case v1::Breaker::HALF_OPEN:
      return 2;
    default:
      return 3;
  }
}

const char* ColourOf(v1::Breaker::State state,
                     v1::Breaker::Override override_state) {
  if (override_state != v1::Breaker::OVERRIDE_NONE) return "\x1b[35m";
  switch (state) {
    case v1::Breaker::OPEN:
      return "\x1b[31m";
    case v1::Breaker::HALF_OPEN:
      return "\x1b[33m";
    default:
      return "";
  }
}

// The first `width` characters of UTF-8.
std::string Clip(const std::string& text, std::size_t width) {
  std::size_t columns = 0;
  std::size_t end = 0;
  while (end < text.size()) {
    const bool begins = (static_cast<unsigned char>(text[end]) & 0xc0) != 0x80;
    if (begins && columns++ == width) break;
    ++end;
  }
  return text.substr(0, end);
}

// "in 3s", of what time alone will do to the breaker next; or empty.
std::string NextText(const v1::Breaker& breaker, absl::Time now) {
  if (breaker.has_override_end_time()) {
    return "ends in " + AgeText(TimeOf(breaker.override_end_time()) - now);
  }
  if (breaker.override() != v1::Breaker::OVERRIDE_NONE) return "until released";
  if (breaker.has_next_probe_time()) {
    const absl::Duration left = TimeOf(breaker.next_probe_time()) - now;
    return left > absl::ZeroDuration() ? "probe in " + AgeText(left)
                                       : "probe due";
  }
  return breaker.ramp() ? "ramp" : "";
}

}  // namespace

void TopView::TakeList(const v1::ListBreakersResponse& list, absl::Time now) {
  trouble_ =
      list.settings_file_error().empty()
          ? ""
          : "the settings file is not in force: " + list.settings_file_error();
  const double seconds = absl::ToDoubleSeconds(now - listed_at_);
  std::map<std::string, std::int64_t> asked;
  calls_per_second_.clear();
  for (const v1::Breaker& breaker : list.breakers()) {
    const std::int64_t count = AskedCount(breaker);
    asked[breaker.name()] = count;
    const auto before = asked_.find(breaker.name());
    if (has_list() && seconds > 0 && before != asked_.end() &&
        count >= before->second) {
      calls_per_second_[breaker.name()] =
          static_cast<double>(count - before->second) / seconds;
    }
  }
  asked_ = std::move(asked);
  listed_at_ = now;
  breakers_.assign(list.breakers().begin(), list.breakers().end());
  const auto key = [this](const v1::Breaker& breaker) {
    const auto rate = calls_per_second_.find(breaker.name());
    return std::make_tuple(
        RankOf(breaker),
        -(breaker.has_failure_ratio() ? breaker.failure_ratio() : -1.0),
        rate == calls_per_second_.end() ? 0.0 : -rate->second);
  };
  std::stable_sort(breakers_.begin(), breakers_.end(),
                   [&](const v1::Breaker& a, const v1::Breaker& b) {
                     return key(a) < key(b);
                   });
}

void TopView::TakeTransition(const v1::Transition& transition) {
  const auto breaker = std::find_if(
      breakers_.begin(), breakers_.end(), [&](const v1::Breaker& known) {
        return known.name() == transition.breaker();
      });
  if (breaker == breakers_.end()) return;
  breaker->set_state(transition.to());
  breaker->set_override(transition.override_to());
  *breaker->mutable_state_time() = transition.time();
  // Of the state before; the next list tells.
  breaker->clear_next_probe_time();
  breaker->clear_override_end_time();
  breaker->clear_ramp();
  transitions_.push_back(transition);
  if (transitions_.size() > kTransitions) transitions_.pop_front();
}

std::vector<std::string> TopView::Render(const std::string& address,
                                         absl::Time now, std::size_t width,
                                         std::size_t height,
                                         bool escapes) const {
  std::vector<std::string> lines;
  const auto add = [&](const std::string& text, const char* escape) {
    if (lines.size() >= height) return;
    const std::string clipped = Clip(text, width);
    lines.push_back(escapes && *escape != '\0'
                        ? absl::StrCat(escape, clipped, "\x1b[m")
                        : clipped);
  };

  int open = 0;
  int half_open = 0;
  int forced = 0;
  for (const v1::Breaker& breaker : breakers_) {
    if (breaker.override() != v1::Breaker::OVERRIDE_NONE) {
      ++forced;
    } else if (breaker.state() == v1::Breaker::OPEN) {
      ++open;
    } else if (breaker.state() == v1::Breaker::HALF_OPEN) {
      ++half_open;
    }
  }
  add(absl::StrCat("fusebox top - ", AsciiText(address), " - ",
                   absl::FormatTime("%H:%M:%S", now, absl::LocalTimeZone()),
                   " - ", breakers_.size(), " breakers: ", open, " open, ",
                   half_open, " half-open, ", forced, " forced"),
      "\x1b[1m");
  if (!trouble_.empty()) add(PrintableText(trouble_), "\x1b[31m");

  std::vector<std::vector<std::string>> rows = {
      {"STATE", "FOR", "FAILURES", "CALLS/S", "REJECTED", "IN FLIGHT", "NEXT",
       "ROLE", "METHOD"}};
  // As many as can be seen; the columns are as wide as all of these need.
  const std::size_t tail = transitions_.empty() ? 0 : transitions_.size() + 1;
  const std::size_t head = lines.size() + 1;
  const std::size_t room = height > head + tail ? height - head - tail
                           : height > head      ? 1
                                                : 0;
  const std::size_t shown = std::min(breakers_.size(), room);
  for (std::size_t i = 0; i < shown; ++i) {
    const v1::Breaker& breaker = breakers_[i];
    const auto rate = calls_per_second_.find(breaker.name());
    rows.push_back(
        {StateText(breaker), AgeText(now - TimeOf(breaker.state_time())),
         RatioText(breaker),
         rate == calls_per_second_.end()
             ? "-"
             : absl::StrFormat("%.1f", rate->second),
         absl::StrCat(RejectedCount(breaker)),
         absl::StrCat(breaker.in_flight_count()), NextText(breaker, now),
         breaker.role() == v1::Breaker::CLIENT ? "client" : "server",
         NameText(breaker)});
  }
  const std::vector<std::string> table = AlignColumns(
      rows, {false, true, true, true, true, true, false, false, false});
  add(table.front(), "\x1b[7m");
  for (std::size_t i = 0; i < shown; ++i) {
    add(table[i + 1], ColourOf(breakers_[i].state(), breakers_[i].override()));
  }
  if (shown < breakers_.size() && room == shown && shown > 1) {
    lines.back() = Clip(
        absl::StrCat("... and ", breakers_.size() - shown + 1, " more"), width);
  }
  if (!transitions_.empty()) add("", "");
  for (auto it = transitions_.rbegin(); it != transitions_.rend(); ++it) {
    std::string text = absl::StrCat(
        absl::FormatTime("%H:%M:%S", TimeOf(it->time()), absl::LocalTimeZone()),
        " ", AsciiText(it->breaker()), " ",
        StateText(it->from(), it->override_from()), " -> ",
        StateText(it->to(), it->override_to()), " (",
        PrintableText(it->reason()), ")");
    if (!it->operator_().empty()) {
      absl::StrAppend(&text, " by ", PrintableText(it->operator_()));
    }
    if (!it->comment().empty()) {
      absl::StrAppend(&text, ": ", PrintableText(it->comment()));
    }
    add(text, "");
  }
  return lines;
}

}  // namespace fusebox
