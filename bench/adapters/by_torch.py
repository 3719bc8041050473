"""PyTorch: loss and gradient by autograd, probabilities, and minibatch descents of sparse and of dense rows."""

import numpy as np
import torch
from scipy.special import softmax
from torch.nn import functional

BATCH = 128


def tensors(problem, threads):
    """Return X, y, weights and bias as a user holds them: weights (K, d), or (d, K) if sparse."""
    torch.set_num_threads(threads)
    X, weights = problem.X, problem.theta[:-1]
    if problem.sparse:
        parts = [torch.from_numpy(part) for part in (X.indptr, X.indices, X.data)]
        rows = torch.sparse_csr_tensor(*parts, size=X.shape, check_invariants=False)
    else:
        rows, weights = torch.from_numpy(X), np.ascontiguousarray(weights.T)
    y = torch.from_numpy(problem.y.astype(X.dtype if problem.binary else np.int64))
    return rows, y, *(torch.tensor(part, requires_grad=True) for part in (weights, problem.theta[-1]))


def logits_of(X, weights, bias):
    return X @ weights + bias if X.is_sparse_csr else functional.linear(X, weights, bias)


def plain(X, y, weights, bias):
    logits = logits_of(X, weights, bias)
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], y)
    return functional.cross_entropy(logits, y)


def chunked(X, y, weights, bias):
    options = torch.nn.LinearCrossEntropyOptions()
    return functional.linear_cross_entropy(X, weights, y, linear_bias=bias, options=options)


def loss(problem, threads, how="plain"):
    X, y, weights, bias = tensors(problem, threads)
    loss_of = chunked if how == "chunked" else plain
    loss_of = torch.compile(plain, dynamic=False) if how == "compiled" else loss_of

    def call():
        value = loss_of(X, y, weights, bias)
        of_weights, of_bias = torch.autograd.grad(value, (weights, bias))
        return value, of_weights if problem.sparse else of_weights.T, of_bias

    return call


def probabilities(problem, threads):
    X, _, weights, bias = tensors(problem, threads)

    @torch.inference_mode()
    def call():
        logits = logits_of(X, weights, bias)
        if problem.binary:
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        return torch.softmax(logits, 1)

    return call


def descend(problem, threads, how, lr):
    """Return ``fit(epochs)``; ``how`` names one of the functions below, which return weights (d, K) and bias (K,)."""
    torch.set_num_threads(threads)
    train = {"bag": bag, "bag by hand": bag_by_hand, "dense by hand": dense_by_hand}[how]

    def fit(epochs):
        zeros = [torch.from_numpy(np.zeros_like(part)) for part in (problem.theta[:-1], problem.theta[-1])]
        weights, bias = (tensor.detach().numpy() for tensor in train(problem, *zeros, lr, epochs))
        return lambda: softmax(np.asarray(problem.held_out[0] @ weights + bias, np.float64), axis=1)

    return fit


def sparse_batches(problem, epochs):
    """Yield columns, values, first places of rows and labels of batches of CSR rows, in a new order each epoch."""
    random, n = np.random.default_rng(0), problem.n_rows
    for _ in range(epochs):
        order = random.permutation(n)
        X, y = problem.X[order], torch.from_numpy(problem.y[order])
        columns, values = torch.from_numpy(X.indices.astype(np.int64)), torch.from_numpy(X.data)
        places = torch.from_numpy(X.indptr.astype(np.int64))
        bounds = places.tolist()
        for first in range(0, n, BATCH):
            stop = min(first + BATCH, n)
            begin, end = bounds[first], bounds[stop]
            yield columns[begin:end], values[begin:end], places[first : stop + 1] - begin, y[first:stop]


def bag(problem, weights, bias, lr, epochs):
    """EmbeddingBag with sparse gradients, cross_entropy, autograd, optim.SGD."""
    layer = torch.nn.EmbeddingBag(*weights.shape, mode="sum", sparse=True, _weight=weights)
    optimizer = torch.optim.SGD([layer.weight, bias.requires_grad_()], lr=lr)
    for columns, values, places, y in sparse_batches(problem, epochs):
        optimizer.zero_grad()
        functional.cross_entropy(layer(columns, places[:-1], values) + bias, y).backward()
        optimizer.step()
    return layer.weight, bias


def residuals(logits, y):
    """Return softmax minus one-hot."""
    q = torch.softmax(logits, dim=1)
    q[torch.arange(len(y)), y] -= 1
    return q


@torch.no_grad()
def bag_by_hand(problem, weights, bias, lr, epochs):
    """The same steps without autograd: only rows of weights that a batch has are written."""
    for j, x, places, y in sparse_batches(problem, epochs):
        logits = functional.embedding_bag(j, weights, places[:-1], mode="sum", per_sample_weights=x)
        q = residuals(logits.add_(bias), y)
        row = torch.repeat_interleave(places.diff())
        weights.index_add_(0, j, q[row].mul_(x[:, None]), alpha=-lr / len(y))
        bias.sub_(q.sum(dim=0), alpha=lr / len(y))
    return weights, bias


@torch.no_grad()
def dense_by_hand(problem, weights, bias, lr, epochs):
    """The same of dense rows: two products a batch of preloaded rows, the second straight into the weights."""
    X, y = torch.from_numpy(problem.X), torch.from_numpy(problem.y)
    torch.manual_seed(0)
    for _ in range(epochs):
        for batch in torch.randperm(len(y)).split(BATCH):
            x = X[batch]
            q = residuals(torch.addmm(bias, x, weights), y[batch])
            weights.addmm_(x.T, q, alpha=-lr / len(batch))
            bias.sub_(q.sum(dim=0), alpha=lr / len(batch))
    return weights, bias
