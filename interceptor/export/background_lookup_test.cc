#include "interceptor/export/background_lookup.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

namespace fusebox {
namespace {

std::string Parsed(std::string_view text) {
  const std::optional<HostPort> parsed = ParseHostPort(text, 2003);
  if (!parsed.has_value()) return "nothing";
  return parsed->host + " " + std::to_string(parsed->port);
}

TEST(ParseHostPortTest, TakesNamesAndAddressesWithAndWithoutPort) {
  EXPECT_EQ(Parsed("carbon"), "carbon 2003");
  EXPECT_EQ(Parsed("carbon:1"), "carbon 1");
  EXPECT_EQ(Parsed("10.0.0.1:65535"), "10.0.0.1 65535");
  EXPECT_EQ(Parsed("[::1]"), "::1 2003");
  EXPECT_EQ(Parsed("[::1]:80"), "::1 80");
}

TEST(ParseHostPortTest, TakesNothingElse) {
  for (const char* text :
       {"", ":1", "a:", "a:0", "a:65536", "a:-1", "a:+1", "a:1x", "a: 1", "::1",
        "[::1", "[::1]80", "[]:80", "a:99999999999"}) {
    EXPECT_EQ(Parsed(text), "nothing") << text;
  }
}

TEST(LookUpTest, FindsAddressesOfBothKindsOnce) {
  const LookupResult v4 = LookUp({"127.0.0.1", 80});
  ASSERT_EQ(v4.addresses.size(), 1U) << v4.error;
  EXPECT_EQ(v4.addresses[0].storage.ss_family, AF_INET);
  sockaddr_in address = {};
  std::memcpy(&address, v4.addresses[0].get(), sizeof(address));
  EXPECT_EQ(ntohs(address.sin_port), 80);

  const LookupResult v6 = LookUp({"::1", 80});
  ASSERT_EQ(v6.addresses.size(), 1U) << v6.error;
  EXPECT_EQ(v6.addresses[0].storage.ss_family, AF_INET6);
  EXPECT_FALSE(v4.addresses[0] == v6.addresses[0]);
}

TEST(LookUpTest, SaysWhatIsWrong) {
  const LookupResult result = LookUp({"no such name", 80});
  EXPECT_TRUE(result.addresses.empty());
  EXPECT_EQ(result.error.substr(0, 14), "no such name: ");
}

// Waits until there is a result.
LookupResult Await(BackgroundLookup& lookup) {
  pollfd file = {lookup.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&file, 1, /*timeout=*/60'000), 1);
  return lookup.Take().value_or(LookupResult{{}, "none"});
}

TEST(BackgroundLookupTest, HasTheResultOnce) {
  BackgroundLookup lookup(
      [](const HostPort& name) {
        return LookupResult{{}, name.host};
      },
      {"carbon", 1});
  EXPECT_EQ(Await(lookup).error, "carbon");
  EXPECT_FALSE(lookup.Take().has_value());
}

TEST(BackgroundLookupTest, ALookUpThatThrowsHasFoundNothing) {
  BackgroundLookup lookup(
      [](const HostPort&) -> LookupResult { throw std::runtime_error("no"); },
      {"carbon", 1});
  EXPECT_EQ(Await(lookup).error, "carbon: the look-up threw");
}

TEST(BackgroundLookupTest, NobodyWaitsForOneThatHangs) {
  struct Gate {
    std::mutex mu;
    std::condition_variable changed;
    bool open = false;
    bool passed = false;
  };
  const auto gate = std::make_shared<Gate>();
  {
    BackgroundLookup lookup(
        [gate](const HostPort&) {
          std::unique_lock<std::mutex> lock(gate->mu);
          gate->changed.wait(lock, [&] { return gate->open; });
          gate->passed = true;
          gate->changed.notify_all();
          return LookupResult{};
        },
        {"carbon", 1});
    EXPECT_FALSE(lookup.Take().has_value());
  }
  // It is gone, and the thread still there.
  std::unique_lock<std::mutex> lock(gate->mu);
  EXPECT_FALSE(gate->passed);
  gate->open = true;
  gate->changed.notify_all();
  gate->changed.wait(lock, [&] { return gate->passed; });
}

}  // namespace
}  // namespace fusebox
