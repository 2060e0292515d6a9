#include "interceptor/export/file_dump_replacement.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

namespace fusebox {
namespace {

// 0, or errno.
int WriteAll(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (written == 0 || errno != EINTR) {
      return written == 0 ? EIO : errno;
    }
  }
  return 0;
}

int Sync(int file) {
  while (fsync(file) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace

FileReplacement::FileReplacement(std::string path)
    : path_(std::move(path)),
      temporary_(path_ + ".tmp"),
      directory_(path_.substr(0, path_.rfind('/') + 1)) {}

FileReplacement::Result FileReplacement::Write(const std::string_view* pieces,
                                               std::size_t count) const {
  // Those who may read it are for the umask to say.
  const int file =
      open(temporary_.c_str(),
           O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (file < 0) return {"open", errno};
  Result result;
  for (std::size_t i = 0; i < count && result.error == 0; ++i) {
    result = {"write", WriteAll(file, pieces[i])};
  }
  if (result.error == 0) result = {"fsync", Sync(file)};
  // After EINTR it is closed on Linux, and its contents are on the disk.
  if (close(file) != 0 && errno != EINTR && result.error == 0) {
    result = {"close", errno};
  }
  if (result.error == 0 && rename(temporary_.c_str(), path_.c_str()) != 0) {
    result = {"rename", errno};
  }
  if (result.error != 0) {
    unlink(temporary_.c_str());
    return result;
  }
  // So that the new name is there after a crash of the machine. Some file
  // systems cannot do this for directories, and nothing is lost by that.
  const int directory =
      open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    Sync(directory);
    close(directory);
  }
  return {};
}

}  // namespace fusebox
