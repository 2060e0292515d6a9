// The statistics of a process by HTTP.

#ifndef FUSEBOX_INTERCEPTOR_STATS_STATUS_PAGES_H_
#define FUSEBOX_INTERCEPTOR_STATS_STATUS_PAGES_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "interceptor/http/http_server.h"
#include "interceptor/stats/statistics.h"

namespace fusebox {

// Has `http` answer, with GET and HEAD:
//
//   /status/                    the whole tree as HTML
//   /status/cache/hits          what is at and below that path
//   ...?format=json             as JSON on one line
//   ...?format=prettyjson       as JSON with two spaces for each level
//   ...?query=key               only the statistics named "key", with what is
//                               above them
//   ...?query=key OP value      of those, the ones that compare so with the
//                               value: >= > < <= = == != (status_query.h);
//                               encoded as queries are, "calls%20%3E%205"
//
// 404 if there is nothing at the path; 400 if the query or format is not valid.
// Every page is as of one moment, reads the whole tree and runs no script.
// Names and values are shown to whoever can reach the port.
//
// `statistics` must live until the server has stopped. Before Start().
void AddStatusPages(HttpServer& http, Statistics* statistics);

// The page that shows `tree`, which is at the path of these names; `query` is
// shown in its form. All must be valid UTF-8, as what Statistics::Read()
// returns is.
std::string StatusHtml(const nlohmann::ordered_json& tree,
                       const std::vector<std::string>& names,
                       const std::string& query);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STATS_STATUS_PAGES_H_
