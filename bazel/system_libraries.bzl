"""Debian's C++ libraries as Bazel repositories with their upstream names.

The headers are found by the compiler itself (it looks in /usr/include); a
target therefore carries nothing but the options that link its library.
"""

def _build_file(package, targets):
    lines = ['package(default_visibility = ["//visibility:public"])', ""]
    for name, (linkopts, deps) in sorted(targets.items()):
        lines += [
            "cc_library(",
            "    name = %r," % name,
            "    linkopts = %r," % linkopts,
            "    deps = %r," % deps,
            ")",
            "",
        ]
    return "\n".join(lines)

def _system_repository_impl(ctx):
    for path in ctx.attr.needs + ctx.attr.tools.values():
        if not ctx.path(path).exists:
            fail(("@{}: {} is missing. Install the Debian package {}, or run " +
                  "`./dev build`, which installs all it needs.").format(
                ctx.name,
                path,
                ctx.attr.debian_package,
            ))

    packages = {"": {}}
    for label, linkopts in ctx.attr.libraries.items():
        package, _, name = label.partition(":")
        if package not in packages:
            packages[package] = {}
        packages[package][name] = (linkopts, ctx.attr.deps.get(label, []))
    tools = {}
    for label, path in ctx.attr.tools.items():
        package, _, name = label.partition(":")
        if package not in packages:
            packages[package] = {}
        ctx.symlink(path, (package + "/" if package else "") + name)
        tools.setdefault(package, []).append(name)

    for package, targets in packages.items():
        content = _build_file(package, targets)
        if package in tools:
            content += "exports_files(%r)\n" % tools[package]
        ctx.file((package + "/" if package else "") + "BUILD", content)

_system_repository = repository_rule(
    implementation = _system_repository_impl,
    doc = "A repository whose targets link libraries installed by Debian.",
    local = True,
    attrs = {
        "libraries": attr.string_list_dict(
            doc = "'package:target' to its linker options.",
        ),
        "deps": attr.string_list_dict(
            doc = "'package:target' to the labels it depends on.",
        ),
        "tools": attr.string_dict(
            doc = "'package:file' to the program that stands behind it.",
        ),
        "needs": attr.string_list(
            doc = "Files that must be installed, checked before building.",
        ),
        "debian_package": attr.string(
            doc = "What to install when one of them is missing.",
            mandatory = True,
        ),
    },
)

def _as_needed(libraries):
    """Links those of `libraries` that something refers to."""
    return (["-Wl,--push-state,--as-needed"] +
            ["-l" + library for library in libraries] +
            ["-Wl,--pop-state"])

# Abseil's headers call into libraries other than their own, so every target
# offers all of them to the linker, which keeps the ones in use.
_ABSL_LIBRARIES = _as_needed(["absl_" + name for name in [
    "bad_any_cast_impl",
    "bad_optional_access",
    "bad_variant_access",
    "base",
    "city",
    "civil_time",
    "cord",
    "cord_internal",
    "cordz_functions",
    "cordz_handle",
    "cordz_info",
    "debugging_internal",
    "demangle_internal",
    "examine_stack",
    "exponential_biased",
    "failure_signal_handler",
    "flags_commandlineflag",
    "flags_commandlineflag_internal",
    "flags_config",
    "flags_internal",
    "flags_marshalling",
    "flags_parse",
    "flags_private_handle_accessor",
    "flags_program_name",
    "flags_reflection",
    "flags_usage",
    "flags_usage_internal",
    "graphcycles_internal",
    "hash",
    "hashtablez_sampler",
    "int128",
    "leak_check",
    "log_severity",
    "low_level_hash",
    "malloc_internal",
    "random_distributions",
    "random_internal_platform",
    "random_internal_pool_urbg",
    "random_internal_randen",
    "random_internal_randen_hwaes",
    "random_internal_randen_hwaes_impl",
    "random_internal_randen_slow",
    "random_internal_seed_material",
    "random_seed_gen_exception",
    "random_seed_sequences",
    "raw_hash_set",
    "raw_logging_internal",
    "spinlock_wait",
    "stacktrace",
    "status",
    "statusor",
    "str_format_internal",
    "strerror",
    "strings",
    "strings_internal",
    "symbolize",
    "synchronization",
    "throw_delegate",
    "time",
    "time_zone",
]]) + ["-lpthread"]

_ABSL_TARGETS = {
    "algorithm": ["algorithm", "container"],
    "base": [
        "base",
        "config",
        "core_headers",
        "dynamic_annotations",
        "endian",
        "log_severity",
        "no_destructor",
    ],
    "cleanup": ["cleanup"],
    "container": [
        "btree",
        "fixed_array",
        "flat_hash_map",
        "flat_hash_set",
        "inlined_vector",
        "node_hash_map",
        "node_hash_set",
    ],
    "debugging": [
        "failure_signal_handler",
        "leak_check",
        "stacktrace",
        "symbolize",
    ],
    "flags": [
        "commandlineflag",
        "config",
        "flag",
        "marshalling",
        "parse",
        "reflection",
        "usage",
    ],
    "functional": ["bind_front", "function_ref"],
    "hash": ["hash", "hash_testing"],
    "memory": ["memory"],
    "meta": ["type_traits"],
    "numeric": ["bits", "int128"],
    "random": ["random"],
    "status": ["status", "statusor"],
    "strings": ["cord", "str_format", "strings"],
    "synchronization": ["synchronization"],
    "time": ["time"],
    "types": ["any", "compare", "optional", "span", "variant"],
    "utility": ["utility"],
}

def _absl_libraries():
    libraries = {}
    for package, names in _ABSL_TARGETS.items():
        for name in names:
            libraries["absl/%s:%s" % (package, name)] = _ABSL_LIBRARIES
    return libraries

def system_libraries():
    """Declares every library of this project that is not declared already."""
    _declare(
        name = "com_google_absl",
        debian_package = "libabsl-dev",
        needs = ["/usr/include/absl/base/config.h"],
        libraries = _absl_libraries(),
    )
    _declare(
        name = "com_google_protobuf",
        debian_package = "libprotobuf-dev and protobuf-compiler",
        needs = ["/usr/include/google/protobuf/message.h"],
        libraries = {
            ":protobuf": ["-lprotobuf", "-lpthread"],
            ":protobuf_lite": ["-lprotobuf-lite", "-lpthread"],
        },
        tools = {":protoc": "/usr/bin/protoc"},
    )

    # Debian builds its libraries without ThreadSanitizer.
    tsan = "@fusebox//bazel:tsan_uninstrumented"

    grpc_deps = [
        tsan,
        "@com_google_absl//absl/status",
        "@com_google_absl//absl/strings",
        "@com_google_absl//absl/synchronization",
        "@com_google_protobuf//:protobuf",
    ]
    _declare(
        name = "com_github_grpc_grpc",
        debian_package = "libgrpc++-dev and protobuf-compiler-grpc",
        needs = ["/usr/include/grpcpp/grpcpp.h"],
        libraries = {
            ":gpr": ["-lgpr"],
            ":grpc": ["-lgrpc", "-lgpr"],
            ":grpc++": ["-lgrpc++", "-lgrpc", "-lgpr"],
            # Its initializers install the service: linked even when nothing
            # refers to it.
            ":grpc++_reflection": [
                "-Wl,--push-state,--no-as-needed",
                "-lgrpc++_reflection",
                "-Wl,--pop-state",
            ],
        },
        deps = {
            ":grpc": grpc_deps,
            ":grpc++": grpc_deps,
            ":grpc++_reflection": [":grpc++"],
        },
        tools = {"src/compiler:grpc_cpp_plugin": "/usr/bin/grpc_cpp_plugin"},
    )

    _declare(
        name = "com_google_googletest",
        debian_package = "libgtest-dev and libgmock-dev",
        needs = ["/usr/include/gtest/gtest.h", "/usr/include/gmock/gmock.h"],
        # As upstream: either target serves GoogleTest and GoogleMock.
        libraries = {
            ":gtest": ["-lgmock", "-lgtest", "-lpthread"],
            ":gtest_main": ["-lgmock_main"],
        },
        deps = {":gtest_main": [":gtest"]},
    )
    _declare(
        name = "com_github_google_benchmark",
        debian_package = "libbenchmark-dev",
        needs = ["/usr/include/benchmark/benchmark.h"],
        libraries = {
            ":benchmark": ["-lbenchmark", "-lpthread"],
            ":benchmark_main": ["-lbenchmark_main"],
        },
        deps = {":benchmark_main": [":benchmark"]},
    )

    _declare(
        name = "com_github_nlohmann_json",
        debian_package = "nlohmann-json3-dev",
        needs = ["/usr/include/nlohmann/json.hpp"],
        libraries = {":json": []},
    )
    _declare(
        name = "simdjson",
        debian_package = "libsimdjson-dev",
        needs = ["/usr/include/simdjson.h"],
        libraries = {":simdjson": ["-lsimdjson"]},
    )
    _declare(
        name = "relacy",
        debian_package = "relacy-dev",
        needs = ["/usr/include/relacy/relacy.hpp"],
        libraries = {":relacy": []},
    )

    _declare(
        name = "boost",
        debian_package = "libboost-dev",
        needs = ["/usr/include/boost/beast.hpp"],
        # Headers only.
        libraries = {
            ":asio": ["-lpthread"],
            ":beast": [],
        },
        deps = {":beast": [":asio"]},
    )
    _declare(
        name = "curl",
        debian_package = "libcurl4-openssl-dev",
        # The headers lie where the architecture says.
        needs = ["/usr/bin/curl-config"],
        libraries = {":curl": ["-lcurl"]},
        deps = {":curl": [tsan]},
    )
    _declare(
        name = "civetweb",
        debian_package = "libcivetweb-dev",
        needs = ["/usr/include/civetweb.h", "/usr/include/CivetServer.h"],
        # libcivetweb is the C library, civetweb the C++ classes on top of it.
        libraries = {
            ":libcivetweb": ["-lcivetweb", "-lpthread"],
            ":civetweb": ["-lcivetweb-cpp"],
        },
        deps = {":civetweb": [":libcivetweb"], ":libcivetweb": [tsan]},
    )
    _declare(
        name = "com_github_jupp0r_prometheus_cpp",
        debian_package = "prometheus-cpp-dev",
        needs = ["/usr/include/prometheus/registry.h"],
        libraries = {
            "core:core": ["-lprometheus-cpp-core", "-lpthread"],
            "pull:pull": ["-lprometheus-cpp-pull"],
            "push:push": ["-lprometheus-cpp-push"],
        },
        deps = {
            "core:core": [tsan],
            "pull:pull": ["//core", "@civetweb//:civetweb"],
            "push:push": ["//core"],
        },
    )

def _declare(name, **kwargs):
    if not native.existing_rule(name):
        _system_repository(name = name, **kwargs)
