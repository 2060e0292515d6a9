// The page that Prometheus scrapes.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_PROMETHEUS_PAGE_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_PROMETHEUS_PAGE_H_

#include <prometheus/collectable.h>

#include <memory>
#include <vector>

#include "interceptor/http/http_server.h"

namespace fusebox {

// Has `http` answer GET and HEAD of /metrics with what `collectables` collect,
// in Prometheus's text format 0.0.4: PrometheusMetrics, and a
// prometheus::Registry for metrics of your own. No two of them should have a
// family of the same name. Before Start().
void AddMetricsPage(
    HttpServer& http,
    std::vector<std::shared_ptr<const prometheus::Collectable>> collectables);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_PROMETHEUS_PAGE_H_
