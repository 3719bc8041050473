"""scikit-learn's internal losses, and its model served by onnxruntime."""

from functools import partial

import numpy as np

from adapters.by_estimators import SCIKIT_LEARN, fitted


def loss(problem, threads, openmp=None):
    from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss
    from sklearn.linear_model._linear_loss import LinearModelLoss

    of_rows = HalfBinomialLoss() if problem.binary else HalfMultinomialLoss(n_classes=problem.n_classes)
    model = LinearModelLoss(base_loss=of_rows, fit_intercept=True)
    coef, y = problem.theta.T.copy("F"), problem.y.astype(problem.X.dtype)
    coef = coef[0] if problem.binary else coef

    def call():
        value, gradient = model.loss_gradient(coef, problem.X, y, n_threads=openmp or threads)
        return value, np.atleast_2d(gradient).T

    return call


def row_by_onnxruntime(problem, threads, dtype):
    """float32: scikit-learn's model, by its own converter. float64: ours."""
    import onnxruntime
    import skl2onnx

    import fastxent.onnx

    fastxent.onnx.register()
    model = fitted(SCIKIT_LEARN if dtype == "float32" else "fastxent", problem)
    rows = (problem.X.toarray() if problem.sparse else problem.X).astype(dtype)
    graph = skl2onnx.to_onnx(model, rows[:1], options={"zipmap": False}).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # idle threads would spin in the next rival's time
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return partial(session.run, ["probabilities"], {session.get_inputs()[0].name: rows})
