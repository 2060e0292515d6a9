#include "interceptor/stats/status_pages.h"

#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/http/http_server.h"
#include "interceptor/http/testing/raw_client.h"
#include "interceptor/stats/statistics.h"

namespace fusebox {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The example of statistics.h, as someone has it who never saw it before.
TEST(StatusPagesExampleTest, ACounterIsThreeLines) {
  HttpServer http;

  Statistics statistics;
  AddStatusPages(http, &statistics);
  statistics.Integer("/cache/hits").Add();

  ASSERT_TRUE(http.Start().ok());
  EXPECT_EQ(BodyOf(Get(http.port(), "/status/cache/hits?format=json")), "1\n");
  EXPECT_THAT(BodyOf(Get(http.port(), "/status/")),
              HasSubstr("<li><a href=\"/status/cache/hits\">hits</a> "
                        "<span>1</span></li>"));
}

class StatusPagesTest : public ::testing::Test {
 protected:
  StatusPagesTest() {
    statistics_.Integer("/cache/hits").Set(5);
    statistics_.Integer("/cache/misses").Set(2);
    statistics_.String("/cache/state").Set("warm");
    AddStatusPages(http_, &statistics_);
    EXPECT_TRUE(http_.Start().ok());
  }

  std::string Page(const std::string& target) {
    return Get(http_.port(), target);
  }

  Statistics statistics_;
  HttpServer http_;
};

TEST_F(StatusPagesTest, JsonIsOnOneLine) {
  const std::string page = Page("/status/?format=json");
  EXPECT_EQ(StatusOf(page), 200);
  EXPECT_THAT(page, HasSubstr("\r\nContent-Type: application/json\r\n"));
  EXPECT_EQ(BodyOf(page),
            "{\"cache\":{\"hits\":5,\"misses\":2,\"state\":\"warm\"},"
            "\"statistics\":{\"failed_gauges\":0}}\n");
}

TEST_F(StatusPagesTest, PrettyJsonIsForPeople) {
  EXPECT_EQ(BodyOf(Page("/status/cache?format=prettyjson")),
            "{\n  \"hits\": 5,\n  \"misses\": 2,\n  \"state\": \"warm\"\n}\n");
}

TEST_F(StatusPagesTest, HtmlIsTheDefault) {
  for (const char* target : {"/status/", "/status", "/status/?format=html"}) {
    const std::string page = Page(target);
    EXPECT_EQ(StatusOf(page), 200);
    EXPECT_THAT(page,
                HasSubstr("\r\nContent-Type: text/html; charset=utf-8\r\n"));
    EXPECT_THAT(page, HasSubstr("\r\nContent-Security-Policy: default-src "
                                "'none';"));
    EXPECT_THAT(page, HasSubstr("<title>status</title>"));
    EXPECT_THAT(page, HasSubstr("<li><a href=\"/status/cache\">cache</a> <ul>\n"
                                "<li><a href=\"/status/cache/hits\">hits</a> "
                                "<span>5</span></li>\n"));
    EXPECT_THAT(page, Not(HasSubstr("<script")));
  }
}

TEST_F(StatusPagesTest, APathIsTheSubtree) {
  EXPECT_EQ(BodyOf(Page("/status/cache/?format=json")),
            "{\"hits\":5,\"misses\":2,\"state\":\"warm\"}\n");
  EXPECT_EQ(BodyOf(Page("/status/cache/state?format=json")), "\"warm\"\n");
  const std::string page = Page("/status/cache/state");
  EXPECT_THAT(page, HasSubstr("<title>status/cache/state</title>"));
  EXPECT_THAT(page, HasSubstr("<h1><a href=\"/status/\">status</a> / "
                              "<a href=\"/status/cache\">cache</a> / "));
  EXPECT_THAT(page, HasSubstr("<span>warm</span>"));
}

TEST_F(StatusPagesTest, QueriesPickAndCompare) {
  EXPECT_EQ(BodyOf(Page("/status/?format=json&query=hits")),
            "{\"cache\":{\"hits\":5}}\n");
  EXPECT_EQ(BodyOf(Page("/status/cache?query=hits&format=json")),
            "{\"hits\":5}\n");
  EXPECT_EQ(BodyOf(Page("/status/?format=json&query=hits%20%3E=%205")),
            "{\"cache\":{\"hits\":5}}\n");
  EXPECT_EQ(BodyOf(Page("/status/?format=json&query=hits+%3E+5")), "{}\n");
  EXPECT_EQ(BodyOf(Page("/status/?format=json&query=hits!=5")), "{}\n");
  EXPECT_EQ(BodyOf(Page("/status/?format=json&query=state==warm")),
            "{\"cache\":{\"state\":\"warm\"}}\n");
  EXPECT_EQ(BodyOf(Page("/status/?format=json&query=nobody")), "{}\n");
  const std::string page = Page("/status/?query=hits%20%3C%206");
  EXPECT_THAT(page, HasSubstr("<a href=\"/status/cache/hits\">"));
  EXPECT_THAT(page, Not(HasSubstr("misses")));
  EXPECT_THAT(page, HasSubstr("value=\"hits &lt; 6\""));
}

TEST_F(StatusPagesTest, WhatIsNotThereIs404) {
  for (const char* target :
       {"/status/nobody", "/status/cache/hits/5", "/status//", "/status/cach",
        "/status/../status/cache", "/status/%00", "/status/nobody?query=hits",
        "/statusx"}) {
    const std::string page = Page(target);
    EXPECT_EQ(StatusOf(page), 404) << target;
    EXPECT_THAT(page, HasSubstr("\r\nContent-Type: text/plain"));
    EXPECT_THAT(page, Not(HasSubstr("nobody")));
  }
}

TEST_F(StatusPagesTest, BadQueriesAndFormatsAre400) {
  for (const char* target :
       {"/status/?query", "/status/?query=", "/status/?query=%3E5",
        "/status/?query=hits%3E", "/status/?query=a%3Eb%3Ec",
        "/status/nobody?query=", "/status/?format=json&query=+",
        "/status/?query=<script>", "/status/?format=xml", "/status/?format="}) {
    const std::string page = Page(target);
    EXPECT_EQ(StatusOf(page), 400) << target;
    EXPECT_THAT(page, HasSubstr("\r\nContent-Type: text/plain"));
    EXPECT_THAT(page, Not(HasSubstr("script")));
  }
  EXPECT_EQ(BodyOf(Page("/status/?format=xml")),
            "format is not valid: json or prettyjson\n");
  EXPECT_EQ(BodyOf(Page("/status/?query=")),
            "query is not valid: KEY or KEY OP VALUE, OP one of >= > < <= = == "
            "!=\n");
}

TEST_F(StatusPagesTest, HostileNamesAreTextAndCanBeFollowed) {
  const std::string name = "<script>alert('x')</script>&\"/\n\x7f\xff";
  statistics_.Map("/users").Add(name, 3);
  statistics_.String("/text").Set("</span><b onclick=\"x\">\x01");
  const std::string page = Page("/status/");
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<b ")));
  EXPECT_THAT(page, HasSubstr("<span>&lt;/span&gt;&lt;b "
                              "onclick=&quot;x&quot;&gt;\xef\xbf\xbd</span>"));
  const std::string address =
      "/status/users/"
      "%3Cscript%3Ealert%28%27x%27%29%3C%2Fscript%3E%26%22%2F%0A%7F%EF%BF%BD";
  EXPECT_THAT(page,
              HasSubstr("<li><a href=\"" + address +
                        "\">&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"
                        "&amp;&quot;/\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd</a> "
                        "<span>3</span></li>"));
  EXPECT_EQ(BodyOf(Page(address + "?format=json")), "3\n");
  EXPECT_THAT(Page(address), Not(HasSubstr("<script")));
  const auto json =
      nlohmann::json::parse(BodyOf(Page("/status/users?format=json")));
  EXPECT_EQ(json.begin().key(),
            "<script>alert('x')</script>&\"/\n\x7f\xef\xbf\xbd");
}

TEST_F(StatusPagesTest, HostileQueriesAreText) {
  const std::string page =
      Page("/status/?query=%22%20autofocus%20onfocus%27%ff%00");
  EXPECT_EQ(StatusOf(page), 200);
  EXPECT_THAT(page, HasSubstr("value=\"&quot; autofocus onfocus&#39;"
                              "\xef\xbf\xbd\xef\xbf\xbd\""));
}

TEST_F(StatusPagesTest, AGaugeThatThrowsCostsItsValueOnly) {
  statistics_.Gauge("/broken", []() -> double { throw 1; });
  EXPECT_EQ(BodyOf(Page("/status/broken?format=json")), "null\n");
  EXPECT_THAT(Page("/status/"), HasSubstr("<span>null</span>"));
  EXPECT_EQ(BodyOf(Page("/status/statistics/failed_gauges?format=json")),
            "3\n");
}

TEST_F(StatusPagesTest, PagesAreReadOnly) {
  EXPECT_EQ(StatusOf(Request(http_.port(), "HEAD", "/status/")), 200);
  for (const char* method : {"POST", "PUT", "DELETE"}) {
    EXPECT_EQ(StatusOf(Request(http_.port(), method, "/status/cache")), 405);
  }
}

TEST_F(StatusPagesTest, PagesAreWholeWhileStatisticsComeAndChange) {
  std::thread writer([this] {
    for (int i = 0; i < 500; ++i) {
      statistics_.Integer("/new/" + std::to_string(i)).Add();
      statistics_.Integer("/cache/hits").Add();
    }
  });
  int last = 0;
  for (int i = 0; i < 20; ++i) {
    const auto json =
        nlohmann::json::parse(BodyOf(Page("/status/cache/hits?format=json")));
    EXPECT_GE(json.get<int>(), last);
    last = json.get<int>();
  }
  writer.join();
  EXPECT_EQ(BodyOf(Page("/status/cache/hits?format=json")), "505\n");
}

TEST(StatusHtmlTest, LinksOfNamesWithSlashesLeadBackToThem) {
  const nlohmann::ordered_json tree = {{"c/", {{"", 1}}}};
  const std::string html = StatusHtml(tree, {"a/b", "dns:///"}, "");
  EXPECT_THAT(html, HasSubstr("<a href=\"/status/a%2Fb\">a/b</a> / "
                              "<a href=\"/status/a%2Fb/dns%3A%2F%2F%2F\">"
                              "dns:///</a>"));
  EXPECT_THAT(html, HasSubstr("\"/status/a%2Fb/dns%3A%2F%2F%2F/c%2F\""));
  EXPECT_THAT(html, HasSubstr("\"/status/a%2Fb/dns%3A%2F%2F%2F/c%2F/\""));
}

}  // namespace
}  // namespace fusebox
