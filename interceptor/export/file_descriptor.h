// A file descriptor that is closed once.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_FILE_DESCRIPTOR_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_FILE_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace fusebox {

// Thread-compatible.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { Close(); }
  FileDescriptor(FileDescriptor&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }

  int get() const { return fd_; }  // below 0: none
  bool is_open() const { return fd_ >= 0; }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_FILE_DESCRIPTOR_H_
