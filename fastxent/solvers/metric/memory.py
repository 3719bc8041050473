"""Pairs of steps and gradient changes, and the inverse Hessian from them: L-BFGS in its compact form.

    R. H. Byrd, J. Nocedal, R. B. Schnabel, "Representations of quasi-Newton matrices and their use in limited memory
    methods", Mathematical Programming 63, 1994.

With the steps S and the changes Y as columns, oldest first, R the upper triangle of S'Y, E its diagonal, and M^-1 a
first guess of the inverse Hessian,

    c = R^-1 S'G        z = M^-1 (G - Y c)        H G = z + S R^-T (E c - Y'z)

gives the result of the two-loop recursion (J. Nocedal, Mathematics of Computation 35, 1980), but reads each pair only
twice and writes nothing in between: for wide data, that is a fifth of the memory traffic. Wide pairs are stored in
single precision, which is enough for a direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.lapack import dtrtrs

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ...data.ranges import Ranges
    from ...typing import Array


_MEMORY, _MEMORY_WIDE = (
    10,
    4,
)  # pairs: L-BFGS's usual number, and fewer for wide models, whose traffic they dominate
_WIDE = 200_000  # number of unknowns from which the pairs' memory traffic matters


class Pairs:
    """The last pairs of a run, and directions from them.

    Parameters
    ----------
    shape : (d + 1, K)
    ranges : Ranges
    """

    def __init__(self, shape: tuple[int, int], ranges: Ranges) -> None:
        wide = shape[0] * shape[1] > _WIDE
        memory = _MEMORY_WIDE if wide else _MEMORY
        self._dtype = np.float32 if wide else np.float64
        self._steps, self._changes = np.zeros((2, memory, *shape), self._dtype)
        self._products = np.zeros((memory, memory))  # S'Y by places
        self._slopes = np.zeros(memory)  # S'G at the last direction
        self._ranges = ranges
        self._scratch = np.empty(shape)
        self.clear()

    def clear(self) -> None:
        self._order: list[int] = []  # places, oldest first
        self._new = False

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on."""
        return {
            "steps": self._steps,
            "changes": self._changes,
            "products": self._products,
            "slopes": self._slopes,
            "order": self._order,
            "new": self._new,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the state of other pairs."""
        self._steps, self._changes = state["steps"], state["changes"]
        self._products, self._slopes = state["products"], state["slopes"]
        self._order, self._new = state["order"], state["new"]

    def __len__(self) -> int:
        return len(self._order)

    def append(self, t: float, D: Array, grad_before: Array, grad: Array, curvature: float) -> None:
        """Add the step t D and the change of the gradient if their inner product, `curvature`, is positive."""
        memory = len(self._steps)
        place = len(self._order) if len(self._order) < memory else self._order[0]

        def write(rows: slice) -> tuple[Any, Any]:
            step, change = t * D[rows], grad[rows] - grad_before[rows]
            self._steps[place, rows], self._changes[place, rows] = step, change
            return np.vdot(step, step), np.vdot(change, change)

        squares = [sum(parts) for parts in zip(*self._ranges.map(write), strict=True)]
        self._order = [other for other in self._order if other != place]
        if curvature > 1e-14 * np.sqrt(squares[0]) * np.sqrt(squares[1]):
            self._order.append(place)
            self._products[place, place] = curvature
            self._new = True

    def direction(self, solve: Callable[..., Any], grad: Array) -> Array:
        """Return minus the inverse Hessian times the gradient at the newest point; ``solve`` is M^-1."""
        slopes = self._times(self._steps, grad) if self._order else self._slopes
        if self._order and self._new:  # S'y is the change of S'G
            newest, older = self._order[-1], self._order[:-1]
            self._products[older, newest] = (slopes - self._slopes)[older]
        self._new, self._slopes = False, slopes
        z = self._solved(solve, grad, slopes)
        return np.negative(z, out=z)

    def solve(self, solve: Callable[..., Any], R: Array) -> Array:
        """Return the inverse Hessian of the last direction times R."""
        return self._solved(solve, R, self._times(self._steps, R) if self._order else None)

    def _solved(self, solve: Callable[..., Any], R: Array, slopes: Any) -> Array:
        order = self._order
        if not order:
            return solve(R)
        triangle = np.triu(self._products[np.ix_(order, order)])
        c, _ = dtrtrs(triangle, slopes[order])
        z = solve(self._plus(R, self._changes, -c, self._scratch))
        rest = np.diag(triangle) * c - self._times(self._changes, z)[order]
        e, _ = dtrtrs(triangle, rest, trans=1)
        return self._plus(z, self._steps, e, z)

    @property
    def newest(self) -> tuple[Array, float]:
        """The last change of the gradient and its product with its step."""
        place = self._order[-1]
        return self._changes[place], self._products[place, place]

    def _times(self, vectors: Array, x: Array) -> Array:
        """Return the inner products of all vectors with x, by places."""
        count = len(vectors)

        def part(rows: slice) -> Array:
            return vectors[:, rows].reshape(count, -1) @ x[rows].ravel().astype(self._dtype)

        return sum(self._ranges.map(part), np.zeros(count))

    def _plus(self, x: Array, vectors: Array, shares: Array, out: Array) -> Array:
        """out = x + sum of shares times vectors."""
        weights = np.zeros(len(vectors), self._dtype)
        weights[self._order] = shares

        def part(rows: slice) -> None:
            sums = weights @ vectors[:, rows].reshape(len(vectors), -1)
            np.add(x[rows], sums.reshape(x[rows].shape), out=out[rows])

        self._ranges.map(part)
        return out
