// What a compile_check() must find: a private member under its name.

#include <grpcpp/impl/service_type.h>

#if COMPILE_CHECK_PRESENT
template <auto member>
struct Expose {};
template struct Expose<&grpc::Service::methods_>;
#endif
