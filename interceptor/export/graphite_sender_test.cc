#include "interceptor/export/graphite_sender.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "interceptor/export/loopback_testing.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TimePoint kStart{std::chrono::hours(1)};

GraphiteSenderOptions OptionsFor(int port) {
  GraphiteSenderOptions options;
  options.carbon = {"127.0.0.1", port};
  options.look_up = &LookUp;
  options.timeout = seconds(10);
  options.min_retry = seconds(1);
  options.max_retry = seconds(5);
  options.max_buffered_bytes = 1 << 20;
  return options;
}

// A sender whose time stands still unless it is told to go on.
class Sender {
 public:
  explicit Sender(const GraphiteSenderOptions& options) : sender_(options) {}

  GraphiteSender* operator->() { return &sender_; }
  void Advance(Duration by) { now_ += by; }
  TimePoint now() const { return now_; }
  Awaited Tick() { return sender_.Tick(now_); }
  template <class F>
  bool Until(F done) {
    return TickUntil([this] { return Tick(); }, done);
  }
  // Until an attempt fails.
  bool UntilFailure() {
    const auto before = sender_.stats().failed_attempts;
    return Until([&] { return sender_.stats().failed_attempts > before; });
  }
  // The same, however much time has to pass.
  bool UntilGivenUp() {
    return Until([&] {
      const Awaited awaited = Tick();
      if (awaited.until != TimePoint::max()) now_ = awaited.until;
      return sender_.stats().failed_attempts > 0;
    });
  }

 private:
  GraphiteSender sender_;
  TimePoint now_ = kStart;
};

// What carbon does: reads a connection to its end and closes it.
class Carbon {
 public:
  explicit Carbon(int port = 0) : listener_(port) {}

  int port() const { return listener_.port(); }
  const std::string& text() const { return text_; }

  // Whether there is a connection.
  bool Accepted() {
    if (!connection_.has_value()) connection_ = listener_.Accept();
    return connection_.has_value();
  }
  FileDescriptor& connection() { return *connection_; }
  void Hangup() { connection_.reset(); }

  // Whether everything of the connection has been read.
  bool AtEnd() { return Accepted() && ReadToEnd(*connection_, text_); }
  // Reads, and closes what is at its end.
  void Serve() {
    if (AtEnd()) Hangup();
  }

 private:
  TcpListener listener_;
  std::optional<FileDescriptor> connection_;
  std::string text_;
};

TEST(GraphiteSenderTest, WithoutLinesItConnectsToNobody) {
  Carbon carbon;
  Sender sender(OptionsFor(carbon.port()));
  const Awaited awaited = sender.Tick();
  EXPECT_LT(awaited.fd, 0);
  EXPECT_EQ(awaited.until, TimePoint::max());
  EXPECT_FALSE(carbon.Accepted());
}

TEST(GraphiteSenderTest, LinesCountAsSentWhenCarbonHasReadThem) {
  Carbon carbon;
  Sender sender(OptionsFor(carbon.port()));
  sender->Add("a 1 2\nb 3 4\n");
  ASSERT_TRUE(sender.Until([&] { return carbon.AtEnd(); }));
  EXPECT_EQ(carbon.text(), "a 1 2\nb 3 4\n");
  sender.Tick();
  EXPECT_EQ(sender->stats().lines_sent, 0U);
  EXPECT_EQ(sender->stats().buffered_bytes, 12U);
  carbon.Hangup();
  ASSERT_TRUE(sender.Until([&] { return sender->stats().lines_sent == 2; }));
  EXPECT_EQ(sender->stats().buffered_bytes, 0U);
  EXPECT_EQ(sender->stats().lines_dropped, 0U);
  EXPECT_EQ(sender->stats().failed_attempts, 0U);
}

TEST(GraphiteSenderTest, WhatAKilledCarbonHadNotReadIsSentAgain) {
  auto carbon = std::make_unique<Carbon>();
  const int port = carbon->port();
  Sender sender(OptionsFor(port));
  sender->Add("a 1 2\n");
  ASSERT_TRUE(sender.Until([&] { return carbon->Accepted(); }));
  Abort(carbon->connection());
  carbon.reset();
  ASSERT_TRUE(sender.UntilFailure());
  sender->Add("b 3 4\n");
  EXPECT_EQ(sender->stats().lines_sent, 0U);

  Carbon restarted(port);
  sender.Advance(seconds(1));
  ASSERT_TRUE(sender.Until([&] {
    restarted.Serve();
    return sender->stats().lines_sent == 2;
  }));
  EXPECT_EQ(restarted.text(), "a 1 2\nb 3 4\n");
  EXPECT_EQ(sender->stats().lines_dropped, 0U);
}

// A port that nobody listens on.
int ClosedPort() { return TcpListener().port(); }

TEST(GraphiteSenderTest, WaitsTwiceAsLongAfterEachFailure) {
  Sender sender(OptionsFor(ClosedPort()));
  sender->Add("a 1 2\n");
  ASSERT_TRUE(sender.UntilFailure());
  EXPECT_EQ(sender->stats().last_error, "connect: Connection refused");
  std::uint64_t attempts = 1;
  for (seconds wait :
       {seconds(1), seconds(2), seconds(4), seconds(5), seconds(5)}) {
    const Awaited awaited = sender.Tick();
    EXPECT_LT(awaited.fd, 0);
    EXPECT_EQ(awaited.until, sender.now() + wait);
    sender.Advance(wait - Duration(1));
    sender.Tick();
    EXPECT_EQ(sender->stats().failed_attempts, attempts);
    sender.Advance(Duration(1));
    ASSERT_TRUE(sender.UntilFailure());
    EXPECT_EQ(sender->stats().failed_attempts, ++attempts);
  }
}

TEST(GraphiteSenderTest, WaitsBeginAnewAfterABatchWasSent) {
  const int port = ClosedPort();
  Sender sender(OptionsFor(port));
  sender->Add("a 1 2\n");
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(sender.UntilFailure());
    sender.Advance(seconds(5));
  }
  {
    Carbon carbon(port);
    ASSERT_TRUE(sender.Until([&] {
      carbon.Serve();
      return sender->stats().lines_sent == 1;
    }));
  }
  sender->Add("b 3 4\n");
  ASSERT_TRUE(sender.UntilFailure());
  EXPECT_EQ(sender.Tick().until, sender.now() + seconds(1));
}

TEST(GraphiteSenderTest, GivesUpACarbonThatDoesNotRead) {
  Carbon carbon;
  Sender sender(OptionsFor(carbon.port()));
  sender->Add("a 1 2\n");
  // Accepted by the kernel, taken by the kernel, and that is all.
  ASSERT_TRUE(sender.Until([&] {
    return carbon.Accepted() && sender.Tick().until == kStart + seconds(10);
  }));
  sender.Advance(seconds(10) - Duration(1));
  sender.Tick();
  EXPECT_EQ(sender->stats().failed_attempts, 0U);
  sender.Advance(Duration(1));
  ASSERT_TRUE(sender.UntilFailure());
  EXPECT_EQ(sender->stats().last_error, "await the end: Connection timed out");
  EXPECT_EQ(sender->stats().buffered_bytes, 6U);
}

// More than the kernel takes for somebody who does not read.
std::string LongLine() { return std::string(12 << 20, 'x') + " 1 2\n"; }

TEST(GraphiteSenderTest, GivesUpACarbonThatStopsReading) {
  Carbon carbon;
  GraphiteSenderOptions options = OptionsFor(carbon.port());
  options.max_buffered_bytes = 16 << 20;
  Sender sender(options);
  sender->Add(LongLine());
  ASSERT_TRUE(sender.UntilGivenUp());
  EXPECT_EQ(sender->stats().last_error, "write: Connection timed out");
}

TEST(GraphiteSenderTest, KeepsUpWithACarbonThatReadsSlowly) {
  Carbon carbon;
  GraphiteSenderOptions options = OptionsFor(carbon.port());
  options.max_buffered_bytes = 16 << 20;
  Sender sender(options);
  const std::string line = LongLine();
  sender->Add(line);
  // Nearly the whole timeout between what it reads.
  ASSERT_TRUE(sender.Until([&] {
    if (carbon.Accepted() &&
        sender.Tick().until == sender.now() + seconds(10)) {
      sender.Advance(seconds(10) - Duration(1));
    }
    carbon.Serve();
    return sender->stats().lines_sent == 1;
  }));
  EXPECT_TRUE(carbon.text() == line);
  EXPECT_EQ(sender->stats().failed_attempts, 0U);
  EXPECT_GT(sender.now(), kStart);
}

TEST(GraphiteSenderTest, MuchIsSentInBatchesOfWholeLines) {
  Carbon carbon;
  Sender sender(OptionsFor(carbon.port()));
  const std::string line = std::string(99, 'x') + "\n";
  std::string lines;
  for (int i = 0; i < 3000; ++i) lines += line;
  sender->Add(lines);
  std::size_t batches = 0;
  ASSERT_TRUE(sender.Until([&] {
    if (carbon.AtEnd()) {
      ++batches;
      EXPECT_EQ(carbon.text().size() % 100, 0U);
      carbon.Hangup();
    }
    return sender->stats().lines_sent == 3000;
  }));
  EXPECT_EQ(batches, 300'000 / GraphiteSender::kBatchBytes + 1);
  EXPECT_TRUE(carbon.text() == lines);
}

TEST(GraphiteSenderTest, TheOldestLinesAreDroppedWhenThereIsNoRoom) {
  GraphiteSenderOptions options = OptionsFor(ClosedPort());
  options.max_buffered_bytes = 20;
  GraphiteSender sender(options);
  sender.Add("line 1 10\nline 2 10\n");  // 20 bytes
  EXPECT_EQ(sender.stats().buffered_bytes, 20U);
  EXPECT_EQ(sender.stats().lines_dropped, 0U);
  sender.Add("3\n");
  EXPECT_EQ(sender.stats().buffered_bytes, 12U);
  EXPECT_EQ(sender.stats().lines_dropped, 1U);
  sender.Add("line 4 10\nline 5 10\n");
  EXPECT_EQ(sender.stats().buffered_bytes, 20U);
  EXPECT_EQ(sender.stats().lines_dropped, 3U);
  sender.Add("a line that does not fit at all 6 10\n");
  EXPECT_EQ(sender.stats().buffered_bytes, 0U);
  EXPECT_EQ(sender.stats().lines_dropped, 6U);
}

TEST(GraphiteSenderTest, TheBatchUnderWayIsDroppedLast) {
  Carbon carbon;
  GraphiteSenderOptions options = OptionsFor(carbon.port());
  options.max_buffered_bytes = 20;
  Sender sender(options);
  sender->Add("line 1 10\n");
  ASSERT_TRUE(sender.Until([&] { return carbon.Accepted(); }));
  sender->Add("line 2 10\n");
  sender->Add("line 3 10\n");
  ASSERT_TRUE(sender.Until([&] {
    carbon.Serve();
    return sender->stats().lines_sent == 2;
  }));
  EXPECT_EQ(carbon.text(), "line 1 10\nline 3 10\n");
  EXPECT_EQ(sender->stats().lines_dropped, 1U);
}

TEST(GraphiteSenderTest, MemoryIsBoundedWhileCarbonHangs) {
  Carbon carbon;
  GraphiteSenderOptions options = OptionsFor(carbon.port());
  options.max_buffered_bytes = 100'000;
  Sender sender(options);
  std::string round;
  for (int i = 0; i < 100; ++i)
    round += "some.path.of.a.method 12.5 1700000000\n";
  for (int i = 0; i < 1000; ++i) {
    sender->Add(round);
    sender.Tick();
    sender.Advance(seconds(60));
    EXPECT_LE(sender->stats().buffered_bytes, 100'000U);
  }
  ASSERT_TRUE(sender.UntilGivenUp());
  const GraphiteSenderStats stats = sender->stats();
  EXPECT_EQ(stats.lines_sent, 0U);
  EXPECT_EQ(stats.lines_dropped,
            100'000 - stats.buffered_bytes / (round.size() / 100));
}

SocketAddress Loopback(int port) {
  return LookUp({"127.0.0.1", port}).addresses[0];
}

TEST(GraphiteSenderTest, TriesEachAddressOfTheName) {
  Carbon carbon;
  const int closed = ClosedPort();
  GraphiteSenderOptions options = OptionsFor(carbon.port());
  options.look_up = [&](const HostPort&) {
    return LookupResult{{Loopback(closed), Loopback(carbon.port())}, ""};
  };
  Sender sender(options);
  sender->Add("a 1 2\n");
  ASSERT_TRUE(sender.Until([&] {
    carbon.Serve();
    return sender->stats().lines_sent == 1;
  }));
  EXPECT_EQ(sender->stats().failed_attempts, 0U);
}

TEST(GraphiteSenderTest, AsksForTheNameAnewInEachAttempt) {
  Carbon carbon;
  int asked = 0;  // one look-up at a time
  GraphiteSenderOptions options = OptionsFor(carbon.port());
  options.look_up = [&](const HostPort& name) {
    EXPECT_EQ(name.host, "127.0.0.1");
    if (++asked == 1) return LookupResult{{}, "no such host"};
    return LookUp(name);
  };
  Sender sender(options);
  sender->Add("a 1 2\n");
  ASSERT_TRUE(sender.UntilFailure());
  EXPECT_EQ(sender->stats().last_error, "no such host");
  sender.Advance(seconds(1));
  ASSERT_TRUE(sender.Until([&] {
    carbon.Serve();
    return sender->stats().lines_sent == 1;
  }));
  EXPECT_EQ(asked, 2);
}

TEST(GraphiteSenderTest, NameServersThatHangBlockNothing) {
  struct Gate {
    std::mutex mu;
    std::condition_variable changed;
    bool open = false;
  };
  const auto gate = std::make_shared<Gate>();
  Carbon carbon;
  GraphiteSenderOptions options = OptionsFor(carbon.port());
  options.look_up = [gate](const HostPort& name) {
    std::unique_lock<std::mutex> lock(gate->mu);
    gate->changed.wait(lock, [&] { return gate->open; });
    return LookUp(name);
  };
  Sender sender(options);
  sender->Add("a 1 2\n");
  for (int i = 0; i < 3; ++i) {
    const Awaited awaited = sender.Tick();
    EXPECT_GE(awaited.fd, 0);
    sender.Advance(seconds(60));
  }
  {
    const std::lock_guard<std::mutex> lock(gate->mu);
    gate->open = true;
  }
  gate->changed.notify_all();
  EXPECT_TRUE(sender.Until([&] {
    carbon.Serve();
    return sender->stats().lines_sent == 1;
  }));
}

// AddressSanitizer's companion UBSan needs some itself to look at an exception.
#if !defined(__SANITIZE_ADDRESS__)
TEST(GraphiteSenderTest, WithoutFileDescriptorsAnAttemptFails) {
  Carbon carbon;
  Sender sender(OptionsFor(carbon.port()));
  sender->Add("a 1 2\n");
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  sender.Tick();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(sender->stats().last_error, "eventfd: Too many open files");
  sender.Advance(seconds(1));
  EXPECT_TRUE(sender.Until([&] {
    carbon.Serve();
    return sender->stats().lines_sent == 1;
  }));
}
#endif

}  // namespace
}  // namespace fusebox
