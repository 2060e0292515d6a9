#include "tools/probe_command.h"

#include <grpcpp/grpcpp.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "tools/channel_flags.h"
#include "tools/command_line.h"

namespace fusebox {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using grpc::health::v1::HealthListRequest;
using grpc::health::v1::HealthListResponse;

constexpr char kHelp[] =
    R"(usage: fusebox probe -addr=ADDRESS [-service=NAME] [-watch | -list] ...

Asks a gRPC server for its health (grpc.health.v1.Health), with the flags and
exit codes of grpc_health_probe, and a little more.

  -addr=ADDRESS          host:port, unix:PATH or any other gRPC target
  -service=NAME          what to ask for; default: "", the whole server
  -watch                 write each status as it changes, until interrupted
  -list                  write the status of all names
  -connect-timeout=1s    for the connection; tried again until then
  -rpc-timeout=1s        for the answer, the first one of a watch
  -rpc-header="N: V"     send this header; may be given often
  -user-agent=TEXT       default: fusebox_probe
  -verbose, -v           say what is done and how long it takes

  -tls                   use TLS; default: plaintext
  -tls-ca-cert=FILE      trust these roots; default: those of the system
  -tls-no-verify         do not check the certificate of the server
  -tls-server-name=NAME  the name its certificate must have
  -tls-client-cert=FILE  show this certificate, with its chain
  -tls-client-key=FILE   its private key

Flags take one dash or two. Files are PEM; timeouts are like 250ms, 2s or 1m30s.
The connection goes straight to the address, whatever http_proxy says.

Exits with
  0  it serves; with -list, all names do
  1  called wrongly
  2  no connection by -connect-timeout
  3  the call failed, or gave no answer by -rpc-timeout: a server without the
     health service, a name that it does not know, the end of a watch
  4  it does not serve; with -list, one of the names does not
A watch that is interrupted exits with 0 or 4, by its last status.
)";

enum ProbeExitCode : int {
  kServing = 0,
  kMisused = 1,
  kNotConnected = 2,
  kCallFailed = 3,
  kNotServing = 4,
};

struct Options {
  ChannelFlags channel;
  std::string service;
  bool watch = false;
  bool list = false;
  std::string user_agent = "fusebox_probe";
  bool verbose = false;
};

template <class... Parts>
void Complain(const Parts&... parts) {
  std::fprintf(stderr, "fusebox probe: %s\n", absl::StrCat(parts...).c_str());
}

// ---------------------------------------------------------------------------
// What was asked for. Each function returns what is wrong, or nothing.

Problem Check(Options& options) {
  if (options.watch && options.list) {
    return "-watch and -list exclude each other";
  }
  if (options.list && !options.service.empty()) {
    return "-list and -service exclude each other";
  }
  return CheckChannelFlags(options.channel);
}

// ---------------------------------------------------------------------------
// The calls

std::chrono::system_clock::time_point In(absl::Duration duration) {
  return absl::ToChronoTime(absl::Now() + duration);
}

std::string NameOf(HealthCheckResponse::ServingStatus status) {
  const std::string& name = HealthCheckResponse::ServingStatus_Name(status);
  return name.empty() ? absl::StrCat("status ", static_cast<int>(status))
                      : name;
}

ProbeExitCode ExitCodeOf(HealthCheckResponse::ServingStatus status) {
  return status == HealthCheckResponse::SERVING ? kServing : kNotServing;
}

class Prober {
 public:
  Prober(const Options& options,
         const std::shared_ptr<grpc::ChannelCredentials>& credentials)
      : options_(options) {
    channel_ = MakeChannel(options.channel, credentials, options.user_agent);
    stub_ = Health::NewStub(channel_);
  }

  ProbeExitCode Run() {
    const absl::Time start = absl::Now();
    if (!channel_->WaitForConnected(In(options_.channel.connect_timeout))) {
      Complain("timeout: could not connect to \"", options_.channel.address,
               "\" within ",
               absl::FormatDuration(options_.channel.connect_timeout), ": ",
               WhyNotConnected());
      return kNotConnected;
    }
    const absl::Time connected = absl::Now();
    const ProbeExitCode code = options_.watch  ? Watch()
                               : options_.list ? List()
                                               : CheckOnce();
    if (options_.verbose && !options_.watch) {
      Complain(
          "time elapsed: connect=", absl::FormatDuration(connected - start),
          " rpc=", absl::FormatDuration(absl::Now() - connected));
    }
    return code;
  }

 private:
  void Prepare(grpc::ClientContext& context) const {
    AddHeaders(options_.channel, context);
  }

  // Only a call is told.
  std::string WhyNotConnected() {
    grpc::ClientContext context;
    context.set_deadline(In(absl::Milliseconds(100)));
    HealthCheckResponse response;
    const grpc::Status status =
        stub_->Check(&context, HealthCheckRequest(), &response);
    return status.error_code() == grpc::StatusCode::UNAVAILABLE
               ? status.error_message()
               : "no answer";
  }

  ProbeExitCode Fail(const grpc::Status& status, const char* what) const {
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
      Complain("timeout: ", what, " did not answer within ",
               absl::FormatDuration(options_.channel.rpc_timeout));
    } else if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
      Complain("error: this server does not implement ", what, ": ",
               status.error_message());
    } else {
      Complain("error: ", what, " failed: ",
               absl::StatusCodeToString(
                   static_cast<absl::StatusCode>(status.error_code())),
               ": ", status.error_message());
    }
    return kCallFailed;
  }

  HealthCheckRequest Request() const {
    HealthCheckRequest request;
    request.set_service(options_.service);
    return request;
  }

  ProbeExitCode CheckOnce() {
    grpc::ClientContext context;
    Prepare(context);
    context.set_deadline(In(options_.channel.rpc_timeout));
    HealthCheckResponse response;
    const grpc::Status status = stub_->Check(&context, Request(), &response);
    if (!status.ok()) return Fail(status, "grpc.health.v1.Health/Check");
    if (response.status() == HealthCheckResponse::SERVING) {
      std::printf("status: SERVING\n");
      return kServing;
    }
    Complain("service unhealthy: the server says ", NameOf(response.status()));
    return kNotServing;
  }

  ProbeExitCode List() {
    grpc::ClientContext context;
    Prepare(context);
    context.set_deadline(In(options_.channel.rpc_timeout));
    HealthListResponse response;
    const grpc::Status status =
        stub_->List(&context, HealthListRequest(), &response);
    if (!status.ok()) return Fail(status, "grpc.health.v1.Health/List");
    ProbeExitCode code = kServing;
    const std::map<std::string, HealthCheckResponse> sorted(
        response.statuses().begin(), response.statuses().end());
    for (const auto& [name, check] : sorted) {
      // The whole server has no name.
      std::printf("%-15s %s\n", NameOf(check.status()).c_str(),
                  name.empty() ? "\"\"" : name.c_str());
      code = std::max(code, ExitCodeOf(check.status()));
    }
    return code;
  }

  ProbeExitCode Watch();

  const Options& options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Health::Stub> stub_;
};

// Ends the waiting of WaitingForSignal.
constexpr int kStopWaiting = SIGUSR1;

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM, kStopWaiting}) {
    sigaddset(&signals, signal);
  }
  return signals;
}

// Calls back on a thread of its own when the user or the system wants the
// program to end. EndSignals() must be blocked on every thread.
class WaitingForSignal {
 public:
  template <class Callback>
  explicit WaitingForSignal(Callback callback)
      : thread_([callback] {
          const sigset_t signals = EndSignals();
          int signal = 0;
          while (sigwait(&signals, &signal) == 0 && signal != kStopWaiting) {
            callback();
          }
        }) {}
  ~WaitingForSignal() {
    pthread_kill(thread_.native_handle(), kStopWaiting);
    thread_.join();
  }
  WaitingForSignal(const WaitingForSignal&) = delete;
  WaitingForSignal& operator=(const WaitingForSignal&) = delete;

 private:
  std::thread thread_;
};

ProbeExitCode Prober::Watch() {
  // A queue, because a stream read the plain way knows no time limit for its
  // first message alone.
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  Prepare(context);
  std::atomic<bool> interrupted{false};
  const WaitingForSignal waiting([&] {
    interrupted.store(true);
    context.TryCancel();
  });

  enum Event : char { kStarted, kRead, kFinished };
  static char tags[] = {kStarted, kRead, kFinished};
  const auto reader =
      stub_->AsyncWatch(&context, Request(), &queue, &tags[kStarted]);
  HealthCheckResponse response;
  grpc::Status status;
  std::optional<HealthCheckResponse::ServingStatus> last;
  bool late = false;
  const auto first_by = In(options_.channel.rpc_timeout);
  for (;;) {
    void* tag = nullptr;
    bool ok = false;
    const bool has_limit = !last.has_value() && !late;
    const auto next = queue.AsyncNext(
        &tag, &ok,
        has_limit ? first_by : std::chrono::system_clock::time_point::max());
    if (next == grpc::CompletionQueue::TIMEOUT) {
      late = true;
      context.TryCancel();
      continue;
    }
    const char event = *static_cast<char*>(tag);
    if (event == kFinished) break;
    if (!ok) {
      reader->Finish(&status, &tags[kFinished]);
      continue;
    }
    if (event == kRead) {
      last = response.status();
      std::printf("%s status: %s\n",
                  absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(),
                                   absl::UTCTimeZone())
                      .c_str(),
                  NameOf(*last).c_str());
      std::fflush(stdout);
    }
    reader->Read(&response, &tags[kRead]);
  }
  queue.Shutdown();

  if (interrupted.load() && last.has_value()) return ExitCodeOf(*last);
  if (late && !last.has_value()) {
    status = grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "");
  }
  return Fail(status, "grpc.health.v1.Health/Watch");
}

void SayOptions(const Options& options) {
  const ChannelFlags& channel = options.channel;
  const auto name_of = [](std::string* out, const auto& header) {
    absl::StrAppend(out, header.first);
  };
  Complain("addr=", channel.address, " service=\"", options.service,
           "\" connect-timeout=", absl::FormatDuration(channel.connect_timeout),
           " rpc-timeout=", absl::FormatDuration(channel.rpc_timeout),
           " user-agent=", options.user_agent,
           " headers=", absl::StrJoin(channel.headers, ",", name_of),
           channel.tls ? " tls" : " plaintext",
           channel.tls_no_verify ? " no-verify" : "",
           channel.tls_ca_cert.empty() ? "" : " ca-cert=", channel.tls_ca_cert,
           channel.tls_client_cert.empty() ? "" : " client-cert=",
           channel.tls_client_cert,
           channel.tls_server_name.empty() ? "" : " server-name=",
           channel.tls_server_name);
}

}  // namespace

int RunProbe(const std::vector<std::string_view>& arguments) {
  Options options;
  std::vector<Flag> known = {
      {"service", &options.service}, {"watch", &options.watch},
      {"list", &options.list},       {"user-agent", &options.user_agent},
      {"verbose", &options.verbose}, {"v", &options.verbose}};
  AddChannelFlags(options.channel, known);
  const ParsedFlags flags = ParseFlags(arguments, known);
  if (flags.help) {
    std::fputs(kHelp, stdout);
    return kServing;
  }
  Problem problem;
  if (!flags.error.empty()) problem = flags.error;
  if (!problem) problem = Check(options);
  if (problem) {
    Complain(*problem, "; try `fusebox probe --help`");
    return kMisused;
  }

  if (!options.verbose) SilenceGrpc();
  if (options.watch) {
    // Before gRPC starts its threads, which would take them otherwise.
    const sigset_t signals = EndSignals();
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if ((problem = MakeCredentials(options.channel, credentials))) {
    Complain(*problem);
    return kMisused;
  }
  if (options.verbose) SayOptions(options);
  return Prober(options, credentials).Run();
}

}  // namespace fusebox
