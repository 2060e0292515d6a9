// std::mutex with clang's thread-safety annotations.
//
// The engine uses this and not absl::Mutex because the sanitizers can then see
// every lock: nothing below breaker/ links uninstrumented code.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_MUTEX_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_MUTEX_H_

#include <mutex>

#if defined(__clang__)
#define FUSEBOX_ATTRIBUTE(x) __attribute__((x))
#else
#define FUSEBOX_ATTRIBUTE(x)
#endif
#define FUSEBOX_CAPABILITY(name) FUSEBOX_ATTRIBUTE(capability(name))
#define FUSEBOX_SCOPED_CAPABILITY FUSEBOX_ATTRIBUTE(scoped_lockable)
#define FUSEBOX_GUARDED_BY(mu) FUSEBOX_ATTRIBUTE(guarded_by(mu))
#define FUSEBOX_REQUIRES(mu) FUSEBOX_ATTRIBUTE(requires_capability(mu))
#define FUSEBOX_EXCLUDES(mu) FUSEBOX_ATTRIBUTE(locks_excluded(mu))
#define FUSEBOX_ACQUIRE(...) FUSEBOX_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define FUSEBOX_RELEASE(...) FUSEBOX_ATTRIBUTE(release_capability(__VA_ARGS__))

namespace fusebox {

class FUSEBOX_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() FUSEBOX_ACQUIRE() { mu_.lock(); }
  void Unlock() FUSEBOX_RELEASE() { mu_.unlock(); }

  // BasicLockable, for std::condition_variable_any.
  void lock() FUSEBOX_ACQUIRE() { mu_.lock(); }
  void unlock() FUSEBOX_RELEASE() { mu_.unlock(); }

 private:
  std::mutex mu_;
};

class FUSEBOX_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mu) FUSEBOX_ACQUIRE(mu) : mu_(mu) { mu_.Lock(); }
  ~MutexLock() FUSEBOX_RELEASE() { mu_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mu_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_MUTEX_H_
