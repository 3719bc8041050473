"""Who evaluates a linear softmax model: loss and gradient, probabilities of all rows, probabilities of a single row.

Every builder takes a problem and a number of threads and returns a call without arguments. The loss is the mean
cross-entropy without penalty and weights, its gradient is (d + 1, K), or a pair of (d, K) and (K,): what all libraries
share. Single rows are in the form that suits the library, and making it is not timed: a vector for the predictor, the
entries of a text where it takes them, a dense row of 80,000 numbers for onnxruntime, which has no other.
"""

from functools import partial

import numpy as np

from rivals import INTEL, OURS, SCIKIT_LEARN, Rival, anything, dense, imported

ESTIMATOR = "fastxent estimator"


def arrays(result):
    """Return what a library computed, in float64: loss and gradient (d + 1, K), or the probabilities alone."""
    parts = result if isinstance(result, tuple | list) else [result]
    parts = [np.asarray(part.detach() if hasattr(part, "detach") else part, np.float64) for part in parts]
    return parts if len(parts) < 3 else [parts[0], np.vstack(parts[1:])]


def softmax_in_place(z):
    z -= z.max(axis=-1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=-1, keepdims=True)
    return z


def fitted(module, problem, **how):
    """Return a module's LogisticRegression with the problem's model, as a fit leaves it."""
    model = imported(f"{module}.LogisticRegression")(**how)
    model.classes_, model.n_features_in_ = np.arange(problem.n_classes), problem.X.shape[1]
    model.coef_, model.intercept_ = np.ascontiguousarray(problem.theta[:-1].T), problem.theta[-1].copy()
    return model


# ------------------------------------------------------------------------------------ loss + gradient


def loss_by_fastxent(problem, threads):
    return partial(problem.ours(n_threads=threads).value_and_grad, problem.theta)


def loss_by_numpy(problem, threads):
    """Write it as a careful NumPy user does: dtype kept, softmax in place, one n x K array."""
    from scipy.special import expit

    X, y, theta = problem.X, problem.y, problem.theta
    n_rows, rows = X.shape[0], np.arange(X.shape[0])

    def multinomial():
        p = X @ theta[:-1]
        p += theta[-1]
        p -= p.max(axis=1, keepdims=True)
        of_true_class = p[rows, y]
        np.exp(p, out=p)
        sums = p.sum(axis=1)
        loss = np.mean(np.log(sums) - of_true_class)
        p /= sums[:, None]
        p[rows, y] -= 1
        p /= n_rows
        return loss, np.vstack([X.T @ p, p.sum(axis=0)])

    def binary():
        logits = X @ theta[:-1, 0]
        logits += theta[-1, 0]
        loss = np.mean(np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0) - y * logits)
        residuals = expit(logits)
        residuals -= y
        residuals /= n_rows
        return loss, np.append(X.T @ residuals, residuals.sum())[:, None]

    return binary if problem.binary else multinomial


def loss_by_scikit_learn(problem, threads, openmp=None):
    from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss
    from sklearn.linear_model._linear_loss import LinearModelLoss

    of_rows = HalfBinomialLoss() if problem.binary else HalfMultinomialLoss(n_classes=problem.n_classes)
    loss = LinearModelLoss(base_loss=of_rows, fit_intercept=True)
    coef, y = problem.theta.T.copy("F"), problem.y.astype(problem.X.dtype)

    def call():
        coefs = coef[0] if problem.binary else coef
        value, gradient = loss.loss_gradient(coefs, problem.X, y, n_threads=openmp or threads)
        return value, np.atleast_2d(gradient).T

    return call


def torch_tensors(problem, threads):
    """Return X, y, weights and bias as a PyTorch user holds them: weights (K, d), or (d, K) if sparse."""
    import torch

    torch.set_num_threads(threads)
    if problem.sparse:
        parts = [torch.from_numpy(part) for part in (problem.X.indptr, problem.X.indices, problem.X.data)]
        X = torch.sparse_csr_tensor(*parts, size=problem.X.shape, check_invariants=False)
        weights = torch.tensor(problem.theta[:-1])
    else:
        X = torch.from_numpy(problem.X)
        weights = torch.tensor(np.ascontiguousarray(problem.theta[:-1].T))
    y = torch.from_numpy(problem.y.astype(problem.X.dtype if problem.binary else np.int64))
    return X, y, weights.requires_grad_(), torch.tensor(problem.theta[-1]).requires_grad_()


def torch_logits(X, weights, bias):
    from torch.nn import functional

    return X @ weights + bias if X.is_sparse_csr else functional.linear(X, weights, bias)


def plain(X, y, weights, bias):
    from torch.nn import functional

    logits = torch_logits(X, weights, bias)
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], y)
    return functional.cross_entropy(logits, y)


def chunked(X, y, weights, bias):
    from torch.nn import LinearCrossEntropyOptions, functional

    options = LinearCrossEntropyOptions()
    return functional.linear_cross_entropy(X, weights, y, linear_bias=bias, options=options)


def loss_by_torch(problem, threads, forward=plain, compiled=False):
    """Take the gradient of ``forward(X, y, weights, bias)`` by autograd."""
    import torch

    X, y, weights, bias = torch_tensors(problem, threads)
    loss_of = torch.compile(forward, dynamic=False) if compiled else forward

    def call():
        loss = loss_of(X, y, weights, bias)
        of_weights, of_bias = torch.autograd.grad(loss, (weights, bias))
        return loss, of_weights if problem.sparse else of_weights.T, of_bias

    return call


def by_jax(problem, threads, what):
    """Compile ``what(jax, logits, y)`` by XLA."""
    import jax

    def of_theta(theta, X, y):
        logits = X @ theta[:-1] + theta[-1]
        if problem.binary:
            logits = jax.numpy.hstack([jax.numpy.zeros_like(logits), logits])
        return what(jax, logits, y)

    jax.config.update("jax_enable_x64", problem.X.dtype == np.float64)
    parts = [jax.numpy.asarray(part) for part in (problem.theta, problem.X, problem.y)]
    compiled = jax.jit(jax.value_and_grad(of_theta) if what is jax_loss else of_theta)
    return lambda: jax.block_until_ready(compiled(*parts))


def jax_loss(jax, logits, y):
    return -jax.numpy.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()


def jax_probabilities(jax, logits, y):
    return jax.nn.softmax(logits)


# ------------------------------------------------------------------------------------ probabilities


def probabilities_by_fastxent(problem, threads):
    from fastxent.prediction import predict

    return partial(predict, problem.X, problem.theta, "proba", n_threads=threads)


def probabilities_by_numpy(problem, threads):
    from scipy.special import expit

    X, theta = problem.X, problem.theta

    def multinomial():
        logits = X @ theta[:-1]
        logits += theta[-1]
        return softmax_in_place(logits)

    def binary():
        second = expit(X @ theta[:-1, 0] + theta[-1, 0])
        return np.stack([1 - second, second], axis=1)

    return binary if problem.binary else multinomial


def probabilities_by_estimator(problem, threads, module):
    """Call predict_proba of a class in scikit-learn's idiom."""
    how = {"n_threads": threads} if module == OURS else {}
    return partial(fitted(module, problem, **how).predict_proba, problem.X)


def probabilities_by_torch(problem, threads):
    import torch

    X, _, weights, bias = torch_tensors(problem, threads)

    @torch.inference_mode()
    def call():
        logits = torch_logits(X, weights, bias)
        if problem.binary:
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        return torch.softmax(logits, 1)

    return call


# ------------------------------------------------------------------------------------ a single row


def row_by_predictor(problem, threads):
    predictor, X = fitted(OURS, problem).predictor(), problem.X
    if X.shape[0] > 1:
        return partial(predictor, X)
    return partial(predictor, X.indices, X.data) if problem.sparse else partial(predictor, X[0])


def row_by_numpy(problem, threads):
    X, W, b = problem.X, problem.theta[:-1].copy(), problem.theta[-1]
    if X.shape[0] > 1:
        return lambda: softmax_in_place(X @ W + b)
    if problem.sparse:
        indices, values = X.indices, X.data
        return lambda: softmax_in_place(values @ W[indices] + b)
    x, coef = X[0], W.T.copy()
    return lambda: softmax_in_place(coef @ x + b)


def row_by_onnxruntime(problem, threads, dtype):
    """float32: scikit-learn's model, by its own converter. float64: ours."""
    import onnxruntime
    import skl2onnx

    import fastxent.onnx

    fastxent.onnx.register()
    model = fitted(SCIKIT_LEARN if dtype == "float32" else OURS, problem)
    rows = (problem.X.toarray() if problem.sparse else problem.X).astype(dtype)
    graph = skl2onnx.to_onnx(model, rows[:1], options={"zipmap": False}).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # idle threads would spin in the next rival's time
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return partial(session.run, ["probabilities"], {session.get_inputs()[0].name: rows})


# ------------------------------------------------------------------------------------ who competes


def predict_proba(name, module, suits=anything):
    return Rival(name, module, partial(probabilities_by_estimator, module=module), suits)


def onnx(dtype):
    return Rival("onnxruntime", "onnxruntime", partial(row_by_onnxruntime, dtype=dtype), setting=dtype)


ONE = "OpenMP one thread"  # scikit-learn's two pools can get into each other's way
COMPILED, CHUNKED = partial(loss_by_torch, compiled=True), partial(loss_by_torch, forward=chunked)
LOSS_AND_GRADIENT = [
    Rival(OURS, "fastxent.objective", loss_by_fastxent),
    Rival("NumPy", "numpy", loss_by_numpy),
    Rival("scikit-learn", SCIKIT_LEARN, loss_by_scikit_learn),
    Rival("scikit-learn", SCIKIT_LEARN, partial(loss_by_scikit_learn, openmp=1), setting=ONE),
    Rival("PyTorch", "torch", loss_by_torch),
    Rival("PyTorch compiled", "torch", COMPILED, dense),
    Rival(
        "PyTorch linear_cross_entropy", "torch", CHUNKED, lambda case: dense(case) and case.n_classes >= 100
    ),
    Rival("JAX", "jax", partial(by_jax, what=jax_loss), dense),
]
PROBABILITIES = [
    Rival(OURS, "fastxent.prediction", probabilities_by_fastxent),
    Rival("NumPy", "numpy", probabilities_by_numpy),
    predict_proba("scikit-learn", SCIKIT_LEARN),
    predict_proba("scikit-learn-intelex", INTEL, dense),
    Rival("PyTorch", "torch", probabilities_by_torch),
    Rival("JAX", "jax", partial(by_jax, what=jax_probabilities), dense),
]
SINGLE_ROWS = [
    Rival(OURS, "fastxent", row_by_predictor),
    predict_proba(ESTIMATOR, OURS),
    predict_proba("scikit-learn", SCIKIT_LEARN),
    Rival("NumPy", "numpy", row_by_numpy),
    onnx("float32"),
    onnx("float64"),
]
