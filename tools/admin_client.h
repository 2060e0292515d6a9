// What `fusebox ctl` and `fusebox top` have in common: calls of the admin
// service, and how breakers are shown.

#ifndef FUSEBOX_TOOLS_ADMIN_CLIENT_H_
#define FUSEBOX_TOOLS_ADMIN_CLIENT_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "interceptor/breaker/mutex.h"
#include "proto/fusebox/v1/admin.grpc.pb.h"
#include "tools/channel_flags.h"

namespace fusebox {

// What ctl and top exit with.
enum AdminExitCode : int {
  kAdminOk = 0,
  kAdminMisused = 1,       // also: the server says INVALID_ARGUMENT
  kAdminNotConnected = 2,  // no connection by -connect-timeout
  kAdminFailed = 3,        // the call failed, or was denied
  kAdminNotFound = 4,      // no such breaker
  kAdminChanged = 5,       // the breaker is not what -etag says
};

// The part of the help that is about ChannelFlags.
extern const char kChannelHelp[];

// A connection to an admin service. Thread-safe, but for one ListAll() at a
// time.
class AdminClient {
 public:
  // `flags` must be checked, and must outlive it. `verb` begins every message.
  AdminClient(const ChannelFlags& flags, std::string verb,
              const std::string& operator_name,
              const std::shared_ptr<grpc::ChannelCredentials>& credentials);

  // Waits for the connection; kAdminOk, or kAdminNotConnected, and that is
  // said.
  AdminExitCode Connect();

  v1::BreakerAdmin::Stub& stub() { return *stub_; }
  // Adds headers, who it is, and, unless it is a stream, the deadline.
  void Prepare(grpc::ClientContext& context, bool is_stream = false) const;

  // Every page.
  grpc::Status ListAll(const std::string& filter, v1::ListBreakersResponse& all)
      FUSEBOX_EXCLUDES(mu_);
  // Ends a ListAll() under way, and those to come, with CANCELLED.
  void StopListing() FUSEBOX_EXCLUDES(mu_);

  // Says what is wrong, on standard error.
  AdminExitCode Fail(const grpc::Status& status, const char* method) const;
  void Complain(const std::string& text) const;

 private:
  const ChannelFlags& flags_;
  const std::string verb_;
  const std::string operator_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::BreakerAdmin::Stub> stub_;
  Mutex mu_;
  grpc::ClientContext* listing_ FUSEBOX_GUARDED_BY(mu_) = nullptr;
  bool stopped_ FUSEBOX_GUARDED_BY(mu_) = false;
};

// "PERMISSION_DENIED: this service is read-only", printable.
std::string StatusText(const grpc::Status& status);

// "closed", "OPEN", "HALF-OPEN", "FORCED OPEN": what needs a look stands in
// capitals.
std::string StateText(const v1::Breaker& breaker);
std::string StateText(v1::Breaker::State state,
                      v1::Breaker::Override override_state);

// "method", or "method -> target" of a client's. ASCII: everything else is
// written out.
std::string NameText(const v1::Breaker& breaker);
std::string AsciiText(const std::string& text);

// "12s", "3m20s", "5h", "4d": at most two units.
std::string AgeText(absl::Duration age);
absl::Time TimeOf(const google::protobuf::Timestamp& timestamp);

// "40%/50%": the share of failures and its threshold; "-" without calls.
std::string RatioText(const v1::Breaker& breaker);
// All calls that were refused.
std::int64_t RejectedCount(const v1::Breaker& breaker);
// Counted outcomes.
std::int64_t TotalCount(const v1::OutcomeCounts& counts);

// Rows of cells as lines, each column as wide as its widest cell; those of
// `right` (by index) flush right. The last column has no spaces after it.
std::vector<std::string> AlignColumns(
    const std::vector<std::vector<std::string>>& rows,
    const std::vector<bool>& right);

}  // namespace fusebox

#endif  // FUSEBOX_TOOLS_ADMIN_CLIENT_H_
