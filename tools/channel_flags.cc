#include "tools/channel_flags.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <system_error>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace fusebox {
namespace {

grpc_slice SliceOf(const std::string& text) {
  return grpc_slice_from_static_buffer(text.data(), text.size());
}

Problem ReadHeader(const std::string& text,
                   std::pair<std::string, std::string>& header) {
  const std::string::size_type colon = text.find(':');
  if (colon == std::string::npos) {
    return absl::StrCat("-rpc-header is \"name: value\", not \"", text, "\"");
  }
  header.first =
      absl::AsciiStrToLower(absl::StripAsciiWhitespace(text.substr(0, colon)));
  header.second =
      std::string(absl::StripAsciiWhitespace(text.substr(colon + 1)));
  // gRPC aborts on what it does not allow; the value may be a secret.
  if (grpc_header_key_is_legal(SliceOf(header.first)) == 0 ||
      absl::StartsWith(header.first, "grpc-")) {
    return absl::StrCat("-rpc-header: \"", header.first,
                        "\" is no name that a caller may set");
  }
  if (grpc_is_binary_header(SliceOf(header.first)) == 0 &&
      grpc_header_nonbin_value_is_legal(SliceOf(header.second)) == 0) {
    return absl::StrCat("-rpc-header: the value of \"", header.first,
                        "\" is not printable ASCII");
  }
  return std::nullopt;
}

Problem CheckTls(const ChannelFlags& channel) {
  if (!channel.tls) {
    const std::pair<const char*, bool> given[] = {
        {"-tls-no-verify", channel.tls_no_verify},
        {"-tls-ca-cert", !channel.tls_ca_cert.empty()},
        {"-tls-client-cert", !channel.tls_client_cert.empty()},
        {"-tls-client-key", !channel.tls_client_key.empty()},
        {"-tls-server-name", !channel.tls_server_name.empty()},
    };
    for (const auto& [flag, is_given] : given) {
      if (is_given) return absl::StrCat(flag, " needs -tls");
    }
  }
  if (channel.tls_no_verify) {
    const char* useless = !channel.tls_ca_cert.empty() ? "-tls-ca-cert"
                          : !channel.tls_server_name.empty()
                              ? "-tls-server-name"
                              : nullptr;
    if (useless != nullptr) {
      return absl::StrCat(useless, " and -tls-no-verify exclude each other");
    }
  }
  if (channel.tls_client_cert.empty() != channel.tls_client_key.empty()) {
    return "-tls-client-cert and -tls-client-key need each other";
  }
  return std::nullopt;
}

Problem ReadPem(const char* flag, const std::string& path, std::string& pem) {
  if (path.empty()) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  pem.assign(std::istreambuf_iterator<char>(file), {});
  if (!file) {
    return absl::StrCat(flag, ": ", path, ": ",
                        std::generic_category().message(errno));
  }
  if (!absl::StrContains(pem, "-----BEGIN ")) {
    return absl::StrCat(flag, ": ", path, ": not a PEM file");
  }
  return std::nullopt;
}

}  // namespace

void AddChannelFlags(ChannelFlags& channel, std::vector<Flag>& flags) {
  flags.insert(flags.end(), {{"addr", &channel.address},
                             {"connect-timeout", &channel.connect_timeout_text},
                             {"rpc-timeout", &channel.rpc_timeout_text},
                             {"rpc-header", &channel.headers_text},
                             {"tls", &channel.tls},
                             {"tls-no-verify", &channel.tls_no_verify},
                             {"tls-ca-cert", &channel.tls_ca_cert},
                             {"tls-client-cert", &channel.tls_client_cert},
                             {"tls-client-key", &channel.tls_client_key},
                             {"tls-server-name", &channel.tls_server_name}});
}

Problem ReadTimeout(const char* flag, const std::string& text,
                    absl::Duration& timeout) {
  if (absl::ParseDuration(text, &timeout) && timeout > absl::ZeroDuration() &&
      timeout <= absl::Hours(24 * 365)) {
    return std::nullopt;
  }
  return absl::StrCat(
      flag, " is a time above 0 and up to a year, like 1s, not \"", text, "\"");
}

Problem CheckChannelFlags(ChannelFlags& channel) {
  if (channel.address.empty()) return "-addr is missing";
  if (Problem problem =
          ReadTimeout("-connect-timeout", channel.connect_timeout_text,
                      channel.connect_timeout)) {
    return problem;
  }
  if (Problem problem = ReadTimeout("-rpc-timeout", channel.rpc_timeout_text,
                                    channel.rpc_timeout)) {
    return problem;
  }
  for (const std::string& text : channel.headers_text) {
    if (Problem problem = ReadHeader(text, channel.headers.emplace_back())) {
      return problem;
    }
  }
  return CheckTls(channel);
}

Problem MakeCredentials(const ChannelFlags& channel,
                        std::shared_ptr<grpc::ChannelCredentials>& made) {
  if (!channel.tls) {
    made = grpc::InsecureChannelCredentials();
    return std::nullopt;
  }
  grpc::SslCredentialsOptions pem;
  for (const auto& [flag, path, text] :
       {std::tuple("-tls-ca-cert", &channel.tls_ca_cert, &pem.pem_root_certs),
        std::tuple("-tls-client-cert", &channel.tls_client_cert,
                   &pem.pem_cert_chain),
        std::tuple("-tls-client-key", &channel.tls_client_key,
                   &pem.pem_private_key)}) {
    if (Problem problem = ReadPem(flag, *path, *text)) return problem;
  }
  if (!channel.tls_no_verify) {
    made = grpc::SslCredentials(pem);
    return std::nullopt;
  }
  // The only way to a connection that is not verified.
  grpc::experimental::TlsChannelCredentialsOptions unverified;
  unverified.set_verify_server_certs(false);
  unverified.set_check_call_host(false);
  unverified.set_certificate_verifier(
      std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  if (!pem.pem_cert_chain.empty()) {
    unverified.set_certificate_provider(
        std::make_shared<grpc::experimental::StaticDataCertificateProvider>(
            std::vector<grpc::experimental::IdentityKeyCertPair>{
                {pem.pem_private_key, pem.pem_cert_chain}}));
    unverified.watch_identity_key_cert_pairs();
  }
  made = grpc::experimental::TlsCredentials(unverified);
  return std::nullopt;
}

std::shared_ptr<grpc::Channel> MakeChannel(
    const ChannelFlags& channel,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const std::string& user_agent) {
  grpc::ChannelArguments arguments;
  arguments.SetUserAgentPrefix(user_agent);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Several attempts fit into a timeout of a second.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  if (!channel.tls_server_name.empty()) {
    arguments.SetSslTargetNameOverride(channel.tls_server_name);
  }
  return grpc::CreateCustomChannel(channel.address, credentials, arguments);
}

void AddHeaders(const ChannelFlags& channel, grpc::ClientContext& context) {
  for (const auto& [name, value] : channel.headers) {
    context.AddMetadata(name, value);
  }
}

void SilenceGrpc() {
  if (std::getenv("GRPC_VERBOSITY") == nullptr) {
    gpr_set_log_function([](gpr_log_func_args*) {});
  }
}

}  // namespace fusebox
