#include "tools/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>

namespace fusebox {
namespace {

constexpr std::array<int, 4> kSignals = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};

// What wakes Wait(): a byte is the number of a signal, or 0. Signal handlers
// know nothing but globals.
int wake_pipe[2] = {-1, -1};

void WriteByte(char byte) {
  const int saved = errno;
  // A full pipe wakes as well.
  [[maybe_unused]] const ssize_t written = write(wake_pipe[1], &byte, 1);
  errno = saved;
}

void OnSignal(int signal) { WriteByte(static_cast<char>(signal)); }

void Write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return;  // nobody is left to read it
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

bool Terminal::IsThere() { return isatty(STDOUT_FILENO) != 0; }

Terminal::Terminal() {
  if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
    wake_pipe[0] = wake_pipe[1] = -1;
  }
  struct sigaction action = {};
  action.sa_handler = &OnSignal;
  sigemptyset(&action.sa_mask);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : kSignals) {
    sigaction(signal, &action, nullptr);
    sigaddset(&signals, signal);
  }
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);

  has_keys_ = tcgetattr(STDIN_FILENO, &before_) == 0;
  if (has_keys_) {
    termios raw = before_;
    // Ctrl-C still is a signal; Ctrl-Z would leave the screen as it is.
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    raw.c_cc[VSUSP] = _POSIX_VDISABLE;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  // The other screen, without a cursor and without wrapping.
  Write("\x1b[?1049h\x1b[?25l\x1b[?7l");
}

Terminal::~Terminal() {
  Write("\x1b[?7h\x1b[?25h\x1b[?1049l");
  if (has_keys_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

Terminal::Size Terminal::size() {
  winsize window = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 ||
      window.ws_row == 0) {
    return {80, 24};
  }
  return {window.ws_col, window.ws_row};
}

void Terminal::Show(const std::vector<std::string>& lines) {
  std::string text = "\x1b[H";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i != 0) text += "\r\n";
    text += lines[i] + "\x1b[K";
  }
  text += "\x1b[J";
  Write(text);
}

Terminal::Event Terminal::Wait(int milliseconds) {
  std::array<pollfd, 2> polled = {
      {{wake_pipe[0], POLLIN, 0}, {has_keys_ ? STDIN_FILENO : -1, POLLIN, 0}}};
  if (poll(polled.data(), polled.size(), milliseconds) < 0) {
    return Event::kLook;  // a signal
  }
  Event event = Event::kNothing;
  std::array<char, 64> bytes;
  ssize_t count = 0;
  while ((count = read(wake_pipe[0], bytes.data(), bytes.size())) > 0) {
    event = Event::kLook;
    for (ssize_t i = 0; i < count; ++i) {
      const char byte = bytes[static_cast<std::size_t>(i)];
      if (byte != 0 && byte != SIGWINCH) return Event::kQuit;
    }
  }
  if ((polled[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
    count = read(STDIN_FILENO, bytes.data(), bytes.size());
    // The terminal is gone.
    if (count <= 0) return Event::kQuit;
    if (std::memchr(bytes.data(), 'q', static_cast<std::size_t>(count)) !=
        nullptr) {
      return Event::kQuit;
    }
    return Event::kLook;
  }
  return event;
}

void WakeTerminal() { WriteByte(0); }

}  // namespace fusebox
