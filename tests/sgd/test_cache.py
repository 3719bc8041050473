"""No surprise at the first fit: cached loops load in a second process, and no cache is no error."""

import os
import subprocess
import sys

import pytest

FIT = """
import logging, sys
logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
import numpy as np
from fastxent import SGDClassifier
assert "numba" not in sys.modules
X = np.random.default_rng(0).normal(size=(50, 4))
model = SGDClassifier(random_state=0, max_iter=3, tol=None).fit(X, X[:, 0] > 0)
print("coef", model.coef_.tolist())
from fastxent.sgd import loops
if hasattr(loops.plain, "stats"):
    print("hits", sum(loops.plain.stats.cache_hits.values()), "misses", sum(loops.plain.stats.cache_misses.values()))
"""


def run(**environment):
    """The output of FIT in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", FIT], capture_output=True, text=True, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def reference():
    return next(line for line in run().splitlines() if line.startswith("coef"))


def test_second_process_loads_from_the_cache(tmp_path, reference):
    first = run(NUMBA_CACHE_DIR=str(tmp_path))
    assert "hits 0 misses 1" in first and reference in first
    second = run(NUMBA_CACHE_DIR=str(tmp_path))
    assert "hits 1 misses 0" in second and reference in second


@pytest.mark.parametrize("level", ["baseline", "v3", "v4"])
def test_cached_code_serves_every_instruction_set(tmp_path, level):
    from fastxent import kernels

    if level not in kernels.available():
        level = "baseline"
    run(NUMBA_CACHE_DIR=str(tmp_path))
    output = run(NUMBA_CACHE_DIR=str(tmp_path), FASTXENT_ISA=level)
    assert "hits 1 misses 0" in output


def test_without_jit_the_results_are_the_same(reference):
    output = run(NUMBA_DISABLE_JIT="1")
    ours = [float(x) for x in output.split("[[")[1].split("]]")[0].split(",")]
    theirs = [float(x) for x in reference.split("[[")[1].split("]]")[0].split(",")]
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_no_folder_to_cache_in_is_one_line_of_the_log(reference):
    """None of Numba's places to look for a folder has one."""
    program = """
import numba.core.caching as caching
class Nowhere:
    @classmethod
    def from_function(cls, *unused):
        return None
implementation = getattr(caching, "CacheImpl", None) or caching._CacheImpl
implementation._locator_classes = [Nowhere]
""" + FIT.replace('assert "numba" not in sys.modules', "")
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("WARNING") == 1 and "NUMBA_CACHE_DIR" in done.stdout
    assert reference in done.stdout


def test_cache_depends_on_all_sources():
    from fastxent.sgd import loops
    from fastxent.sgd.compile import _FINGERPRINT

    if hasattr(loops.plain, "_cache"):
        assert loops.plain._cache._cache_file._source_stamp[1] == _FINGERPRINT
    assert len(_FINGERPRINT[0]) == 64


def test_warmup_fills_the_cache(tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fastxent", "warmup"],
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5
    assert "hits 1 misses 0" in run(NUMBA_CACHE_DIR=str(tmp_path))
