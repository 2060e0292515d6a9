"""The C++ rules under the names of rules_cc.

Bazel 4 still has these rules built in, so each name only passes its arguments
on. With a newer Bazel, drop this repository and use the real rules_cc.
"""

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
