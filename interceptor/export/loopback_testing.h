// Sockets of this host that tests are the other end of.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_LOOPBACK_TESTING_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_LOOPBACK_TESTING_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "interceptor/export/file_descriptor.h"
#include "interceptor/export/wakeup.h"

namespace fusebox {

// Calls `tick` again and again, each time what it waits for is there, until
// `done`. False after a minute.
bool TickUntil(const std::function<Awaited()>& tick,
               const std::function<bool()>& done);

// A TCP port of 127.0.0.1.
class TcpListener {
 public:
  // 0: any that is free.
  explicit TcpListener(int port = 0);

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // The next connection; nothing if there is none now.
  std::optional<FileDescriptor> Accept();

 private:
  FileDescriptor socket_;
  int port_ = 0;
};

// Reads what there is now. True at the end of the stream.
bool ReadToEnd(const FileDescriptor& connection, std::string& text);

// Closes a connection as the kernel does for a program that was killed before
// it had read everything.
void Abort(FileDescriptor& connection);

// A socket that datagrams come to.
class DatagramReceiver {
 public:
  // A UDP port of 127.0.0.1; 0: any that is free.
  explicit DatagramReceiver(int port = 0);
  // A socket in the file system.
  explicit DatagramReceiver(const std::string& path);
  ~DatagramReceiver();
  DatagramReceiver(const DatagramReceiver&) = delete;
  DatagramReceiver& operator=(const DatagramReceiver&) = delete;

  int port() const { return port_; }
  // As DogStatsdOptions::address.
  std::string address() const;

  // The next datagram; nothing if there is none now.
  std::optional<std::string> Receive();
  // All that there are now.
  std::vector<std::string> ReceiveAll();
  // The next datagram, waited for up to a minute; "" if none comes.
  std::string Await();

 private:
  FileDescriptor socket_;
  int port_ = 0;
  std::string path_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_LOOPBACK_TESTING_H_
