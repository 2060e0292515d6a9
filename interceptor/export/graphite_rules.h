// How values are named for Graphite, and which of them are sent.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_GRAPHITE_RULES_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_GRAPHITE_RULES_H_

#include <string>
#include <string_view>
#include <vector>

namespace fusebox {

// One part of a path as carbon can take it: white space at both ends goes,
// space and '.' become '-', '/' becomes '_'. So does, byte for byte, everything
// else but ASCII letters, digits, '-', '_' and ':', because carbon drops a
// connection at bytes that are not UTF-8, splits lines at white space, takes
// ';' for tags, and Graphite's queries give a meaning to most punctuation.
// "_" if nothing is left. Cut after 250 bytes: carbon makes file names of
// parts.
//
// Different names can become one; of two values of one path and time carbon
// keeps the last.
std::string GraphitePathPart(std::string_view text);

// The parts, each as above, with dots between them.
std::string GraphitePath(const std::vector<std::string>& parts);

// Which paths may be sent. Rules are looked at from the newest to the oldest;
// the first that fits decides, and what none fits is forbidden. So without any
// rule nothing is allowed, and a rule makes exceptions of those before it.
//
// A pattern with one of * ? [ in it is a glob for the whole path, as fnmatch()
// reads it: '*' stands for dots too, and a backslash takes the meaning of the
// next character. Any other pattern stands for that path and all below it.
// Both are compared with paths as they are sent, the common prefix left out.
//
// Thread-compatible. Example:
//
//   fusebox::GraphiteRules rules;
//   rules.Allow("server");
//   rules.Forbid("server.*.state_seconds.*");
class GraphiteRules {
 public:
  void Allow(std::string pattern) { Add(true, std::move(pattern)); }
  void Forbid(std::string pattern) { Add(false, std::move(pattern)); }

  bool Allows(const std::string& path) const;

 private:
  struct Rule {
    bool allow;
    bool glob;
    std::string pattern;
  };
  void Add(bool allow, std::string pattern);

  std::vector<Rule> rules_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_GRAPHITE_RULES_H_
