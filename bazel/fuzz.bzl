"""Fuzz targets."""

load("@rules_cc//cc:defs.bzl", "cc_test")
load(":copts.bzl", "FUSEBOX_COPTS")

def fusebox_fuzz_test(name, srcs, deps):
    """A function LLVMFuzzerTestOneInput(), and inputs to call it with.

    As an ordinary test it is called once with each input of the corpus, which
    is the files in a directory of this package: x_corpus for x_fuzz. `./dev
    fuzz` links libFuzzer instead, which goes on from there.

    Args:
      name: of the test, ending in _fuzz.
      srcs: where the function is defined. It aborts to report a bug.
      deps: as usual.
    """
    if not name.endswith("_fuzz"):
        fail("name must end in _fuzz, not be " + name)
    corpus = name[:-len("_fuzz")] + "_corpus"
    cc_test(
        name = name,
        size = "small",
        srcs = srcs,
        args = [native.package_name() + "/" + corpus],
        copts = FUSEBOX_COPTS,
        data = native.glob([corpus + "/**"]),
        linkopts = select({
            "//bazel:fuzzer": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        tags = ["fuzz"],
        deps = deps + select({
            "//bazel:fuzzer": [],
            "//conditions:default": ["//bazel:replay_corpus"],
        }),
    )
