// The flags of verbs that call a gRPC server: where it is, how to trust it, and
// how long to wait.

#ifndef FUSEBOX_TOOLS_CHANNEL_FLAGS_H_
#define FUSEBOX_TOOLS_CHANNEL_FLAGS_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tools/command_line.h"

namespace fusebox {

// What is wrong with what the user asked for, or nothing.
using Problem = std::optional<std::string>;

struct ChannelFlags {
  std::string address;
  std::string connect_timeout_text = "1s";
  std::string rpc_timeout_text = "1s";
  std::vector<std::string> headers_text;
  bool tls = false;
  bool tls_no_verify = false;
  std::string tls_ca_cert;
  std::string tls_client_cert;
  std::string tls_client_key;
  std::string tls_server_name;

  // Made from the texts by CheckChannelFlags().
  absl::Duration connect_timeout;
  absl::Duration rpc_timeout;
  // May be secrets.
  std::vector<std::pair<std::string, std::string>> headers;
};

// -addr, -connect-timeout, -rpc-timeout, -rpc-header and -tls...
void AddChannelFlags(ChannelFlags& channel, std::vector<Flag>& flags);

Problem CheckChannelFlags(ChannelFlags& channel);

// Reads a time above 0, such as "1s".
Problem ReadTimeout(const char* flag, const std::string& text,
                    absl::Duration& timeout);

// Reads the files.
Problem MakeCredentials(const ChannelFlags& channel,
                        std::shared_ptr<grpc::ChannelCredentials>& made);

// Straight to the address, whatever http_proxy says; tried anew at least every
// second.
std::shared_ptr<grpc::Channel> MakeChannel(
    const ChannelFlags& channel,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const std::string& user_agent);

// Adds what -rpc-header says.
void AddHeaders(const ChannelFlags& channel, grpc::ClientContext& context);

// gRPC's own log would only say again, and less clearly, what is said here.
// Unless GRPC_VERBOSITY asks for it.
void SilenceGrpc();

}  // namespace fusebox

#endif  // FUSEBOX_TOOLS_CHANNEL_FLAGS_H_
