"""Models as C: the file compiles without a warning, and its functions agree with the predictor."""

import ctypes
import json
import os
import re
import shutil
import subprocess
import tracemalloc

import numpy as np
import pytest

from fastxent import LogisticRegression, c_source
from fastxent.predictor import Predictor
from problems import DTYPES

CC = shutil.which(os.environ.get("CC", "cc"))
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
MOST_ULPS = 4
SHAPES = [(1, 2), (784, 2), (7, 3), (784, 10), (33, 16), (300, 45), (64, 130)]  # features, classes

compiles = pytest.mark.skipif(CC is None, reason="there is no C compiler here; CI has one")


def predictor_of(rng, d, K, dtype, scale=1.0):
    rows = 1 if K == 2 else K
    coef = scale * rng.standard_normal((rows, d)) / np.sqrt(d)
    return Predictor(coef.astype(dtype), rng.standard_normal(rows).astype(dtype), np.arange(K))


def compiled(predictor, folder, name="fastxent_predict", flags=("-O1",)):
    """The two functions of the file, as functions of arrays."""
    source, library = folder / "model.c", folder / "model.so"
    predictor.export_c(source, name=name)
    subprocess.run([CC, *STRICT, *flags, "-shared", "-fPIC", source, "-o", library, "-lm"], check=True)
    functions = ctypes.CDLL(str(library))
    K = len(predictor.classes)

    def pointer(array):
        return array.ctypes.data_as(ctypes.c_void_p)

    def dense(x):
        out = np.full(K, 7, x.dtype)
        functions[name](pointer(x), pointer(out))
        return out

    def sparse(indices, values):
        out = np.full(K, 7, values.dtype)
        functions[f"{name}_sparse"](
            pointer(indices.astype(np.intc)), pointer(values), len(values), pointer(out)
        )
        return out

    return dense, sparse


def ulps(one, other):
    """The largest difference of two arrays of probabilities, in units in the last place of the larger."""
    apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return (apart / np.spacing(np.maximum(one, other)).astype(np.float64)).max()


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("d", "K"), SHAPES)
def test_it_agrees_with_the_predictor(level, d, K, dtype, tmp_path):
    rng = np.random.default_rng([d, K])
    p = predictor_of(rng, d, K, dtype, scale=4.0)
    dense, sparse = compiled(p, tmp_path)
    for size in (0.1, 1.0, 30.0):  # the last makes probabilities below the normal range, and zeros
        for x in (size * rng.standard_normal((30, d))).astype(dtype):
            assert ulps(dense(x), p(x)) <= MOST_ULPS
            columns = rng.integers(0, d, d // 3 + 2)  # some come twice
            assert ulps(sparse(columns, x[columns]), p(columns, x[columns])) <= MOST_ULPS
    none = np.empty(0, dtype)
    assert ulps(sparse(np.empty(0, np.intp), none), p(np.empty(0, np.intp), none)) <= MOST_ULPS
    assert np.isnan(dense(np.full(d, np.nan, dtype))).all()


@compiles
def test_flags_of_the_processor_change_nothing(level, tmp_path):
    rng = np.random.default_rng(1)
    p = predictor_of(rng, 64, 20, np.float64)
    plain, _ = compiled(p, tmp_path)
    x = rng.standard_normal(64)
    before = plain(x)
    (tmp_path / "native").mkdir()
    native, _ = compiled(p, tmp_path / "native", flags=("-std=gnu11", "-O3", "-march=native"))
    np.testing.assert_array_equal(native(x), before)


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_coefficients_of_any_size_arrive_exactly(dtype, tmp_path):
    about = np.finfo(dtype)
    coef = np.array(
        [
            [about.max, -about.tiny, 0.0, 1.0],
            [about.smallest_subnormal, -0.0, 1 / 3, -about.max],
            [0, 1e-30, 3, 8],
        ],
        dtype,
    )
    p = Predictor(coef, np.array([about.smallest_subnormal, -0.0, 1e-5], dtype), ["a", "b", "c"])
    dense, _ = compiled(p, tmp_path)
    for x in np.eye(4, dtype=dtype):
        assert ulps(dense(x), p(x)) <= MOST_ULPS
        assert ulps(dense(about.tiny * x), p(about.tiny * x)) <= MOST_ULPS


LABELS = [
    "*/ int x; /*",
    "/*/",
    "a\nb",
    "ä\u2028\U0001f600",
    '"',
    "\\",
    "??/",
    "a//",
    "\ud800",
    "",
    "\\n",
    "$name",
]


@compiles
@pytest.mark.parametrize("labels", [LABELS, [True, False], [3, -5, 2**40], [1.5, np.inf, -0.0]], ids=repr)
def test_labels_stand_in_the_comment_whatever_they_are(labels, tmp_path):
    K = len(labels)
    p = Predictor(np.ones((1 if K == 2 else K, 3)), np.zeros(1 if K == 2 else K), labels)
    dense, _ = compiled(p, tmp_path)
    assert ulps(dense(np.ones(3)), p(np.ones(3))) <= MOST_ULPS
    text = (tmp_path / "model.c").read_text(encoding="ascii")
    comment = text[: text.index("*/")]
    found = re.findall(r"^ +(\d+): (.*)$", comment.partition("Classes")[2], re.MULTILINE)
    assert [(int(k), json.loads(label)) for k, label in found] == list(enumerate(labels))


@compiles
def test_a_program_of_two_models(tmp_path):
    """As a person would use it: declared, compiled, linked and run."""
    X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [4.0, 1.0], [0.5, 4.0], [0.0, 5.0]])
    three = LogisticRegression().fit(X, ["left", "left", "right", "right", "up", "up"]).predictor()
    two = LogisticRegression().fit(X.astype(np.float32), [0, 0, 0, 1, 1, 1]).predictor()
    assert (three.dtype, two.dtype) == (np.float64, np.float32)
    three.export_c(tmp_path / "three.c", name="three")
    two.export_c(tmp_path / "two.c", name="two")
    (tmp_path / "main.c").write_text(
        """
        #include <stdio.h>
        void three(const double *x, double *probabilities);
        void two(const float *x, float *probabilities);
        int main(void)
        {
            const double x[2] = {4.0, 2.0};
            const float y[2] = {4.0f, 2.0f};
            double p[3];
            float q[2];
            three(x, p);
            two(y, q);
            printf("%.17g %.17g %.17g %.9g %.9g", p[0], p[1], p[2], q[0], q[1]);
            return 0;
        }
        """
    )
    command = [CC, *STRICT, "-O2", "main.c", "three.c", "two.c", "-o", "program", "-lm"]
    subprocess.run(command, check=True, cwd=tmp_path)
    printed = subprocess.run(
        [tmp_path / "program"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert ulps(np.array(printed[:3], np.float64), three(np.array([4.0, 2.0]))) <= MOST_ULPS
    assert ulps(np.array(printed[3:], np.float32), two(np.array([4.0, 2.0], np.float32))) <= MOST_ULPS


@pytest.mark.parametrize("name", ["", "2x", "a b", "for", "main", "ä", "x;y", "a\n"])
def test_names_that_c_has_not_are_refused(name, tmp_path):
    p = predictor_of(np.random.default_rng(0), 2, 3, np.float64)
    with pytest.raises(ValueError, match=r"^name must"):
        p.export_c(tmp_path / "model.c", name=name)
    with pytest.raises(TypeError, match=r"^name must"):
        p.export_c(tmp_path / "model.c", name=3)
    assert list(tmp_path.iterdir()) == []


def test_coefficients_that_are_not_finite_are_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "model.c"
    path.write_text("old")
    for coef, intercept, named in (
        ([[1, np.nan]], [0], r"coef\[0, 1\]"),
        ([[1, 1]], [-np.inf], r"intercept\[0\]"),
    ):
        with pytest.raises(ValueError, match=named):
            Predictor(np.array(coef, float), np.array(intercept, float), [0, 1]).export_c(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_comes_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "model.c"
    path.write_text("old")
    p = predictor_of(np.random.default_rng(0), 2, 3, np.float64)

    def stops(*arguments):
        yield "half a model"
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(c_source, "c_source", stops)
        with pytest.raises(KeyboardInterrupt):
            p.export_c(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    p.export_c(path)
    assert path.read_text().startswith(
        "/* Probabilities of a linear softmax model: 2 features, 3 classes, float64."
    )
    with pytest.raises(FileNotFoundError):
        p.export_c(tmp_path / "missing" / "model.c")


def test_a_large_model_is_written_piece_by_piece(tmp_path):
    p = predictor_of(np.random.default_rng(0), 3000, 57, np.float64)
    tracemalloc.start()
    try:
        p.export_c(tmp_path / "model.c")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "model.c").stat().st_size > 3_000_000
    assert peak < 500_000
