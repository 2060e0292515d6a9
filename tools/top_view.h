// What `fusebox top` shows, as lines of text.

#ifndef FUSEBOX_TOOLS_TOP_VIEW_H_
#define FUSEBOX_TOOLS_TOP_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proto/fusebox/v1/admin.pb.h"

namespace fusebox {

// The breakers as lists and transitions told of them. Thread-compatible.
class TopView {
 public:
  // All breakers, as of `now`, and what is wrong with the settings file.
  void TakeList(const v1::ListBreakersResponse& list, absl::Time now);
  // A change, which the next list knows too. Not of breakers that are not
  // listed.
  void TakeTransition(const v1::Transition& transition);
  // What is wrong with the connection; the next list takes it back.
  void SetTrouble(std::string trouble) { trouble_ = std::move(trouble); }

  bool has_list() const { return listed_at_ != absl::InfinitePast(); }

  // At most `height` lines of at most `width` columns: a summary, the breakers,
  // those that need a look first, and the latest transitions. With `escapes`,
  // colour and bold print, which take no columns. Texts from the wire have no
  // control characters left.
  std::vector<std::string> Render(const std::string& address, absl::Time now,
                                  std::size_t width, std::size_t height,
                                  bool escapes) const;

 private:
  static constexpr std::size_t kTransitions = 5;

  std::vector<v1::Breaker> breakers_;               // in the order to be shown
  std::map<std::string, double> calls_per_second_;  // by name
  std::map<std::string, std::int64_t> asked_;
  std::deque<v1::Transition> transitions_;  // the latest last
  absl::Time listed_at_ = absl::InfinitePast();
  std::string trouble_;
};

}  // namespace fusebox

#endif  // FUSEBOX_TOOLS_TOP_VIEW_H_
