// The terminal, taken over by a program that fills its screen.

#ifndef FUSEBOX_TOOLS_TERMINAL_H_
#define FUSEBOX_TOOLS_TERMINAL_H_

#include <termios.h>

#include <cstddef>
#include <string>
#include <vector>

namespace fusebox {

// Shows lines on the whole of the screen (another one, as editors do) and reads
// keys at once, until it is destroyed: then everything is as before. SIGINT,
// SIGTERM, SIGHUP and SIGWINCH wake Wait() meanwhile; they must be blocked on
// every other thread. One at a time. Thread-compatible, but for Wake().
class Terminal {
 public:
  // Whether standard output is a terminal.
  static bool IsThere();

  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  struct Size {
    std::size_t width;
    std::size_t height;
  };
  static Size size();

  void Show(const std::vector<std::string>& lines);

  enum class Event { kNothing, kQuit, kLook };
  // Until a key, a signal, Wake() or the end of `milliseconds`. kQuit: q,
  // Ctrl-C or a signal that ends programs; kLook: show anew.
  Event Wait(int milliseconds);

 private:
  termios before_ = {};
  bool has_keys_ = false;  // standard input is a terminal too
};

// Ends the waiting; from any thread, with or without a Terminal.
void WakeTerminal();

}  // namespace fusebox

#endif  // FUSEBOX_TOOLS_TERMINAL_H_
