#include "bench/resident_bytes.h"

#include <unistd.h>

#include <cstdio>

namespace fusebox::bench {

long ResidentBytes() {
  long total = 0;
  long resident = 0;
  if (std::FILE* statm = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(statm, "%ld %ld", &total, &resident) != 2) resident = 0;
    std::fclose(statm);
  }
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace fusebox::bench
