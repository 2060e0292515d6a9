#!/usr/bin/env python3
"""Mutates a toy, whose tests are first good and then not."""

import contextlib
import io
import os
import pathlib
import tempfile
import unittest

import mutate

CODE = """\
#ifndef TOY_H_
#define TOY_H_
#include <algorithm>

constexpr int kLimit = 3;

// Counts 1 < 2 calls; "a && b" is no code.
inline bool Passes(int calls, bool forced) {
  return calls < kLimit || (forced && !(calls == 5));
}
inline int Wait(int calls) {
  int wait = 0;
  for (int i = 0; i != calls; ++i) wait += std::min(i, 2);
  return wait;
}
inline int Bits(int n) {
  int bits = 0;
  while (n > 0) {
    n /= 2;
    ++bits;
  }
  return bits;
}
template <class T>
struct Pair {
  static constexpr int kSize = 2;
  static constexpr T kBias = 7;
  static T Biased(T value) { return value + kBias; }
  T values[kSize] = {};
};

#endif
"""

TEST = """\
#include <gtest/gtest.h>
#include "toy/toy.h"

TEST(ToyTest, Passes) {
  for (int calls = 0; calls < 7; ++calls) {
    EXPECT_EQ(Passes(calls, false), calls < 3) << calls;
    EXPECT_EQ(Passes(calls, true), calls != 5) << calls;
  }
}
TEST(ToyTwinTest, Wait) {
  EXPECT_EQ(Wait(5), 0 + 1 + 2 + 2 + 2);
}
TEST(ToyTest, Biased) {
  EXPECT_EQ(Pair<int>::Biased(1), 8);
}
TEST(ToyTest, Bits) {
  EXPECT_EQ(Bits(0), 0);
  EXPECT_EQ(Bits(1), 1);
  EXPECT_EQ(Bits(5), 3);
}
"""

# Nothing below the limit, and no wait.
WEAK_TEST = """\
#include <gtest/gtest.h>
#include "toy/toy.h"

TEST(ToyTest, Passes) {
  EXPECT_FALSE(Passes(5, true));
  EXPECT_TRUE(Passes(6, true));
}
"""

# A file, a function, a line, what is changed, the verdict.
ENTRY = """\
# A comment.

toy/toy.h, Wait
  for (int i = 0; i != calls; ++i) wait += std::min(i, 2);
  0 -> 1
  equivalent: the first step
  adds nothing.
"""


class MutateTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)
        self.project = mutate.Project(
            root=self.root,
            mutated=("toy/toy.h",),
            plain=(),
            tests=("toy/toy_test.cc",),
            stages=(
                mutate.Stage("tests", "-*Twin*"),
                mutate.Stage("traces", "*Twin*"),
            ),
            equivalents=self.root / "equivalents.txt",
        )

    def mutate(
        self, test: str = TEST, entries: str = ENTRY, *arguments: str
    ) -> tuple[int, str]:
        """The exit status and what is said."""
        (self.root / "toy").mkdir(exist_ok=True)
        (self.root / "toy" / "toy.h").write_text(CODE)
        (self.root / "toy" / "toy_test.cc").write_text(test)
        (self.root / "equivalents.txt").write_text(entries)
        output = io.StringIO()
        with contextlib.redirect_stderr(output):
            with contextlib.redirect_stdout(output):
                status = mutate.main(list(arguments), self.project)
        return status, output.getvalue()

    def test_finds_each_place_once(self) -> None:
        status, listed = self.mutate(TEST, "", "--list")
        self.assertEqual(status, 0)
        changes = [
            line.split(": ", 1)[1].rsplit(" in: ", 1)[0]
            for line in listed.splitlines()
        ]
        self.assertEqual(
            sorted(changes),
            sorted(
                ["< -> <=", "|| -> &&", "&& -> ||", "! dropped", "== -> !="]
                + ["5 -> 6", "5 -> 4", "0 -> 1", "0 -> 1", "!= -> =="]
                + ["+= -> -=", "min -> max", "2 -> 3", "2 -> 1"]
                + ["3 -> 4", "3 -> 2"]
                + ["0 -> 1", "> -> >=", "0 -> 1", "2 -> 3", "2 -> 1"]
                # Not of kSize, which is the size of a type.
                + ["7 -> 8", "7 -> 6", "+ -> -"]
            ),
        )

    def test_good_tests_kill_all_but_the_equivalent(self) -> None:
        status, said = self.mutate()
        self.assertEqual(status, 0, said)
        self.assertIn("23 killed", said)
        self.assertIn("1 equivalent, 0 raced, 0 survived", said)
        # The two that make Bits() go on for ever.
        self.assertIn("2 by timeout", said)

    def test_weak_tests_leave_survivors(self) -> None:
        status, said = self.mutate(WEAK_TEST)
        self.assertEqual(status, 1)
        self.assertIn("SURVIVED", said)
        self.assertIn("< -> <= in: return calls < kLimit", said)
        self.assertIn("3 -> 4 in: constexpr int kLimit = 3;", said)
        self.assertNotIn("&& -> || in: return calls", said)

    def test_an_entry_of_a_killed_mutant_is_stale(self) -> None:
        entry = ENTRY.replace("0 -> 1", "2 -> 3")
        status, said = self.mutate(TEST, ENTRY + "\n" + entry, "--sample", "99")
        self.assertEqual(status, 1)
        self.assertIn("ToyTwinTest.Wait kills this mutant", said)

    def test_an_entry_of_no_mutant_is_stale(self) -> None:
        entry = ENTRY.replace("i != calls", "i < calls")
        status, said = self.mutate(TEST, entry, "--sample", "1")
        self.assertEqual(status, 1)
        self.assertIn("there is no such mutant", said)

    def test_an_entry_without_a_reason_is_an_error(self) -> None:
        entry = ENTRY.replace("  equivalent: the first step\n", "")
        status, said = self.mutate(TEST, entry)
        self.assertEqual(status, 1)
        self.assertIn("an entry is", said)

    def test_tests_that_fail_anyway_are_an_error(self) -> None:
        test = TEST + "TEST(ToyTest, Fails) { FAIL(); }\n"
        status, said = self.mutate(test)
        self.assertEqual(status, 1)
        self.assertIn("the tests fail without a mutant", said)

    def test_a_sample_is_drawn_by_its_seed(self) -> None:
        sample = ("--list", "--sample", "5", "--seed")
        _, first = self.mutate(TEST, "", *sample, "7")
        _, again = self.mutate(TEST, "", *sample, "7")
        _, other = self.mutate(TEST, "", *sample, "8")
        self.assertEqual(first, again)
        self.assertEqual(len(first.splitlines()), 5)
        self.assertNotEqual(first, other)


class NumbersTest(unittest.TestCase):
    def test_neighbours(self) -> None:
        for number, changed in (
            ("0", ["1"]),
            ("1", ["2", "0"]),
            ("0u", ["1u"]),
            ("1'000", ["1001", "999"]),
            ("0xffu", ["256u", "254u"]),
            ("1.0", ["2.0", "0.0"]),
            ("0.5", ["1.0", "0.25"]),
            ("1e-6", ["2e-06", "5e-07"]),
            ("0x1.0p-1", ["1.0", "0.25"]),
        ):
            self.assertEqual(mutate.changed_numbers(number), changed, number)


if __name__ == "__main__":
    unittest.main()
