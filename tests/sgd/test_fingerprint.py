"""Whether somebody has changed a model's weights shows, however little, and nothing else does."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from fastxent.data import ranges
from fastxent.sgd.fingerprint import fingerprint


@pytest.fixture(params=[np.float32, np.float64])
def weights(request):
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 7)).astype(request.param), rng.normal(size=3).astype(request.param)


def test_the_order_of_storage_does_not_matter(weights):
    coef, intercept = weights
    wide = np.zeros((6, 14), coef.dtype)
    wide[::2, ::2] = coef
    forms = [coef, np.asfortranarray(coef), wide[::2, ::2], coef.copy()]
    assert len({fingerprint(form, intercept) for form in forms}) == 1


def test_every_change_shows(weights):
    """Single bits and signs, pairs of signs, exchanges: structured changes, which weak sums would not see."""
    coef, intercept = weights
    seen = {fingerprint(coef, intercept)}
    bits = np.uint64 if coef.itemsize == 8 else np.uint32
    places = list(np.ndindex(coef.shape))
    changed = []
    for place in places:
        for bit in (0, 1, 8 * coef.itemsize - 1):
            one = coef.copy()
            one.view(bits)[place] ^= bits(1 << bit)
            changed.append((one, intercept))
    for here, there in itertools.combinations(places, 2):
        negated, exchanged = coef.copy(), coef.copy()
        negated[here], negated[there] = -coef[here], -coef[there]
        exchanged[here], exchanged[there] = coef[there], coef[here]
        changed += [(negated, intercept), (exchanged, intercept)]
    changed += [
        (coef, intercept[::-1]),
        (coef, -intercept),
        (coef[::-1], intercept),
        (coef[:, ::-1], intercept),
    ]
    changed += [(coef, np.zeros_like(intercept)), (np.zeros_like(coef), intercept)]
    changed.append((coef.reshape(7, 3), intercept))
    other = np.float32 if coef.itemsize == 8 else np.float64
    changed.append((coef.astype(other), intercept.astype(other)))
    for one in changed:
        seen.add(fingerprint(*one))
    assert len(seen) == len(changed) + 1


def test_zeros_have_no_sign(weights):
    coef, intercept = weights
    coef[1] = 0.0
    negative = np.where(coef == 0, -coef, coef)
    assert np.signbit(negative[1]).all()
    assert fingerprint(negative, intercept) == fingerprint(coef, intercept)


def test_pieces_do_not_matter(weights, monkeypatch):
    coef, intercept = weights
    whole = fingerprint(coef, intercept)
    monkeypatch.setattr(ranges, "_CALL", 2)
    assert fingerprint(coef, intercept) == whole


def test_without_jit_it_is_the_same(weights):
    """A pickle may be read where Numba compiles nothing."""
    program = """
import numpy as np
from fastxent.sgd.fingerprint import fingerprint
rng = np.random.default_rng(0)
print(fingerprint(rng.normal(size=(3, 7)), rng.normal(size=3))[0])
"""
    run = [sys.executable, "-P", "-W", "error", "-c", program]
    plain, compiled = (
        subprocess.run(run, capture_output=True, text=True, check=True, env=os.environ | more).stdout
        for more in ({"NUMBA_DISABLE_JIT": "1"}, {})
    )
    assert plain == compiled
