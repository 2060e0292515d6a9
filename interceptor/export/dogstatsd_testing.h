// The protocol of DogStatsD read back, strictly.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_TESTING_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_TESTING_H_

#include <string>
#include <vector>

namespace fusebox {

struct DogStatsdLine {
  std::string error;  // what is wrong with it; then nothing else is set
  std::string name;   // of an event: its title
  std::string type;   // "c", "g", "h"; "event"
  double value = 0;
  double rate = 1;
  std::string text;   // of an event
  std::string alert;  // of an event
  std::vector<std::string> tags;
};

// The lines of a packet, each read by these rules, after Datadog's description
// of its datagrams:
//
//   line   = metric | event
//   metric = name ":" number "|" ("c" | "g" | "h") [ "|@" number ] [ tags ]
//   event  = "_e{" bytes "," bytes "}:" title "|" text "|t:" alert [ tags ]
//   tags   = "|#" tag *( "," tag )
//
// and beyond it: names of letters, digits, "_" and ".", beginning with a
// letter; rates above 0 and below 1, for c and h only; tags not empty, in
// ascending order, none twice, without "|" "@" "#" or control characters;
// numbers as JSON has them. Line ends of events are turned back.
std::vector<DogStatsdLine> ReadDogStatsd(const std::string& packet);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_TESTING_H_
