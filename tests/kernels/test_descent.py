"""Updates of everything, at every instruction-set level, against plain NumPy."""

import ctypes

import numpy as np
import pytest
from numba.extending import get_cython_function_address
from numpy.testing import assert_allclose

from fastxent import kernels
from fastxent.sgd.layouts import empty
from fastxent.sgd.loops import BEGUN, COUNTERS, OWN_ETA0, OWN_TIME, UPDATES
from fastxent.sgd.optimizers import MEMORY, OPTIMIZERS
from fastxent.sgd.options import Options
from fastxent.sgd.rules import State, rule_of

TIME, D, K = 0.1, 19, 5  # 95 weights end between registers
LAYOUT = (False, K, D * K, (D + 1) * K, True, False, 1)


def soft(x, cut):
    return np.sign(x) * np.maximum(np.abs(x) - cut, 0.0)


def divided(w, move, h, l1, l2):
    """The step in the metric h, of a size of at most 1 / l2."""
    short = np.minimum(TIME / h, 1.0 / l2) if l2 else TIME / h
    return soft(np.maximum(0.0, 1.0 - l2 * TIME / h) * w - move * short, l1 * short)


def updated(optimizer, w, a, b, g, l1, l2):
    """The second update of an optimiser with the default momentum."""
    eps = 1e-8
    if optimizer == "sgd":
        return soft((1.0 - l2 * TIME) * w - TIME * g, l1 * TIME)
    if optimizer in ("momentum", "nesterov"):
        a = 0.9 * a + g
        move = g + 0.9 * a if optimizer == "nesterov" else a
        return soft(w - 0.1 * TIME * move, l1 * TIME) / (1.0 + l2 * TIME)
    if optimizer in ("adagrad", "rmsprop"):
        kept, part = (0.9, 0.1) if optimizer == "rmsprop" else (1.0, 1.0)
        return divided(w, g, np.sqrt(kept * a * a + part * g * g) + eps, l1, l2)
    if optimizer == "ftrl":
        g = TIME * g  # which is the weight of its batch
        h = np.sqrt(b * b + g * g)
        a = a + g - (h - b) / 0.5 * w
        return -soft(a, l1 * TIME) / ((eps + h) / 0.5 + l2 * TIME)
    mean = 0.9 * a * b + 0.1 * g
    h = np.sqrt(0.999 * b * b + 0.001 * g * g)
    correction = np.sqrt(1.0 - 0.999**2)
    if optimizer == "adam":
        return divided(w, mean / (1.0 - 0.9**2), h / correction, l1, l2)
    return soft((1.0 - l2 * TIME) * w - TIME * mean / (1.0 - 0.9**2) * correction / h, l1 * TIME)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.3, 0.5)])
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS.keys() - {"svrg"}))
@pytest.mark.parametrize("level", kernels.available())
def test_an_update_of_everything(level, optimizer, l1, l2, dtype):
    rng = np.random.default_rng(0)
    options = Options(optimizer, l1=l1, l2=l2, batch=0, eta0=0.5)
    arrays = empty("wabg", LAYOUT, np.dtype(dtype))
    for name, size in (("w", 1.0), ("a", 1.0), ("b", 0.5), ("g", 1.0)):
        arrays[name][:] = rng.uniform(size / 4, size, (D + 1) * K) * (
            1.0 if name == "b" else rng.choice([-1, 1])
        )
    if optimizer in ("adagrad", "rmsprop"):
        arrays["a"][:] = np.abs(arrays["a"])
    arrays["g"][::7] = 0.0
    used = dict(zip("ab", MEMORY[options.kind], strict=False)) if optimizer != "sgd" else {}
    counters = np.zeros(COUNTERS)
    counters[[UPDATES, BEGUN, OWN_TIME, OWN_ETA0]] = 1.0, 0.0, TIME, 0.5
    rule = rule_of(options, State(D, K, LAYOUT, 0.5, np.inf, None, True, None))
    memory = kernels.load(level).Descent(rule, {name: arrays[name] for name in {"w", "g", *used}}, counters)
    place = get_cython_function_address(f"{kernels.__name__}._{level}", "descent_step_all")
    before = {name: array.astype(np.float64) for name, array in arrays.items()}
    function = ctypes.CFUNCTYPE(None, ctypes.c_ssize_t, *3 * [ctypes.c_double])(place)
    function(memory.address, 1.0, TIME, 0.5)
    features = slice(D * K)
    expected = np.concatenate(
        [
            updated(optimizer, *(before[name][part] for name in "wabg"), *penalty)
            for part, penalty in ((features, (l1, l2)), (slice(D * K, None), (0.0, 0.0)))
        ]
    )
    eps = np.finfo(dtype).eps
    assert_allclose(arrays["w"], expected, rtol=20 * eps, atol=20 * eps)
    assert not arrays["g"].any()
    assert counters[UPDATES] == 2.0
