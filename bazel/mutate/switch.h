// What the mutated copies of the sources are compiled with: each place that
// mutate.py may change asks here whether it is the one to be changed in this
// run of the program.

#ifndef FUSEBOX_BAZEL_MUTATE_SWITCH_H_
#define FUSEBOX_BAZEL_MUTATE_SWITCH_H_

#include <algorithm>
#include <cstdlib>
#include <optional>

namespace fusebox_mutate {

// The mutant of this run; 0 is none.
inline const int active = [] {
  const char* text = std::getenv("FUSEBOX_MUTANT");
  return text == nullptr ? 0 : std::atoi(text);
}();

inline bool On(int id) { return active == id; }

// A literal `value` is written Number(id, value), which takes two mutants; zero
// takes one.
template <class T>
T Zero(int id, T value) {
  return On(id) ? value + 1 : value;
}
template <class T>
T Number(int id, T value) {
  return On(id) ? value + 1 : On(id + 1) ? value - 1 : value;
}
// The same for fractions, which one more would take out of all proportion.
template <class T>
T Fraction(int id, T value) {
  return On(id) ? value * 2 : On(id + 1) ? value / 2 : value;
}
inline bool Flag(int id, bool value) { return value != On(id); }

// A constant of a class, whose value is computed at each use.
template <class T>
struct Constant {
  T (*value)();
  operator T() const { return value(); }
};

// !x is written Not{id}->*x, which binds almost as tightly.
struct Not {
  int id;
  template <class T>
  bool operator->*(const T& value) const {
    return static_cast<bool>(value) == On(id);
  }
};

// An operand of && or ||.
template <class T>
bool True(const T& value) {
  return static_cast<bool>(value);
}

// a += b is written a += Added(id, b).
template <class T>
T Added(int id, const T& value) {
  return On(id) ? T(0) - value : value;
}

// std::min<T>(a, b) and std::min(a, b) are written Min<T>{id}(a, b), Min<>...
template <class T = void>
struct Min {
  int id;
  T operator()(const T& a, const T& b) const {
    return On(id) ? std::max(a, b) : std::min(a, b);
  }
};
template <>
struct Min<void> {
  int id;
  template <class T>
  T operator()(const T& a, const T& b) const {
    return On(id) ? std::max(a, b) : std::min(a, b);
  }
  template <class T>
  T operator()(const T& a, const Constant<T>& b) const {
    return (*this)(a, T(b));
  }
};
template <class T = void>
struct Max {
  int id;
  T operator()(const T& a, const T& b) const {
    return On(id) ? std::min(a, b) : std::max(a, b);
  }
};
template <>
struct Max<void> {
  int id;
  template <class T>
  T operator()(const T& a, const T& b) const {
    return On(id) ? std::min(a, b) : std::max(a, b);
  }
  template <class T>
  T operator()(const T& a, const Constant<T>& b) const {
    return (*this)(a, T(b));
  }
};

// a < b is written a < Site{id} < b, which leaves the grouping of operators as
// it was; the same for the others.
struct Site {
  int id;
};
template <class L>
struct Left {
  const L& value;
  int id;
};

#define FUSEBOX_MUTATE_OPERATOR(op, other)                             \
  template <class L>                                                   \
  Left<L> operator op(const L& left, Site site) {                      \
    return {left, site.id};                                            \
  }                                                                    \
  template <class L, class R>                                          \
  auto operator op(Left<L> left, const R& right) {                     \
    return On(left.id) ? left.value other right : left.value op right; \
  }                                                                    \
  /* std::optional compares with everything: this one fits better. */  \
  template <class L, class R>                                          \
  auto operator op(Left<L> left, const std::optional<R>& right) {      \
    return On(left.id) ? left.value other right : left.value op right; \
  }
FUSEBOX_MUTATE_OPERATOR(<, <=)
FUSEBOX_MUTATE_OPERATOR(<=, <)
FUSEBOX_MUTATE_OPERATOR(>, >=)
FUSEBOX_MUTATE_OPERATOR(>=, >)
FUSEBOX_MUTATE_OPERATOR(==, !=)
FUSEBOX_MUTATE_OPERATOR(!=, ==)
FUSEBOX_MUTATE_OPERATOR(+, -)
FUSEBOX_MUTATE_OPERATOR(-, +)
#undef FUSEBOX_MUTATE_OPERATOR

}  // namespace fusebox_mutate

#endif  // FUSEBOX_BAZEL_MUTATE_SWITCH_H_
