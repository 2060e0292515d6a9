// How it goes with the settings file, as metrics.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_SETTINGS_METRICS_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_SETTINGS_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

#include "interceptor/admin/live_settings.h"

namespace fusebox {

// The families, without labels:
//
//   fusebox_settings_file_in_force      1: the file as it is now holds (or
//                                       there is none); 0: last_error() says
//                                       why not
//   fusebox_settings_reloads_total      contents that were taken over
//   fusebox_settings_failed_reloads_total    contents that were not
//   fusebox_settings_admin_updates_total     by administrators, in force
//   fusebox_settings_last_success_timestamp_seconds   when the file was last
//                                       found valid, in Unix time; absent
//                                       until then
//
// Put it on the page beside PrometheusMetrics (AddMetricsPage()).
//
// Thread-safe. `settings` must outlive it.
class SettingsMetrics final : public prometheus::Collectable {
 public:
  explicit SettingsMetrics(const LiveSettings* settings);
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const LiveSettings* const settings_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_SETTINGS_METRICS_H_
