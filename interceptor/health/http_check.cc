#include "interceptor/health/http_check.h"

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>

namespace fusebox {
namespace {

struct Deleter {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
  void operator()(char* text) const { curl_free(text); }
};
using Url = std::unique_ptr<CURLU, Deleter>;

// The URL without what may be secret. Empty if it is not valid.
std::string Displayed(const std::string& url) {
  const Url parts(curl_url());
  if (curl_url_set(parts.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    return "";
  }
  for (const CURLUPart secret : {CURLUPART_USER, CURLUPART_PASSWORD,
                                 CURLUPART_QUERY, CURLUPART_FRAGMENT}) {
    curl_url_set(parts.get(), secret, nullptr, 0);
  }
  char* text = nullptr;
  if (curl_url_get(parts.get(), CURLUPART_URL, &text, 0) != CURLUE_OK) {
    return "";
  }
  return std::unique_ptr<char, Deleter>(text).get();
}

std::size_t Discard(char* /*data*/, std::size_t size, std::size_t count,
                    void* /*run*/) {
  return size * count;
}

int OnProgress(void* run, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const CheckRun*>(run)->cancelled() ? 1 : 0;
}

CheckResult Get(const std::string& url, const std::string& displayed,
                int expected_status, const CheckRun& run) {
  // Once for the process, and thread-safe.
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, Deleter> curl(
      initialized == CURLE_OK ? curl_easy_init() : nullptr);
  if (curl == nullptr) return {false, "libcurl cannot start", {}};

  char error[CURL_ERROR_SIZE] = "";
  const auto time_limit = std::max<std::chrono::milliseconds::rep>(
      1,
      std::chrono::ceil<std::chrono::milliseconds>(run.time_limit()).count());
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, long{time_limit});
  curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "fusebox-check");
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &Discard);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, &OnProgress);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &run);

  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) {
    return {false,
            displayed + " cannot be reached: " +
                (*error != '\0' ? error : curl_easy_strerror(code)),
            {}};
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  std::string message = displayed + " answers " + std::to_string(status);
  if (status != expected_status) {
    message += ", not " + std::to_string(expected_status);
  }
  return {status == expected_status,
          std::move(message),
          {{"status", std::int64_t{status}}}};
}

}  // namespace

Check HttpCheck(std::string url, int expected_status) {
  if (url.empty()) {
    return [](const CheckRun&) {
      return CheckResult{false, "no URL was given", {}};
    };
  }
  std::string displayed = Displayed(url);
  if (displayed.empty()) {
    return [](const CheckRun&) {
      return CheckResult{false, "what was given is not a URL", {}};
    };
  }
  return [url = std::move(url), displayed = std::move(displayed),
          expected_status](const CheckRun& run) {
    return Get(url, displayed, expected_status, run);
  };
}

}  // namespace fusebox
