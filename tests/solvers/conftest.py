"""The objectives that every smooth solver is run on."""

import numpy as np
import pytest

from solvers_problems import make_objective


@pytest.fixture(
    params=[
        {"n_classes": 2, "l2": 0.01},
        {"n_classes": 3, "l2": 0.01},
        {"n_classes": 3, "l2": 0.01, "sparse": True},
        {"n_classes": 4, "l2": 0.1, "fit_intercept": False},
        {"n_classes": 2, "l2": 0.0},
        {"n_classes": 3, "l2": 1e-4, "scales": np.logspace(-3, 3, 6)},
    ],
    ids=["binary", "multinomial", "sparse", "no_intercept", "no_penalty", "raw_scales"],
)
def smooth(request):
    """Objectives without an L1 term."""
    return make_objective(**request.param)
