"""Who takes part in the descent races: anybody who trains a linear classifier by single rows or minibatches.

A rival is built once for the rows (files, tensors and examples in a library's own form are made there, which is not
timed) and gives ``fit``; ``fit(epochs)`` trains from nothing and returns a function that computes the probabilities
(n_test, K) of the held-out rows.
"""

import os
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import data
from problems import CHARACTERS, F64, WORDS, Case
from rivals import OURS, SCIKIT_LEARN, Rival, imported

ALPHA = 1e-6  # strength of the L2 penalty, for all who have one: little enough to fit a text well
BATCH = 128
EPOCHS = (1, 2, 3, 5, 8, 12)


def with_estimator(problem, n_threads, module, threads="n_threads", **how):
    """An SGDClassifier; scikit-learn's has a logistic model for each class, and scales their probabilities."""
    make = imported(f"{module}.SGDClassifier")
    how = {"alpha": ALPHA, "tol": None, "random_state": 0, threads: n_threads} | how

    def fit(epochs):
        return partial(
            make(max_iter=epochs, **how).fit(problem.X, problem.y).predict_proba, problem.held_out[0]
        )

    return fit


# ------------------------------------------------------------------------------------ texts


def lines(line, X, y):
    """Return ``line(label, columns, values)`` of every sparse row."""
    places = zip(y, X.indptr[:-1], X.indptr[1:], strict=True)
    return [line(label, X.indices[begin:end], X.data[begin:end]) for label, begin, end in places]


def with_vowpal_wabbit(problem, n_threads, options="", **step):
    """One against all, logistic; rows are parsed beforehand and go in from Python one by one."""
    import vowpalwabbit as vw

    bits = int(np.ceil(np.log2((problem.X.shape[1] + 1) * problem.n_classes)))
    command = (
        f"--oaa {problem.n_classes} --loss_function logistic --probabilities -b {bits} --quiet {options} "
    )
    command += " ".join(f"--{name} {value}" for name, value in step.items())

    def line(label, columns, values):
        return f"{label + 1} | " + " ".join(f"{j}:{x:.7g}" for j, x in zip(columns, values, strict=True))

    parser = vw.Workspace(command)
    examples = [parser.example(text) for text in lines(line, problem.X, problem.y)]

    def fit(epochs):
        workspace, random = vw.Workspace(command), np.random.default_rng(0)
        for _ in range(epochs):
            for i in random.permutation(len(examples)).tolist():
                workspace.learn(examples[i])

        def probabilities():
            p = np.array([workspace.predict(text) for text in lines(line, *problem.held_out)])
            return p / p.sum(axis=1, keepdims=True)

        return probabilities

    fit.parser = parser  # it must live as long as its examples
    return fit


def with_fasttext(problem, n_threads, lr):
    """Supervised softmax over the mean of word vectors of K dimensions: a linear model, of words without weights."""
    import fasttext

    def words(label, columns, values):
        return " ".join([f"__label__{label}", *map(str, columns)])

    folder = tempfile.TemporaryDirectory(prefix="fastxent-bench-")  # gone with what is returned
    path = Path(folder.name, "train.txt")
    path.write_text("\n".join(lines(words, problem.X, problem.y)) + "\n")
    how = {"dim": problem.n_classes, "loss": "softmax", "minCount": 1, "thread": n_threads, "verbose": 0}

    def fit(epochs):
        return partial(probabilities, fasttext.train_supervised(str(path), epoch=epochs, lr=lr, **how))

    def probabilities(model):  # of its own predict, the wheel repeats the first class's for all
        vectors = dict(zip(model.words, model.get_input_matrix(), strict=False))
        end, by_column = vectors.pop("</s>"), np.zeros((problem.X.shape[1], problem.n_classes))
        by_column[list(map(int, vectors))] = list(vectors.values())
        known = problem.held_out[0].sign().astype(F64)
        hidden = (known @ by_column + end) / (known.sum(axis=1).reshape(-1, 1) + 1)
        p = np.zeros((known.shape[0], problem.n_classes))
        order = [int(label.removeprefix("__label__")) for label in model.labels]
        p[:, order] = softmax(hidden @ model.get_output_matrix().T)
        return p

    fit.folder = folder
    return fit


# ------------------------------------------------------------------------------------ PyTorch


def softmax(logits):
    from scipy.special import softmax

    return softmax(np.asarray(logits, dtype=F64), axis=1)


def by_torch(problem, n_threads, train, lr):
    """Let ``train(problem, lr, epochs)`` return weights (d, K) and bias (K,)."""
    import torch

    torch.set_num_threads(n_threads)

    def fit(epochs):
        weights, bias = (tensor.detach().numpy() for tensor in train(problem, lr, epochs))
        return lambda: softmax(problem.held_out[0] @ weights + bias)

    return fit


def torch_zeros(problem):
    import torch

    return [torch.from_numpy(np.zeros_like(part)) for part in (problem.theta[:-1], problem.theta[-1])]


def sparse_batches(problem, epochs):
    """Yield columns, values, first places of rows and labels of batches of CSR rows, in a new order each epoch."""
    import torch

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


def embedding_bag(problem, lr, epochs):
    """EmbeddingBag with sparse gradients, cross_entropy, autograd, optim.SGD."""
    import torch
    from torch.nn import functional

    zeros, bias = torch_zeros(problem)
    bag = torch.nn.EmbeddingBag(*zeros.shape, mode="sum", sparse=True, _weight=zeros)
    optimizer = torch.optim.SGD([bag.weight, bias.requires_grad_()], lr=lr)
    for columns, values, places, y in sparse_batches(problem, epochs):
        optimizer.zero_grad()
        functional.cross_entropy(bag(columns, places[:-1], values) + bias, y).backward()
        optimizer.step()
    return bag.weight, bias


def residuals(logits, y):
    """Return softmax minus one-hot."""
    import torch

    q = torch.softmax(logits, dim=1)
    q[torch.arange(len(y)), y] -= 1
    return q


def embedding_bag_by_hand(problem, lr, epochs):
    """The same steps without autograd: only rows of weights that a batch has are written."""
    import torch
    from torch.nn import functional

    weights, bias = torch_zeros(problem)
    with torch.no_grad():
        for j, x, places, y in sparse_batches(problem, epochs):
            logits = functional.embedding_bag(j, weights, places[:-1], mode="sum", per_sample_weights=x)
            q = residuals(logits.add_(bias), y)
            row = torch.repeat_interleave(places.diff())
            weights.index_add_(0, j, q[row].mul_(x[:, None]), alpha=-lr / len(y))
            bias.sub_(q.sum(dim=0), alpha=lr / len(y))
    return weights, bias


def dense_by_hand(problem, lr, epochs):
    """The same steps without autograd: two products a batch of preloaded rows, the second straight into the weights."""
    import torch

    X, y = torch.from_numpy(problem.X), torch.from_numpy(problem.y)
    weights, bias = torch_zeros(problem)
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(epochs):
            for batch in torch.randperm(len(y)).split(BATCH):
                x = X[batch]
                q = residuals(torch.addmm(bias, x, weights), y[batch])
                weights.addmm_(x.T, q, alpha=-lr / len(batch))
                bias.sub_(q.sum(dim=0), alpha=lr / len(batch))
    return weights, bias


# ------------------------------------------------------------------------------------ races


def steps(name, *values, **more):
    return tuple({name: value, **more} for value in values)


def rival(name, module, build, tried, *, patience=12, threads=1, **how):
    epochs = tuple(n for n in EPOCHS if n <= patience)
    return Rival(name, module, build, steps=tried, efforts=epochs, threads=threads, **how)


def ours(batch_size, *more):
    """Our own: the automatic step first, then those of a search."""
    build = partial(with_estimator, module="fastxent", batch_size=batch_size)
    return rival(OURS, "fastxent", build, ({}, *more))


def scikit_learn(*tried):
    build = partial(with_estimator, module=SCIKIT_LEARN, threads="n_jobs", loss="log_loss")
    return rival("scikit-learn", SCIKIT_LEARN, build, tried, patience=8)


def pytorch(name, train, *lrs, **how):
    build = partial(by_torch, train=train)
    return rival(f"PyTorch{name}", "torch", build, steps("lr", *lrs), family="PyTorch", **how)


def vowpal_wabbit(name, options, *rates):
    build, tried = partial(with_vowpal_wabbit, options=options), steps("learning_rate", *rates)
    return rival(f"Vowpal Wabbit{name}", "vowpalwabbit", build, tried, patience=4, dtypes=("float32",))


COSINE = {"learning_rate": "cosine"}
INVERSE = {"eta0": 30.0, "learning_rate": "invscaling", "power_t": 0.25}
ON_TEXT = [
    ours(1, *steps("eta0", 8.0, 16.0), COSINE, {"eta0": 3.0, **COSINE}),
    scikit_learn({}, *steps("eta0", 3.0, learning_rate="constant"), INVERSE),
    pytorch(" by hand, index_add_", embedding_bag_by_hand, 30.0, 45.0, 60.0),
    pytorch(" EmbeddingBag, sparse gradients", embedding_bag, 30.0, 45.0, 60.0),
]
FAST_TEXT = steps("lr", 0.2, 0.4, 0.8)
WORDS_ONLY = [
    vowpal_wabbit("", "", 0.5, 1.0, 2.0),
    vowpal_wabbit(" --sgd", "--sgd --power_t 0", 1.0, 3.0),
    rival("fastText", "fasttext", with_fasttext, FAST_TEXT, patience=8, dtypes=("float32",)),
]
LRS = (0.05, 0.1, 0.2)
IN_MINIBATCHES = [
    ours(BATCH, *steps("eta0", *LRS, learning_rate="constant"), COSINE),
    pytorch(", by hand", dense_by_hand, *LRS),
    pytorch(", by hand, all threads", dense_by_hand, *LRS, threads=os.cpu_count() or 1),
]
BY_PIXELS = [
    ours(1, *steps("eta0", 0.003, 0.01, 0.03)),
    scikit_learn(*steps("eta0", 0.003, 0.01, learning_rate="constant")),
]


@dataclass(frozen=True, eq=False)
class Race:
    """Rows and who trains on them.

    ``goal``: is there a loss to be reached? ``first_calls``: do the rivals also start in fresh processes?
    """

    case: Case
    rivals: list
    goal: bool = True
    first_calls: bool = False


def text(units, make):
    return Case(f"WordNet glosses, {units}, 45 classes", 45, make, sparse=True, split=True)


def pixels(how):
    return Case(f"Fashion-MNIST, 10 classes, {how}", 10, data.fashion, split=True)


RACES = [
    Race(text("words", WORDS), ON_TEXT + WORDS_ONLY, first_calls=True),
    Race(text("character n-grams", CHARACTERS), ON_TEXT, goal=False),
    Race(pixels(f"minibatches of {BATCH}"), IN_MINIBATCHES),
    Race(pixels("single rows"), BY_PIXELS),
]
