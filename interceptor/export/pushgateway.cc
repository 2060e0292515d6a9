#include "interceptor/export/pushgateway.h"

#include <curl/curl.h>
#include <netdb.h>

#include <algorithm>
#include <array>
#include <climits>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/breaker/settings.h"
#include "interceptor/export/option_range.h"

namespace fusebox {
namespace {

using Text = std::shared_ptr<const std::string>;

// CURL and CURLM are the same type.
struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// In a URL or Host header.
std::string Bracketed(const std::string& host) {
  if (host.find(':') == std::string::npos) return host;
  std::string address = host;
  if (const std::size_t zone = address.find('%'); zone != std::string::npos) {
    address.replace(zone, 1, "%25");  // RFC 6874
  }
  return absl::StrCat("[", address, "]");
}

// In figures, without the port.
std::string Figures(const SocketAddress& address) {
  std::array<char, NI_MAXHOST> text = {};
  getnameinfo(address.get(), address.size, text.data(), text.size(), nullptr, 0,
              NI_NUMERICHOST);
  return text.data();
}

Duration Until(TimePoint end, TimePoint now) {
  return end > now ? end - now : Duration::zero();
}

// One request under way.
struct Transfer {
  std::unique_ptr<curl_slist, ListDeleter> headers;
  Text text;             // what a push sends
  std::string response;  // its beginning
  std::array<char, CURL_ERROR_SIZE> error = {};
  TimePoint deadline;
  std::unique_ptr<CURL, EasyDeleter> curl;  // uses all of the above
};

// The only part of an answer that is of use is what an error says.
constexpr std::size_t kMaxResponse = 200;

std::size_t OnResponse(char* data, std::size_t size, std::size_t count,
                       void* response_pointer) {
  std::string& response = *static_cast<std::string*>(response_pointer);
  response.append(data, std::min(size * count, kMaxResponse - response.size()));
  return size * count;
}

}  // namespace

absl::Status ValidatePushgatewayOptions(const PushgatewayOptions& options) {
  const std::string& host = options.host;
  if (host.empty() || !std::all_of(host.begin(), host.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
               absl::string_view("-._:%").find(c) != absl::string_view::npos;
      })) {
    return absl::InvalidArgumentError(absl::StrCat(
        "host: '", host, "' is no name and no address without brackets"));
  }
  if (options.port < 1 || options.port > 65535) {
    return OutOfRange("port", absl::StrCat(options.port), "[1, 65535]");
  }
  constexpr Duration kHour = std::chrono::hours(1);
  for (const absl::Status& status : {
           ValidatePushgatewayGroup(options.job, options.labels),
           InRange("period", options.period, std::chrono::milliseconds(100),
                   24 * kHour),
           InRange("timeout", options.timeout, std::chrono::milliseconds(1),
                   kHour),
           InRange("stop_timeout", options.stop_timeout,
                   std::chrono::milliseconds(1), kHour),
       }) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// What Pushgateway is about.
//
// A period has two steps: Begin() asks for the addresses; when they are known,
// or it has waited for them long enough, the text is taken and sent. Requests
// are under way beside all that, at most one for each gateway.
class Pushgateway::Pusher {
 public:
  Pusher(PushgatewayOptions options, std::function<std::string()> text)
      : options_(std::move(options)), text_(std::move(text)) {}

  absl::Status Start();
  void Stop();
  PushgatewayStats stats() const FUSEBOX_EXCLUDES(mu_);
  void Wake() {
    if (multi_ != nullptr) curl_multi_wakeup(multi_.get());
  }

 private:
  enum class Request : unsigned char { kPush, kLastPush, kDelete };

  struct Gateway {
    PushgatewayStats::Gateway stats;
    bool resolved = true;                // in the last good lookup
    std::unique_ptr<Transfer> transfer;  // while under way,
    Request request = Request::kPush;    //   what it is
    // The last push came while another was under way: it is the next.
    bool last_is_next = false;
  };

  void Run() FUSEBOX_EXCLUDES(mu_);
  // Does what is due. Whether it is time for a text to be sent.
  bool Step(TimePoint now) FUSEBOX_REQUIRES(mu_);
  void Begin(TimePoint now) FUSEBOX_REQUIRES(mu_);
  void BeginLookup() FUSEBOX_REQUIRES(mu_);
  void FailLookup(const std::string& error) FUSEBOX_REQUIRES(mu_);
  void TakeAddresses() FUSEBOX_REQUIRES(mu_);
  // Nothing, if the function threw.
  Text TakeText() FUSEBOX_EXCLUDES(mu_);
  void Push(const Text& text) FUSEBOX_REQUIRES(mu_);
  void Send(Gateway& gateway, Request request, const Text& text)
      FUSEBOX_REQUIRES(mu_);
  void TakeAnswers() FUSEBOX_REQUIRES(mu_);
  void ExpireTransfers(TimePoint now) FUSEBOX_REQUIRES(mu_);
  // The end of what is under way for `gateway`, good if `error` is empty.
  void Finish(Gateway& gateway, const std::string& error) FUSEBOX_REQUIRES(mu_);
  // What follows a request that has ended.
  void GoOn(Gateway& gateway) FUSEBOX_REQUIRES(mu_);
  void DropVanished() FUSEBOX_REQUIRES(mu_);
  // Whether the last period is over.
  bool Done() const FUSEBOX_REQUIRES(mu_);
  // Until there is something to do, if nothing happens.
  int WaitMilliseconds(TimePoint now) const FUSEBOX_REQUIRES(mu_);

  const PushgatewayOptions options_;
  const std::function<std::string()> text_;
  std::string path_;

  std::unique_ptr<CURLM, MultiDeleter> multi_;
  std::thread thread_;
  std::optional<BackgroundLookup> lookup_;  // of that thread, while under way

  mutable Mutex mu_;
  bool stopping_ FUSEBOX_GUARDED_BY(mu_) = false;
  // Of real time: the clock of the options may stand still.
  TimePoint stop_deadline_ FUSEBOX_GUARDED_BY(mu_);
  bool last_begun_ FUSEBOX_GUARDED_BY(mu_) = false;  // the period of Stop()
  Text last_text_ FUSEBOX_GUARDED_BY(mu_);

  TimePoint due_ FUSEBOX_GUARDED_BY(mu_);  // the next period
  // The period that has begun waits for addresses, no longer than this; of real
  // time if it is the last.
  bool waiting_ FUSEBOX_GUARDED_BY(mu_) = false;
  TimePoint wait_deadline_ FUSEBOX_GUARDED_BY(mu_);

  std::map<std::string, Gateway> gateways_ FUSEBOX_GUARDED_BY(mu_);
  PushgatewayStats totals_ FUSEBOX_GUARDED_BY(mu_);  // without the gateways
};

absl::Status Pushgateway::Pusher::Start() {
  if (multi_ != nullptr) {
    return absl::FailedPreconditionError("the pushing was started before");
  }
  absl::Status status = ValidatePushgatewayOptions(options_);
  if (!status.ok()) return status;
  path_ = PushgatewayPath(options_.job, options_.labels);
  // Once for the process, and thread-safe.
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  multi_.reset(initialized == CURLE_OK ? curl_multi_init() : nullptr);
  if (multi_ == nullptr) {
    return absl::ResourceExhaustedError("libcurl cannot start");
  }
  {
    MutexLock lock(mu_);
    due_ = options_.now();
    if (!options_.push_at_start) due_ = due_ + options_.period;
  }
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error& e) {
    return absl::ResourceExhaustedError(absl::StrCat("no thread: ", e.what()));
  }
  return absl::OkStatus();
}

void Pushgateway::Pusher::Stop() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    stop_deadline_ = FineNow() + options_.stop_timeout;
  }
  Wake();
  thread_.join();
}

PushgatewayStats Pushgateway::Pusher::stats() const {
  MutexLock lock(mu_);
  PushgatewayStats stats = totals_;
  for (const auto& [address, gateway] : gateways_) {
    stats.gateways.push_back(gateway.stats);
  }
  return stats;
}

void Pushgateway::Pusher::Run() {
  for (;;) {
    bool push = false;
    int wait = 0;
    {
      MutexLock lock(mu_);
      const TimePoint now = options_.now();
      push = Step(now);
      if (stopping_ && (Done() || FineNow() >= stop_deadline_)) break;
      wait = WaitMilliseconds(now);
    }
    if (push) {
      // Without the lock: our own stats() may be part of the text.
      const Text text = TakeText();
      MutexLock lock(mu_);
      waiting_ = false;
      Push(text);
    } else {
      curl_waitfd found = {};
      if (lookup_.has_value()) {
        found.fd = lookup_->fd();
        found.events = CURL_WAIT_POLLIN;
      }
      curl_multi_poll(multi_.get(), &found, lookup_.has_value() ? 1 : 0, wait,
                      nullptr);
    }
  }
  MutexLock lock(mu_);
  for (auto& [address, gateway] : gateways_) {
    if (gateway.transfer != nullptr) {
      Finish(gateway, "no answer before the end");
    }
  }
}

bool Pushgateway::Pusher::Step(TimePoint now) {
  int running = 0;
  curl_multi_perform(multi_.get(), &running);
  TakeAnswers();
  ExpireTransfers(now);
  TakeAddresses();
  DropVanished();
  if (stopping_ ? !last_begun_ : now >= due_) Begin(now);
  if (!waiting_ || (last_begun_ ? FineNow() : now) < wait_deadline_) {
    return false;
  }
  if (!gateways_.empty()) return true;
  waiting_ = false;  // nobody to push to
  return false;
}

void Pushgateway::Pusher::Begin(TimePoint now) {
  ++totals_.periods;
  last_begun_ = stopping_;
  due_ += options_.period;
  if (due_ <= now) due_ = now + options_.period;  // the machine slept
  waiting_ = true;
  wait_deadline_ = stopping_ ? FineNow() + options_.stop_timeout / 2
                             : now + options_.period / 2;
  if (!lookup_.has_value()) {
    BeginLookup();
  } else if (!gateways_.empty()) {
    wait_deadline_ = TimePoint::min();  // one that hangs has been waited for
  }
}

void Pushgateway::Pusher::BeginLookup() {
  try {
    lookup_.emplace(options_.look_up, HostPort{options_.host, options_.port});
  } catch (const std::system_error& e) {
    FailLookup(e.what());
  }
}

void Pushgateway::Pusher::FailLookup(const std::string& error) {
  ++totals_.failed_lookups;
  totals_.last_lookup_error = error;
  wait_deadline_ = TimePoint::min();
}

void Pushgateway::Pusher::TakeAddresses() {
  if (!lookup_.has_value()) return;
  const std::optional<LookupResult> found = lookup_->Take();
  if (!found.has_value()) return;
  lookup_.reset();
  if (found->addresses.empty()) {
    FailLookup(found->error.empty() ? "no addresses" : found->error);
    return;
  }
  wait_deadline_ = TimePoint::min();
  for (auto& [address, gateway] : gateways_) gateway.resolved = false;
  std::set<std::string> resolved;
  std::set<std::string> left_out;
  for (const SocketAddress& socket_address : found->addresses) {
    const std::string address = Figures(socket_address);
    if (resolved.count(address) != 0) continue;
    if (resolved.size() == kMaxGateways) {
      left_out.insert(address);
      continue;
    }
    resolved.insert(address);
    Gateway& gateway = gateways_[address];
    gateway.stats.address = address;
    gateway.resolved = true;
  }
  totals_.left_out_addresses = left_out.size();
}

Text Pushgateway::Pusher::TakeText() {
  try {
    return std::make_shared<const std::string>(text_());
  } catch (...) {
    MutexLock lock(mu_);
    ++totals_.failed_texts;
    return nullptr;
  }
}

void Pushgateway::Pusher::Push(const Text& text) {
  if (last_begun_) last_text_ = text;
  for (auto& [address, gateway] : gateways_) {
    if (!gateway.resolved) continue;
    if (last_begun_) {
      gateway.last_is_next = true;
      if (gateway.transfer == nullptr) GoOn(gateway);
    } else if (gateway.transfer != nullptr) {
      ++gateway.stats.skipped;
    } else if (text != nullptr) {
      Send(gateway, Request::kPush, text);
    }
  }
}

void Pushgateway::Pusher::GoOn(Gateway& gateway) {
  bool last_ended = gateway.request == Request::kLastPush;
  if (gateway.last_is_next) {
    gateway.last_is_next = false;
    if (last_text_ != nullptr) {
      Send(gateway, Request::kLastPush, last_text_);
      return;
    }
    last_ended = true;
  }
  if (last_ended && options_.delete_on_stop) {
    Send(gateway, Request::kDelete, nullptr);
  }
}

void Pushgateway::Pusher::Send(Gateway& gateway, Request request,
                               const Text& text) {
  auto transfer = std::make_unique<Transfer>();
  transfer->curl.reset(curl_easy_init());
  CURL* const curl = transfer->curl.get();
  const auto add_header = [&transfer](const std::string& header) {
    curl_slist* const headers =
        curl_slist_append(transfer->headers.get(), header.c_str());
    if (headers == nullptr) return;
    (void)transfer->headers.release();
    transfer->headers.reset(headers);
  };
  // The connection is to the address, the request is for the name.
  const std::string url = absl::StrCat(
      "http://", Bracketed(gateway.stats.address), ":", options_.port, path_);
  add_header(
      absl::StrCat("Host: ", Bracketed(options_.host), ":", options_.port));
  if (request == Request::kDelete) {
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "DELETE");
  } else {
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PUT");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(text->size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text->data());
    add_header("Content-Type: text/plain; version=0.0.4; charset=utf-8");
    add_header("Expect:");  // sent without asking
  }
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transfer->headers.get());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "fusebox-push");
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->error.data());
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &OnResponse);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer->response);
  curl_easy_setopt(curl, CURLOPT_PRIVATE, &gateway);
  transfer->text = text;
  transfer->deadline = options_.now() + options_.timeout;

  gateway.request = request;
  gateway.transfer = std::move(transfer);
  if (const CURLMcode code = curl_multi_add_handle(multi_.get(), curl);
      code != CURLM_OK) {
    Finish(gateway, curl_multi_strerror(code));
  }
}

void Pushgateway::Pusher::TakeAnswers() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    CURL* const curl = message->easy_handle;
    void* owner = nullptr;
    curl_easy_getinfo(curl, CURLINFO_PRIVATE, &owner);
    Gateway& gateway = *static_cast<Gateway*>(owner);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    std::string error;
    if (code != CURLE_OK) {
      const char* const details = gateway.transfer->error.data();
      error = *details != '\0' ? details : curl_easy_strerror(code);
    } else if (status < 200 || status > 299) {
      error =
          absl::StrCat("status ", status, ": ",
                       absl::StripAsciiWhitespace(gateway.transfer->response));
    }
    Finish(gateway, error);
    GoOn(gateway);
  }
}

void Pushgateway::Pusher::ExpireTransfers(TimePoint now) {
  for (auto& [address, gateway] : gateways_) {
    if (gateway.transfer == nullptr || now < gateway.transfer->deadline) {
      continue;
    }
    Finish(gateway, "no answer within " + FormatDuration(options_.timeout));
    GoOn(gateway);
  }
}

void Pushgateway::Pusher::Finish(Gateway& gateway, const std::string& error) {
  curl_multi_remove_handle(multi_.get(), gateway.transfer->curl.get());
  gateway.transfer = nullptr;
  if (!error.empty()) {
    ++gateway.stats.failures;
    gateway.stats.last_error = error;
  } else if (gateway.request != Request::kDelete) {
    ++gateway.stats.pushes;
    gateway.stats.last_success = options_.now();
  }
}

void Pushgateway::Pusher::DropVanished() {
  for (auto it = gateways_.begin(); it != gateways_.end();) {
    const Gateway& gateway = it->second;
    it = gateway.resolved || gateway.transfer != nullptr ? std::next(it)
                                                         : gateways_.erase(it);
  }
}

bool Pushgateway::Pusher::Done() const {
  return last_begun_ && !waiting_ &&
         std::none_of(gateways_.begin(), gateways_.end(), [](const auto& it) {
           return it.second.resolved && it.second.transfer != nullptr;
         });
}

int Pushgateway::Pusher::WaitMilliseconds(TimePoint now) const {
  // Wakes up now and then, whatever it waits for.
  Duration wait = std::chrono::hours(1);
  if (waiting_) {
    wait = std::min(wait, Until(wait_deadline_, last_begun_ ? FineNow() : now));
  }
  for (const auto& [address, gateway] : gateways_) {
    if (gateway.transfer == nullptr) continue;
    wait = std::min(wait, Until(gateway.transfer->deadline, now));
  }
  wait = std::min(
      wait, stopping_ ? Until(stop_deadline_, FineNow()) : Until(due_, now));
  return static_cast<int>(
      std::chrono::ceil<std::chrono::milliseconds>(wait).count());
}

Pushgateway::Pushgateway(PushgatewayOptions options,
                         std::function<std::string()> text)
    : pusher_(std::make_unique<Pusher>(std::move(options), std::move(text))) {}

Pushgateway::~Pushgateway() { Stop(); }

absl::Status Pushgateway::Start() { return pusher_->Start(); }

void Pushgateway::Stop() { pusher_->Stop(); }

PushgatewayStats Pushgateway::stats() const { return pusher_->stats(); }

void Pushgateway::Wake() { pusher_->Wake(); }

}  // namespace fusebox
