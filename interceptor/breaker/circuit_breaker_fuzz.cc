// The circuit breaker against its slow twin: the input is what a trace draws.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "interceptor/breaker/twin_trace.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  constexpr int kOperations = 1000;
  const fusebox::Dice dice(data, size);
  fusebox::TwinTrace trace(dice, /*verbose=*/false);
  if (trace.Run(kOperations).empty()) return 0;

  fusebox::TwinTrace again(dice, /*verbose=*/true);
  const std::string mismatch = again.Run(kOperations);
  for (const std::string& line : again.lines()) {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  std::fprintf(stderr, "%s\n", mismatch.c_str());
  std::abort();
}
