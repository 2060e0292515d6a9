"""C++ code from .proto files, made by the installed protoc."""

def fusebox_proto_library(
        name,
        src,
        grpc = False,
        deps = [],
        visibility = None,
        tags = [],
        testonly = False):
    """Makes a C++ library from one .proto file.

    Its headers are included by their path from the root of the workspace:
    `#include "proto/fusebox/v1/admin.pb.h"`, and `admin.grpc.pb.h` with
    `grpc = True`. The .proto file imports others by such a path too.

    Args:
      name: the C++ library.
      src: the .proto file, in the package of the library.
      grpc: whether to generate the services as well as the messages.
      deps: the fusebox_proto_library targets of the files it imports. Files
        under google/protobuf/ need no entry.
      visibility: of the library, as usual.
      tags: as usual.
      testonly: as usual.
    """
    if not src.endswith(".proto"):
        fail("src must be a .proto file, not " + src)
    stem = src[:-len(".proto")]

    # What a library importing this one has to show to protoc.
    native.filegroup(
        name = name + "_sources",
        srcs = [src] + [_sources(dep) for dep in deps],
        testonly = testonly,
        visibility = visibility,
    )

    headers = [stem + ".pb.h"]
    sources = [stem + ".pb.cc"]
    command = "$(execpath @com_google_protobuf//:protoc) -I. --cpp_out=$(GENDIR)"
    tools = ["@com_google_protobuf//:protoc"]
    if grpc:
        headers.append(stem + ".grpc.pb.h")
        sources.append(stem + ".grpc.pb.cc")
        plugin = "@com_github_grpc_grpc//src/compiler:grpc_cpp_plugin"
        tools.append(plugin)
        command += (" --grpc_out=$(GENDIR)" +
                    " --plugin=protoc-gen-grpc=$(execpath %s)" % plugin)

    native.genrule(
        name = name + "_generate",
        srcs = [src] + [_sources(dep) for dep in deps],
        outs = headers + sources,
        cmd = command + " $(execpath %s)" % src,
        message = "Generating C++ from",
        tags = tags,
        testonly = testonly,
        tools = tools,
        visibility = ["//visibility:private"],
    )

    native.cc_library(
        name = name,
        srcs = sources,
        hdrs = headers,
        # Nobody here can mend generated code. And ThreadSanitizer does not see
        # how gRPC hands messages from thread to thread.
        copts = ["-w", "-fno-sanitize=thread"],
        tags = tags,
        testonly = testonly,
        visibility = visibility,
        deps = deps + ["@com_google_protobuf//:protobuf"] +
               (["@com_github_grpc_grpc//:grpc++"] if grpc else []),
    )

def _sources(label):
    """The _sources target beside the library `label`."""
    if ":" not in label:
        label += ":" + label.rpartition("/")[2]
    return label + "_sources"
