#include "interceptor/health/http_check.h"

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <variant>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/http/http_server.h"

namespace fusebox {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

CheckResult Ask(const Check& check,
                Duration time_limit = std::chrono::minutes(1)) {
  const std::atomic<bool> cancelled = false;
  return check(CheckRun(time_limit, cancelled));
}

class HttpCheckTest : public ::testing::Test {
 protected:
  HttpCheckTest() {
    const auto answer = [](int status) {
      return [status](const HttpRequest&) {
        HttpResponse response;
        response.status = status;
        response.body = std::string(100'000, 'x');
        if (status == 302) response.headers = {{"Location", "/ok"}};
        return response;
      };
    };
    server_.Handle("/ok", {"GET"}, answer(200));
    server_.Handle("/bad", {"GET"}, answer(503));
    server_.Handle("/moved", {"GET"}, answer(302));
    server_.Handle("/auth", {"GET"}, [](const HttpRequest& request) {
      HttpResponse response;
      response.status =
          request.Header("Authorization") == "Basic dTpw" ? 200 : 401;
      return response;
    });
    server_.Handle("/hangs", {"GET"}, [this](const HttpRequest&) {
      release_.get_future().wait();
      return HttpResponse();
    });
    EXPECT_TRUE(server_.Start().ok());
  }
  ~HttpCheckTest() override { release_.set_value(); }

  std::string Url(const std::string& path, const std::string& user = "") const {
    return "http://" + user + "127.0.0.1:" + std::to_string(server_.port()) +
           path;
  }

  std::promise<void> release_;
  HttpServer server_;
};

TEST_F(HttpCheckTest, TheExpectedStatusIsHealthy) {
  CheckResult result = Ask(HttpCheck(Url("/ok")));
  EXPECT_TRUE(result.healthy);
  EXPECT_EQ(result.message, Url("/ok") + " answers 200");
  EXPECT_EQ(std::get<std::int64_t>(result.fields.at("status")), 200);
  EXPECT_TRUE(Ask(HttpCheck(Url("/bad"), 503)).healthy);
}

TEST_F(HttpCheckTest, AnotherStatusIsNot) {
  const CheckResult result = Ask(HttpCheck(Url("/bad")));
  EXPECT_FALSE(result.healthy);
  EXPECT_EQ(result.message, Url("/bad") + " answers 503, not 200");
  EXPECT_EQ(std::get<std::int64_t>(result.fields.at("status")), 503);
  // Redirections are not followed.
  EXPECT_EQ(Ask(HttpCheck(Url("/moved"))).message,
            Url("/moved") + " answers 302, not 200");
}

TEST_F(HttpCheckTest, WithoutAUrlThereIsNothingToAsk) {
  EXPECT_FALSE(Ask(HttpCheck("")).healthy);
  EXPECT_EQ(Ask(HttpCheck("")).message, "no URL was given");
  for (const char* url : {"no scheme", "http://", "/path"}) {
    EXPECT_EQ(Ask(HttpCheck(url)).message, "what was given is not a URL")
        << url;
  }
  EXPECT_THAT(Ask(HttpCheck("file:///etc/hostname")).message,
              StartsWith("file:///etc/hostname cannot be reached: "));
}

TEST_F(HttpCheckTest, NobodyThereSaysWhy) {
  server_.Stop();
  const CheckResult result = Ask(HttpCheck(Url("/ok")));
  EXPECT_FALSE(result.healthy);
  EXPECT_THAT(result.message, StartsWith(Url("/ok") + " cannot be reached: "));
  EXPECT_THAT(result.message, HasSubstr("connect to 127.0.0.1"));
}

TEST_F(HttpCheckTest, SecretsAreSentAndNotShown) {
  EXPECT_TRUE(Ask(HttpCheck(Url("/auth", "u:p@"))).healthy);
  EXPECT_EQ(Ask(HttpCheck(Url("/auth?token=t#f", "x:y@"))).message,
            Url("/auth") + " answers 401, not 200");
}

TEST_F(HttpCheckTest, EndsAtItsTimeLimit) {
  const CheckResult result =
      Ask(HttpCheck(Url("/hangs")), std::chrono::milliseconds(50));
  EXPECT_FALSE(result.healthy);
  EXPECT_THAT(result.message, HasSubstr("cannot be reached: "));
}

TEST_F(HttpCheckTest, EndsWhenItIsCancelled) {
  const std::atomic<bool> cancelled = true;
  const CheckResult result =
      HttpCheck(Url("/hangs"))(CheckRun(std::chrono::hours(1), cancelled));
  EXPECT_FALSE(result.healthy);
}

}  // namespace
}  // namespace fusebox
