// The fields of Settings, in their order: X(name, range, meaning). Only for
// settings_fields.cc and the flags.

#ifndef FUSEBOX_INTERCEPTOR_SETTINGS_SETTINGS_FIELD_LIST_H_
#define FUSEBOX_INTERCEPTOR_SETTINGS_SETTINGS_FIELD_LIST_H_

#define FUSEBOX_SETTINGS_FIELDS(X)                                             \
  X(bucket_width, "[10ms, ...)", "Width of one bucket of the rolling window.") \
  X(buckets, "[1, 1000]",                                                      \
    "Buckets in the rolling window, the current partial one included.")        \
  X(min_requests, "[0, ...)",                                                  \
    "A closed breaker is judged when the window holds more calls than this.")  \
  X(timeout_threshold, "[0.000001, 1] or off",                                 \
    "Share of timeouts in the window that opens the breaker.")                 \
  X(system_error_threshold, "[0.000001, 1] or off",                            \
    "Share of system errors in the window that opens the breaker.")            \
  X(unknown_error_threshold, "[0.000001, 1] or off",                           \
    "Share of unknown errors in the window that opens the breaker.")           \
  X(failure_threshold, "[0.000001, 1] or off",                                 \
    "Share of timeouts, system and unknown errors together that opens the "    \
    "breaker.")                                                                \
  X(slow_call_duration, "(0s, ...) or off",                                    \
    "A call that takes at least this long is slow.")                           \
  X(slow_call_threshold, "[0.000001, 1]",                                      \
    "Share of slow calls in the window that opens the breaker.")               \
  X(min_counted_deadline, "[0s, ...)",                                         \
    "Timeouts and cancellations of calls that had less time are ignored.")     \
  X(min_recovery, "[10ms, ...)",                                               \
    "How long the breaker stays open before its first probe.")                 \
  X(max_recovery, "(min_recovery, ...)",                                       \
    "The share of admitted calls grows from min_recovery / max_recovery to "   \
    "1 within max_recovery - min_recovery.")                                   \
  X(backoff_multiplier, "[1, ...)",                                            \
    "Each opening without a recovery in between lasts this many times "        \
    "longer.")                                                                 \
  X(max_open_duration, "[min_recovery, ...)",                                  \
    "The longest time before a probe, before jitter.")                         \
  X(jitter, "[0, 0.5]", "Relative spread of the time before a probe.")         \
  X(probe_lease, "[10ms, ...)",                                                \
    "A probe without an answer for this long has failed.")                     \
  X(drain_window_before_recovery, "true or false",                             \
    "Probe only when the failures have rolled out of the window.")             \
  X(ramp_from_opening, "true or false",                                        \
    "Begin the ramp at the opening instead of at the proof.")                  \
  X(mode, "enforce, shadow or off",                                            \
    "enforce; shadow: decide and count, reject nothing; off: do nothing.")

#endif  // FUSEBOX_INTERCEPTOR_SETTINGS_SETTINGS_FIELD_LIST_H_
