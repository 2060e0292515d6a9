#include "tools/top_command.h"

#include <grpcpp/grpcpp.h>
#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "interceptor/admin/printable_text.h"
#include "interceptor/breaker/mutex.h"
#include "tools/admin_client.h"
#include "tools/channel_flags.h"
#include "tools/command_line.h"
#include "tools/terminal.h"
#include "tools/top_view.h"

namespace fusebox {
namespace {

constexpr char kHelp[] =
    R"(usage: fusebox top -addr=ADDRESS [-interval=TIME] [-filter=TEXT] [-once]

Shows the circuit breakers of a running process as they are, those that need a
look first: state, share of failures and its threshold, calls per second,
refused calls. Changes of state show at once, counts at each interval.

q or Ctrl-C ends it. If standard output is no terminal, the table is written at
each interval, without colour.

  -interval=2s           between two looks; at least 100ms
  -filter=TEXT           such as 'method=/pkg.Orders/*'; see ListBreakersRequest
                         in proto/fusebox/v1/admin.proto
  -once                  write the table once, without colour, and exit
  -operator=NAME         who looks; default: $USER
)";

constexpr char kExitHelp[] =
    R"(
Exits with
  0  ended by q, Ctrl-C or -once
  1  called wrongly, or the server found the filter not valid
  2  no connection by -connect-timeout
  3  the first look failed, was denied, or gave no answer by -rpc-timeout
A connection that is lost later is said, and tried anew.
)";

struct Options {
  ChannelFlags channel;
  std::string interval_text = "2s";
  std::string filter;
  std::string operator_name;
  bool once = false;

  absl::Duration interval;
};

Problem Check(Options& options) {
  if (Problem problem = CheckChannelFlags(options.channel)) return problem;
  if (Problem problem =
          ReadTimeout("-interval", options.interval_text, options.interval)) {
    return problem;
  }
  if (options.interval < absl::Milliseconds(100)) {
    return absl::StrCat("-interval is at least 100ms, not \"",
                        options.interval_text, "\"");
  }
  return std::nullopt;
}

// Keeps a view as the server tells, on two threads: one lists at each interval,
// the other follows transitions. Thread-safe.
class Follower {
 public:
  Follower(const Options& options, AdminClient& client)
      : options_(options),
        client_(client),
        lister_([this] { KeepListing(); }),
        watcher_([this] { KeepWatching(); }) {}
  ~Follower() {
    {
      const MutexLock lock(mu_);
      stopped_ = true;
      if (watch_ != nullptr) watch_->TryCancel();
    }
    client_.StopListing();
    stop_.notify_all();
    lister_.join();
    watcher_.join();
  }
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  // Calls `look` with the view.
  template <class Look>
  void With(Look look) FUSEBOX_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    look(view_);
  }

 private:
  // Whether to go on after `pause`.
  bool GoOnAfter(absl::Duration pause) FUSEBOX_EXCLUDES(mu_) {
    const auto end =
        std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(pause);
    const MutexLock lock(mu_);
    while (!stopped_) {
      if (stop_.wait_until(mu_, end) == std::cv_status::timeout) break;
    }
    return !stopped_;
  }

  void KeepListing() FUSEBOX_EXCLUDES(mu_) {
    do {
      v1::ListBreakersResponse list;
      const grpc::Status status = client_.ListAll(options_.filter, list);
      {
        const MutexLock lock(mu_);
        if (status.ok()) {
          view_.TakeList(list, absl::Now());
        } else {
          view_.SetTrouble("no answer, trying again: " + StatusText(status));
        }
      }
      WakeTerminal();
    } while (GoOnAfter(options_.interval));
  }

  void KeepWatching() FUSEBOX_EXCLUDES(mu_) {
    do {
      grpc::ClientContext context;
      client_.Prepare(context, /*is_stream=*/true);
      {
        const MutexLock lock(mu_);
        if (stopped_) return;
        watch_ = &context;
      }
      // Without the filter: it may be about more than a watch knows, and what
      // is not listed is not shown.
      const auto reader = client_.stub().WatchBreakers(&context, {});
      v1::WatchBreakersResponse response;
      while (reader->Read(&response)) {
        if (!response.has_transition()) continue;
        {
          const MutexLock lock(mu_);
          view_.TakeTransition(response.transition());
        }
        WakeTerminal();
      }
      reader->Finish();  // the lister tells what is wrong
      const MutexLock lock(mu_);
      watch_ = nullptr;
    } while (GoOnAfter(absl::Seconds(1)));
  }

  const Options& options_;
  AdminClient& client_;
  Mutex mu_;
  std::condition_variable_any stop_;
  bool stopped_ FUSEBOX_GUARDED_BY(mu_) = false;
  TopView view_ FUSEBOX_GUARDED_BY(mu_);
  grpc::ClientContext* watch_ FUSEBOX_GUARDED_BY(mu_) = nullptr;
  std::thread lister_;
  std::thread watcher_;
};

void Print(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

constexpr std::size_t kUnlimited = 1'000'000;

// Once, or at each interval: as long as somebody reads it.
AdminExitCode RunPlain(const Options& options, AdminClient& client) {
  TopView view;
  for (;;) {
    v1::ListBreakersResponse list;
    const grpc::Status status = client.ListAll(options.filter, list);
    if (!status.ok()) return client.Fail(status, "ListBreakers");
    view.TakeList(list, absl::Now());
    Print(view.Render(options.channel.address, absl::Now(), kUnlimited,
                      kUnlimited, /*escapes=*/false));
    if (options.once || std::ferror(stdout) != 0) return kAdminOk;
    std::printf("\n");
    absl::SleepFor(options.interval);
  }
}

AdminExitCode RunOnTerminal(const Options& options, AdminClient& client) {
  // What is wrong from the start is said where it stays to be read.
  v1::ListBreakersResponse list;
  const grpc::Status status = client.ListAll(options.filter, list);
  if (!status.ok()) return client.Fail(status, "ListBreakers");

  Terminal terminal;
  Follower follower(options, client);
  for (;;) {
    follower.With([&](const TopView& view) {
      const Terminal::Size size = Terminal::size();
      terminal.Show(view.Render(options.channel.address, absl::Now(),
                                size.width, size.height, /*escapes=*/true));
    });
    // Ages and waits are shown in seconds.
    if (terminal.Wait(1000) == Terminal::Event::kQuit) return kAdminOk;
  }
}

}  // namespace

int RunTop(const std::vector<std::string_view>& arguments) {
  Options options;
  options.channel.connect_timeout_text = "5s";
  options.channel.rpc_timeout_text = "5s";
  if (const char* user = std::getenv("USER")) options.operator_name = user;
  std::vector<Flag> known = {{"interval", &options.interval_text},
                             {"filter", &options.filter},
                             {"operator", &options.operator_name},
                             {"once", &options.once}};
  AddChannelFlags(options.channel, known);
  const ParsedFlags flags = ParseFlags(arguments, known);
  if (flags.help) {
    std::printf("%s\n%s%s", kHelp, kChannelHelp, kExitHelp);
    return kAdminOk;
  }
  Problem problem;
  if (!flags.error.empty()) problem = flags.error;
  if (!problem) problem = Check(options);
  if (problem) {
    std::fprintf(stderr, "fusebox top: %s; try `fusebox top --help`\n",
                 PrintableText(*problem).c_str());
    return kAdminMisused;
  }
  SilenceGrpc();
  const bool on_terminal = !options.once && Terminal::IsThere();
  if (on_terminal) {
    // Before gRPC starts its threads; the terminal lets them through to this
    // one alone.
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) {
      sigaddset(&signals, signal);
    }
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if ((problem = MakeCredentials(options.channel, credentials))) {
    std::fprintf(stderr, "fusebox top: %s\n", problem->c_str());
    return kAdminMisused;
  }
  AdminClient client(options.channel, "top", options.operator_name,
                     credentials);
  if (const AdminExitCode code = client.Connect(); code != kAdminOk) {
    return code;
  }
  return on_terminal ? RunOnTerminal(options, client)
                     : RunPlain(options, client);
}

}  // namespace fusebox
