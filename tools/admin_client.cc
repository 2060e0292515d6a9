#include "tools/admin_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "interceptor/admin/printable_text.h"

namespace fusebox {

const char kChannelHelp[] =
    R"(  -addr=ADDRESS          host:port, unix:PATH or any other gRPC target
  -connect-timeout=5s    for the connection; tried again until then
  -rpc-timeout=5s        for each answer
  -rpc-header="N: V"     send this header; may be given often
  -tls                   use TLS; default: plaintext
  -tls-ca-cert=FILE      trust these roots; default: those of the system
  -tls-no-verify         do not check the certificate of the server
  -tls-server-name=NAME  the name its certificate must have
  -tls-client-cert=FILE  show this certificate, with its chain
  -tls-client-key=FILE   its private key

Flags take one dash or two. Files are PEM; times are like 250ms, 2s or 1m30s.
)";

namespace {

std::chrono::system_clock::time_point In(absl::Duration duration) {
  return absl::ToChronoTime(absl::Now() + duration);
}

}  // namespace

AdminClient::AdminClient(
    const ChannelFlags& flags, std::string verb,
    const std::string& operator_name,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials)
    : flags_(flags),
      verb_(std::move(verb)),
      operator_(AsciiText(operator_name)),
      channel_(MakeChannel(flags, credentials, "fusebox_" + verb_)),
      stub_(v1::BreakerAdmin::NewStub(channel_)) {}

AdminExitCode AdminClient::Connect() {
  if (channel_->WaitForConnected(In(flags_.connect_timeout))) return kAdminOk;
  // Only a call is told why.
  grpc::ClientContext context;
  context.set_deadline(In(absl::Milliseconds(100)));
  v1::ListBreakersRequest request;
  request.set_page_size(1);
  v1::ListBreakersResponse response;
  const grpc::Status status = stub_->ListBreakers(&context, request, &response);
  Complain(absl::StrCat("could not connect to \"", flags_.address, "\" within ",
                        absl::FormatDuration(flags_.connect_timeout), ": ",
                        status.error_code() == grpc::StatusCode::UNAVAILABLE
                            ? PrintableText(status.error_message())
                            : "no answer"));
  return kAdminNotConnected;
}

void AdminClient::Prepare(grpc::ClientContext& context, bool is_stream) const {
  AddHeaders(flags_, context);
  if (!operator_.empty()) context.AddMetadata("fusebox-operator", operator_);
  if (!is_stream) context.set_deadline(In(flags_.rpc_timeout));
}

grpc::Status AdminClient::ListAll(const std::string& filter,
                                  v1::ListBreakersResponse& all) {
  all.Clear();
  v1::ListBreakersRequest request;
  request.set_filter(filter);
  request.set_page_size(1000);
  do {
    grpc::ClientContext context;
    Prepare(context);
    v1::ListBreakersResponse response;
    {
      const MutexLock lock(mu_);
      if (stopped_) return grpc::Status::CANCELLED;
      listing_ = &context;
    }
    grpc::Status status = stub_->ListBreakers(&context, request, &response);
    {
      const MutexLock lock(mu_);
      listing_ = nullptr;
    }
    if (!status.ok()) return status;
    request.set_page_token(response.next_page_token());
    response.clear_next_page_token();
    all.MergeFrom(response);
  } while (!request.page_token().empty());
  return grpc::Status::OK;
}

void AdminClient::StopListing() {
  const MutexLock lock(mu_);
  stopped_ = true;
  if (listing_ != nullptr) listing_->TryCancel();
}

AdminExitCode AdminClient::Fail(const grpc::Status& status,
                                const char* method) const {
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      Complain(absl::StrCat(method, " did not answer within ",
                            absl::FormatDuration(flags_.rpc_timeout)));
      return kAdminFailed;
    case grpc::StatusCode::UNIMPLEMENTED:
      Complain(absl::StrCat("there is no fusebox.v1.BreakerAdmin at \"",
                            flags_.address, "\": ", StatusText(status)));
      return kAdminFailed;
    case grpc::StatusCode::INVALID_ARGUMENT:
      Complain(StatusText(status));
      return kAdminMisused;
    case grpc::StatusCode::NOT_FOUND:
      Complain(StatusText(status));
      return kAdminNotFound;
    case grpc::StatusCode::ABORTED:
      Complain(StatusText(status));
      return kAdminChanged;
    default:
      Complain(absl::StrCat(method, " failed: ", StatusText(status)));
      return kAdminFailed;
  }
}

void AdminClient::Complain(const std::string& text) const {
  std::fprintf(stderr, "fusebox %s: %s\n", verb_.c_str(), text.c_str());
}

std::string StatusText(const grpc::Status& status) {
  return absl::StrCat(absl::StatusCodeToString(
                          static_cast<absl::StatusCode>(status.error_code())),
                      ": ", PrintableText(status.error_message()));
}

std::string StateText(v1::Breaker::State state,
                      v1::Breaker::Override override_state) {
  switch (override_state) {
    case v1::Breaker::FORCED_OPEN:
      return "FORCED OPEN";
    case v1::Breaker::FORCED_CLOSED:
      return "FORCED CLOSED";
    default:
      break;
  }
  switch (state) {
    case v1::Breaker::CLOSED:
      return "closed";
    case v1::Breaker::OPEN:
      return "OPEN";
    case v1::Breaker::HALF_OPEN:
      return "HALF-OPEN";
    default:
      return "?";
  }
}

std::string StateText(const v1::Breaker& breaker) {
  return StateText(breaker.state(), breaker.override());
}

std::string AsciiText(const std::string& text) {
  std::string ascii;
  for (const char c : PrintableText(text)) {
    if (static_cast<unsigned char>(c) < 0x80) {
      ascii += c;
    } else {
      absl::StrAppendFormat(&ascii, "\\x%02x", static_cast<unsigned char>(c));
    }
  }
  return ascii;
}

std::string NameText(const v1::Breaker& breaker) {
  std::string text = AsciiText(breaker.method());
  if (!text.empty() && text[0] == '/') text.erase(0, 1);
  if (!breaker.target().empty()) {
    absl::StrAppend(&text, " -> ", AsciiText(breaker.target()));
  }
  return text;
}

std::string AgeText(absl::Duration age) {
  const std::int64_t seconds =
      std::max<std::int64_t>(0, absl::ToInt64Seconds(age));
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) {
    return absl::StrFormat("%dm%02ds", seconds / 60, seconds % 60);
  }
  if (seconds < 86'400) {
    return absl::StrFormat("%dh%02dm", seconds / 3600, seconds / 60 % 60);
  }
  return absl::StrFormat("%dd%02dh", seconds / 86400, seconds / 3600 % 24);
}

absl::Time TimeOf(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) +
         absl::Nanoseconds(timestamp.nanos());
}

std::string RatioText(const v1::Breaker& breaker) {
  if (!breaker.has_failure_ratio()) return "-";
  double threshold = 0;
  std::string limit = "off";
  if (absl::SimpleAtod(breaker.config().failure_threshold(), &threshold)) {
    limit = absl::StrFormat("%.0f%%", 100 * threshold);
  }
  return absl::StrFormat("%.0f%%/%s", 100 * breaker.failure_ratio(), limit);
}

std::int64_t RejectedCount(const v1::Breaker& breaker) {
  return breaker.open_rejected_count() + breaker.half_open_rejected_count() +
         breaker.forced_rejected_count();
}

std::int64_t TotalCount(const v1::OutcomeCounts& counts) {
  return counts.ok_count() + counts.user_error_count() +
         counts.timeout_count() + counts.system_error_count() +
         counts.unknown_error_count();
}

std::vector<std::string> AlignColumns(
    const std::vector<std::vector<std::string>>& rows,
    const std::vector<bool>& right) {
  std::vector<std::size_t> widths(right.size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::vector<std::string> lines;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      if (i != 0) line += "  ";
      if (right[i]) line += space;
      line += row[i];
      if (!right[i] && i + 1 != row.size()) line += space;
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace fusebox
