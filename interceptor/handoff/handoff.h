#ifndef FUSEBOX_INTERCEPTOR_HANDOFF_HANDOFF_H_
#define FUSEBOX_INTERCEPTOR_HANDOFF_HANDOFF_H_

namespace fusebox {

// Tells ThreadSanitizer that gRPC orders what two threads do with one object.
//
// gRPC runs the steps of a call on whichever thread is free: an interceptor is
// made on one, called on a second and destroyed on a third, one after the
// other. The sanitizer cannot see what keeps that order when the library was
// built without it, and reports a race on every member. So a step that gRPC
// runs starts with AcquireFromGrpc(this), and ends its use of the members, at
// the latest before Proceed(), with ReleaseToGrpc(this). What a step did before
// the release is then known to have happened before what follows a later
// acquire of the same object.
//
// Only for what gRPC itself keeps apart. The steps of a server call are not:
// POST_RECV_CLOSE runs beside any other, and what it shares with them needs a
// lock or an atomic, these functions or not.
//
// Both do nothing in other builds. They are thread-safe.
void AcquireFromGrpc(const void* object);
void ReleaseToGrpc(const void* object);

// Implementation details follow.

#if defined(FUSEBOX_TSAN)
extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier): the sanitizer chose the names.
void __tsan_acquire(void* address);
void __tsan_release(void* address);
// NOLINTEND(bugprone-reserved-identifier)
}

inline void AcquireFromGrpc(const void* object) {
  __tsan_acquire(const_cast<void*>(object));
}
inline void ReleaseToGrpc(const void* object) {
  __tsan_release(const_cast<void*>(object));
}
#else
inline void AcquireFromGrpc(const void* /*object*/) {}
inline void ReleaseToGrpc(const void* /*object*/) {}
#endif

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HANDOFF_HANDOFF_H_
