// A scripted outage of about a minute: a client, its server, and what their
// circuit breakers do while the server fails, times out and heals. Ends with
// checks of what happened; exit status 1 if one failed.

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/demo_story.h"
#include "examples/greeter/greeter.grpc.pb.h"
#include "google/protobuf/util/time_util.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

namespace greeter {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr char kUsage[] =
    "demo [--page[=SECONDS]] [--fusebox_<field>=<value>...]\n"
    "\n"
    "Shows a greeter client survive an outage of its server, in about a\n"
    "minute. Flags of Fusebox go to both; greeter_client --help lists them.\n"
    "With --page the server's breakers are also to be seen, and to be forced,\n"
    "in a browser on this host; the page stays until Ctrl-C, or for so many\n"
    "seconds.\n"
    "Exit status: 0 as expected, 1 a check failed, 2 a bad command line,\n"
    "130 interrupted.\n";

// Longer than any phase takes, unless something is wrong.
constexpr seconds kPhaseLimit(40);
constexpr seconds kEndLimit(10);

// From the address of the page to the outage.
constexpr std::size_t kSecondsToOpenThePage = 10;

volatile std::sig_atomic_t interrupted = 0;

struct Interrupted : std::exception {};

void Say(const std::string& text) {
  std::printf("\n%s\n\n", text.c_str());
  std::fflush(stdout);
}

struct Options {
  std::vector<std::string> fusebox_flags;
  bool page = false;
  // How long the page stays at the end; nothing: until Ctrl-C.
  std::optional<seconds> page_stays;
};

class Demo {
 public:
  explicit Demo(const Options& options);

  // False if something expected did not happen in time.
  bool Play();
  void EndClient();
  // Of what happened until the client had ended.
  bool CheckOutage() const;
  // Leaves the page up, with calls to look at. False if they end by themselves.
  bool KeepPage();
  void EndServer();
  bool CheckEnds() const;

 private:
  // Prints and understands a line of the client.
  void Show(const std::string& line);
  // Shows what the client prints until `happened`.
  bool Until(const std::function<bool()>& happened, const char* what);
  // Until the client has printed the lines of `n` more seconds.
  bool Seconds(std::size_t n);

  // Sets the fault of SayHello; how often its handler ran so far.
  std::int64_t SetFault(grpc::StatusCode code, double fraction, seconds delay);
  std::int64_t HandlerRuns() { return Call(v1::SetFaultRequest()); }
  std::int64_t Call(const v1::SetFaultRequest& request);

  const Options options_;
  std::string page_;  // its address; empty without
  std::unique_ptr<ChildProcess> server_;
  std::vector<std::string> client_command_;
  std::unique_ptr<ChildProcess> client_;
  std::unique_ptr<v1::FaultControl::Stub> control_;
  DemoStory story_;

  // From the client's breaker opening until the server was mended:
  std::int64_t runs_while_open_ = -1;  // of the handler
  int probes_while_open_ = 0;          // that the client sent, and that failed
  std::int64_t rejected_while_open_ = 0;

  std::int64_t runs_ = 0;  // of the handler, in all
  int server_status_ = -1;
  int client_status_ = -1;
};

Demo::Demo(const Options& options) : options_(options) {
  const std::vector<std::string>& flags = options.fusebox_flags;
  std::vector<std::string> server = {Sibling("greeter_server"),
                                     "--listen=127.0.0.1:0"};
  if (options.page) {
    server.insert(server.end(), {"--http_port=0", "--http_changes"});
  }
  server.insert(server.end(), flags.begin(), flags.end());
  server_ = std::make_unique<ChildProcess>(server);
  const auto read = [this](const std::string& prefix) {
    const std::string line =
        server_->ReadLine(steady_clock::now() + kEndLimit).value_or("");
    if (absl::StartsWith(line, prefix)) return line.substr(prefix.size());
    server_->Wait(steady_clock::now() + seconds(1));
    throw std::runtime_error("the server does not start: " + line +
                             server_->errors());
  };
  const std::string target = read("listening on ");
  if (options.page) page_ = "http://" + read("http on ") + "/breakers/";

  client_command_ = {Sibling("greeter_client"), "--target=" + target,
                     "--rate=20", "--deadline=250ms"};
  client_command_.insert(client_command_.end(), flags.begin(), flags.end());
  client_ = std::make_unique<ChildProcess>(client_command_);
  control_ = v1::FaultControl::NewStub(
      grpc::CreateChannel(target, grpc::InsecureChannelCredentials()));
}

bool Demo::Play() {
  Say("== Healthy. A client calls SayHello 20 times a second and waits 250 ms\n"
      "   for each answer. Client and server each guard the method with a\n"
      "   circuit breaker; a '**' line is a change of the client's.");
  if (options_.page) {
    Say(
        absl::StrFormat("== The server's breakers: %s\n"
                        "   The outage begins in %d seconds.",
                        page_, kSecondsToOpenThePage));
  }
  if (!Seconds(options_.page ? kSecondsToOpenThePage : 6)) return false;

  SetFault(grpc::StatusCode::UNAVAILABLE, 1, seconds(0));
  Say("== Failing. From now on every call ends with UNAVAILABLE. The breakers\n"
      "   open when half of the calls of the last 10 s have failed.");
  if (!Until([&] { return story_.Opened(); }, "the breaker opens")) {
    return false;
  }
  // Calls that were let through before may still be on their way.
  std::int64_t runs_at_opening = HandlerRuns();
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(milliseconds(200));
    const std::int64_t runs = HandlerRuns();
    if (std::exchange(runs_at_opening, runs) == runs) break;
  }
  const std::int64_t rejected_at_opening = story_.rejected();
  Say("   OPEN: calls are refused at once, before anything is sent. After a\n"
      "   second (HALF_OPEN) one call goes out as a probe. It fails, so the\n"
      "   next one waits twice as long. Health of the method says NOT_SERVING\n"
      "   while the server's own breaker is open.");
  if (!Until([&] { return story_.FailedProbes() >= 2; }, "two probes fail")) {
    return false;
  }

  SetFault(grpc::StatusCode::OK, 1, seconds(1));
  Say("== Timing out. The server answers again, but after a second; the "
      "client\n"
      "   has given up by then. Only probes find out. A probe that the "
      "server's\n"
      "   breaker refuses says nothing: the next call is another one.");
  if (!Until([&] { return story_.FailedProbes("timeout_threshold") >= 2; },
             "two probes time out")) {
    return false;
  }

  runs_while_open_ =
      SetFault(grpc::StatusCode::OK, 0, seconds(0)) - runs_at_opening;
  probes_while_open_ = story_.FailedProbes();
  rejected_while_open_ = story_.rejected() - rejected_at_opening;
  Say("== Healed. The next probe is answered. Then each of the two breakers "
      "lets\n"
      "   a growing share of the calls through, by probability, and closes.");
  return Until([&] { return story_.Closed(); }, "the breaker closes") &&
         Until([&] { return story_.health().back() == "SERVING"; },
               "health says SERVING") &&
         Seconds(2);
}

void Demo::Show(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
  story_.Read(line);
}

bool Demo::Until(const std::function<bool()>& happened, const char* what) {
  const auto end = steady_clock::now() + kPhaseLimit;
  while (!happened()) {
    if (interrupted != 0) throw Interrupted();
    const auto now = steady_clock::now();
    if (const auto line = client_->ReadLine(now + milliseconds(200))) {
      Show(*line);
    } else if (client_->AtEnd() || now > end) {
      std::printf("\nThis did not happen: %s.\n", what);
      return false;
    }
  }
  return true;
}

bool Demo::Seconds(std::size_t n) {
  const std::size_t wanted = story_.health().size() + n;
  return Until([&] { return story_.health().size() >= wanted; },
               "the client prints a line a second");
}

std::int64_t Demo::SetFault(grpc::StatusCode code, double fraction,
                            seconds delay) {
  v1::SetFaultRequest request;
  request.set_method("SayHello");
  request.set_status_code(code);
  request.set_fraction(fraction);
  *request.mutable_delay() =
      google::protobuf::util::TimeUtil::SecondsToDuration(delay.count());
  return Call(request);
}

std::int64_t Demo::Call(const v1::SetFaultRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(10));
  v1::SetFaultReply reply;
  const grpc::Status status = control_->SetFault(&context, request, &reply);
  if (!status.ok()) {
    throw std::runtime_error("SetFault failed: " + status.error_message());
  }
  return reply.handler_runs().at("SayHello");
}

void Demo::EndClient() {
  Say(options_.page ? "== The end: the client stops as on Ctrl-C."
                    : "== The end: both stop as on Ctrl-C.");
  client_->Signal(SIGINT);
  while (const auto line = client_->ReadLine(steady_clock::now() + kEndLimit)) {
    Show(*line);
  }
  client_status_ = client_->Wait(steady_clock::now() + kEndLimit).value_or(-1);
  runs_ = HandlerRuns();
}

bool Demo::KeepPage() {
  std::string until = "Ctrl-C ends it.";
  if (options_.page_stays.has_value()) {
    until = absl::StrFormat("It ends after %d s, or on Ctrl-C.",
                            options_.page_stays->count());
  }
  Say("== The page stays: " + page_ +
      "\n"
      "   Another client calls on, quietly. Force SayHello open there, and\n"
      "   release it. " +
      until);
  ChildProcess caller(client_command_);
  const auto begin = steady_clock::now();
  while (interrupted == 0 &&
         (!options_.page_stays.has_value() ||
          steady_clock::now() - begin < *options_.page_stays)) {
    caller.ReadLine(steady_clock::now() + milliseconds(200));
    if (!caller.AtEnd()) continue;
    // A terminal's Ctrl-C goes to all of us, and the child may be faster.
    std::this_thread::sleep_for(milliseconds(200));
    if (interrupted == 0) {
      std::puts("The calls have ended.");
      return false;
    }
  }
  return true;
}

void Demo::EndServer() {
  server_->Signal(SIGINT);
  server_status_ = server_->Wait(steady_clock::now() + kEndLimit).value_or(-1);
}

bool Check(bool good, const std::string& claim) {
  std::printf("%s: %s\n", good ? "ok" : "FAILED", claim.c_str());
  std::fflush(stdout);
  return good;
}

bool Demo::CheckOutage() const {
  std::printf("\n");
  bool all = Check(story_.IsOneOutage(),
                   "the client's breaker went CLOSED, OPEN, HALF_OPEN, CLOSED");
  all &= Check(story_.HealthCameBack(),
               "health said SERVING, then NOT_SERVING, then SERVING again");
  all &= Check(probes_while_open_ > 0 && runs_while_open_ > 0 &&
                   runs_while_open_ <= probes_while_open_,
               absl::StrFormat(
                   "while open %d calls were rejected; the handler ran %d "
                   "times for %d probes",
                   rejected_while_open_, runs_while_open_, probes_while_open_));
  const TotalsLine& totals = story_.totals();
  all &=
      Check(totals.ok > 0 &&
                totals.sent == totals.ok + totals.failed + totals.rejected &&
                runs_ >= totals.ok && runs_ <= totals.ok + totals.failed,
            absl::StrFormat(
                "%d calls: %d ok, %d failed, %d rejected; the handler "
                "ran %d times",
                totals.sent, totals.ok, totals.failed, totals.rejected, runs_));
  return all;
}

bool Demo::CheckEnds() const {
  return Check(client_status_ == 0 && server_status_ == 0,
               absl::StrFormat("client and server ended with status %d and %d",
                               client_status_, server_status_));
}

// How long the page stays, as `--page` or `--page=SECONDS` says.
bool ParsePage(const std::string& flag, Options& options) {
  options.page = true;
  if (flag == "--page") return true;
  int stays = 0;
  if (!absl::SimpleAtoi(flag.substr(sizeof("--page=") - 1), &stays) ||
      stays < 1) {
    return false;
  }
  options.page_stays = seconds(stays);
  return true;
}

}  // namespace
}  // namespace greeter

int main(int argc, char** argv) {
  greeter::Options options;
  for (const std::string& flag :
       std::vector<std::string>(argv + 1, argv + argc)) {
    if (flag == "--help" || flag == "-h") {
      std::fputs(greeter::kUsage, stdout);
      return 0;
    }
    if (flag == "--page" || absl::StartsWith(flag, "--page=")) {
      if (greeter::ParsePage(flag, options)) continue;
      std::fprintf(stderr, "demo: '%s' is not valid: seconds, at least 1\n%s",
                   flag.c_str(), greeter::kUsage);
      return 2;
    }
    if (!absl::StartsWith(flag, "--fusebox_")) {
      std::fprintf(stderr, "demo: '%s' is not a flag of Fusebox\n%s",
                   flag.c_str(), greeter::kUsage);
      return 2;
    }
    options.fusebox_flags.push_back(flag);
  }
  for (const int signal : {SIGINT, SIGTERM}) {
    std::signal(signal, [](int) { greeter::interrupted = 1; });
  }
  // The children end with `demo`, however this goes.
  try {
    greeter::Demo demo(options);
    bool good = demo.Play();
    demo.EndClient();
    if (options.page) {
      good &= demo.CheckOutage();
      good &= demo.KeepPage();
      demo.EndServer();
    } else {
      demo.EndServer();
      good &= demo.CheckOutage();
    }
    good &= demo.CheckEnds();
    return good ? 0 : 1;
  } catch (const greeter::Interrupted&) {
    std::puts("\ninterrupted");
    return 130;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "demo: %s\n", error.what());
    return 1;
  }
}
