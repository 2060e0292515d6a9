#include "interceptor/stats/stat_json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace fusebox {
namespace {

using Json = nlohmann::ordered_json;

bool IsAscii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x80;
  });
}

std::string Utf8(const std::string& text) {
  if (IsAscii(text)) return text;
  const std::string quoted =
      Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  return Json::parse(quoted).get<std::string>();
}

// The same members with names that are valid and differ.
Json Renamed(Json json) {
  Json result = ObjectFor(json.size());
  std::set<std::string> taken;
  for (auto& [name, value] : json.get_ref<Json::object_t&>()) {
    const std::string valid = Utf8(name);
    std::string unique = valid;
    for (int n = 2; !taken.insert(unique).second; ++n) {
      unique = valid + " (" + std::to_string(n) + ")";
    }
    Append(result, std::move(unique), std::move(value));
  }
  return result;
}

}  // namespace

Json RatesJson(const std::string& unit, const Meter::Rates& rates) {
  return {{"unit", unit},
          {"count", rates.count},
          {"m1", rates.m1},
          {"m5", rates.m5},
          {"m15", rates.m15}};
}

Json DistributionJson(const DistributionSummary& summary) {
  const auto known = [&summary](double figure) {
    return summary.count == 0 ? Json() : Json(figure);
  };
  return {{"count", summary.count},
          {"min", known(summary.min)},
          {"max", known(summary.max)},
          {"mean", known(summary.mean)},
          {"stddev", known(summary.stddev)},
          {"median", known(summary.median)},
          {"75percentile", known(summary.p75)},
          {"95percentile", known(summary.p95)},
          {"98percentile", known(summary.p98)},
          {"99percentile", known(summary.p99)},
          {"999percentile", known(summary.p999)}};
}

Json ObjectFor(std::size_t members) {
  Json json = Json::object();
  json.get_ref<Json::object_t&>().reserve(members);
  return json;
}

void Append(Json& json, std::string name, Json value) {
  json.get_ref<Json::object_t&>().emplace_back(std::move(name),
                                               std::move(value));
}

void MakeValid(Json& json) {
  if (json.is_number_float() && !std::isfinite(json.get<double>())) {
    json = nullptr;
  } else if (json.is_string() && !IsAscii(json.get_ref<std::string&>())) {
    json = Utf8(json.get_ref<std::string&>());
  } else if (json.is_object()) {
    const auto& members = json.get_ref<const Json::object_t&>();
    if (!std::all_of(members.begin(), members.end(), [](const auto& member) {
          return IsAscii(member.first);
        })) {
      json = Renamed(std::move(json));
    }
  }
  if (json.is_structured()) {
    for (Json& member : json) MakeValid(member);
  }
}

}  // namespace fusebox
