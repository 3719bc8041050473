"""The C API: an extension compiled here against the installed package gives the bits of the Python functions.

At every instruction-set level, each in a fresh process: levels differ in the last bits, so an API that reached another
than the chosen one would show.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastxent
from fastxent import kernels

INSTALLED = Path(fastxent.__file__).parents[1]
DECLARATIONS = INSTALLED / "fastxent" / "kernels" / "api.pxd"

USER = """
from libc.stdint cimport int32_t, int64_t
from fastxent.kernels cimport api
from fastxent.kernels.api cimport real, index

cdef Py_ssize_t pad(Py_ssize_t K) noexcept nogil:
    return (K + api.PADDING - 1) // api.PADDING * api.PADDING

def of_version(int version):
    api.require_api(version)

def version():
    return api.API_VERSION

def rows(real[:, ::1] z, real[::1] lse, real[:, ::1] p, real[:, ::1] log_p, real[:, ::1] s):
    cdef Py_ssize_t n = z.shape[0], K = z.shape[1]
    with nogil:
        api.logsumexp(&z[0, 0], &lse[0], n, K)
        api.softmax(&z[0, 0], &p[0, 0], n, K)
        api.log_softmax(&z[0, 0], &log_p[0, 0], n, K)
        api.sigmoid(&z[0, 0], &s[0, 0], n * K)

def in_place(real[:, ::1] z):
    api.softmax(&z[0, 0], &z[0, 0], z.shape[0], z.shape[1])

def loss(real[:, ::1] z, Py_ssize_t[::1] labels, double[::1] weights, double scale, real[::1] losses,
         real[:, ::1] grad):
    cdef const double* s = NULL if weights is None else &weights[0]
    cdef real* l = NULL if losses is None else &losses[0]
    cdef real* g = NULL if grad is None else &grad[0, 0]
    return api.cross_entropy(&z[0, 0], &labels[0], s, scale, l, g, z.shape[0], z.shape[1])

def row_by_row(real[:, ::1] z, Py_ssize_t[::1] labels, real[:, ::1] grad):
    cdef Py_ssize_t i
    losses = []
    for i in range(z.shape[0]):
        losses.append(api.cross_entropy(&z[i, 0], &labels[i], NULL, 1.0, <real*>NULL, &grad[i, 0], 1, z.shape[1]))
    return losses

def sparse(real[::1] x, index[::1] j, index[::1] indptr, Py_ssize_t[::1] labels, real[:, ::1] w, real[::1] bias,
           Py_ssize_t K, real[:, ::1] g, real[::1] q):
    '''Loss of CSR rows, gradient into g: the kernels' pass over a sparse matrix, written by a user.'''
    cdef Py_ssize_t i, k, at, nnz, last = w.shape[0] - 1
    cdef double total = 0
    for i in range(labels.shape[0]):
        at, nnz = indptr[i], indptr[i + 1] - indptr[i]
        q[:] = bias
        api.csr_dot(nnz, &x[at], &j[at], &w[0, 0], w.shape[1], K, &q[0])
        total += api.cross_entropy(&q[0], &labels[i], NULL, 1.0, <real*>NULL, &q[0], 1, K)
        for k in range(K, pad(K)):
            q[k] = 0
        api.csr_add(nnz, &x[at], &j[at], &q[0], K, &g[0, 0], g.shape[1])
        for k in range(K):
            g[last, k] += q[k]
    return total
"""

CHECKS = """
import numpy as np, scipy.sparse as sp, user
import fastxent as fx
from fastxent import kernels

rng = np.random.default_rng(0)

def same(ours, theirs, what):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs, equal_nan=True), (kernels.level, what)
    assert np.array_equal(np.signbit(ours), np.signbit(theirs)) or np.isnan(ours).any(), what

for dtype in (np.float64, np.float32):
    for K in (1, 2, 3, 10, 15, 16, 17, 31, 33, 64, 200, 1001):
        for n in (1, 5, 64, 150):
            what = f"{np.dtype(dtype)} {n} x {K}"
            z = (6 * rng.normal(size=(n, K))).astype(dtype)
            if K > 2 and n == 5:
                z[0, 1], z[1, 0], z[2], z[3] = -np.inf, np.nan, -np.inf, z[3].max()
            labels, weights = rng.integers(K, size=n), rng.integers(3, size=n).astype(float)
            lse = np.full(n, np.nan, dtype)
            p, log_p, s, grad = (np.full(z.shape, np.nan, dtype) for _ in range(4))
            user.rows(z, lse, p, log_p, s)
            same(lse, fx.logsumexp(z), "logsumexp " + what)
            same(p, fx.softmax(z), "softmax " + what)
            same(log_p, fx.log_softmax(z), "log_softmax " + what)
            same(s, fx.sigmoid(z), "sigmoid " + what)
            inside = z.copy()
            user.in_place(inside)
            same(inside, p, "softmax in place " + what)

            z = np.nan_to_num(z, nan=1.0, neginf=-3.0)
            losses = np.full(n, np.nan, dtype)
            total = user.loss(z, labels, weights, 0.25, losses, grad)
            expected, by_row = fx.cross_entropy_and_grad(z, labels, sample_weight=weights, reduction="sum")
            assert total == expected, what
            same(losses, fx.cross_entropy(z, labels, sample_weight=weights, reduction="none"), "losses " + what)
            same(grad, by_row * dtype(0.25), "gradient, scaled by a power of two " + what)
            assert user.loss(z, labels, weights, 0.25, None, None) == total, what

            losses, by_row = fx.cross_entropy_and_grad(z, labels, reduction="none")
            same(np.array(user.row_by_row(z, labels, grad)).astype(dtype), losses, "row by row " + what)
            same(grad, by_row, "gradient row by row " + what)

    for index in (np.int32, np.int64):
        for K in (2, 3, 5, 16, 45, 130, 300):
            n, d, ld = 40, 70, -(-K // 16) * 16
            X = sp.random(n, d, 0.2, "csr", dtype=dtype, random_state=rng)
            X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
            X.data -= dtype(0.3)
            labels = rng.integers(K, size=n)
            w, g, q, bias = (np.zeros(shape, dtype) for shape in ((d + 1, ld), (d + 1, ld), ld, ld))
            w[:, :K] = rng.normal(size=(d + 1, K))
            bias[:] = w[-1]
            total = user.sparse(X.data, X.indices, X.indptr, labels, w, bias, K, g, q)
            what = f"{np.dtype(dtype)} {np.dtype(index)} sparse, {K} classes"
            loss, of_coef, of_intercept = fx.linear_cross_entropy_and_grad(
                X, labels, np.asfortranarray(w[:-1, :K].T), w[-1, :K].copy(), reduction="sum", n_threads=1)
            assert abs(total - loss) <= 1e-14 * loss, what  # as many sums in another order
            same(g[:-1, :K], np.ascontiguousarray(of_coef.T), "gradient " + what)
            same(g[-1, :K], of_intercept, "gradient of the intercept " + what)
            assert not g[:, K:].any()

z = np.log(np.array([[1.0, 3.0], [2.0, 2.0]]))
grad = np.empty_like(z)
import header
assert header.mean_loss(z, np.array([0, 1]), grad) == fx.cross_entropy(z, [0, 1])
same(grad, fx.cross_entropy_and_grad(z, [0, 1])[1], "the header's example")

from fastxent.kernels import api
assert user.version() == api.version
user.of_version(api.version)
try:
    user.of_version(99)
except ImportError as error:
    assert "version 99" in str(error) and "compile the extension again" in str(error)
else:
    raise AssertionError("an extension of another version was let in")
print(kernels.level)
"""

SETUP = """
from setuptools import Extension, setup
from Cython.Build import cythonize
names = ["user", "header"]
setup(ext_modules=cythonize([Extension(name, [name + ".pyx"]) for name in names], language_level=3,
                            compiler_directives={{"boundscheck": False}}, include_path=[{installed!r}]))
"""


def example_of_the_header():
    """Return the example in the comments of api.pxd."""
    block = re.search(r"^# Example .*?:\n#\n((?:#     .*\n|#\n)+)", DECLARATIONS.read_text(), re.MULTILINE)
    return "".join(line[6:] or "\n" for line in block.group(1).splitlines(keepends=True))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The folder of a user's extensions, built the way a user builds them."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "user.pyx").write_text(USER)
    (folder / "header.pyx").write_text(example_of_the_header())
    (folder / "setup.py").write_text(SETUP.format(installed=str(INSTALLED)))
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # sanitizers
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.mark.parametrize("level", kernels.available())
def test_bits_of_the_python_functions(compiled, level):
    path = os.pathsep.join([str(compiled), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    environment = os.environ | {"FASTXENT_ISA": level, "PYTHONPATH": path}
    run = subprocess.run(
        [sys.executable, "-P", "-c", CHECKS], env=environment, cwd=compiled, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == level


def test_the_example_is_found():
    assert "cimport check_api" in example_of_the_header()
