#include "interceptor/http/http_server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <cstdint>
#include <ctime>
#include <list>
#include <map>
#include <optional>
#include <thread>

#include "interceptor/breaker/settings.h"
#include "interceptor/http/request_target.h"

namespace fusebox {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = boost::asio::ip::tcp;

struct Route {
  std::vector<std::string> methods;
  HttpHandler handler;
};
using Routes = std::map<std::string, Route>;

HttpResponse PlainText(int status, const std::string& text) {
  HttpResponse response;
  response.status = status;
  response.body = text + "\n";
  return response;
}

// Whether `prefix` stands for `path`, and what of that is behind it.
bool Fits(const std::string& prefix, const std::string& path,
          std::string& rest) {
  if (path.compare(0, prefix.size(), prefix) == 0) {
    rest = path.substr(prefix.size());
    return rest.empty() || prefix.back() == '/';
  }
  rest.clear();
  return prefix == path + "/";
}

// There are few, so one after the other.
const Routes::value_type* FindRoute(const Routes& routes,
                                    HttpRequest& request) {
  const Routes::value_type* found = nullptr;
  std::string rest;
  for (const Routes::value_type& route : routes) {
    if (!Fits(route.first, request.path, rest)) continue;
    if (found != nullptr && route.first.size() < found->first.size()) continue;
    found = &route;
    request.rest = rest;
  }
  return found;
}

bool Allows(const Route& route, const std::string& method) {
  return std::find(route.methods.begin(), route.methods.end(), method) !=
         route.methods.end();
}

HttpResponse MethodNotAllowed(const Route& route) {
  std::string allow;
  for (const std::string& method : route.methods) {
    if (!allow.empty()) allow += ", ";
    allow += method == "GET" ? "GET, HEAD" : method;
  }
  HttpResponse response = PlainText(405, "method not allowed");
  response.headers.emplace_back("Allow", std::move(allow));
  return response;
}

HttpResponse Answer(const Routes& routes, HttpRequest& request) {
  const Routes::value_type* const route = FindRoute(routes, request);
  if (route == nullptr) return PlainText(404, "not found");
  if (!Allows(route->second, request.method)) {
    return MethodNotAllowed(route->second);
  }
  try {
    return route->second.handler(request);
  } catch (...) {
    return PlainText(500, "internal error");
  }
}

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, section 5.6.7).
std::string HttpDate(std::time_t time) {
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed",
                                   "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  gmtime_r(&time, &utc);
  char rest[32];
  char day[8];
  // No locale: strftime would have its own names.
  std::strftime(day, sizeof(day), "%d", &utc);
  std::strftime(rest, sizeof(rest), "%Y %H:%M:%S GMT", &utc);
  return std::string(kDays[utc.tm_wday]) + ", " + day + " " +
         kMonths[utc.tm_mon] + " " + rest;
}

absl::Status OutOfRange(const std::string& field, const std::string& value,
                        const std::string& range) {
  return absl::InvalidArgumentError(field + ": " + value + " is out of range " +
                                    range);
}

absl::Status Validate(const HttpServerOptions& options) {
  if (options.port < 0 || options.port > 65535) {
    return OutOfRange("port", std::to_string(options.port), "[0, 65535]");
  }
  const std::pair<const char*, std::size_t> sizes[] = {
      {"max_body_bytes", options.max_body_bytes},
      {"max_header_bytes", options.max_header_bytes},
      {"max_connections", options.max_connections},
  };
  for (const auto& [field, value] : sizes) {
    if (value < 1 || value > UINT32_MAX) {
      return OutOfRange(field, std::to_string(value), "[1, 4294967295]");
    }
  }
  const std::pair<const char*, Duration> durations[] = {
      {"idle_timeout", options.idle_timeout},
      {"request_timeout", options.request_timeout},
  };
  for (const auto& [field, value] : durations) {
    if (value <= Duration::zero()) {
      return OutOfRange(field, FormatDuration(value), "(0s, ...)");
    }
  }
  if (options.handler_threads < 1 || options.handler_threads > 1000) {
    return OutOfRange("handler_threads",
                      std::to_string(options.handler_threads), "[1, 1000]");
  }
  return absl::OkStatus();
}

}  // namespace

bool HttpRequest::HasParameter(std::string_view name) const {
  return std::any_of(
      parameters.begin(), parameters.end(),
      [name](const auto& parameter) { return parameter.first == name; });
}

std::string_view HttpRequest::Header(std::string_view name) const {
  for (const auto& [field, value] : headers) {
    if (beast::iequals({field.data(), field.size()},
                       {name.data(), name.size()})) {
      return value;
    }
  }
  return {};
}

// All but the constructor, Start() and Stop() runs on the thread of io_,
// handlers aside.
class HttpServer::Listener {
 public:
  explicit Listener(HttpServerOptions options) : options_(std::move(options)) {}

  void Handle(std::string prefix, Route route) {
    routes_[std::move(prefix)] = std::move(route);
  }

  absl::Status Start();
  void Stop();
  int port() const { return port_; }
  std::size_t connections() const { return open_; }

 private:
  class Connection;
  using Connections = std::list<std::shared_ptr<Connection>>;

  void Accept();
  void CloseOldest();

  const HttpServerOptions options_;
  Routes routes_;
  int port_ = 0;

  // What is below is destroyed first, and needs what is above.
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_};
  asio::steady_timer retry_{io_};
  // In the order in which they began to wait for their clients.
  Connections connections_;
  std::atomic<std::size_t> open_ = 0;
  std::unique_ptr<asio::thread_pool> handlers_;  // once started
  std::thread thread_;
};

// One connection, and the request that it is about.
//
//   Await() -> ReadHeader() -> ReadBody() -> Run() -> Write() -> Await() ...
//                                                           `-> Linger()
//
// Whatever goes wrong with the connection, including its end, ends in Close().
class HttpServer::Listener::Connection
    : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Listener& listener, tcp::socket socket)
      : listener_(listener), stream_(std::move(socket)) {}

  void Open() {
    place_ = listener_.connections_.insert(listener_.connections_.end(),
                                           shared_from_this());
    listener_.open_ = listener_.connections_.size();
    Await();
  }

  // The caller holds a pointer, since that of the listener goes.
  void Close() {
    if (closed_) return;
    closed_ = true;
    error_code ignored;
    stream_.socket().close(ignored);
    listener_.connections_.erase(place_);
    listener_.open_ = listener_.connections_.size();
  }

 private:
  // Waits for the first byte of a request.
  void Await() {
    Connections& all = listener_.connections_;
    all.splice(all.end(), all, place_);
    if (buffer_.size() > 0) return ReadHeader();
    // While it waits it should cost little.
    parser_.reset();
    response_ = {};
    buffer_.shrink_to_fit();
    stream_.expires_after(listener_.options_.idle_timeout);
    stream_.async_read_some(
        buffer_.prepare(kReadBytes),
        [self = shared_from_this()](error_code error, std::size_t size) {
          if (self->closed_) return;
          if (error) return self->Close();
          self->buffer_.commit(size);
          self->ReadHeader();
        });
  }

  void ReadHeader() {
    const HttpServerOptions& options = listener_.options_;
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(options.max_header_bytes));
    parser_->body_limit(options.max_body_bytes);
    // One deadline for header and body, however they trickle in.
    stream_.expires_after(options.request_timeout);
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](error_code error, std::size_t) {
          if (self->closed_) return;
          if (error) return self->Refuse(error);
          self->ReadBody();
        });
  }

  void ReadBody() {
    http::async_read(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](error_code error, std::size_t) {
          if (self->closed_) return;
          if (error) return self->Refuse(error);
          self->Run();
        });
  }

  // Says what is wrong with a request that could not be read.
  void Refuse(error_code error) {
    keep_alive_ = false;
    head_ = false;
    if (error == http::error::body_limit) {
      Write(PlainText(413, "the body is too long"));
    } else if (error == http::error::header_limit ||
               error == http::error::buffer_overflow) {
      Write(PlainText(431, "the header is too long"));
    } else if (error != http::error::end_of_stream &&
               error != http::error::partial_message &&
               error.category() ==
                   make_error_code(http::error::bad_method).category()) {
      Write(PlainText(400, "this is no HTTP/1 request"));
    } else {
      Close();  // the client has left, or was too slow
    }
  }

  void Run() {
    http::request<http::string_body> message = parser_->release();
    keep_alive_ = message.keep_alive();
    head_ = message.method() == http::verb::head;
    auto target =
        ParseRequestTarget({message.target().data(), message.target().size()});
    if (!target.has_value()) {
      return Write(PlainText(400, "the target of the request is malformed"));
    }
    HttpRequest request;
    request.method = head_ ? "GET" : message.method_string().to_string();
    request.path = std::move(target->path);
    request.parameters = std::move(target->parameters);
    for (const auto& field : message) {
      request.headers.emplace_back(field.name_string().to_string(),
                                   field.value().to_string());
    }
    request.body = std::move(message.body());
    error_code gone;
    const tcp::endpoint client = stream_.socket().remote_endpoint(gone);
    if (!gone) request.remote = client.address().to_string();

    // A handler may take its time; the deadline was for the client.
    stream_.expires_never();
    asio::post(*listener_.handlers_, [self = shared_from_this(),
                                      request = std::move(request)]() mutable {
      HttpResponse response = Answer(self->listener_.routes_, request);
      asio::post(self->listener_.io_,
                 [self, response = std::move(response)]() mutable {
                   if (!self->closed_) self->Write(std::move(response));
                 });
    });
  }

  void Write(HttpResponse response) {
    response_ = {};
    response_.version(11);
    response_.result(static_cast<unsigned>(response.status));
    response_.set(http::field::date, HttpDate(std::time(nullptr)));
    response_.set(http::field::content_type, response.content_type);
    response_.set(http::field::cache_control, "no-store");
    response_.set("X-Content-Type-Options", "nosniff");
    for (const auto& [name, value] : response.headers) {
      response_.set(name, value);
    }
    response_.keep_alive(keep_alive_);
    response_.content_length(response.body.size());
    if (!head_) response_.body() = std::move(response.body);
    stream_.expires_after(listener_.options_.request_timeout);
    http::async_write(
        stream_, response_,
        [self = shared_from_this()](error_code error, std::size_t) {
          if (self->closed_) return;
          if (error) return self->Close();
          if (self->keep_alive_) return self->Await();
          self->stream_.socket().shutdown(tcp::socket::shutdown_send, error);
          if (error) return self->Close();
          self->stream_.expires_after(kLinger);
          self->Linger();
        });
  }

  // Takes what the client still sends: to close on it would reset the
  // connection, and the answer might be lost.
  void Linger() {
    buffer_.consume(buffer_.size());
    stream_.async_read_some(
        buffer_.prepare(kReadBytes),
        [self = shared_from_this()](error_code error, std::size_t) {
          if (self->closed_) return;
          if (error) return self->Close();
          self->Linger();
        });
  }

  static constexpr std::size_t kReadBytes = 512;
  static constexpr auto kLinger = std::chrono::seconds(2);

  Listener& listener_;
  Connections::iterator place_;
  bool closed_ = false;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  bool keep_alive_ = false;
  bool head_ = false;
  http::response<http::string_body> response_;
};

absl::Status HttpServer::Listener::Start() {
  absl::Status status = Validate(options_);
  if (!status.ok()) return status;
  error_code error;
  const auto address = asio::ip::make_address(options_.address, error);
  if (error) {
    return absl::InvalidArgumentError("address: '" + options_.address +
                                      "' is not an IP address");
  }
  const tcp::endpoint endpoint(address,
                               static_cast<std::uint16_t>(options_.port));
  acceptor_.open(endpoint.protocol(), error);
  // Connections of an earlier server that are not quite over do not count.
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
  tcp::endpoint bound;
  if (!error) bound = acceptor_.local_endpoint(error);
  if (error) {
    error_code ignored;
    acceptor_.close(ignored);
    return absl::UnavailableError(
        "cannot listen on " +
        (address.is_v6() ? "[" + options_.address + "]" : options_.address) +
        ":" + std::to_string(options_.port) + ": " + error.message());
  }
  port_ = bound.port();
  handlers_ = std::make_unique<asio::thread_pool>(options_.handler_threads);
  Accept();
  thread_ = std::thread([this] { io_.run(); });
  return absl::OkStatus();
}

void HttpServer::Listener::Stop() {
  if (!thread_.joinable()) return;
  asio::post(io_, [this] {
    error_code ignored;
    acceptor_.close(ignored);
    while (!connections_.empty()) CloseOldest();
    io_.stop();
  });
  thread_.join();
  handlers_->stop();
  handlers_->join();
  open_ = 0;
}

void HttpServer::Listener::CloseOldest() {
  const std::shared_ptr<Connection> oldest = connections_.front();
  oldest->Close();
}

void HttpServer::Listener::Accept() {
  acceptor_.async_accept([this](error_code error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error) {
      while (connections_.size() >= options_.max_connections) CloseOldest();
      std::make_shared<Connection>(*this, std::move(socket))->Open();
    } else if (error == asio::error::no_descriptors ||
               error == boost::system::errc::too_many_files_open_in_system) {
      // Ours are not worth more than those of the program's work.
      if (!connections_.empty()) CloseOldest();
      retry_.expires_after(std::chrono::milliseconds(10));
      return retry_.async_wait([this](error_code stopped) {
        if (!stopped) Accept();
      });
    }
    Accept();
  });
}

// ---------------------------------------------------------------------------

HttpServer::HttpServer(HttpServerOptions options)
    : listener_(std::make_unique<Listener>(std::move(options))) {}

HttpServer::~HttpServer() { Stop(); }

void HttpServer::Handle(std::string prefix, std::vector<std::string> methods,
                        HttpHandler handler) {
  listener_->Handle(std::move(prefix),
                    {std::move(methods), std::move(handler)});
}

absl::Status HttpServer::Start() { return listener_->Start(); }
void HttpServer::Stop() { listener_->Stop(); }
int HttpServer::port() const { return listener_->port(); }
std::size_t HttpServer::connections() const { return listener_->connections(); }

}  // namespace fusebox
