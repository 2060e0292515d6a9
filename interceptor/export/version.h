// The version of this library, as metrics and pages tell it.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_VERSION_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_VERSION_H_

namespace fusebox {

// As in https://semver.org.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_VERSION_H_
