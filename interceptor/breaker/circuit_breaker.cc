#include "interceptor/breaker/circuit_breaker.h"

namespace fusebox {

template class BasicCircuitBreaker<StdSync>;

}  // namespace fusebox
