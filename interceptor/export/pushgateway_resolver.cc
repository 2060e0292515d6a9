#include "interceptor/export/pushgateway_resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "interceptor/breaker/mutex.h"

namespace fusebox {

Addresses ResolveAddresses(const std::string& host) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;  // each address once
  addrinfo* found = nullptr;
  int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found,
                                                                 &freeaddrinfo);
  std::vector<std::string> addresses;
  for (const addrinfo* info = found; error == 0 && info != nullptr;
       info = info->ai_next) {
    std::array<char, NI_MAXHOST> text;
    error = getnameinfo(info->ai_addr, info->ai_addrlen, text.data(),
                        text.size(), nullptr, 0, NI_NUMERICHOST);
    if (error == 0) addresses.emplace_back(text.data());
  }
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat(
        host, ": ",
        error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error)));
  }
  return addresses;
}

// What BackgroundResolver is about. Its thread owns it, too.
class BackgroundResolver::Worker {
 public:
  Worker(AddressResolver resolver, std::string host,
         std::function<void()> on_result)
      : resolver_(std::move(resolver)),
        host_(std::move(host)),
        on_result_(std::move(on_result)) {}

  void Start(const std::shared_ptr<Worker>& self) {
    thread_ = std::thread([self] { self->Run(); });
  }

  void Stop() FUSEBOX_EXCLUDES(mu_) {
    bool under_way = false;
    {
      MutexLock lock(mu_);
      stopping_ = true;
      under_way = state_ == State::kUnderWay;
      wake_.notify_all();
    }
    if (under_way) {
      thread_.detach();
    } else {
      thread_.join();
    }
  }

  bool Begin() FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (state_ != State::kIdle) return false;
    state_ = State::kUnderWay;
    wake_.notify_all();
    return true;
  }

  std::optional<Addresses> Take() FUSEBOX_EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (state_ != State::kEnded) return std::nullopt;
    state_ = State::kIdle;
    return std::move(result_);
  }

 private:
  enum class State : unsigned char { kIdle, kUnderWay, kEnded };

  Addresses Resolve() const {
    try {
      return resolver_(host_);
    } catch (const std::exception& e) {
      return absl::UnknownError(absl::StrCat("the resolver threw: ", e.what()));
    } catch (...) {
      return absl::UnknownError("the resolver threw");
    }
  }

  void Run() FUSEBOX_EXCLUDES(mu_) {
    for (;;) {
      {
        MutexLock lock(mu_);
        while (state_ != State::kUnderWay && !stopping_) wake_.wait(mu_);
        if (stopping_) return;
      }
      Addresses result = Resolve();
      MutexLock lock(mu_);
      result_ = std::move(result);
      state_ = State::kEnded;
      // Under the lock, so that Stop() knows of no call to come.
      if (!stopping_) on_result_();
    }
  }

  const AddressResolver resolver_;
  const std::string host_;
  const std::function<void()> on_result_;
  std::thread thread_;

  Mutex mu_;
  std::condition_variable_any wake_;
  State state_ FUSEBOX_GUARDED_BY(mu_) = State::kIdle;
  bool stopping_ FUSEBOX_GUARDED_BY(mu_) = false;
  Addresses result_ FUSEBOX_GUARDED_BY(mu_);
};

BackgroundResolver::BackgroundResolver(AddressResolver resolver,
                                       std::string host,
                                       std::function<void()> on_result)
    : worker_(std::make_shared<Worker>(std::move(resolver), std::move(host),
                                       std::move(on_result))) {
  worker_->Start(worker_);
}

BackgroundResolver::~BackgroundResolver() { worker_->Stop(); }

bool BackgroundResolver::Begin() { return worker_->Begin(); }

std::optional<Addresses> BackgroundResolver::Take() { return worker_->Take(); }

}  // namespace fusebox
