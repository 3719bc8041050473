"""Numbers of any magnitude, for weights: float64 values with an exponent each.

A weight may be anything from 5e-324 to 1.8e308, and row weights are multiplied by class weights. Such products can
leave the range of float64, although only their ratios matter. Mantissas and exponents cannot:

    s = m 2^e,  1/2 <= m < 1:      s w = (m_s m_w) 2^(e_s + e_w)

Where floats are needed, a common power of two is divided out of all of them, which changes no digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from ..typing import Array


_ZERO = -(1 << 24)  # exponent of zero: smaller than all others, and than their sums
_LEAST = np.nextafter(0.0, 1.0)
_MODERATE = 2.0**400  # products of two such numbers are far from the limits of float64, 2^1024


class Scaled:
    """Numbers >= 0: an array of mantissas and an array of exponents of two.

    >>> tiny = Scaled(np.array([1e-200, 3e-200, 0.0]))
    >>> (tiny * tiny).floats()
    (array([0.14647862, 1.31830761, 0.        ]), -1326)
    """

    mantissa: Array
    exponent: Array

    def __init__(self, values: Array | float, exponent: int | Array = 0) -> None:
        self.mantissa, own = np.frexp(values)
        self.exponent = np.where(self.mantissa == 0.0, _ZERO, own + exponent).astype(np.int32, copy=False)

    def __getitem__(self, place: Any) -> Scaled:
        return Scaled(self.mantissa[place], self.exponent[place])

    def __mul__(self, other: Scaled) -> Scaled:
        return Scaled(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def __truediv__(self, other: Scaled) -> Scaled:
        """Return the quotients; a quotient by zero is zero."""
        quotient = np.zeros(np.broadcast_shapes(np.shape(self.mantissa), np.shape(other.mantissa)))
        np.divide(self.mantissa, other.mantissa, out=quotient, where=other.mantissa > 0.0)
        return Scaled(quotient, self.exponent - other.exponent)

    def floats(self) -> tuple[Array, int]:
        """Return floats, the largest in [1, 2), and the exponent of two that was divided out."""
        top = int(self.exponent.max()) - 1
        return (self.without(top), top) if top >= _ZERO else (self.mantissa, 0)

    def without(self, exponent: Array | int) -> Array:
        """Return the numbers divided by 2**exponent, as floats. Positive numbers stay positive in case of underflow."""
        floats = ldexp(self.mantissa, self.exponent - exponent)
        return np.maximum(floats, _LEAST, out=floats, where=self.mantissa > 0.0)

    def sums(self, groups: Array, n_groups: int) -> Scaled:
        """Return the sums over groups; `groups` has each entry's group, 0..n_groups-1."""
        top = np.full(n_groups, _ZERO, np.int32)
        np.maximum.at(top, groups, self.exponent)
        return Scaled(np.bincount(groups, self.without(top[groups]), n_groups), top)


def floats_of(values: Array) -> tuple[Array, int]:
    """Return ``Scaled(values).floats()``, faster, and without a copy if the exponent is 0."""
    largest = float(values.max())
    top = int(np.frexp(largest)[1]) - 1
    if top == 0 or largest == 0.0:
        return values, 0
    floats = values * 2.0**-top if -1000 < top < 1000 else np.ldexp(values, -top)
    if top > 0:
        np.maximum(floats, _LEAST, out=floats, where=values > 0.0)
    return floats, top


def is_moderate(values: Array) -> bool:
    """Tell whether products of two of these numbers, and the inverses of products, are within float64's range."""
    return smallest(values) >= 1.0 / _MODERATE and float(values.max()) <= _MODERATE


def smallest(values: Array) -> float:
    """Return the smallest positive value; infinite if there is none."""
    return float(np.min(values, where=values > 0.0, initial=np.inf))


def ldexp(value: Any, exponent: Any) -> Any:
    """Return value * 2**exponent; beyond the range of its dtype, infinity or zero."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(value, exponent)
