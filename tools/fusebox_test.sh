#!/bin/bash
# The built `fusebox`: what it writes where, and what it exits with.

set -u
readonly FUSEBOX="$PWD/$1"
cd "${TEST_TMPDIR:?}" || exit 1
failures=0

# expect NAME EXIT_CODE STDOUT STDERR ARGUMENT...
#
# Runs `fusebox ARGUMENT...` with this function's standard input. STDOUT and
# STDERR are patterns as of `case`, for all of the output.
expect() {
  local name="$1" want_code="$2" want_out="$3" want_err="$4"
  shift 4
  "$FUSEBOX" "$@" >out 2>err
  local code=$?
  local out err
  out="$(<out)" err="$(<err)"
  # shellcheck disable=SC2053
  if [[ "$code" != "$want_code" || "$out" != $want_out ||
    "$err" != $want_err ]]; then
    printf 'FAILED: %s: exit %s\n--- stdout\n%s\n--- stderr\n%s\n' \
      "$name" "$code" "$out" "$err"
    failures=$((failures + 1))
  fi
}

cat >events.jsonl <<'END'
{"settings": {"preset": "doctor", "min_requests": 0}}
{"t": 12.5, "op": "admit", "method": "/pkg.S/M", "call": 7, "u": 0.31}
{"t": 12.9, "op": "finish", "method": "/pkg.S/M", "call": 7, "outcome": "system_error", "latency": 0.4}
{"t": 20, "op": "state", "method": "/pkg.S/M"}
END
readonly DECISIONS='{"t":12.5,"op":"admit","method":"/pkg.S/M","call":7,"admitted":true,"state":"CLOSED"}
{"t":20,"op":"state","method":"/pkg.S/M","state":"OPEN"}'
cp events.jsonl bad.jsonl
echo '{"t": 19, "op": "state", "method": "/pkg.S/M"}' >>bad.jsonl
mkdir directory

expect 'a file' 0 "$DECISIONS" '' replay --events=events.jsonl
expect 'standard input' 0 "$DECISIONS" '' replay --events=- <events.jsonl
expect 'a pipe' 0 "$DECISIONS" '' replay -events - < <(cat events.jsonl)

expect 'decisions to a file' 0 '' '' \
  replay --events events.jsonl --decisions decisions.jsonl
expect 'decisions to a file that is there' 0 '' '' \
  replay --events events.jsonl --decisions decisions.jsonl
if [[ "$(<decisions.jsonl)" != "$DECISIONS" ]]; then
  echo 'FAILED: the file of decisions'
  failures=$((failures + 1))
fi

expect 'a bad line' 1 "$DECISIONS" \
  'line 5: t: 19 is before 20 of an earlier line' replay --events=bad.jsonl
expect 'no line' 1 '' 'line 1: must be {"settings": {...}}' \
  replay --events=/dev/null
expect 'no file' 1 '' 'fusebox replay: none.jsonl: No such file or directory' \
  replay --events=none.jsonl
expect 'a directory' 1 '' 'fusebox replay: directory: Is a directory' \
  replay --events=directory
expect 'no place for the decisions' 1 '' \
  'fusebox replay: directory: Is a directory' \
  replay --events=events.jsonl --decisions=directory
expect 'a full disk' 1 '' \
  'fusebox replay: /dev/full: No space left on device' \
  replay --events=events.jsonl --decisions=/dev/full

expect 'the trace as the decisions' 2 '' \
  'fusebox replay: --events and --decisions are the same file; *' \
  replay --events=events.jsonl --decisions=./events.jsonl
expect 'and the trace is still there' 0 "$DECISIONS" '' \
  replay --events=events.jsonl

expect 'replay without a trace' 2 '' \
  'fusebox replay: --events is missing; *' replay
expect 'an unknown flag' 2 '' 'fusebox replay: unknown flag "--event=x"; *' \
  replay --event=x
expect 'an argument' 2 '' 'fusebox replay: unexpected argument "x"; *' replay x
expect 'help for replay' 0 'usage: fusebox replay --events=FILE*' '' \
  replay --help
expect 'help' 0 'usage: fusebox VERB*replay*' '' --help
expect 'nothing' 2 '' 'usage: fusebox VERB*'
expect 'an unknown verb' 2 '' \
  'fusebox: unknown verb "relpay"; *' relpay

exit $((failures > 0))
