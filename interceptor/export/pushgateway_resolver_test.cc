#include "interceptor/export/pushgateway_resolver.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fusebox {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::StartsWith;

TEST(ResolveAddressesTest, AddressesStandForThemselves) {
  EXPECT_THAT(ResolveAddresses("127.0.0.2").value(), ElementsAre("127.0.0.2"));
  EXPECT_THAT(ResolveAddresses("0:0::1").value(), ElementsAre("::1"));
}

TEST(ResolveAddressesTest, ANameHasItsAddresses) {
  EXPECT_THAT(ResolveAddresses("localhost").value(),
              Contains(AnyOf("127.0.0.1", "::1")));
}

TEST(ResolveAddressesTest, AnErrorNamesTheHost) {
  // Longer than a part of a name can be: no server is asked.
  const std::string name(64, 'x');
  const absl::Status status = ResolveAddresses(name).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), StartsWith(name + ": "));
}

// Waits until it is called.
class Call {
 public:
  void operator()() {
    const std::lock_guard<std::mutex> lock(mutex_);
    called_ = true;
    changed_.notify_all();
  }
  void Await() {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::minutes(1),
                                  [this] { return called_; }));
    called_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool called_ = false;
};

TEST(BackgroundResolverTest, LooksUpAgainAndAgain) {
  std::atomic<int> lookups{0};
  Call ended;
  BackgroundResolver resolver(
      [&](const std::string& host) -> Addresses {
        return std::vector<std::string>{host, std::to_string(++lookups)};
      },
      "name", [&ended] { ended(); });
  EXPECT_EQ(resolver.Take(), std::nullopt);
  for (const std::string lookup : {"1", "2", "3"}) {
    EXPECT_TRUE(resolver.Begin());
    ended.Await();
    EXPECT_FALSE(resolver.Begin());  // not taken yet
    EXPECT_THAT(resolver.Take().value().value(), ElementsAre("name", lookup));
    EXPECT_EQ(resolver.Take(), std::nullopt);
  }
}

TEST(BackgroundResolverTest, AThrowIsAnError) {
  Call ended;
  bool odd = true;
  BackgroundResolver resolver(
      [&odd](const std::string&) -> Addresses {
        if (std::exchange(odd, !odd)) throw std::runtime_error("out of luck");
        throw 1;
      },
      "name", [&ended] { ended(); });
  for (const std::string message :
       {"the resolver threw: out of luck", "the resolver threw"}) {
    EXPECT_TRUE(resolver.Begin());
    ended.Await();
    EXPECT_EQ(resolver.Take().value().status().message(), message);
  }
}

TEST(BackgroundResolverTest, IsNotKeptByALookupThatHangs) {
  std::promise<void> release;
  std::promise<void> begun;
  std::promise<void> gone;
  // The resolver function owns it, so it is gone when that is.
  std::shared_ptr<void> owned(nullptr, [&gone](void*) { gone.set_value(); });
  bool called = false;
  {
    BackgroundResolver resolver(
        [&release, &begun,
         owned = std::move(owned)](const std::string&) -> Addresses {
          begun.set_value();
          release.get_future().wait();
          return std::vector<std::string>{};
        },
        "name", [&called] { called = true; });
    EXPECT_TRUE(resolver.Begin());
    begun.get_future().wait();
    EXPECT_FALSE(resolver.Begin());  // under way
  }
  release.set_value();
  EXPECT_EQ(gone.get_future().wait_for(std::chrono::minutes(1)),
            std::future_status::ready);
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace fusebox
