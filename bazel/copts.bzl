"""Compiler options of the code in this repository.

Every target written by hand says `copts = FUSEBOX_COPTS`; generated code does
not, and a project that depends on Fusebox gets these warnings nowhere else.
"""

# GCC and Clang both know all of these. Clang's lock checks are added by
# --config=clang. -Woverloaded-virtual is missing because gRPC's generated
# callback services hide their synchronous methods on purpose.
FUSEBOX_COPTS = [
    "-Wall",
    "-Wextra",
    "-Wcast-align",
    "-Wcast-qual",
    "-Wextra-semi",
    "-Wformat=2",
    "-Wnon-virtual-dtor",
    "-Wold-style-cast",
    "-Wshadow",
    "-Wundef",
    "-Wvla",
    "-Werror",
]
