"""L-BFGS in a metric that follows the curvature."""

from .solver import MODELS, choose, solve

__all__ = ["MODELS", "choose", "solve"]
