#include "interceptor/http/http_server.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <iostream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/http/testing/raw_client.h"

namespace fusebox {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

// Nobody is cut off for being slow.
HttpServerOptions Patient() {
  HttpServerOptions options;
  options.idle_timeout = hours(1);
  options.request_timeout = hours(1);
  return options;
}

HttpResponse Text(std::string body) {
  HttpResponse response;
  response.body = std::move(body);
  return response;
}

HttpHandler Says(const std::string& text) {
  return [text](const HttpRequest&) { return Text(text); };
}

// Answers /hello, and /echo with what it was asked.
std::unique_ptr<HttpServer> Started(
    const HttpServerOptions& options = Patient()) {
  auto server = std::make_unique<HttpServer>(options);
  server->Handle("/hello", {"GET"}, Says("hello"));
  server->Handle("/echo/", {"GET", "POST"}, [](const HttpRequest& request) {
    std::string text = request.method + " " + request.path +
                       " rest=" + request.rest +
                       " X=" + std::string(request.Header("x"));
    for (const auto& [name, value] : request.parameters) {
      text += " " + name + "=" + value;
    }
    return Text(text + " body=" + request.body);
  });
  const absl::Status status = server->Start();
  EXPECT_TRUE(status.ok()) << status;
  return server;
}

TEST(HttpServerTest, BadOptionsAreErrorsThatNameThem) {
  const auto error = [](const HttpServerOptions& options) {
    return HttpServer(options).Start().ToString();
  };
  HttpServerOptions options;
  options.port = 65536;
  EXPECT_EQ(error(options),
            "INVALID_ARGUMENT: port: 65536 is out of range [0, 65535]");
  options = {};
  options.address = "localhost";
  EXPECT_EQ(error(options),
            "INVALID_ARGUMENT: address: 'localhost' is not an IP address");
  options = {};
  options.max_body_bytes = 0;
  EXPECT_THAT(error(options), HasSubstr("max_body_bytes: 0 is out of range"));
  options = {};
  options.max_header_bytes = std::size_t{1} << 32;
  EXPECT_THAT(error(options), HasSubstr("max_header_bytes: 4294967296 is out"));
  options = {};
  options.max_connections = 0;
  EXPECT_THAT(error(options), HasSubstr("max_connections: 0 is out of range"));
  options = {};
  options.idle_timeout = Duration::zero();
  EXPECT_THAT(error(options), HasSubstr("idle_timeout: 0s is out of range"));
  options = {};
  options.request_timeout = seconds(-1);
  EXPECT_THAT(error(options), HasSubstr("request_timeout: -1s is out of"));
  options = {};
  options.handler_threads = 0;
  EXPECT_THAT(error(options), HasSubstr("handler_threads: 0 is out of range"));
}

TEST(HttpServerTest, ATakenPortIsAnError) {
  const auto first = Started();
  HttpServerOptions options;
  options.port = first->port();
  HttpServer second(options);
  EXPECT_EQ(second.Start().ToString(),
            "UNAVAILABLE: cannot listen on 127.0.0.1:" +
                std::to_string(first->port()) + ": Address already in use");
}

TEST(HttpServerTest, ServerThatWasNotStartedOpensNothing) {
  HttpServer server;
  EXPECT_EQ(server.port(), 0);
  server.Stop();
}

TEST(HttpServerTest, RequestsReachTheirHandlers) {
  const auto server = Started();
  EXPECT_THAT(
      Get(server->port(), "/hello"),
      MatchesRegex("HTTP/1\\.1 200 OK\r\n"
                   "Date: [A-Z][a-z][a-z], [0-9]+ [A-Z][a-z][a-z] [0-9]+ "
                   "[0-9:]+ GMT\r\n"
                   "Content-Type: text/plain; charset=utf-8\r\n"
                   "Cache-Control: no-store\r\n"
                   "X-Content-Type-Options: nosniff\r\n"
                   "Content-Length: 5\r\n\r\nhello"));
  EXPECT_EQ(BodyOf(Get(server->port(), "/echo/a%20b?c=%64&e")),
            "GET /echo/a b rest=a b X= c=d e= body=");
  RawClient client(server->port());
  client.Send("POST /echo HTTP/1.1\r\nx: 7\r\nContent-Length: 4\r\n\r\nbody");
  EXPECT_EQ(BodyOf(client.Receive()), "POST /echo rest= X=7 body=body");
  client.Send(
      "POST /echo/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nbod\r\n1\r\ny\r\n0\r\n\r\n");
  EXPECT_EQ(BodyOf(client.Receive()), "POST /echo/ rest= X= body=body");
}

TEST(HttpServerTest, TheLongestPrefixCounts) {
  HttpServer server;
  server.Handle("/", {"GET"}, Says("root"));
  server.Handle("/a/", {"GET"}, Says("a below"));
  server.Handle("/a/b", {"GET"}, Says("b"));
  server.Handle("/b", {"GET"}, Says("first"));
  server.Handle("/b", {"GET"}, Says("second"));
  ASSERT_TRUE(server.Start().ok());
  const auto body = [&server](const char* target) {
    return BodyOf(Get(server.port(), target));
  };
  EXPECT_EQ(body("/"), "root");
  EXPECT_EQ(body("/x"), "root");
  EXPECT_EQ(body("/a"), "a below");
  EXPECT_EQ(body("/a/"), "a below");
  EXPECT_EQ(body("/ab"), "root");
  EXPECT_EQ(body("/a/b"), "b");
  EXPECT_EQ(body("/a/b/"), "a below");
  EXPECT_EQ(body("/a/bc"), "a below");
  EXPECT_EQ(body("/b"), "second");
}

TEST(HttpServerTest, UnknownPathsAre404WhateverTheyTry) {
  const auto server = Started();
  for (const char* target :
       {"/", "/hell", "/hello/", "/hello%00", "/HELLO", "/..", "/../hello",
        "/%2e%2e/%2e%2e/etc/passwd", "//hello", "/hello%2f..", "/echo%20",
        "/./hello"}) {
    const std::string response = Get(server->port(), target);
    EXPECT_EQ(StatusOf(response), 404) << target << response;
    EXPECT_EQ(BodyOf(response), "not found\n");
    EXPECT_THAT(response, HasSubstr("\r\nContent-Type: text/plain;"));
    EXPECT_THAT(response, HasSubstr("\r\nX-Content-Type-Options: nosniff\r\n"));
  }
}

TEST(HttpServerTest, HeadIsGetWithoutTheBody) {
  const auto server = Started();
  RawClient client(server->port());
  client.Send("HEAD /hello HTTP/1.1\r\n\r\nHEAD /none HTTP/1.1\r\n\r\n");
  const std::string hello = client.Receive(/*head=*/true);
  EXPECT_EQ(StatusOf(hello), 200);
  EXPECT_THAT(hello, HasSubstr("\r\nContent-Length: 5\r\n"));
  const std::string none = client.Receive(/*head=*/true);
  EXPECT_EQ(StatusOf(none), 404);  // and no "hello" before it
  client.Send("GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReceiveToEnd(), EndsWith("\r\n\r\nhello"));
}

TEST(HttpServerTest, OtherMethodsAre405WithThoseThatAreAllowed) {
  const auto server = Started();
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "BREW"}) {
    const std::string response = Request(server->port(), method, "/hello");
    EXPECT_EQ(StatusOf(response), 405) << method;
    EXPECT_THAT(response, HasSubstr("\r\nAllow: GET, HEAD\r\n"));
  }
  EXPECT_THAT(Request(server->port(), "PUT", "/echo/"),
              HasSubstr("\r\nAllow: GET, HEAD, POST\r\n"));
}

TEST(HttpServerTest, BodiesUpToTheLimitPassAndLongerOnesAre413) {
  HttpServerOptions options = Patient();
  options.max_body_bytes = 1000;
  const auto server = Started(options);
  const auto post = [&server](const std::string& header,
                              const std::string& body) {
    RawClient client(server->port());
    client.Send("POST /echo/ HTTP/1.1\r\n" + header + "\r\n\r\n" + body);
    return client.Receive();
  };
  const std::string fits(1000, 'x');
  EXPECT_THAT(post("Content-Length: 1000", fits), EndsWith("body=" + fits));
  EXPECT_THAT(
      post("Transfer-Encoding: chunked", "3e8\r\n" + fits + "\r\n0\r\n\r\n"),
      EndsWith("body=" + fits));
  // Refused at its announcement: nothing of it need be sent.
  const std::string refused = post("Content-Length: 1001", "");
  EXPECT_EQ(StatusOf(refused), 413);
  EXPECT_EQ(BodyOf(refused), "the body is too long\n");
  EXPECT_THAT(refused, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_EQ(StatusOf(post("Content-Length: 99999999999999999999", "")), 400);
  EXPECT_EQ(StatusOf(post("Transfer-Encoding: chunked",
                          "3e9\r\n" + fits + "x\r\n0\r\n\r\n")),
            413);
  // The answer is not lost if the client sends it all the same.
  EXPECT_EQ(
      StatusOf(post("Content-Length: 1000000", std::string(1'000'000, 'x'))),
      413);
}

TEST(HttpServerTest, LongHeadersAre431) {
  HttpServerOptions options = Patient();
  options.max_header_bytes = 1000;
  const auto server = Started(options);
  EXPECT_EQ(StatusOf(Get(server->port(), "/hello?" + std::string(900, 'x'))),
            200);
  const std::string response =
      Get(server->port(), "/hello?" + std::string(1000, 'x'));
  EXPECT_EQ(StatusOf(response), 431);
  EXPECT_EQ(BodyOf(response), "the header is too long\n");
  // Without an end.
  RawClient client(server->port());
  client.Send("GET / HTTP/1.1\r\nX: " + std::string(100'000, 'x'));
  EXPECT_EQ(StatusOf(client.Receive()), 431);
}

TEST(HttpServerTest, WhatIsNoRequestIs400) {
  const auto server = Started();
  for (const std::string& bytes :
       {std::string("nonsense\r\n\r\n"), std::string("GET /hello\r\n\r\n"),
        std::string("GET /hello HTTP/2.0\r\n\r\n"),
        std::string("GET /hello HTTP/1.1\r\nno colon\r\n\r\n"),
        std::string("GET /he\0llo HTTP/1.1\r\n\r\n", 24),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) +
            "\r\n\r\n",
        std::string("GET /hello%zz HTTP/1.1\r\n\r\n"),
        std::string("GET hello HTTP/1.1\r\n\r\n"),
        std::string("OPTIONS * HTTP/1.1\r\n\r\n"),
        std::string("CONNECT host:443 HTTP/1.1\r\n\r\n"),
        std::string("POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
        std::string("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "zz\r\n")}) {
    RawClient client(server->port());
    client.Send(bytes);
    EXPECT_EQ(StatusOf(client.Receive()), 400)
        << ::testing::PrintToString(bytes);
  }
  EXPECT_EQ(StatusOf(Get(server->port(), "/hello")), 200);
}

TEST(HttpServerTest, RandomBytesDoNoHarm) {
  const auto server = Started();
  const auto seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937 random(seed);
  const std::string good =
      "POST /echo/x?y=%20z HTTP/1.1\r\nX: 1\r\nContent-Length: 3\r\n\r\nabc";
  for (int i = 0; i < 200; ++i) {
    std::string bytes = good;
    for (auto n = random() % 4 + 1; n > 0; --n) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    RawClient client(server->port());
    client.Send(bytes.substr(0, random() % bytes.size() + 1));
  }
  EXPECT_EQ(BodyOf(Get(server->port(), "/hello")), "hello");
}

TEST(HttpServerTest, ConnectionsAreKeptAsTheClientAsks) {
  const auto server = Started();
  RawClient kept(server->port());
  for (int i = 0; i < 3; ++i) {
    kept.Send("GET /hello HTTP/1.1\r\n\r\n");
    EXPECT_THAT(kept.Receive(), EndsWith("hello"));
  }
  // Requests that come together are answered one after the other.
  kept.Send(
      "GET /echo/1 HTTP/1.1\r\n\r\nGET /echo/2 HTTP/1.1\r\n\r\n"
      "GET /echo/3 HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::string rest = kept.ReceiveToEnd();
  EXPECT_THAT(rest, HasSubstr("GET /echo/1"));
  EXPECT_THAT(rest, HasSubstr("GET /echo/2"));
  EXPECT_THAT(rest, HasSubstr("GET /echo/3"));

  RawClient old(server->port());
  old.Send("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_THAT(old.ReceiveToEnd(), EndsWith("hello"));
}

TEST(HttpServerTest, HandlersThatThrowAre500WithoutDetails) {
  HttpServer server;
  server.Handle("/std", {"GET"}, [](const HttpRequest&) -> HttpResponse {
    throw std::runtime_error("secret");
  });
  server.Handle("/other", {"GET"},
                [](const HttpRequest&) -> HttpResponse { throw 7; });
  ASSERT_TRUE(server.Start().ok());
  for (const char* target : {"/std", "/other"}) {
    const std::string response = Get(server.port(), target);
    EXPECT_EQ(StatusOf(response), 500);
    EXPECT_EQ(BodyOf(response), "internal error\n");
  }
}

TEST(HttpServerTest, HandlersSayStatusTypeAndFurtherHeaders) {
  HttpServer server;
  server.Handle("/", {"GET"}, [](const HttpRequest&) {
    HttpResponse response;
    response.status = 503;
    response.body = "{}";
    response.content_type = "application/json";
    response.headers = {{"Retry-After", "7"}};
    return response;
  });
  ASSERT_TRUE(server.Start().ok());
  const std::string response = Get(server.port(), "/");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(response, HasSubstr("\r\nContent-Type: application/json\r\n"));
  EXPECT_THAT(response, HasSubstr("\r\nRetry-After: 7\r\n"));
}

TEST(HttpServerTest, AHandlerThatHangsDelaysNoOther) {
  std::promise<void> release;
  std::promise<void> entered;
  HttpServer server(Patient());
  server.Handle("/hello", {"GET"}, Says("hello"));
  server.Handle("/hangs", {"GET"}, [&](const HttpRequest&) {
    entered.set_value();
    release.get_future().wait();
    return Text("released");
  });
  ASSERT_TRUE(server.Start().ok());
  RawClient hangs(server.port());
  hangs.Send("GET /hangs HTTP/1.1\r\n\r\n");
  entered.get_future().wait();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(BodyOf(Get(server.port(), "/hello")), "hello");
  }
  release.set_value();
  EXPECT_EQ(BodyOf(hangs.Receive()), "released");
}

// Those of its own and as many of the server's.
bool MayOpen(rlim_t files) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < files) {
    limit.rlim_cur = std::min(files, limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur >= files;
}

class ManyClientsTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  static constexpr int kClients = 1000;

  void SetUp() override {
    if (!MayOpen(2 * kClients + 200)) {
      GTEST_SKIP() << "NOT TESTED: may not open enough files (ulimit -Hn)";
    }
    HttpServerOptions options = Patient();
    options.max_connections = GetParam();
    server_ = Started(options);
  }

  // Each sends `bytes`, and no more.
  void Connect(const std::string& bytes) {
    for (int i = 0; i < kClients; ++i) {
      clients_.emplace_back(server_->port());
      clients_.back().Send(bytes);
    }
  }

  // How long an answer takes, for the log: a test does not judge time.
  void ExpectAnswers() {
    using Clock = std::chrono::steady_clock;
    Clock::duration longest{};
    for (int i = 0; i < 100; ++i) {
      const auto begin = Clock::now();
      ASSERT_EQ(BodyOf(Get(server_->port(), "/hello")), "hello");
      longest = std::max(longest, Clock::now() - begin);
    }
    std::cout << server_->connections() << " connections open, longest of 100 "
              << "answers took "
              << std::chrono::duration<double, std::milli>(longest).count()
              << " ms\n";
    EXPECT_LE(server_->connections(), GetParam());
  }

  std::unique_ptr<HttpServer> server_;
  std::vector<RawClient> clients_;
};

TEST_P(ManyClientsTest, AThousandThatSayNothing) {
  Connect("");
  ExpectAnswers();
}

TEST_P(ManyClientsTest, AThousandInTheMiddleOfAHeader) {
  Connect("GET /hello HTTP/1.1\r\nX: ");
  ExpectAnswers();
  for (RawClient& client : clients_) client.Send("x");
  ExpectAnswers();
}

TEST_P(ManyClientsTest, AThousandInTheMiddleOfABody) {
  Connect("POST /echo/ HTTP/1.1\r\nContent-Length: 100\r\n\r\nx");
  ExpectAnswers();
}

TEST_P(ManyClientsTest, AThousandThatKeepTheirConnection) {
  Connect("GET /hello HTTP/1.1\r\n\r\n");
  ExpectAnswers();
}

TEST_P(ManyClientsTest, StopDoesNotWaitForThem) {
  Connect("GET /hello HTTP/1.1\r\nX: ");
  ExpectAnswers();
  server_->Stop();
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_EQ(clients_.back().ReceiveToEnd(), "");
}

// All of them stay; most of them have to make room.
INSTANTIATE_TEST_SUITE_P(Limits, ManyClientsTest,
                         ::testing::Values(2000, 256, 1), [](const auto& test) {
                           return "AtMost" + std::to_string(test.param);
                         });

TEST(HttpServerTest, TheOneThatWaitedLongestMakesRoom) {
  HttpServerOptions options = Patient();
  options.max_connections = 2;
  const auto server = Started(options);
  RawClient first(server->port());
  first.Send("GET /hello HTTP/1.1\r\n\r\n");
  EXPECT_EQ(StatusOf(first.Receive()), 200);
  RawClient second(server->port());
  second.Send("GET /hello HTTP/1.1\r\n\r\n");
  EXPECT_EQ(StatusOf(second.Receive()), 200);
  // The second waits longer now.
  first.Send("GET /hello HTTP/1.1\r\n\r\n");
  EXPECT_EQ(StatusOf(first.Receive()), 200);
  EXPECT_EQ(StatusOf(Get(server->port(), "/hello")), 200);
  EXPECT_EQ(second.ReceiveToEnd(), "");
  first.Send("GET /hello HTTP/1.1\r\n\r\n");
  EXPECT_EQ(StatusOf(first.Receive()), 200);
}

TEST(HttpServerTest, OldConnectionsMakeRoomWhenFilesRunOut) {
  HttpServerOptions options = Patient();
  options.max_connections = 1000;
  const auto server = Started(options);
  EXPECT_EQ(StatusOf(Get(server->port(), "/hello")), 200);
  std::vector<RawClient> clients(50);  // have their files already
  const int lowest_free = dup(STDOUT_FILENO);
  close(lowest_free);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(lowest_free) + 20;
  setrlimit(RLIMIT_NOFILE, &few);
  for (RawClient& client : clients) {
    client.Connect(server->port());
    client.Send("GET /hello HTTP/1.1\r\n\r\n");
  }
  EXPECT_EQ(StatusOf(clients.back().Receive()), 200);
  EXPECT_LE(server->connections(), 20u);
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST(HttpServerTest, WhoSaysNothingIsCutOff) {
  HttpServerOptions options = Patient();
  options.idle_timeout = milliseconds(20);
  const auto server = Started(options);
  RawClient client(server->port());
  EXPECT_EQ(client.ReceiveToEnd(), "");
}

TEST(HttpServerTest, WhoSendsARequestInDropsIsCutOffInTheEnd) {
  HttpServerOptions options = Patient();
  options.request_timeout = milliseconds(100);
  options.max_header_bytes = options.max_body_bytes = 1'000'000'000;
  const auto server = Started(options);
  for (const char* const start :
       {"GET /hello HTTP/1.1\r\nX: ",
        "POST /echo/ HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n"}) {
    RawClient client(server->port());
    client.Send(start);
    // As fast as a timeout that starts anew with each byte would allow for.
    while (client.Send("x")) std::this_thread::yield();
    EXPECT_EQ(client.ReceiveToEnd(), "");
  }
}

// More than the sockets hold.
HttpHandler SaysMuch() {
  return [](const HttpRequest&) { return Text(std::string(32 << 20, 'x')); };
}

TEST(HttpServerTest, WhoTakesNoAnswerKeepsNobodyOut) {
  HttpServerOptions options = Patient();
  options.max_connections = 4;
  HttpServer server(options);
  server.Handle("/hello", {"GET"}, Says("hello"));
  server.Handle("/much", {"GET"}, SaysMuch());
  ASSERT_TRUE(server.Start().ok());
  std::vector<RawClient> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back(server.port());
    clients.back().Send("GET /much HTTP/1.1\r\n\r\n");
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(BodyOf(Get(server.port(), "/hello")), "hello");
  }
}

TEST(HttpServerTest, WhoTakesNoAnswerIsCutOffInTheEnd) {
  HttpServerOptions options = Patient();
  options.request_timeout = milliseconds(50);
  std::promise<void> entered;
  HttpServer server(options);
  server.Handle("/much", {"GET"}, [&entered](const HttpRequest& request) {
    entered.set_value();
    return SaysMuch()(request);
  });
  ASSERT_TRUE(server.Start().ok());
  RawClient client(server.port());
  client.Send("GET /much HTTP/1.1\r\n\r\n");
  entered.get_future().wait();
  while (server.connections() > 0) std::this_thread::yield();
  EXPECT_LT(client.ReceiveToEnd().size(), std::size_t{32} << 20);
}

TEST(HttpServerTest, StopWaitsForHandlersAndForNothingElse) {
  std::promise<void> entered;
  std::promise<void> release;
  std::atomic<bool> left = false;
  HttpServer server(Patient());
  server.Handle("/", {"GET"}, [&](const HttpRequest&) {
    entered.set_value();
    release.get_future().wait();
    left = true;
    return Text("late");
  });
  ASSERT_TRUE(server.Start().ok());
  const RawClient idle(server.port());
  RawClient client(server.port());
  client.Send("GET / HTTP/1.1\r\n\r\n");
  entered.get_future().wait();
  std::thread stop([&] {
    server.Stop();
    EXPECT_TRUE(left);
  });
  EXPECT_EQ(client.ReceiveToEnd(), "");  // closed while the handler runs
  release.set_value();
  stop.join();
}

TEST(HttpServerTest, ClientsComeAndGoWhileItStops) {
  for (int round = 0; round < 5; ++round) {
    auto server = Started();
    const int port = server->port();
    std::atomic<int> answered = 0;
    std::vector<std::thread> clients;
    clients.reserve(4);
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&answered, client = RawClient(port)]() mutable {
        while (client.Send("GET /hello HTTP/1.1\r\n\r\n") &&
               StatusOf(client.Receive()) == 200) {
          ++answered;
        }
      });
    }
    while (answered < 20) std::this_thread::yield();
    server.reset();
    for (std::thread& client : clients) client.join();
  }
}

}  // namespace
}  // namespace fusebox
