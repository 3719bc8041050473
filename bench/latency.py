"""The task of serving: the class probabilities of one row, and of a hundred, asked for alone, on one thread.

The models are the same numbers in every library. A row is in the form that suits the library: a vector for the
predictor, the entries of a text where it takes them, a dense row of 80,000 numbers for onnxruntime, which has no
other. Making it is not timed.
"""

from functools import partial

import numpy as np
import scipy.sparse as sp

from cases import F32, F64, Case
from rivals import OURS, Rival

ESTIMATOR = "fastxent estimator"


def rows(n_rows, n_features, words):
    """Return what makes dense rows, or sparse ones of so many words."""

    def make(dtype):
        rng = np.random.default_rng(0)
        if not words:
            return rng.standard_normal((n_rows, n_features)), None
        columns = [np.sort(rng.choice(n_features, words, replace=False)) for _ in range(n_rows)]
        parts = rng.random(n_rows * words) + 0.1, np.concatenate(columns), words * np.arange(n_rows + 1)
        X = sp.csr_matrix(parts, shape=(n_rows, n_features))
        X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
        return X, None

    return make


CASES = [
    Case(
        f"{what}, {f'{n} rows' if n > 1 else 'one row'}",
        K,
        rows(n, d, words),
        sparse=bool(words),
        dtypes=(F64,),
    )
    for what, d, K, words in (
        ("64 features, 10 classes", 64, 10, 0),
        ("784 features, 10 classes", 784, 10, 0),
        ("text, 77 of 80,000 words, 57 classes", 80_000, 57, 77),
    )
    for n in (1, 100)
]


def softmax_by_hand(z):
    z -= z.max(axis=-1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=-1, keepdims=True)
    return z


def one_array(result):
    return [np.atleast_2d(result)]


def fitted(estimator, problem):
    """The estimator with the problem's model, as a fit leaves it."""
    estimator.classes_ = np.arange(problem.n_classes)
    estimator.coef_, estimator.intercept_ = problem.theta[:-1].T, problem.theta[-1].copy()
    estimator.n_features_in_ = problem.X.shape[1]
    return estimator


def with_predictor(problem, threads):
    from fastxent import LogisticRegression

    predictor, X = fitted(LogisticRegression(), problem).predictor(), problem.X
    if X.shape[0] > 1:
        return partial(predictor, X), one_array
    return partial(predictor, *((X.indices, X.data) if problem.sparse else (X[0],))), one_array


def with_estimator(problem, threads):
    from fastxent import LogisticRegression

    model = fitted(LogisticRegression(n_threads=threads), problem)
    return partial(model.predict_proba, problem.X), one_array


def with_scikit_learn(problem, threads):
    from sklearn.linear_model import LogisticRegression

    return partial(fitted(LogisticRegression(), problem).predict_proba, problem.X), one_array


def with_numpy(problem, threads):
    X, W, b = problem.X, problem.theta[:-1].copy(), problem.theta[-1]
    if X.shape[0] > 1:
        return lambda: softmax_by_hand(X @ W + b), one_array
    if problem.sparse:
        indices, values = X.indices, X.data
        return lambda: softmax_by_hand(values @ W[indices] + b), one_array
    x, coef = X[0], W.T.copy()
    return lambda: softmax_by_hand(coef @ x + b), one_array


def with_onnxruntime(dtype):
    """float32: scikit-learn's model, by its own converter. float64: ours."""

    def build(problem, threads):
        import onnxruntime
        import skl2onnx
        from sklearn.linear_model import LogisticRegression

        import fastxent.onnx

        fastxent.onnx.register()
        kind = LogisticRegression if dtype == F32 else fastxent.LogisticRegression
        rows = (problem.X.toarray() if problem.sparse else problem.X).astype(dtype)
        graph = skl2onnx.to_onnx(fitted(kind(), problem), rows[:1], options={"zipmap": False})
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads  # idle threads would spin in the next rival's time
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return partial(
            session.run, ["probabilities"], {session.get_inputs()[0].name: rows}
        ), lambda found: found

    return build


RIVALS = [
    Rival(OURS, "fastxent", with_predictor),
    Rival(ESTIMATOR, "fastxent", with_estimator),
    Rival("scikit-learn", "sklearn.linear_model", with_scikit_learn),
    Rival("NumPy", "numpy", with_numpy),
    Rival("onnxruntime", "onnxruntime", with_onnxruntime(F32), setting="float32"),
    Rival("onnxruntime", "onnxruntime", with_onnxruntime(F64), setting="float64"),
]
