// A file that is replaced as a whole, also from a signal handler.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_FILE_DUMP_REPLACEMENT_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_FILE_DUMP_REPLACEMENT_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace fusebox {

// Writes a file in such a way that a reader, and whoever looks after a crash of
// the machine, sees its old contents or its new ones, and nothing between.
//
// The new contents go to a file beside it, "<path>.tmp", which is then renamed;
// file and directory reach the disk before Write() returns. So two that write
// one path at the same time, in one process or several, spoil each other's.
//
// Thread-compatible; Write() changes no member.
class FileReplacement {
 public:
  // Where a write failed, and `errno` of that; 0 if it did not.
  struct Result {
    const char* step = "";  // "open", "write", "fsync", "close", "rename"
    int error = 0;
  };

  // `path` is absolute.
  explicit FileReplacement(std::string path);

  const std::string& path() const { return path_; }

  // The file then holds the `count` pieces one after the other. If that fails
  // it stays as it is. Async-signal-safe: open, write, fsync, close, rename and
  // unlink is all it does. A symbolic link in the place of the file beside is
  // not followed.
  Result Write(const std::string_view* pieces, std::size_t count) const;

 private:
  std::string path_;
  std::string temporary_;
  std::string directory_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_FILE_DUMP_REPLACEMENT_H_
