// What this process takes of the machine's memory.

#ifndef FUSEBOX_BENCH_RESIDENT_BYTES_H_
#define FUSEBOX_BENCH_RESIDENT_BYTES_H_

namespace fusebox::bench {

// Resident bytes; 0 where /proc does not tell.
long ResidentBytes();

}  // namespace fusebox::bench

#endif  // FUSEBOX_BENCH_RESIDENT_BYTES_H_
