"""What the installed libraries allow, found out by compiling."""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "ACTION_NAMES")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

# $1: the header to write; $2: the macro; $3: the source; $4: what to say if it
# does not compile; the rest: the compiler. The same source has to compile
# without what is asked for: then it is that which fails.
_SCRIPT = """
header=$1 macro=$2 source=$3 warning=$4
shift 4
log=$(mktemp)
if "$@" -DFUSEBOX_COMPILE_CHECK "-D$macro=1" 2>"$log"; then
  answer=1
elif "$@" -DFUSEBOX_COMPILE_CHECK "-D$macro=0"; then
  answer=0
  grep -m 3 'error' "$log" >&2
  echo "WARNING: $source: $warning" >&2
else
  exit 1
fi
rm "$log"
echo "#define $macro $answer  // $source" >"$header"
"""

def _compile_check_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    context = cc_common.merge_cc_infos(
        cc_infos = [dep[CcInfo] for dep in ctx.attr.deps],
    ).compilation_context
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts,
        include_directories = context.includes,
        quote_include_directories = context.quote_includes,
        system_include_directories = context.system_includes,
        preprocessor_defines = context.defines,
        source_file = ctx.file.src.path,
        output_file = "/dev/null",
    )
    arguments = ctx.actions.args()
    arguments.add(ctx.outputs.out)
    arguments.add(ctx.attr.macro)
    arguments.add(ctx.file.src)
    arguments.add(ctx.attr.warning)
    arguments.add(cc_common.get_tool_for_action(
        feature_configuration = features,
        action_name = ACTION_NAMES.cpp_compile,
    ))
    arguments.add_all(cc_common.get_memory_inefficient_command_line(
        feature_configuration = features,
        action_name = ACTION_NAMES.cpp_compile,
        variables = variables,
    ))
    ctx.actions.run_shell(
        outputs = [ctx.outputs.out],
        inputs = depset(
            [ctx.file.src] + ctx.files.hdrs,
            transitive = [context.headers, toolchain.all_files],
        ),
        command = _SCRIPT,
        arguments = [arguments],
        env = cc_common.get_environment_variables(
            feature_configuration = features,
            action_name = ACTION_NAMES.cpp_compile,
            variables = variables,
        ),
        mnemonic = "CompileCheck",
        progress_message = "Trying to compile %s" % ctx.file.src.short_path,
        use_default_shell_env = False,
    )
    return [DefaultInfo(files = depset([ctx.outputs.out]))]

compile_check = rule(
    implementation = _compile_check_impl,
    doc = """Writes a header with `#define <macro> 1` if src compiles so.

If it does not, and compiles with the macro defined as 0, that is what the
header says, and the build goes on with a warning. While it is tried,
FUSEBOX_COMPILE_CHECK is defined as well, so that src, which includes the header
otherwise, need not have it yet.""",
    attrs = {
        "src": attr.label(allow_single_file = [".cc"], mandatory = True),
        "hdrs": attr.label_list(
            allow_files = [".h"],
            doc = "What src includes of its own package.",
        ),
        "deps": attr.label_list(providers = [CcInfo]),
        "macro": attr.string(mandatory = True),
        "out": attr.output(mandatory = True),
        "warning": attr.string(
            doc = "What it means if src does not compile.",
            mandatory = True,
        ),
        "_cc_toolchain": attr.label(
            default = "@bazel_tools//tools/cpp:current_cc_toolchain",
        ),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
