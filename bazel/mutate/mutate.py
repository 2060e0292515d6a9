#!/usr/bin/env python3
"""Changes the decision code in small ways, and looks whether a test notices.

A *mutant* is the code with one comparison, logical operator, sum, minimum or
constant changed. It is *killed* when a test fails, crashes or does not end; one
that survives shows a line that no test depends on. Each survivor gets a test,
or an entry in equivalents.txt that says why no test can tell.

All mutants live in one program: an instrumented copy of the sources asks at each
place whether it is the one to change (switch.h), so a mutant costs one run of
the tests. Constants are read anew at each use; only the sizes of types, which
must be known when compiled, are not mutated: too small a one is undefined, and
too large a one is memory.

Nothing is ever written into the tree.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from typing import Iterator, Optional

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


@dataclasses.dataclass(frozen=True)
class Stage:
    """Tests that run together: the sooner one fails, the sooner it is over."""

    name: str
    gtest_filter: str
    # Threads meet in it: what it kills once it may miss the next time. So its
    # kills do not count, but hint at what to list as raced.
    by_luck: bool = False


@dataclasses.dataclass(frozen=True)
class Project:
    root: pathlib.Path
    # The decision code: what is mutated.
    mutated: tuple[str, ...]
    # What else the tests link.
    plain: tuple[str, ...]
    # In the order in which they run.
    tests: tuple[str, ...]
    stages: tuple[Stage, ...]
    equivalents: pathlib.Path
    libraries: tuple[str, ...] = ("-lgtest_main", "-lgmock", "-lgtest")


_BREAKER = "interceptor/breaker/"
_THREADS = "*Threads*:*Concurrency*:ThreadRandom*"
_TRACES = "*Twin*"

FUSEBOX = Project(
    root=ROOT,
    mutated=(
        _BREAKER + "outcome.h",
        _BREAKER + "settings.h",
        _BREAKER + "settings.cc",
        _BREAKER + "state.h",
        _BREAKER + "state.cc",
        _BREAKER + "random.h",
        _BREAKER + "policy.h",
        _BREAKER + "policy.cc",
        _BREAKER + "rolling_window.h",
        _BREAKER + "circuit_breaker.h",
        _BREAKER + "circuit_breaker_inl.h",
        "interceptor/status_outcome.h",
        "interceptor/status_outcome.cc",
    ),
    plain=(
        _BREAKER + "circuit_breaker.cc",
        _BREAKER + "method_pattern.cc",
        _BREAKER + "random.cc",
        _BREAKER + "thread_slot.cc",
    ),
    tests=(
        _BREAKER + "state_test.cc",
        _BREAKER + "settings_test.cc",
        "interceptor/status_outcome_test.cc",
        _BREAKER + "random_test.cc",
        _BREAKER + "policy_test.cc",
        _BREAKER + "circuit_breaker_test.cc",
        _BREAKER + "rolling_window_test.cc",
        _BREAKER + "circuit_breaker_twin_test.cc",
        _BREAKER + "circuit_breaker_concurrency_test.cc",
    ),
    stages=(
        Stage("tests", f"-{_TRACES}:{_THREADS}"),
        Stage("traces", f"{_TRACES}"),
        Stage("threads", f"{_THREADS}", by_luck=True),
    ),
    equivalents=HERE / "equivalents.txt",
)

# --- Reading C++ --------------------------------------------------------------
#
# As far as it takes for code that clang-format has laid out: a binary operator
# has blanks around it, the bracket of a template has none before it.

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<directive>^[ \t]*\#(?:\\\n|[^\n])*)
  | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+')
  | (?P<number>(?:0[xX][0-9a-fA-F'.]+(?:[pP][+-]?\d+)?
              |\.?\d[\d'.]*(?:[eE][+-]?\d+)?)[uUlLfF]*)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<mark>->\*|<<=|>>=|\.\.\.|::|->|\+\+|--|<<|<=|>=|==|!=|&&|\|\|
           |[-+*/%&|^]=|.)
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_OPEN = {"(": ")", "[": "]", "{": "}"}
_CLOSE = {close: open_ for open_, close in _OPEN.items()}
_ASSIGN = {"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="}


@dataclasses.dataclass
class Token:
    kind: str
    text: str
    at: int
    partner: int = -1  # of a bracket: the index of the other one
    function: str = ""  # that it stands in

    @property
    def end(self) -> int:
        return self.at + len(self.text)


def tokenize(source: str) -> list[Token]:
    tokens = [
        Token(match.lastgroup or "", match.group(), match.start())
        for match in _TOKEN.finditer(source)
        if match.lastgroup not in ("space", "directive")
    ]
    open_: list[int] = []
    for i, token in enumerate(tokens):
        if token.kind != "mark":
            continue
        if token.text in _OPEN:
            open_.append(i)
        elif token.text in _CLOSE:
            token.partner = open_.pop()
            tokens[token.partner].partner = i
    _name_functions(tokens)
    return tokens


def _name_functions(tokens: list[Token]) -> None:
    """Says of each token which function (or class) it stands in."""
    names = [""]
    for i, token in enumerate(tokens):
        if token.text == "}" and token.kind == "mark" and len(names) > 1:
            names.pop()
        token.function = names[-1]
        if token.text == "{" and token.kind == "mark":
            names.append(_name_of_block(tokens, i) or names[-1])


_TRAILING = {"const", "noexcept", "override", "final", "mutable"}
_NO_FUNCTION = {"if", "for", "while", "switch", "catch", "return", "decltype"}


def _name_of_block(tokens: list[Token], brace: int) -> str:
    i = brace - 1
    while i > 0 and tokens[i].text in _TRAILING:
        i -= 1
    if tokens[i].text == ")":
        before, name = tokens[tokens[i].partner - 2 : tokens[i].partner]
        if before.text in ("~", "operator"):
            return before.text + name.text
        if name.kind == "word" and name.text not in _NO_FUNCTION:
            return name.text
        return ""
    # class Name {, struct Name : Base {
    while i > 0 and tokens[i].text not in (";", "{", "}", ")", "=", ","):
        if tokens[i].text in ("class", "struct", "enum"):
            words = [t.text for t in tokens[i + 1 : brace] if t.kind == "word"]
            return words[0] if words else ""
        i -= 1
    return ""


# --- Mutants ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Key:
    """What an entry of equivalents.txt names a mutant by."""

    file: str
    function: str
    line: str
    change: str

    def __str__(self) -> str:
        return f"{self.file}, {self.function}\n  {self.line}\n  {self.change}"


@dataclasses.dataclass
class Mutant:
    id: int
    key: Key
    line_number: int

    def __str__(self) -> str:
        where = f"{self.key.file}:{self.line_number}"
        return f"{self.id:4} {where}: {self.key.change} in: {self.key.line}"


@dataclasses.dataclass(frozen=True)
class Edit:
    """Text put in place of source[at:end]. Of those at one place the lower
    `rank` comes first."""

    at: int
    end: int
    text: str
    rank: int = 0


_NEIGHBOUR = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "+": "-",
    "-": "+",
    "&&": "||",
    "||": "&&",
    "+=": "-=",
    "min": "max",
    "max": "min",
    "true": "false",
    "false": "true",
}
_SPACED = {"<", "<=", ">", ">=", "==", "!=", "+", "-", "&&", "||"}


class File:
    """The places of one file that can be changed."""

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source
        self.tokens = tokenize(source)
        self.edits: list[Edit] = []
        self.mutants: list[Mutant] = []
        self._seen: Counter[tuple[str, str, str]] = Counter()
        self._skipped: set[int] = set()
        # Names that stand where a type is made: of types, and of sizes.
        self.names_of_types: set[str] = set()
        self._find_skipped()

    def _find_skipped(self) -> None:
        """Tokens that are no decision: the numbers of enumerators, sizes and
        alignments of types, assertions, the names of operators, concatenations
        of strings."""
        for i, token in enumerate(self.tokens):
            if token.text == "enum":
                while self.tokens[i].text not in "{;":
                    i += 1
                if self.tokens[i].text == "{":
                    self._skipped.update(range(i, self.tokens[i].partner))
            elif token.text in ("static_assert", "assert"):
                self._skipped.update(range(i, self.tokens[i + 1].partner))
            elif token.text in ("alignas", "align_val_t"):
                self._skip_type(i, self.tokens[i + 1].partner)
            elif token.text == "<" and not self._has_blanks(token):
                self._skip_type(i, self._end_of_angle(i))
            elif token.text == "[" and self._declares_array(i):
                self._skip_type(i, token.partner)
            elif token.text == "operator":
                self._skipped.add(i + 1)
            elif token.text in ("+", "+=") and self._joins_strings(i):
                self._skipped.add(i)

    def _skip_type(self, begin: int, end: int) -> None:
        self._skipped.update(range(begin, end))
        self.names_of_types.update(t.text for t in self.tokens[begin:end])

    def constants(self) -> Iterator[tuple[int, int, int]]:
        """Where a constexpr variable begins, its name stands, and it ends."""
        for begin, token in enumerate(self.tokens):
            if token.text != "constexpr" or self._is_function(begin):
                continue
            end = name = begin
            while self.tokens[end].text != ";":
                end += 1
            while self.tokens[name + 1].text != "=":
                name += 1
            yield begin, name, end

    def _declares_array(self, i: int) -> bool:
        """Whether the [ at `i` stands in `Type name[`."""
        before = self.tokens[i - 2 : i]
        return (
            all(token.kind == "word" for token in before)
            and before[0].text != "return"
        )

    def _is_function(self, i: int) -> bool:
        """Whether the constexpr at `i` begins a function."""
        while self.tokens[i].text not in ("(", "=", "{", ";"):
            i += 1
        return self.tokens[i].text == "("

    def _joins_strings(self, i: int) -> bool:
        first = last = i
        while self.tokens[first].text not in (";", "{", "}"):
            first -= 1
        while self.tokens[last].text not in (";", "{", "}"):
            last += 1
        return any(
            t.kind == "string"
            or t.text in ("string", "to_string", "line", "text")
            for t in self.tokens[first:last]
        )

    def _has_blanks(self, token: Token) -> bool:
        """As a binary operator has."""
        return (
            self.source[token.at - 1].isspace()
            and self.source[token.end : token.end + 1].isspace()
        )

    def _end_of_angle(self, i: int) -> int:
        depth = 0
        while True:
            text = self.tokens[i].text
            if text == "<":
                depth += 1
            elif text == ">":
                depth -= 1
            elif text == ">>":
                depth -= 2
            elif text in (";", "{"):
                return i
            if depth <= 0:
                return i
            i += 1

    def _line_of(self, token: Token) -> tuple[int, str]:
        begin = self.source.rfind("\n", 0, token.at) + 1
        end = self.source.find("\n", token.at)
        number = self.source.count("\n", 0, begin) + 1
        return number, self.source[begin:end].strip()

    def _add(self, token: Token, new: str, next_id: int) -> None:
        number, line = self._line_of(token)
        old = token.text
        change = f"{old} -> {new}" if new else f"{old} dropped"
        # The same function may hold the same line again, or the line the token.
        self._seen[token.function, line, change] += 1
        nth = self._seen[token.function, line, change]
        if nth > 1:
            change += f", {nth}"
        key = Key(self.name, token.function, line, change)
        self.mutants.append(Mutant(next_id, key, number))

    def find(self, next_id: int, sizes: set[str]) -> int:
        """Fills `mutants` and `edits`. Returns the next free id."""
        for begin, name, end in self.constants():
            if self.tokens[name].text in sizes:
                self._skipped.update(range(begin, end))
            else:
                self._switch_constant(begin, name, end)
        for i, token in enumerate(self.tokens):
            if i in self._skipped:
                continue
            news = self._changes(i, token)
            if not news:
                continue
            ids = [next_id + k for k in range(len(news))]
            for id_, new in zip(ids, news):
                self._add(token, new, id_)
            next_id += len(news)
            self._switch(i, token, ids[0])
        for i, token in enumerate(self.tokens):
            if token.text == "constexpr" and self._is_function(i):
                self.edits.append(Edit(token.at, token.end, "inline"))
        return next_id

    def _changes(self, i: int, token: Token) -> list[str]:
        text = token.text
        if token.kind == "number":
            return changed_numbers(text)
        if text in ("true", "false"):
            return [_NEIGHBOUR[text]]
        if text in ("min", "max"):
            scope = [token.text for token in self.tokens[i - 2 : i]]
            return [_NEIGHBOUR[text]] if scope == ["std", "::"] else []
        if token.kind != "mark":
            return []
        if text == "!":
            return [""]
        if text == "+=":
            return [_NEIGHBOUR[text]]
        if text in _SPACED and self._has_blanks(token):
            if self.tokens[i - 1].text == "template":
                return []
            return [_NEIGHBOUR[text]]
        return []

    def _switch_constant(self, begin: int, name: int, end: int) -> None:
        """Writes a constexpr variable so that its value is read at each use."""
        if self.tokens[begin].function == "":
            self._replace(self.tokens[begin], "const")
            return
        # static T kName = x;  becomes
        # static T kName_value() { return x; }
        # static constexpr Constant<T> kName{&kName_value};
        type_ = self.source[self.tokens[begin].end : self.tokens[name].at]
        constant = self.tokens[name].text
        self._replace(self.tokens[begin], "")
        self._replace(self.tokens[name], f"{constant}_value()")
        self._replace(self.tokens[name + 1], "{ return")
        self._replace(
            self.tokens[end],
            f"; }} static constexpr ::fusebox_mutate::Constant<{type_.strip()}>"
            f" {constant}{{&{constant}_value}};",
        )

    def _switch(self, i: int, token: Token, id_: int) -> None:
        """Writes the place so that it asks for `id_`."""
        text = token.text
        if token.kind == "number":
            call = "Number" if is_whole(text) else "Fraction"
            if len(changed_numbers(text)) == 1:
                call = "Zero"
            self._replace(token, f"::fusebox_mutate::{call}({id_}, {text})")
        elif text in ("true", "false"):
            self._replace(token, f"::fusebox_mutate::Flag({id_}, {text})")
        elif text == "!":
            self._replace(token, f"::fusebox_mutate::Not{{{id_}}}->*")
        elif text in ("min", "max"):
            end, argument = token.end, "<>"
            if self.tokens[i + 1].text == "<":
                last = self.tokens[self._end_of_angle(i + 1)]
                argument = self.source[token.end : last.end]
                end = last.end
            self.edits.append(
                Edit(
                    self.tokens[i - 2].at,
                    end,
                    f"::fusebox_mutate::{text.title()}{argument}{{{id_}}}",
                )
            )
        elif text == "+=":
            end = i + 1
            while self.tokens[end].text not in (";", ")"):
                end = max(end, self.tokens[end].partner) + 1
            self._replace(token, f"+= ::fusebox_mutate::Added({id_}, +(")
            at = self.tokens[end].at
            self.edits.append(Edit(at, at, "))", rank=0))
        elif text in ("&&", "||"):
            left = self.tokens[self._operand_begin(i)].at
            right = self.tokens[self._operand_end(i)].end
            on = f"::fusebox_mutate::On({id_})"
            true = "::fusebox_mutate::True("
            # By De Morgan: the other operator between negated operands.
            self.edits.append(Edit(left, left, f"((({true}", rank=-right))
            self._replace(token, f") != {on}) {text} ({true}")
            self.edits.append(
                Edit(right, right, f") != {on})) != {on})", rank=-left)
            )
        else:
            site = f"::fusebox_mutate::Site{{{id_}}}"
            self._replace(token, f"{text} {site} {text}")

    def _replace(self, token: Token, text: str) -> None:
        self.edits.append(Edit(token.at, token.end, text))

    def _operand_begin(self, i: int) -> int:
        """Of the && or || at `i`: where its left operand begins."""
        stop = {",", ";", "?", ":", "(", "[", "{"} | _ASSIGN
        if self.tokens[i].text == "&&":
            stop.add("||")
        i -= 1
        while True:
            previous = self.tokens[i - 1]
            if self.tokens[i].text in _CLOSE and self.tokens[i].kind == "mark":
                i = self.tokens[i].partner
                previous = self.tokens[i - 1]
            if previous.text in stop or previous.text == "return":
                return i
            i -= 1

    def _operand_end(self, i: int) -> int:
        stop = {",", ";", "?", ":", ")", "]", "}", "||"}
        if self.tokens[i].text == "&&":
            stop.add("&&")
        i += 1
        while True:
            if self.tokens[i].text in _OPEN and self.tokens[i].kind == "mark":
                i = self.tokens[i].partner
            if self.tokens[i + 1].text in stop:
                return i
            i += 1

    def switched_source(self) -> str:
        # What is inserted at a place stands before what replaces the token.
        edits = sorted(self.edits, key=lambda e: (e.at, e.end > e.at, e.rank))
        out = ['#include "bazel/mutate/switch.h"\n', f'#line 1 "{self.name}"\n']
        at = 0
        for edit in edits:
            out += [self.source[at : edit.at], edit.text]
            at = edit.end
        return "".join([*out, self.source[at:]])


def is_whole(number: str) -> bool:
    return number_value(number)[0] == int(number_value(number)[0])


def number_value(number: str) -> tuple[float, str]:
    """The value and the suffix of a literal."""
    text = number.replace("'", "")
    is_hex = text[:2].lower() == "0x"
    digits = text.rstrip("uUlL" if is_hex else "uUlLfF")
    suffix = text[len(digits) :]
    if is_hex and "p" in digits.lower():
        return float.fromhex(digits), suffix
    if re.search(r"[.eE]", digits) and not is_hex:
        return float(digits), suffix
    return int(digits, 0), suffix


def changed_numbers(number: str) -> list[str]:
    value, suffix = number_value(number)
    if isinstance(value, int):
        more = [f"{value + 1}{suffix}"]
        return more if value == 0 else more + [f"{value - 1}{suffix}"]
    if value == int(value):
        return [repr(value + 1), repr(value - 1)]
    return [repr(value * 2), repr(value / 2)]


def find_mutants(project: Project) -> tuple[list[File], list[Mutant]]:
    files = [
        File(name, (project.root / name).read_text()) for name in project.mutated
    ]
    next_id = 1
    sizes = find_sizes(files)
    for file in files:
        next_id = file.find(next_id, sizes)
    return files, [mutant for file in files for mutant in file.mutants]


def find_sizes(files: list[File]) -> set[str]:
    """The constants that are sizes of types, or that those are made of."""
    sizes = set().union(*(file.names_of_types for file in files))
    while True:
        more = {
            token.text
            for file in files
            for _, name, end in file.constants()
            if file.tokens[name].text in sizes
            for token in file.tokens[name:end]
            if token.kind == "word"
        }
        if more <= sizes:
            return sizes
        sizes |= more


# --- Equivalents --------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Entry:
    key: Key
    # Only what threads do at the same moment can tell.
    raced: bool
    reason: str
    line_number: int


class BadEquivalents(Exception):
    pass


def read_equivalents(path: pathlib.Path) -> dict[Key, Entry]:
    """Entries are separated by empty lines; see the head of the file."""
    entries: dict[Key, Entry] = {}
    block: list[tuple[int, str]] = []
    lines = path.read_text().splitlines() if path.exists() else []
    for number, line in enumerate([*lines, ""], start=1):
        if line.startswith("#"):
            continue
        if line.strip():
            block.append((number, line.strip()))
            continue
        if block:
            entry = _parse_entry([text for _, text in block], block[0][0])
            if entry.key in entries:
                raise BadEquivalents(f"{path.name}:{entry.line_number}: twice")
            entries[entry.key] = entry
        block = []
    return entries


def _parse_entry(block: list[str], number: int) -> Entry:
    match = re.fullmatch(r"(\S+), (.*)", block[0] + " ")
    reason = re.match(r"(equivalent|raced): (\S.*)", " ".join(block[3:]))
    if match is None or reason is None:
        raise BadEquivalents(
            f"equivalents.txt:{number}: an entry is 'file, function', the "
            "line, the change, and 'equivalent: reason' or 'raced: reason'"
        )
    key = Key(match[1], match[2].strip(), block[1], block[2])
    return Entry(key, reason[1] == "raced", reason[2], number)


# --- Building and running -----------------------------------------------------


class Stopped(Exception):
    pass


class Processes:
    """Every process started here, so that all of them can be ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(
        self,
        command: list[str],
        *,
        env: Optional[dict[str, str]] = None,
        cpu_seconds: Optional[int] = None,
        wall_seconds: Optional[float] = None,
    ) -> tuple[Optional[int], str]:
        """The exit status, None if it took too long, and the output."""
        with tempfile.TemporaryFile() as output:
            with self._lock:
                if self._stopped:
                    raise Stopped
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=env,
                    start_new_session=True,
                )
                self._running.add(process)
            if cpu_seconds is not None:
                self._limit(process.pid, cpu_seconds)
            status: Optional[int] = None
            try:
                status = process.wait(timeout=wall_seconds)
            except subprocess.TimeoutExpired:
                pass
            finally:
                self._kill(process)
                process.wait()
                with self._lock:
                    self._running.discard(process)
            if self._stopped:
                raise Stopped
            if status in (-signal.SIGXCPU, -signal.SIGKILL):
                status = None
            output.seek(0)
            return status, output.read(1 << 20).decode(errors="replace")

    @staticmethod
    def _limit(pid: int, cpu_seconds: int) -> None:
        try:
            for what, limit in (
                (resource.RLIMIT_CPU, cpu_seconds),
                (resource.RLIMIT_AS, 4 << 30),
                (resource.RLIMIT_FSIZE, 64 << 20),
                (resource.RLIMIT_CORE, 0),
            ):
                resource.prlimit(pid, what, (limit, limit))
        except ProcessLookupError:
            pass  # over already

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running:
                self._kill(process)


class BuildError(Exception):
    pass


@dataclasses.dataclass
class Verdict:
    mutant: Mutant
    # The test that killed it; "" for a survivor.
    killer: str = ""
    by_luck: bool = False
    timed_out: bool = False


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Bench:
    """Builds programs of mutants in a scratch directory, and runs them."""

    def __init__(self, project: Project, scratch: pathlib.Path, jobs: int):
        self.project = project
        self.scratch = scratch
        self.jobs = jobs
        self.processes = Processes()
        # Of each stage: processor seconds that it takes undisturbed.
        self.clean_seconds: dict[str, float] = {}
        self.program = scratch / "tests"
    def _compile(self, source: str, overlay: pathlib.Path) -> pathlib.Path:
        """What is in `overlay` stands for what is in the tree."""
        object_ = overlay / (source + ".o")
        object_.parent.mkdir(parents=True, exist_ok=True)
        copy = overlay / source
        path = copy if copy.exists() else self.project.root / source
        status, output = self.processes.run(
            ["g++", "-std=c++17", "-O1", "-w", "-D_GLIBCXX_ASSERTIONS"]
            + [f"-I{overlay}", f"-I{self.project.root}", f"-I{ROOT}"]
            + ["-c", str(path), "-o", str(object_)],
            wall_seconds=600,
        )
        if status != 0:
            raise BuildError(output)
        return object_

    def build(self, files: list[File]) -> None:
        overlay = self.program.parent
        for file in files:
            path = overlay / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.switched_source())
        own = [name for name in self.project.mutated if name.endswith(".cc")]
        sources = [*self.project.tests, *own, *self.project.plain]
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            objects = list(
                pool.map(lambda source: self._compile(source, overlay), sources)
            )
        status, output = self.processes.run(
            ["g++", "-o", str(self.program), *map(str, objects)]
            + [*self.project.libraries, "-pthread"],
            wall_seconds=600,
        )
        if status != 0:
            raise BuildError(output)

    def check_clean(self) -> None:
        """Runs the tests without a mutant."""
        for stage in self.project.stages:
            before = children_seconds()
            status, output = self._run(stage, 0, 600)
            if status != 0:
                raise BuildError(f"{output}\nthe tests fail without a mutant")
            self.clean_seconds[stage.name] = children_seconds() - before

    def _run(
        self, stage: Stage, id_: int, cpu_seconds: int
    ) -> tuple[Optional[int], str]:
        env = dict(os.environ, FUSEBOX_MUTANT=str(id_))
        command = [str(self.program), f"--gtest_filter={stage.gtest_filter}"]
        command += ["--gtest_fail_fast", "--gtest_break_on_failure"]
        # A mutant may also sleep for ever, which costs no processor time.
        return self.processes.run(
            command,
            env=env,
            cpu_seconds=cpu_seconds,
            wall_seconds=20 + 5 * cpu_seconds,
        )

    def judge(self, mutant: Mutant, listed: bool) -> Verdict:
        for stage in self.project.stages:
            if listed and stage.by_luck:
                continue
            limit = 2 + int(10 * self.clean_seconds[stage.name])
            status, output = self._run(stage, mutant.id, limit)
            if status != 0:
                running = re.findall(r"(?m)^\[ RUN      \] (\S+)", output)
                return Verdict(
                    mutant,
                    killer=running[-1] if running else stage.name,
                    by_luck=stage.by_luck,
                    timed_out=status is None,
                )
        return Verdict(mutant)


# --- The whole ----------------------------------------------------------------


def say(text: str) -> None:
    print(f"dev: mutate: {text}", file=sys.stderr, flush=True)


@dataclasses.dataclass
class Tally:
    entries: dict[Key, Entry]
    killed: int = 0
    timed_out: int = 0
    equivalent: int = 0
    raced: int = 0
    survivors: list[Mutant] = dataclasses.field(default_factory=list)
    stale: list[str] = dataclasses.field(default_factory=list)
    killers: Counter[str] = dataclasses.field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        mutant = verdict.mutant
        entry = self.entries.get(mutant.key)
        if verdict.killer and not verdict.by_luck:
            if entry is not None:
                self.add_stale(entry, f"{verdict.killer} kills this mutant")
            self.killed += 1
            self.timed_out += verdict.timed_out
            self.killers[verdict.killer] += 1
        elif entry is not None and entry.raced:
            self.raced += 1
        elif entry is not None:
            self.equivalent += 1
        else:
            self.survivors.append(mutant)
            luck = f" (but {verdict.killer} fails)" if verdict.by_luck else ""
            say(f"SURVIVED{luck} {mutant}")

    def add_stale(self, entry: Entry, why: str) -> None:
        self.stale.append(f"equivalents.txt:{entry.line_number}: {why}")
        say(f"STALE {self.stale[-1]}")

    @property
    def judged(self) -> int:
        listed = self.equivalent + self.raced
        return self.killed + listed + len(self.survivors)

    def __str__(self) -> str:
        return (
            f"{self.killed} killed ({self.timed_out} by timeout), "
            f"{self.equivalent} equivalent, {self.raced} raced, "
            f"{len(self.survivors)} survived, "
            f"{len(self.stale)} stale entries"
        )


def run(
    bench: Bench, files: list[File], chosen: list[Mutant], tally: Tally
) -> None:
    pool = concurrent.futures.ThreadPoolExecutor(bench.jobs)
    start = time.monotonic()
    try:
        say(f"building {len(chosen)} mutants")
        bench.build(files)
        bench.check_clean()
        shown = time.monotonic()
        say(f"built in {shown - start:.0f} s; the tests pass without a mutant")
        for done in concurrent.futures.as_completed(
            [
                pool.submit(bench.judge, mutant, mutant.key in tally.entries)
                for mutant in chosen
            ]
        ):
            tally.add(done.result())
            if time.monotonic() - shown > 15:
                shown = time.monotonic()
                say(f"{tally.judged} of {len(chosen)}: {tally}")
    finally:
        bench.processes.stop()
        pool.shutdown(wait=True, cancel_futures=True)


def choose(
    mutants: list[Mutant], only: Optional[str], sample: Optional[int], seed: int
) -> list[Mutant]:
    if only is not None:
        if re.fullmatch(r"[\d,]+", only):
            ids = {int(id_) for id_ in re.findall(r"\d+", only)}
            mutants = [m for m in mutants if m.id in ids]
        else:
            mutants = [m for m in mutants if m.key.file.endswith(only)]
    if sample is not None:
        mutants = random.Random(seed).sample(mutants, min(sample, len(mutants)))
    return mutants


def main(
    arguments: list[str], project: Project = FUSEBOX, prog: str = "./dev mutate"
) -> int:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Changes the decision code in small ways, one at a time. "
        "Fails unless a test notices each change, or "
        "bazel/mutate/equivalents.txt says why none can.",
    )
    add = parser.add_argument
    add("--sample", type=int, metavar="N", help="judge so many mutants only")
    add("--seed", type=int, default=1, help="of the sample (1)")
    add("--only", metavar="ID,...|FILE", help="judge these mutants only")
    add("--list", action="store_true", help="list the mutants, and no more")
    add("--killers", action="store_true", help="show which tests kill most")
    add("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args(arguments)

    files, mutants = find_mutants(project)
    chosen = choose(mutants, options.only, options.sample, options.seed)
    if not chosen:
        say("FAILED: no such mutant")
        return 1
    if options.list:
        for mutant in chosen:
            print(mutant)
        return 0

    try:
        entries = read_equivalents(project.equivalents)
    except BadEquivalents as bad:
        say(f"FAILED: {bad}")
        return 1
    tally = Tally(entries)
    known = {mutant.key for mutant in mutants}
    for entry in entries.values():
        if entry.key not in known:
            tally.add_stale(entry, "there is no such mutant")

    # The shell lets programs in the background ignore the first.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    start = time.monotonic()
    if len(chosen) < len(mutants):
        drawn = f", drawn with seed {options.seed}" if options.sample else ""
        say(f"{len(chosen)} of {len(mutants)} mutants{drawn}")
    interrupted = False
    with tempfile.TemporaryDirectory(prefix="fusebox-mutate-") as scratch:
        try:
            bench = Bench(project, pathlib.Path(scratch), options.jobs)
            run(bench, files, chosen, tally)
        except KeyboardInterrupt:
            interrupted = True
        except BuildError as error:
            print(error, file=sys.stderr)
            say("FAILED: this does not build")
            return 1

    if options.killers:
        for name, count in tally.killers.most_common(20):
            say(f"{count:5} {name}")
    minutes = (time.monotonic() - start) / 60
    done = f"{tally.judged} of {len(chosen)} mutants"
    summary = f"{done}: {tally}, {minutes:.1f} min"
    if interrupted:
        say(f"INTERRUPTED, {summary}")
        return 130
    if tally.survivors or tally.stale:
        for mutant in tally.survivors:
            print(f"{mutant.key}\n  equivalent: ?\n")
        say(f"FAILED, {summary}")
        return 1
    say(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
