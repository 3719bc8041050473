"""The objectives that every smooth solver is run on."""

import numpy as np
import pytest

from objectives import in_parts
from solvers_problems import make_objective


@pytest.fixture(params=["local", "streamed"])
def engine(request):
    """Where the rows are: in memory, or in batches that come one after the other."""
    return request.param


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
def smooth(request, engine):
    """Objectives without an L1 term, on every engine."""
    objective = make_objective(**request.param)
    return objective if engine == "local" else in_parts(objective, [10, 50])[1]
