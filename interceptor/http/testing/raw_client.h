// HTTP byte by byte, for tests of how a server takes it.

#ifndef FUSEBOX_INTERCEPTOR_HTTP_TESTING_RAW_CLIENT_H_
#define FUSEBOX_INTERCEPTOR_HTTP_TESTING_RAW_CLIENT_H_

#include <string>

namespace fusebox {

// A connection to a port of this host. Whatever does not work fails the test.
class RawClient {
 public:
  explicit RawClient(int port);
  ~RawClient();
  RawClient(RawClient&& other) noexcept;
  RawClient& operator=(RawClient&&) = delete;

  // False if the server has closed the connection.
  bool Send(const std::string& bytes);

  // The next response, status line and header and body; what there is of it if
  // the connection ends early, so "" if that has ended before. Of HEAD there is
  // no body to wait for.
  std::string Receive(bool head = false);

  // Waits until the server closes the connection, and returns what comes by
  // then.
  std::string ReceiveToEnd();

 private:
  // False at the end.
  bool ReadSome();

  int socket_;
  std::string unread_;
};

// Sends "method target" with a Host and nothing else over a new connection.
std::string Request(int port, const std::string& method,
                    const std::string& target);
inline std::string Get(int port, const std::string& target) {
  return Request(port, "GET", target);
}

// The parts of a response. -1 if it has no status.
int StatusOf(const std::string& response);
std::string BodyOf(const std::string& response);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HTTP_TESTING_RAW_CLIENT_H_
