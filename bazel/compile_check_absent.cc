// What a compile_check() must find missing: a private member under a name that
// it does not have.

#include <grpcpp/impl/service_type.h>

#if COMPILE_CHECK_ABSENT
template <auto member>
struct Expose {};
template struct Expose<&grpc::Service::methods_by_another_name_>;
#endif
