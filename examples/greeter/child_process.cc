#include "examples/greeter/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

namespace greeter {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends;
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      throw std::system_error(errno, std::generic_category(), "pipe2");
    }
    read_end = ends[0];
    write_end = ends[1];
  }
  int read_end;
  int write_end;
};

// After fork(): only what is safe in the copy of one thread of many.
[[noreturn]] void Become(char* const* arguments, pid_t parent, int out,
                         int error) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(127);  // it was faster
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(out, STDOUT_FILENO);
  dup2(error, STDERR_FILENO);
  execv(arguments[0], arguments);
  _exit(127);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);

  const Pipe out;
  const Pipe error;
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) Become(argv.data(), parent, out.write_end, error.write_end);
  const int fork_error = errno;
  close(out.write_end);
  close(error.write_end);
  stdout_.file = out.read_end;
  stderr_.file = error.read_end;
  if (pid_ < 0) {
    close(out.read_end);
    close(error.read_end);
    throw std::system_error(fork_error, std::generic_category(), "fork");
  }
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) {
    Signal(SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  for (const Stream& stream : {stdout_, stderr_}) {
    if (stream.file >= 0) close(stream.file);
  }
}

std::optional<std::string> ChildProcess::ReadLine(
    steady_clock::time_point end) {
  for (;;) {
    const std::size_t newline = stdout_.text.find('\n');
    if (newline != std::string::npos) {
      std::string line = stdout_.text.substr(0, newline);
      stdout_.text.erase(0, newline + 1);
      return line;
    }
    if (stdout_.file < 0) {
      if (stdout_.text.empty()) return std::nullopt;
      return std::exchange(stdout_.text, "");  // a last line without an end
    }
    if (!ReadSome(end)) return std::nullopt;
  }
}

void ChildProcess::Signal(int signal) {
  if (pid_ > 0) kill(pid_, signal);
}

std::optional<int> ChildProcess::Wait(steady_clock::time_point end) {
  while (stdout_.file >= 0 || stderr_.file >= 0) {
    if (!ReadSome(end)) return std::nullopt;
  }
  // It closed both, which programs do by ending.
  while (pid_ > 0) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      status_ =
          WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    } else if (steady_clock::now() >= end) {
      return std::nullopt;
    } else {
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
  return status_;
}

bool ChildProcess::ReadSome(steady_clock::time_point end) {
  std::array<pollfd, 2> files = {pollfd{stdout_.file, POLLIN, 0},
                                 pollfd{stderr_.file, POLLIN, 0}};
  const auto left =
      std::chrono::ceil<milliseconds>(end - steady_clock::now()).count();
  const auto timeout = std::clamp<decltype(left)>(left, 0, INT_MAX);
  // A signal ends the wait like the time.
  if (poll(files.data(), files.size(), static_cast<int>(timeout)) <= 0) {
    return false;
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (files[i].revents == 0) continue;
    Stream& stream = i == 0 ? stdout_ : stderr_;
    std::array<char, 4096> buffer;
    const ssize_t size = read(stream.file, buffer.data(), buffer.size());
    if (size > 0) {
      stream.text.append(buffer.data(), static_cast<std::size_t>(size));
    } else if (size == 0) {
      close(std::exchange(stream.file, -1));
    }
  }
  return true;
}

std::string Sibling(const std::string& name) {
  std::array<char, PATH_MAX> path;
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size());
  const std::string self(path.data(),
                         static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  return self.substr(0, self.rfind('/') + 1) + name;
}

}  // namespace greeter
