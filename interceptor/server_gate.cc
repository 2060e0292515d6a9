#include "interceptor/server_gate.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpcpp/security/auth_context.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

#include "interceptor/handoff/handoff.h"

namespace fusebox {
namespace {

using grpc::AuthMetadataProcessor;

constexpr char kPath[] = ":path";

// ---------------------------------------------------------------------------
// Credentials that have processors

// To ThreadSanitizer, &options_ stands for "made" and this for "used".
class GateProcessor final : public AuthMetadataProcessor {
 public:
  GateProcessor(std::shared_ptr<const ServerGuard> guard, GateOptions options)
      : guard_(std::move(guard)), options_(std::move(options)) {
    ReleaseToGrpc(&options_);
  }
  ~GateProcessor() override { AcquireFromGrpc(this); }

  bool IsBlocking() const override {
    AcquireFromGrpc(&options_);
    const bool blocking =
        options_.processor != nullptr && options_.processor->IsBlocking();
    ReleaseToGrpc(this);
    return blocking;
  }

  grpc::Status Process(const InputMetadata& metadata,
                       grpc::AuthContext* context, OutputMetadata* consumed,
                       OutputMetadata* response) override {
    AcquireFromGrpc(&options_);
    grpc::Status status = Judge(metadata, context, consumed, response);
    ReleaseToGrpc(this);
    return status;
  }

 private:
  grpc::Status Judge(const InputMetadata& metadata, grpc::AuthContext* context,
                     OutputMetadata* consumed, OutputMetadata* response) const {
    const auto path = metadata.find(kPath);
    if (path != metadata.end()) {
      if (const char* why =
              guard_->AskGate({path->second.data(), path->second.size()})) {
        return grpc::Status(options_.code, why);
      }
    }
    return options_.processor == nullptr
               ? grpc::Status::OK
               : options_.processor->Process(metadata, context, consumed,
                                             response);
  }

  const std::shared_ptr<const ServerGuard> guard_;
  const GateOptions options_;
};

// ---------------------------------------------------------------------------
// Insecure credentials

// What gRPC's own wrapper of processors, which insecure credentials have none
// of, shows to them.
class CallAuthContext final : public grpc::AuthContext {
 public:
  explicit CallAuthContext(grpc_auth_context* context) : context_(context) {}

  bool IsPeerAuthenticated() const override {
    return grpc_auth_context_peer_is_authenticated(context_) != 0;
  }
  std::vector<grpc::string_ref> GetPeerIdentity() const override {
    return Values(grpc_auth_context_peer_identity(context_));
  }
  std::string GetPeerIdentityPropertyName() const override {
    const char* name = grpc_auth_context_peer_identity_property_name(context_);
    return name == nullptr ? "" : name;
  }
  std::vector<grpc::string_ref> FindPropertyValues(
      const std::string& name) const override {
    return Values(
        grpc_auth_context_find_properties_by_name(context_, name.c_str()));
  }
  grpc::AuthPropertyIterator begin() const override {
    grpc_auth_property_iterator iterator =
        grpc_auth_context_property_iterator(context_);
    const grpc_auth_property* first =
        grpc_auth_property_iterator_next(&iterator);
    return Iterator(first, &iterator);
  }
  grpc::AuthPropertyIterator end() const override { return Iterator(); }
  void AddProperty(const std::string& key,
                   const grpc::string_ref& value) override {
    grpc_auth_context_add_property(context_, key.c_str(), value.data(),
                                   value.size());
  }
  bool SetPeerIdentityPropertyName(const std::string& name) override {
    return grpc_auth_context_set_peer_identity_property_name(context_,
                                                             name.c_str()) != 0;
  }

 private:
  class Iterator final : public grpc::AuthPropertyIterator {
   public:
    Iterator() = default;
    Iterator(const grpc_auth_property* property,
             const grpc_auth_property_iterator* iterator)
        : AuthPropertyIterator(property, iterator) {}
  };

  static std::vector<grpc::string_ref> Values(
      grpc_auth_property_iterator iterator) {
    std::vector<grpc::string_ref> values;
    while (const grpc_auth_property* property =
               grpc_auth_property_iterator_next(&iterator)) {
      values.emplace_back(property->value, property->value_length);
    }
    return values;
  }

  grpc_auth_context* const context_;
};

grpc::string_ref TextOf(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)),
          GRPC_SLICE_LENGTH(slice)};
}

std::vector<grpc_metadata> CopyOf(
    const AuthMetadataProcessor::OutputMetadata& metadata) {
  std::vector<grpc_metadata> copy;
  for (const auto& [key, value] : metadata) {
    grpc_metadata& entry = copy.emplace_back();
    entry.key = grpc_slice_from_copied_buffer(key.data(), key.size());
    entry.value = grpc_slice_from_copied_buffer(value.data(), value.size());
  }
  return copy;
}

void Free(const std::vector<grpc_metadata>& metadata) {
  for (const grpc_metadata& entry : metadata) {
    grpc_slice_unref(entry.key);
    grpc_slice_unref(entry.value);
  }
}

// What the processor of one port knows. Marked as GateProcessor is.
struct InsecureGate {
  InsecureGate(std::shared_ptr<const ServerGuard> g, GateOptions o)
      : guard(std::move(g)), options(std::move(o)) {
    ReleaseToGrpc(&options);
  }
  ~InsecureGate() { AcquireFromGrpc(this); }
  InsecureGate(const InsecureGate&) = delete;
  InsecureGate& operator=(const InsecureGate&) = delete;

  const std::shared_ptr<const ServerGuard> guard;
  const GateOptions options;

  static void Process(void* state, grpc_auth_context* context,
                      const grpc_metadata* metadata, std::size_t count,
                      grpc_process_auth_metadata_done_cb done, void* call) {
    const InsecureGate& gate = *static_cast<InsecureGate*>(state);
    AcquireFromGrpc(&gate.options);
    for (std::size_t i = 0; i < count; ++i) {
      if (TextOf(metadata[i].key) != kPath) continue;
      const grpc::string_ref path = TextOf(metadata[i].value);
      if (const char* why = gate.guard->AskGate({path.data(), path.size()})) {
        const auto code = static_cast<grpc_status_code>(gate.options.code);
        ReleaseToGrpc(&gate);
        done(call, nullptr, 0, nullptr, 0, code, why);
        return;
      }
    }
    if (gate.options.processor == nullptr) {
      ReleaseToGrpc(&gate);
      done(call, nullptr, 0, nullptr, 0, GRPC_STATUS_OK, nullptr);
      return;
    }

    AuthMetadataProcessor::InputMetadata input;
    for (std::size_t i = 0; i < count; ++i) {
      input.emplace(TextOf(metadata[i].key), TextOf(metadata[i].value));
    }
    CallAuthContext auth(context);
    AuthMetadataProcessor::OutputMetadata consumed_map;
    AuthMetadataProcessor::OutputMetadata response_map;
    const grpc::Status status = gate.options.processor->Process(
        input, &auth, &consumed_map, &response_map);
    ReleaseToGrpc(&gate);
    const std::vector<grpc_metadata> consumed = CopyOf(consumed_map);
    const std::vector<grpc_metadata> response = CopyOf(response_map);
    done(call, consumed.data(), consumed.size(), response.data(),
         response.size(), static_cast<grpc_status_code>(status.error_code()),
         status.error_message().c_str());
    Free(consumed);
    Free(response);
  }
  static void Destroy(void* state) { delete static_cast<InsecureGate*>(state); }
};

class GatedInsecureCredentials final : public grpc::ServerCredentials {
 public:
  GatedInsecureCredentials(std::shared_ptr<const ServerGuard> guard,
                           GateOptions options)
      : guard_(std::move(guard)), options_(std::move(options)) {}

  void SetAuthMetadataProcessor(
      const std::shared_ptr<AuthMetadataProcessor>& /*processor*/) override {
    throw std::logic_error("hand the processor over in fusebox::GateOptions");
  }

 private:
  int AddPortToServer(const std::string& address,
                      grpc_server* server) override {
    grpc_server_credentials* const credentials =
        grpc_insecure_server_credentials_create();
    grpc_server_credentials_set_auth_metadata_processor(
        credentials, {&InsecureGate::Process, &InsecureGate::Destroy,
                      // Destroyed by gRPC, which the analyzer does not see.
                      new InsecureGate(guard_, options_)});
    const int port =  // NOLINTNEXTLINE(*NewDeleteLeaks)
        grpc_server_add_http2_port(server, address.c_str(), credentials);
    grpc_server_credentials_release(credentials);
    return port;
  }

  const std::shared_ptr<const ServerGuard> guard_;
  const GateOptions options_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> GatedServerCredentials(
    const std::shared_ptr<grpc::ServerCredentials>& credentials,
    std::shared_ptr<const ServerGuard> guard, GateOptions options) {
  if (options.code == grpc::StatusCode::OK) {
    throw std::invalid_argument("GateOptions.code: OK is no refusal");
  }
  // There is no other way to tell, and those accept no processor.
  const grpc::ServerCredentials& given = *credentials;
  const auto sample = grpc::InsecureServerCredentials();
  const grpc::ServerCredentials& insecure = *sample;
  if (typeid(given) == typeid(insecure)) {
    if (options.processor != nullptr && options.processor->IsBlocking()) {
      throw std::invalid_argument(
          "GateOptions.processor: must not block on insecure credentials");
    }
    return std::make_shared<GatedInsecureCredentials>(std::move(guard),
                                                      std::move(options));
  }
  credentials->SetAuthMetadataProcessor(
      std::make_shared<GateProcessor>(std::move(guard), std::move(options)));
  return credentials;
}

}  // namespace fusebox
