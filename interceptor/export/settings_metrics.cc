#include "interceptor/export/settings_metrics.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_type.h>

#include <chrono>
#include <string>
#include <utility>

namespace fusebox {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Family(std::string name, std::string help, MetricType type,
                    double value) {
  MetricFamily family;
  family.name = std::move(name);
  family.help = std::move(help);
  family.type = type;
  family.metric.resize(1);
  if (type == MetricType::Counter) {
    family.metric[0].counter.value = value;
  } else {
    family.metric[0].gauge.value = value;
  }
  return family;
}

}  // namespace

SettingsMetrics::SettingsMetrics(const LiveSettings* settings)
    : settings_(settings) {}

std::vector<MetricFamily> SettingsMetrics::Collect() const {
  const LiveSettings::Stats stats = settings_->stats();
  std::vector<MetricFamily> families = {
      Family("fusebox_settings_file_in_force",
             "1 if the settings file as it is now holds, or there is none.",
             MetricType::Gauge, settings_->last_error().empty() ? 1 : 0),
      Family("fusebox_settings_reloads_total",
             "Contents of the settings file that were taken over.",
             MetricType::Counter, static_cast<double>(stats.reloads)),
      Family("fusebox_settings_failed_reloads_total",
             "Contents of the settings file that were not taken over.",
             MetricType::Counter, static_cast<double>(stats.failed_reloads)),
      Family("fusebox_settings_admin_updates_total",
             "Changes of the settings by administrators.", MetricType::Counter,
             static_cast<double>(stats.admin_updates)),
  };
  if (stats.last_success.has_value()) {
    families.push_back(Family(
        "fusebox_settings_last_success_timestamp_seconds",
        "When the settings file was last found valid, in Unix time.",
        MetricType::Gauge,
        std::chrono::duration<double>(stats.last_success->time_since_epoch())
            .count()));
  }
  return families;
}

}  // namespace fusebox
