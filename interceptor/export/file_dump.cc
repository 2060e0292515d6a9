#include "interceptor/export/file_dump.h"

#include <exception>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "interceptor/export/option_range.h"

namespace fusebox {

absl::Status ValidateFileDumpOptions(const FileDumpOptions& options) {
  if (options.path.empty() || options.path.back() == '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("path: '", options.path, "' is not that of a file"));
  }
  return InRange("period", options.period, std::chrono::milliseconds(100),
                 std::chrono::hours(24));
}

FileDump::FileDump(FileDumpOptions options,
                   std::function<std::string()> snapshot)
    : options_(std::move(options)), snapshot_(std::move(snapshot)) {}

FileDump::~FileDump() { Stop(); }

absl::Status FileDump::Start() {
  if (file_.has_value()) {
    return absl::FailedPreconditionError("the dump was started before");
  }
  absl::Status status = ValidateFileDumpOptions(options_);
  if (!status.ok()) return status;
  // The program may change its directory later.
  std::error_code error;
  const std::string path = std::filesystem::absolute(options_.path, error);
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat("path: '", options_.path, "': ", error.message()));
  }
  if (options_.on_crash) {
    status = CrashDump::Install(path + ".crash", options_.format, options_.now,
                                &crash_);
    if (!status.ok()) return status;
    UseSignalStack();
  }
  file_.emplace(path);
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error& e) {
    crash_.reset();
    return absl::ResourceExhaustedError(absl::StrCat("no thread: ", e.what()));
  }
  return absl::OkStatus();
}

void FileDump::Stop() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.notify_all();
  }
  thread_.join();
  crash_.reset();
}

FileDumpStats FileDump::stats() const {
  MutexLock lock(mu_);
  return stats_;
}

void FileDump::Wake() {
  MutexLock lock(mu_);
  wake_.notify_all();
}

void FileDump::Run() {
  if (options_.on_crash) UseSignalStack();
  TimePoint due = options_.now();
  for (;;) {
    {
      MutexLock lock(mu_);
      for (;;) {
        const TimePoint now = options_.now();
        if (stopping_ || now >= due) break;
        wake_.wait_for(mu_, due - now);
      }
      if (stopping_) break;
    }
    Dump();
    due += options_.period;
    // Periods that were slept through are not made up for.
    if (const TimePoint now = options_.now(); due < now)
      due = now + options_.period;
  }
  Dump();
}

void FileDump::Dump() {
  const TimePoint now = options_.now();
  std::string text;
  try {
    text = snapshot_();
  } catch (const std::exception& e) {
    MutexLock lock(mu_);
    ++stats_.failed_snapshots;
    stats_.last_error = absl::StrCat("the snapshot threw: ", e.what());
    return;
  } catch (...) {
    MutexLock lock(mu_);
    ++stats_.failed_snapshots;
    stats_.last_error = "the snapshot threw";
    return;
  }
  // First, because the disk may take its time.
  if (crash_ != nullptr) crash_->Set(text, now);

  const std::string_view piece = text;
  const FileReplacement::Result result = file_->Write(&piece, 1);
  MutexLock lock(mu_);
  if (result.error != 0) {
    ++stats_.failed_writes;
    stats_.last_error =
        absl::StrCat(file_->path(), ": ", result.step, ": ",
                     std::generic_category().message(result.error));
    return;
  }
  ++stats_.writes;
  stats_.last_success = now;
  stats_.bytes = text.size();
}

}  // namespace fusebox
