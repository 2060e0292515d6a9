#include "interceptor/stats/meter.h"

#include <cmath>
#include <cstddef>

namespace fusebox {
namespace {

constexpr std::array<double, 3> kMinutes = {1, 5, 15};
constexpr double kTickSeconds =
    std::chrono::duration<double>(Meter::kTick).count();

}  // namespace

void Meter::Mark(TimePoint now, std::uint64_t events) {
  EndTicks(now);
  count_ += events;
  in_tick_ += events;
}

Meter::Rates Meter::Read(TimePoint now) {
  EndTicks(now);
  return {count_, rates_[0], rates_[1], rates_[2]};
}

void Meter::EndTicks(TimePoint now) {
  const std::int64_t ended = (now - tick_start_) / kTick;
  if (ended < 1) return;
  const double rate = static_cast<double>(in_tick_) / kTickSeconds;
  for (std::size_t i = 0; i < rates_.size(); ++i) {
    const double decay = -kTickSeconds / (60 * kMinutes[i]);
    if (first_tick_) {
      rates_[i] = rate;
    } else {
      rates_[i] += (1 - std::exp(decay)) * (rate - rates_[i]);
    }
    // The others were empty: however long ago it was, one step.
    rates_[i] *= std::exp(decay * static_cast<double>(ended - 1));
  }
  first_tick_ = false;
  in_tick_ = 0;
  tick_start_ += ended * kTick;
}

}  // namespace fusebox
