// ThreadSanitizer settings for programs that link gRPC and other libraries
// built without it. The sanitizer calls these two functions at start-up.
//
// It cannot see how such a library passes data from thread to thread, so
// correct programs look racy to it: hundreds of reports in a single unary call.
// Two settings silence those and leave our own code under watch:
//
//  - accesses made by the libraries themselves are not looked at;
//  - templates of their headers are compiled, and instrumented, in our code. A
//    report is dropped when the innermost frame of one of its stacks is such a
//    function. `race_top` and not `race`: the latter matches any frame, and
//    every handler runs below gRPC's.
//
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
         "race_top:^google::\n";
}

// NOLINTEND(bugprone-reserved-identifier)

}  // extern "C"
