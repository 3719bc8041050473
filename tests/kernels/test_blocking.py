"""Work is cut by the sizes of the caches: where they come from, and that every size gives right results."""

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from fastxent import kernels, linear_cross_entropy_and_grad, reference
from fastxent.kernels import caches
from problems import DTYPES

DECLARED = [(16 << 10, 128 << 10, 1 << 20), (32 << 10, 1 << 20, 16 << 20), (128 << 10, 16 << 20, 0)]


@pytest.fixture(params=DECLARED, ids=str)
def declared(request):
    before = kernels.cache_sizes()
    kernels.set_caches(*request.param)
    yield request.param
    kernels.set_caches(*before)


def in_fresh_process(program, **environment):
    return subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("32K,1M,16M", (32 << 10, 1 << 20, 16 << 20)),
        (" 49152, 2m ,1G", (49152, 2 << 20, 1 << 30)),
    ],
)
def test_the_environment_replaces_the_sizes(text, sizes):
    assert caches.sizes(None, {"FASTXENT_CACHES": text}) == sizes


@pytest.mark.parametrize(
    "text", ["32K", "32K,1M", "a,b,c", "0,1M,1M", "-1,1M,1M", "32K,1M,16M,1G", "32 KB,1M,2M", ","]
)
def test_other_texts_are_refused(text):
    with pytest.raises(ImportError, match=r"FASTXENT_CACHES=.* such as 32K,1M,16M"):
        caches.sizes(None, {"FASTXENT_CACHES": text})


def test_sizes_that_nobody_knows_have_defaults(monkeypatch):
    monkeypatch.setattr(caches, "_from_system", lambda level: 0)
    assert caches.sizes(lambda level: 0, {}) == caches.DEFAULT
    assert caches.sizes(lambda level: 48 << 10 if level == 1 else 0, {}) == (48 << 10, *caches.DEFAULT[1:])


def test_the_system_is_asked_where_the_processor_is_silent(monkeypatch, tmp_path):
    for i, (level, kind, size) in enumerate(
        [("1", "Data", "64K"), ("1", "Instruction", "9K"), ("2", "Unified", "1024K")]
    ):
        folder = tmp_path / f"index{i}"
        folder.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(text + "\n")
    monkeypatch.setattr(caches, "Path", lambda _: tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    assert caches.sizes(lambda level: 0, {}) == (64 << 10, 1 << 20, caches.DEFAULT[2])


def test_a_fresh_process_uses_what_is_declared():
    run = in_fresh_process(
        "from fastxent import kernels; print(kernels.cache_sizes())", FASTXENT_CACHES="32K,512K,8M"
    )
    assert run.stdout.strip() == str((32 << 10, 512 << 10, 8 << 20))
    run = in_fresh_process("from fastxent import kernels", FASTXENT_CACHES="lots")
    assert "ImportError: FASTXENT_CACHES='lots'" in run.stderr


def test_blocks_follow_the_caches():
    X = np.zeros((100_000, 400))
    before = kernels.cache_sizes()
    try:
        blocks = []
        for second in (256 << 10, 1 << 20):
            kernels.set_caches(32 << 10, second, 0)
            blocks.append(kernels.LinearSoftmax(X, 10).block)
    finally:
        kernels.set_caches(*before)
    assert blocks[0] < blocks[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("K", [1, 3, 10, 30, 100])
@pytest.mark.parametrize("storage", ["C", "F", "csr"])
def test_every_size_gives_right_results(declared, dtype, K, storage):
    rng = np.random.default_rng(K)
    X = rng.standard_normal((600, 300)).astype(dtype)
    if storage == "csr":
        X = sp.csr_matrix(X * (rng.random(X.shape) < 0.1))
    elif storage == "F":
        X = np.asfortranarray(X)
    y = rng.integers(max(K, 2), size=600)
    coef = (0.1 * rng.standard_normal((K, 300))).astype(dtype)
    coef, intercept = (coef[0], dtype(0.5)) if K == 1 else (coef, rng.standard_normal(K).astype(dtype))
    found = [linear_cross_entropy_and_grad(X, y, coef, intercept, n_threads=n) for n in (1, 3)]
    for one, other in zip(*found, strict=True):
        assert_array_equal(one, other)
    rtol = 50 * float(np.finfo(dtype).eps)
    expected = reference.linear_cross_entropy_and_grad(X, y, coef, intercept)
    for one, right in zip(found[0], expected, strict=True):
        assert_allclose(one, right, rtol=rtol, atol=rtol * np.abs(right).max())
