#include "interceptor/export/dogstatsd_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "interceptor/export/loopback_testing.h"

namespace fusebox {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;

constexpr TimePoint kStart{std::chrono::hours(1)};

std::string Parsed(const std::string& text) {
  const auto address = ParseDogStatsdAddress(text);
  if (!address.has_value()) return "nothing";
  if (!address->unix_path.empty()) return "unix " + address->unix_path;
  return address->udp.host + " " + std::to_string(address->udp.port);
}

TEST(DogStatsdAddressTest, IsAPortOrAPath) {
  EXPECT_EQ(Parsed("agent"), "agent 8125");
  EXPECT_EQ(Parsed("[::1]:1"), "::1 1");
  EXPECT_EQ(Parsed("unix:/a/b.socket"), "unix /a/b.socket");
  EXPECT_EQ(Parsed("unix:" + std::string(107, 'x')),
            "unix " + std::string(107, 'x'));
  EXPECT_EQ(Parsed("unix:" + std::string(108, 'x')), "nothing");
  EXPECT_EQ(Parsed("unix:"), "nothing");
  EXPECT_EQ(Parsed(""), "nothing");
  EXPECT_EQ(Parsed("agent:0"), "nothing");
}

DogStatsdSocket Connect(const std::string& address,
                        LookupFunction look_up = &LookUp) {
  return DogStatsdSocket(*ParseDogStatsdAddress(address), std::move(look_up),
                         seconds(60));
}

// Until the socket has the address.
void Await(DogStatsdSocket& socket, TimePoint now = kStart) {
  EXPECT_TRUE(TickUntil([&] { return socket.Refresh(now); },
                        [&] { return !socket.starting(); }));
}

// Of a socket. Relative, because only 107 bytes fit into an address.
std::string PathFor(const std::string& name) {
  std::filesystem::current_path(std::getenv("TEST_TMPDIR"));
  return name;
}

TEST(DogStatsdSocketTest, SendsOverUdp) {
  DatagramReceiver server;
  DogStatsdSocket socket = Connect(server.address());
  EXPECT_TRUE(socket.starting());
  Await(socket);
  socket.Send("a:1|c");
  socket.Send("b:1|c");
  EXPECT_EQ(server.Await(), "a:1|c");
  EXPECT_EQ(server.Await(), "b:1|c");
  EXPECT_EQ(socket.stats().packets_sent, 2U);
  EXPECT_EQ(socket.stats().packets_dropped, 0U);
}

TEST(DogStatsdSocketTest, SendsOverUnixSockets) {
  DatagramReceiver server(PathFor("s1"));
  DogStatsdSocket socket = Connect(server.address());
  EXPECT_FALSE(socket.starting());
  socket.Send("a:1|c");
  EXPECT_EQ(server.Await(), "a:1|c");
  EXPECT_EQ(socket.stats().packets_sent, 1U);
}

TEST(DogStatsdSocketTest, AnAbsentServerIsCountedAndComesBack) {
  auto server = std::make_unique<DatagramReceiver>();
  const int port = server->port();
  DogStatsdSocket socket = Connect(server->address());
  Await(socket);
  server.reset();
  for (int i = 0; i < 10; ++i) socket.Send("lost");
  EXPECT_GT(socket.stats().errors, 0U);
  EXPECT_EQ(socket.stats().last_error, "send: Connection refused");

  DatagramReceiver again(port);
  socket.Send("a:1|c");
  EXPECT_EQ(again.Await(), "a:1|c");
}

TEST(DogStatsdSocketTest, AnAbsentUnixServerIsCountedAndComesBack) {
  const std::string path = PathFor("s2");
  DogStatsdSocket socket = Connect("unix:" + path);
  socket.Send("lost");
  EXPECT_EQ(socket.stats().packets_dropped, 1U);
  EXPECT_EQ(socket.stats().last_error, "connect: No such file or directory");
  for (int i = 1; i <= 2; ++i) {
    DatagramReceiver server(path);
    socket.Send("a:1|c");
    EXPECT_EQ(server.Await(), "a:1|c") << "start " << i;
    EXPECT_EQ(socket.stats().packets_sent, static_cast<unsigned>(i));
  }
  socket.Send("lost");
  EXPECT_EQ(socket.stats().packets_dropped, 2U);
}

TEST(DogStatsdSocketTest, AUnixServerThatDoesNotReadBlocksNothing) {
  DatagramReceiver server(PathFor("s3"));
  DogStatsdSocket socket = Connect(server.address());
  const std::string packet(8192, 'x');
  for (int i = 0; i < 2000; ++i) socket.Send(packet);
  const DogStatsdSocketStats& stats = socket.stats();
  EXPECT_GT(stats.packets_dropped, 0U);
  EXPECT_EQ(stats.errors, stats.packets_dropped);
  EXPECT_EQ(stats.packets_sent + stats.packets_dropped, 2000U);
  EXPECT_EQ(server.ReceiveAll().size(), stats.packets_sent);
  // There is room again.
  socket.Send("a:1|c");
  EXPECT_EQ(server.Await(), "a:1|c");
}

TEST(DogStatsdSocketTest, APacketThatIsTooLongIsDroppedAlone) {
  DatagramReceiver server;
  DogStatsdSocket socket = Connect(server.address());
  Await(socket);
  socket.Send(std::string(65508, 'x'));
  EXPECT_EQ(socket.stats().packets_dropped, 1U);
  EXPECT_EQ(socket.stats().last_error, "send: Message too long");
  socket.Send("a:1|c");
  EXPECT_EQ(server.Await(), "a:1|c");
}

SocketAddress Loopback(int port) {
  return LookUp({"127.0.0.1", port}).addresses[0];
}

// Finds one port, which may change.
struct Name {
  LookupFunction LookUp() {
    return [this](const HostPort&) {
      ++asked;
      if (port == 0) return LookupResult{{}, "no such host"};
      return LookupResult{{Loopback(port)}, ""};
    };
  }
  std::atomic<int> port{0};
  std::atomic<int> asked{0};
};

// Until the next look-up has been taken up.
void AwaitLookup(DogStatsdSocket& socket, TimePoint now, const Name& name,
                 int asked) {
  EXPECT_TRUE(TickUntil([&] { return socket.Refresh(now); },
                        [&] { return name.asked == asked; }));
  EXPECT_TRUE(
      TickUntil([&] { return socket.Refresh(now); },
                [&] { return socket.Refresh(now).until != TimePoint::max(); }));
}

TEST(DogStatsdSocketTest, TheNameIsLookedUpAgainAfterAPeriod) {
  DatagramReceiver one;
  DatagramReceiver two;
  Name name;
  name.port = one.port();
  DogStatsdSocket socket = Connect("agent", name.LookUp());
  AwaitLookup(socket, kStart, name, 1);
  EXPECT_EQ(socket.Refresh(kStart).until, kStart + seconds(60));
  name.port = two.port();
  socket.Refresh(kStart + seconds(60) - Duration(1));
  socket.Send("a");
  EXPECT_EQ(one.Await(), "a");
  EXPECT_EQ(name.asked, 1);
  AwaitLookup(socket, kStart + seconds(60), name, 2);
  socket.Send("b");
  EXPECT_EQ(two.Await(), "b");
}

TEST(DogStatsdSocketTest, TheNameIsLookedUpAgainWhenSendingFails) {
  auto one = std::make_unique<DatagramReceiver>();
  Name name;
  name.port = one->port();
  DogStatsdSocket socket = Connect("agent", name.LookUp());
  AwaitLookup(socket, kStart, name, 1);
  one.reset();
  DatagramReceiver two;
  name.port = two.port();
  // The first refusal may take its time.
  ASSERT_TRUE(TickUntil([] { return Awaited(); },
                        [&] {
                          socket.Send("lost");
                          return socket.stats().errors > 0;
                        }));
  AwaitLookup(socket, kStart, name, 2);
  socket.Send("b");
  EXPECT_EQ(two.Await(), "b");
}

TEST(DogStatsdSocketTest, TheLastGoodAddressIsKept) {
  DatagramReceiver server;
  Name name;
  name.port = server.port();
  DogStatsdSocket socket = Connect("agent", name.LookUp());
  AwaitLookup(socket, kStart, name, 1);
  name.port = 0;
  AwaitLookup(socket, kStart + seconds(60), name, 2);
  EXPECT_EQ(socket.stats().last_error, "no such host");
  socket.Send("a");
  EXPECT_EQ(server.Await(), "a");
}

TEST(DogStatsdSocketTest, ANameThatIsNotFoundIsLookedUpForTheNextPacket) {
  DatagramReceiver server;
  Name name;
  DogStatsdSocket socket = Connect("agent", name.LookUp());
  AwaitLookup(socket, kStart, name, 1);
  EXPECT_FALSE(socket.starting());
  socket.Send("lost");
  EXPECT_EQ(socket.stats().packets_dropped, 1U);
  name.port = server.port();
  AwaitLookup(socket, kStart, name, 2);
  socket.Send("a");
  EXPECT_EQ(server.Await(), "a");
}

TEST(DogStatsdSocketTest, TheNextAddressIsTakenWhenOneRefuses) {
  DatagramReceiver server;
  const int closed = DatagramReceiver().port();
  DogStatsdSocket socket = Connect("agent", [&](const HostPort&) {
    return LookupResult{{Loopback(closed), Loopback(server.port())}, ""};
  });
  Await(socket);
  ASSERT_TRUE(TickUntil([] { return Awaited(); },
                        [&] {
                          socket.Send("a");
                          return server.Receive().has_value();
                        }));
  // And kept, though the other one comes first.
  const auto errors = socket.stats().errors;
  EXPECT_TRUE(TickUntil(
      [&] { return socket.Refresh(kStart); },
      [&] { return socket.Refresh(kStart).until != TimePoint::max(); }));
  for (int i = 0; i < 5; ++i) socket.Send("b");
  EXPECT_THAT(server.ReceiveAll(), ElementsAre("b", "b", "b", "b", "b"));
  EXPECT_EQ(socket.stats().errors, errors);
}

TEST(DogStatsdSocketTest, NameServersThatHangBlockNothing) {
  struct Gate {
    std::mutex mu;
    std::condition_variable changed;
    bool open = false;
  };
  const auto gate = std::make_shared<Gate>();
  DatagramReceiver server;
  DogStatsdSocket socket =
      Connect(server.address(), [gate](const HostPort& name) {
        std::unique_lock<std::mutex> lock(gate->mu);
        gate->changed.wait(lock, [&] { return gate->open; });
        return LookUp(name);
      });
  for (int i = 0; i < 3; ++i) {
    socket.Refresh(kStart + i * seconds(60));
    EXPECT_TRUE(socket.starting());
    socket.Send("lost");
  }
  EXPECT_EQ(socket.stats().packets_dropped, 3U);
  {
    const std::lock_guard<std::mutex> lock(gate->mu);
    gate->open = true;
  }
  gate->changed.notify_all();
  Await(socket, kStart + seconds(180));
  socket.Send("a");
  EXPECT_EQ(server.Await(), "a");
}

}  // namespace
}  // namespace fusebox
