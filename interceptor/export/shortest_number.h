// Numbers as text for machines.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_SHORTEST_NUMBER_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_SHORTEST_NUMBER_H_

#include <string>

namespace fusebox {

// The shortest decimal that reads back as `value`, which must be finite: "0.1",
// "1000000"; with an exponent below 1e-6 and from 1e17 on. The same in every
// locale. Thread-safe.
std::string ShortestNumber(double value);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_SHORTEST_NUMBER_H_
