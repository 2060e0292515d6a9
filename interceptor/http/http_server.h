// The HTTP server of the pages for operators and their machines.

#ifndef FUSEBOX_INTERCEPTOR_HTTP_HTTP_SERVER_H_
#define FUSEBOX_INTERCEPTOR_HTTP_HTTP_SERVER_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "interceptor/breaker/clock.h"

namespace fusebox {

struct HttpServerOptions {
  // An address of this host, in figures. Whoever can reach it can read the
  // pages: by default only this host; "0.0.0.0" or "::" for all who can.
  std::string address = "127.0.0.1";
  // 0: any that is free; see HttpServer::port(). 0 to 65535.
  int port = 0;

  // A longer body is answered with 413, a longer header with 431, and neither
  // is read to its end. Bytes; at least 1.
  std::size_t max_body_bytes = std::size_t{64} * 1024;
  std::size_t max_header_bytes = std::size_t{16} * 1024;

  // Connections open at once. One more costs the one that has waited longest
  // for its client its place, so idle and slow clients keep nobody out. Each
  // takes a file descriptor and, while idle, a few KiB. At least 1.
  std::size_t max_connections = 256;

  // How long a connection may wait for the first byte of a request. Above 0.
  Duration idle_timeout = std::chrono::seconds(60);
  // How long a client may take to send the rest of a request, and again to take
  // the answer, in whatever pieces. Above 0.
  Duration request_timeout = std::chrono::seconds(10);

  // Requests whose handlers run at the same time; more wait. At least 1.
  int handler_threads = 2;
};

struct HttpRequest {
  std::string method;  // "GET" for HEAD as well
  std::string path;    // decoded, so it may hold any bytes
  // What of the path is behind the prefix of the handler, without "/".
  std::string rest;
  // Decoded, in the order of the query; without "=" the value is empty.
  std::vector<std::pair<std::string, std::string>> parameters;
  std::vector<std::pair<std::string, std::string>> headers;  // as sent
  std::string body;
  std::string remote;  // the address of the client, in figures

  bool HasParameter(std::string_view name) const;
  // The first header of that name, in any case; empty if there is none.
  std::string_view Header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  // Beside Content-Type, Content-Length, Cache-Control: no-store, Date and
  // X-Content-Type-Options: nosniff, which every response has. Must be valid.
  std::vector<std::pair<std::string, std::string>> headers;
};

using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

// Serves what handlers make. Opens no port before Start().
//
// One thread reads and writes all connections, others run the handlers. So a
// client that is slow or says nothing costs its connection and nothing else,
// and a handler that is slow delays only those that find all handler threads
// busy.
//
// What the server answers by itself, as plain text: 400 what is no HTTP/1
// request; 404 no handler; 405 with Allow, another method; 413, 431 see
// HttpServerOptions; 500 the handler threw. A client that is too slow is cut
// off. HTTP/1.1 with keep-alive; no TLS, no compression, no files.
//
// Thread-compatible; port() and connections() are thread-safe after Start().
// Example:
//
//   fusebox::HttpServer http({/*address=*/"127.0.0.1", /*port=*/8080});
//   http.Handle("/hello", {"GET"}, [](const fusebox::HttpRequest&) {
//     return fusebox::HttpResponse{200, "hello\n"};
//   });
//   absl::Status status = http.Start();
class HttpServer {
 public:
  explicit HttpServer(HttpServerOptions options = {});
  // Stops it.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Has `handler` answer requests for `prefix`. One that ends with "/" stands
  // for everything below it, and for itself without the "/"; any other for
  // itself only. The longest that fits counts. `methods` in capitals; GET
  // brings HEAD along. `handler` is called on several threads, and should not
  // block for long. Before Start(); a second handler for a prefix replaces the
  // first.
  void Handle(std::string prefix, std::vector<std::string> methods,
              HttpHandler handler);

  // Listens. INVALID_ARGUMENT, naming field, value and range, if an option is
  // not valid; UNAVAILABLE if the address cannot be listened on, for instance
  // because the port is taken. Once.
  absl::Status Start();

  // Closes all connections and waits for the handlers that are running.
  // Afterwards none runs. Not from a handler.
  void Stop();

  // Of a server that was started.
  int port() const;

  // Connections open now.
  std::size_t connections() const;

 private:
  class Listener;

  const std::unique_ptr<Listener> listener_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HTTP_HTTP_SERVER_H_
