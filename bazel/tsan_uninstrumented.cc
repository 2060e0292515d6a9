// ThreadSanitizer settings for programs that link gRPC and other libraries
// built without it. The sanitizer calls these two functions at start-up.
//
// It cannot see how such a library passes data from thread to thread, so
// correct programs look racy to it. These settings silence what is not our code
// and leave ours under watch:
//
//  - accesses made by the libraries themselves are not looked at;
//  - templates of their headers are compiled, and instrumented, in our code. A
//    report is dropped when the innermost frame of one of its stacks is such a
//    function. `race_top` and not `race`: the latter matches any frame, and
//    every handler runs below gRPC's. std_function.h stands there as a file
//    because a callback that is a lambda has functions without std:: in front.
//
// For objects of ours that gRPC passes on there is interceptor/handoff.
// tsan_grpc_test fails when this hides a race in a handler.

extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier): the sanitizer chose the names.
const char* __tsan_default_options();
const char* __tsan_default_options() {
  return "ignore_noninstrumented_modules=1";
}

const char* __tsan_default_suppressions();
const char* __tsan_default_suppressions() {
  return "race_top:^grpc::\n"
         "race_top:^std::\n"
         "race_top:^__gnu_cxx::\n"
         "race_top:/bits/std_function.h$\n"
         "race_top:^google::\n";
}

// NOLINTEND(bugprone-reserved-identifier)

}  // extern "C"
