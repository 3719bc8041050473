"""Solvers: each takes an Objective and returns a Result; ``policy`` chooses among them."""

from .policy import choose, solve
from .result import Result

__all__ = ["Result", "choose", "solve"]
