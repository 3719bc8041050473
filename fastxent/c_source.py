"""A model as one C99 file: its weights, and functions that give the probabilities of a row.

The C code does what the kernels do with a single row, in the same order and with the same roundings: eight sums for
each logit, the kernels' own exp, the maximum split off the sum. Another order of adding, or another exp, would be as
good, but its results would differ from the model's by more than a few units in the last place.
"""

from __future__ import annotations

import json
import re
from string import Template
from typing import TYPE_CHECKING

import numpy as np

import fastxent
from fastxent import kernels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .typing import Array, Floats


_TURNED = 16  # classes, up to which the kernels have rows in their lanes (kernels/logits.pxi)
_KEYWORDS = (
    " auto break case char const continue default do double else enum extern float for goto if inline int long main "
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while "
)

# What the two precisions do not share: suffixes, and the constants of exp (kernels/simd.h).
_PRECISIONS = {
    "float64": {
        "real": "double",
        "f": "",
        "exp_low": "-746.0",
        "log2e": "0x1.71547652b82fep+0",
        "ln2_high": "0x1.62e42fefa0000p-1",
        "ln2_low": "0x1.cf79abc9e3b39p-40",
        "q_count": "10",
        "q": """0x1.ad7f74af4889dp-26, 0x1.28ad72ca3080ap-22, 0x1.71df254da5e75p-19, 0x1.a0199a0c7024cp-16,
        0x1.a01a012a5a426p-13, 0x1.6c16c1842a0c6p-10, 0x1.1111111127bdcp-7, 0x1.555555555087dp-5,
        0x1.55555555554fap-3, 0x1.000000000000ap-1""",
    },
    "float32": {
        "real": "float",
        "f": "f",
        "exp_low": "-104.0f",
        "log2e": "0x1.715476p+0f",
        "ln2_high": "0x1.62e4p-1f",
        "ln2_low": "0x1.7f7d1cp-20f",
        "q_count": "5",
        "q": "0x1.6a242cp-10f, 0x1.1239e2p-7f, 0x1.5558f2p-5f, 0x1.555492p-3f, 0x1.fffffcp-2f",
    },
}

_HEAD = """\
/* Probabilities of a linear softmax model: $d features, $n_classes classes, $dtype.
   Written by fastxent $version.

   void $name(const $real *x, $real *probabilities);
       x: a row, its $d features in the order of the columns in training
       probabilities: becomes $n_classes numbers, in the order of the classes below

   void ${name}_sparse(const int *indices, const $real *values, int n, $real *probabilities);
       the same of a row given by n of its entries: values[p] is the feature of number indices[p], which must lie in
       0..$last. All others are zero; those that come twice are added up.

   Compile it by: cc -std=c99 -O2 -c FILE.c
   and link with -lm. No flags of the fast-math family: they change results.$advice
   Where you call the functions, declare them by the two lines above. They allocate nothing and keep nothing, so any
   number of threads may call them. NaN among the features gives NaN. The probabilities agree with those that the model
   gives for a single row to 4 units in the last place.

   Classes, as JSON:
$labels*/
#include <math.h>
$pragma
void $name(const $real *x, $real *probabilities);
void ${name}_sparse(const int *indices, const $real *values, int n, $real *probabilities);

"""

_FOR_FUSED = """
   For x86-64 processors of recent years, -mfma makes the functions several times as fast, and changes no bit."""
_FUSED = """\
/* Rounded once, as the model was computed where this file was written. Where processors have no instruction for that,
   a * b + c is much faster, and changes the last digits. */
static $real ${name}_multiply_add($real a, $real b, $real c) { return fma$f(a, b, c); }
"""
# Compilers may round once where two roundings are written, unless they are told not to.
_NO_CONTRACTION = """\
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
"""
_PLAIN = """\
/* Rounded twice, as the model was computed where this file was written. */
static $real ${name}_multiply_add($real a, $real b, $real c) { return a * b + c; }
"""

_LOGITS = """
/* The logits z of a row of n entries; indices is NULL for a row of all features. Each is eight sums, over the entries
   0, 1, ... 7 modulo 8. */
static void ${name}_logits(const int *indices, const $real *values, int n, $real *z)
{
    enum { COUNT = $n_logits, TILE = 16 };
    int first, k, p;
    for (first = 0; first < COUNT; first += TILE) {
        const int width = COUNT - first < TILE ? COUNT - first : TILE;
        $real sum[8][TILE] = {{0}};
        for (p = 0; p < n; p++) {
            const $real *w = ${name}_weights[indices ? indices[p] : p] + first;
            $real *s = sum[p % 8];
            for (k = 0; k < width; k++) s[k] = ${name}_multiply_add(values[p], w[k], s[k]);
        }
        for (k = 0; k < width; k++)
            z[first + k] = (((sum[0][k] + sum[4][k]) + (sum[2][k] + sum[6][k])) +
                            ((sum[1][k] + sum[5][k]) + (sum[3][k] + sum[7][k]))) + ${name}_intercept[first + k];
    }
}

/* exp(x) for x <= 0, by x = n ln 2 + r and exp(r) = 1 + (r + r^2 Q(r)). */
static $real ${name}_exp($real x)
{
    static const $real q[$q_count] = {
        $q};
    $real n, r, sum = q[0];
    int i;
    if (x != x) return x;
    if (x < $exp_low) return 0;
    n = rint$f(x * $log2e);
    r = ${name}_multiply_add(-n, $ln2_high, x);
    r = ${name}_multiply_add(-n, $ln2_low, r);
    for (i = 1; i < $q_count; i++) sum = ${name}_multiply_add(sum, r, q[i]);
    return ldexp$f(1 + ${name}_multiply_add(r * r, sum, r), (int)n);
}
"""

_SOFTMAX = """
/* *z becomes exp(*z - largest), which is returned; unless it is the largest, which *ties counts: then 0 is returned. */
static $real ${name}_below($real *z, $real largest, $real *ties)
{
    const $real x = *z - largest;
    *z = ${name}_exp(x);
    if (x != 0) return *z;
    *ties += 1;
    return 0;
}

/* Logits become probabilities. The largest is split off the sum, which keeps the digits of the rest. It is summed in as
   many lanes as a register of the processor had where this file was written; in each, sixteen terms are added plainly,
   and their sums with compensation. */
static void ${name}_softmax($real *z)
{
    enum { COUNT = $n_logits, LANES = $n_lanes, TURNS = COUNT / LANES };
    $real largest = z[0], ties = 0, rest[LANES], factor;
    int k, lane, turn, step;
    for (k = 1; k < COUNT; k++)
        if (z[k] > largest) largest = z[k];
    for (lane = 0; lane < LANES; lane++) {
        $real sum = 0, lost = 0;
        for (turn = 0; turn < TURNS;) {
            const int stop = TURNS - turn < 16 ? TURNS : turn + 16, whole = stop - stop % 4;
            $real part[4] = {0}, term, next;
            for (; turn < stop; turn++)
                part[turn < whole ? turn % 4 : 0] += ${name}_below(z + turn * LANES + lane, largest, &ties);
            term = ((part[0] + part[1]) + (part[2] + part[3])) - lost;
            next = sum + term;
            lost = (next - sum) - term;
            sum = next;
        }
        rest[lane] = sum;
    }
    for (k = TURNS * LANES; k < COUNT; k++) rest[k - TURNS * LANES] += ${name}_below(z + k, largest, &ties);
    for (step = LANES / 2; step > 0; step /= 2)
        for (lane = 0; lane < step; lane++) rest[lane] += rest[lane + step];
    factor = ($real)(1.0 / (1.0 + (rest[0] + (ties - 1))));
    for (k = 0; k < COUNT; k++) z[k] *= factor;
}

void $name(const $real *x, $real *probabilities)
{
    ${name}_logits(0, x, $d, probabilities);
    ${name}_softmax(probabilities);
}

void ${name}_sparse(const int *indices, const $real *values, int n, $real *probabilities)
{
    ${name}_logits(indices, values, n, probabilities);
    ${name}_softmax(probabilities);
}
"""

_SIGMOID = """
/* The two probabilities, from the logit of the second class. */
static void ${name}_sigmoid($real z, $real *probabilities)
{
    const $real e = ${name}_exp(z < 0 ? z : -z);
    const int likelier = z >= 0;
    probabilities[likelier] = ($real)(1.0 / (1.0 + e));
    probabilities[1 - likelier] = ($real)(e / (1.0 + e));
}

void $name(const $real *x, $real *probabilities)
{
    $real z;
    ${name}_logits(0, x, $d, &z);
    ${name}_sigmoid(z, probabilities);
}

void ${name}_sparse(const int *indices, const $real *values, int n, $real *probabilities)
{
    $real z;
    ${name}_logits(indices, values, n, &z);
    ${name}_sigmoid(z, probabilities);
}
"""


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a C function."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, the name of a C function; got {type(name).__name__}.")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or f" {name} " in _KEYWORDS:
        raise ValueError(
            "name must be one that a C function can have: ASCII letters, digits and underscores, no digit first, and "
            f"no keyword of C; got {name!r}."
        )


def c_source(coef: Floats, intercept: Floats, classes: Array, name: str) -> Iterator[str]:
    """Yield the text of the file in pieces, all of it ASCII. Input is trusted: coefficients are finite.

    Parameters
    ----------
    coef : ndarray (K, d), or (1, d) for two classes; float32 or float64
    intercept : ndarray (K,), or (1,), of that dtype
    classes : ndarray
    name : str
        Of the function; every other name in the file begins with it.
    """
    K, d = coef.shape
    fused = multiplies_and_adds_at_once(coef.dtype)
    facts = {
        **_PRECISIONS[coef.dtype.name],
        "name": name,
        "version": fastxent.__version__,
        "dtype": coef.dtype.name,
        "d": d,
        "last": d - 1,
        "n_logits": K,
        "n_lanes": 1 if K <= _TURNED else lanes(coef.dtype),
        "n_classes": len(classes),
        "labels": "".join(f"       {k}: {label_text(label)}\n" for k, label in enumerate(classes.tolist())),
        "advice": _FOR_FUSED if fused else "",
        "pragma": "" if fused else _NO_CONTRACTION,
    }

    def text(template: str) -> str:
        return Template(template).substitute(facts)

    yield text(_HEAD)
    yield text("static const $real ${name}_intercept[$n_logits] =\n")
    yield _numbers(intercept, facts["f"]) + ";\n\n"
    yield text("/* One line or more for each feature, with its weights in all classes. */\n")
    yield text("static const $real ${name}_weights[$d][$n_logits] = {\n")
    for j in range(d):
        yield _numbers(coef[:, j], facts["f"]) + ",\n"
    yield "};\n\n"
    yield text(_FUSED if fused else _PLAIN)
    yield text(_LOGITS)
    yield text(_SIGMOID if K == 1 else _SOFTMAX)


def multiplies_and_adds_at_once(dtype: np.dtype[Any]) -> bool:
    """Whether the kernels in use round a product and a sum once: then -(1 + 2 eps) + (1 + eps)^2 is not 0 but eps^2."""
    eps = np.finfo(dtype).eps
    coef, x, logit = np.zeros((1, 9), dtype), np.zeros((1, 9), dtype), np.empty((1, 1), dtype)
    x[0, [0, 8]] = 1 + 2 * eps, 1 + eps
    coef[0, [0, 8]] = -1, 1 + eps
    kernels.logits_of_few(x, coef, np.zeros(1, dtype), logit, 0, 1)
    return logit[0, 0] != 0


def lanes(dtype: np.dtype[Any]) -> int:
    """How many numbers a register of the kernels in use holds."""
    return kernels.LinearSoftmax(np.zeros((1, 1), dtype), 1).panel // 4  # a panel is four registers


def label_text(label: object) -> str:
    """A label as JSON that can stand in a comment of C."""
    return json.dumps(label if isinstance(label, (str, int, float)) else str(label)).replace("/", "\\u002f")


def _numbers(values: Array, suffix: str) -> str:
    """The initialiser of an array, exact: four numbers a line."""
    literals = [_literal(value, suffix) for value in values.tolist()]
    lines = (", ".join(literals[i : i + 4]) for i in range(0, len(literals), 4))
    return "{" + ",\n ".join(lines) + "}"


def _literal(value: float, suffix: str) -> str:
    digits, exponent = value.hex().split("p")
    return f"{digits.rstrip('0').rstrip('.')}p{exponent}{suffix}" if value else "0"
