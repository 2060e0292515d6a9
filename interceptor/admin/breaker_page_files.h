// The files that make the page, as they lie beside this one.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_BREAKER_PAGE_FILES_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_BREAKER_PAGE_FILES_H_

#include <string_view>

namespace fusebox {

extern const std::string_view kBreakerPageHtml;
extern const std::string_view kBreakerPageCss;
extern const std::string_view kBreakerPageJs;
extern const std::string_view kBreakerPageSvg;

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_BREAKER_PAGE_FILES_H_
