#include "interceptor/export/prometheus_page.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <iterator>
#include <utility>

namespace fusebox {

void AddMetricsPage(
    HttpServer& http,
    std::vector<std::shared_ptr<const prometheus::Collectable>> collectables) {
  http.Handle(
      "/metrics", {"GET"},
      [collectables = std::move(collectables)](const HttpRequest&) {
        std::vector<prometheus::MetricFamily> families;
        for (const auto& collectable : collectables) {
          std::vector<prometheus::MetricFamily> more = collectable->Collect();
          families.insert(families.end(), std::make_move_iterator(more.begin()),
                          std::make_move_iterator(more.end()));
        }
        HttpResponse response;
        response.content_type = "text/plain; version=0.0.4; charset=utf-8";
        response.body = prometheus::TextSerializer().Serialize(families);
        return response;
      });
}

}  // namespace fusebox
