// Texts from the wire, made fit for a terminal or a line of a log.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_PRINTABLE_TEXT_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_PRINTABLE_TEXT_H_

#include <string>
#include <string_view>

namespace fusebox {

// `text` with everything that would not stay in its place written out: control
// characters and bytes that are not UTF-8 as \xNN for each byte, so are the
// characters that change the direction of what follows or end a line. Nothing
// else is changed.
std::string PrintableText(std::string_view text);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_PRINTABLE_TEXT_H_
