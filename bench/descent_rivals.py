"""Who takes part in the descent races: anybody who trains a linear classifier by single rows or minibatches.

A rival is built once for the rows (files, tensors and examples in a library's own form are made there, which is not
timed) and gives ``train``; ``train(epochs)`` trains from nothing and returns ``model``, and ``model()`` the
probabilities (n_test, K) of the held-out rows.
"""

import importlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import softmax

import data
from cases import F32, F64
from rivals import OURS, Rival

ALPHA = 1e-6  # strength of the L2 penalty, for all who have one: little enough to fit a text well
BATCH = 128


@dataclass(eq=False)
class Rows:
    """Rows to train on and rows to be judged by."""

    X: object
    y: np.ndarray
    X_test: object
    y_test: np.ndarray
    n_classes: int

    def log_loss(self, probabilities):
        """Return the mean log loss on the held-out rows; a probability counts as 1e-15 at least."""
        p = np.asarray(probabilities, dtype=F64)[np.arange(len(self.y_test)), self.y_test]
        return float(-np.log(np.maximum(p, 1e-15)).mean())

    def first(self, n):
        """Return the same with the first n training rows only; a class may be missing."""
        return Rows(self.X[:n], self.y[:n], self.X_test, self.y_test, self.n_classes)

    def lines(self, line, part="train"):
        """Yield ``line(label, columns, values)`` of every sparse row."""
        X, y = (self.X, self.y) if part == "train" else (self.X_test, self.y_test)
        for label, begin, end in zip(y, X.indptr, X.indptr[1:]):  # noqa: B905 - indptr has one more
            yield line(label, X.indices[begin:end], X.data[begin:end])


@dataclass(frozen=True, eq=False)
class Descender(Rival):
    """A rival of the descent races; ``build(rows, n_threads, **step)`` returns ``train``.

    ``steps`` are the step sizes (and what goes with them) that are tried out before the race, the library's own
    default, if it has one, first. Rivals of the same ``path`` get the same weights in their own ways, and are searched
    once.
    """

    dtypes: tuple = (F64, F32)
    steps: tuple = ({},)
    patience: int = 12  # epochs at most
    path: str = ""
    threads: int = 1

    @property
    def search_name(self):
        return self.path or self.name


# ---------------------------------------------------------------------------------- libraries


def with_estimator(module, rows, n_threads, threads="n_threads", **how):
    """An SGDClassifier; scikit-learn's has a logistic model for each class, and scales their probabilities."""
    kind = importlib.import_module(module).SGDClassifier
    how = {"alpha": ALPHA, "tol": None, "random_state": 0, threads: n_threads} | how

    def train(epochs):
        model = kind(max_iter=epochs, **how).fit(rows.X, rows.y)
        return lambda: model.predict_proba(rows.X_test)

    return train


def with_vowpal_wabbit(rows, n_threads, options="", **step):
    """One against all, logistic; rows are parsed beforehand and go in from Python one by one."""
    import vowpalwabbit as vw

    bits = int(np.ceil(np.log2((rows.X.shape[1] + 1) * rows.n_classes)))
    command = (
        f"--oaa {rows.n_classes} --loss_function logistic --probabilities -b {bits} --quiet {options} "
        + " ".join(f"--{name} {value}" for name, value in step.items())
    )

    def line(label, columns, values):
        return f"{label + 1} | " + " ".join(f"{j}:{x:.7g}" for j, x in zip(columns, values, strict=True))

    parser = vw.Workspace(command)
    examples = [parser.example(text) for text in rows.lines(line)]

    def train(epochs):
        workspace, random = vw.Workspace(command), np.random.default_rng(0)
        for _ in range(epochs):
            for i in random.permutation(len(examples)).tolist():
                workspace.learn(examples[i])

        def model():
            p = np.array([workspace.predict(text) for text in rows.lines(line, "test")])
            return p / p.sum(axis=1, keepdims=True)

        return model

    train.parser = parser  # it must live as long as its examples
    return train


def with_fasttext(rows, n_threads, lr=0.1):
    """Supervised softmax over the mean of word vectors of K dimensions: a linear model, of words without weights."""
    import fasttext

    def words(label, columns, values):
        return " ".join([f"__label__{label}", *map(str, columns)])

    folder = tempfile.TemporaryDirectory(prefix="fastxent-bench-")  # gone with what is returned
    Path(folder.name, "train.txt").write_text("\n".join(rows.lines(words)) + "\n")

    def train(epochs):
        how = {"dim": rows.n_classes, "loss": "softmax", "minCount": 1, "thread": n_threads, "verbose": 0}
        model = fasttext.train_supervised(f"{folder.name}/train.txt", epoch=epochs, lr=lr, **how)

        def probabilities():  # of its own predict, the wheel repeats the first class's for all
            vectors, logits_of = model.get_input_matrix(), model.get_output_matrix()
            by_column = np.zeros((rows.X.shape[1], rows.n_classes))
            for word, vector in zip(model.words, vectors, strict=False):
                if word == "</s>":
                    end = vector
                else:
                    by_column[int(word)] = vector
            known = rows.X_test.sign().astype(F64)
            hidden = (known @ by_column + end) / (known.sum(axis=1).reshape(-1, 1) + 1)
            p = np.zeros((len(rows.y_test), rows.n_classes))
            p[:, [int(label.removeprefix("__label__")) for label in model.labels]] = softmax(
                np.asarray(hidden) @ logits_of.T, axis=1
            )
            return p

        return probabilities

    return train


def torch_zeros(rows):
    """Return weights (d, K) and bias (K,) of zeros."""
    import torch

    weights = torch.from_numpy(np.zeros((rows.X.shape[1], rows.n_classes), rows.X.dtype))
    return weights, torch.zeros(rows.n_classes, dtype=weights.dtype)


def torch_model(rows, weights, bias):
    """Return ``model`` of weights (d, K) and bias (K,)."""
    weights, bias = weights.detach().numpy(), bias.detach().numpy()
    return lambda: softmax(np.asarray(rows.X_test @ weights + bias, dtype=F64), axis=1)


def sparse_batches(rows, epochs):
    """Yield columns, values, first places of rows and labels of batches of CSR rows, in a new order each epoch."""
    import torch

    random, n = np.random.default_rng(0), len(rows.y)
    for _ in range(epochs):
        order = random.permutation(n)
        X, y = rows.X[order], torch.from_numpy(rows.y[order])
        columns, values = torch.from_numpy(X.indices.astype(np.int64)), torch.from_numpy(X.data)
        places = torch.from_numpy(X.indptr.astype(np.int64))
        bounds = places.tolist()
        for first in range(0, n, BATCH):
            stop = min(first + BATCH, n)
            begin, end = bounds[first], bounds[stop]
            yield columns[begin:end], values[begin:end], places[first : stop + 1] - begin, y[first:stop]


def with_embedding_bag(rows, n_threads, lr=30.0):
    """EmbeddingBag with sparse gradients, cross_entropy, autograd, optim.SGD."""
    import torch
    from torch.nn import functional

    def train(epochs):
        zeros, bias = torch_zeros(rows)
        bag = torch.nn.EmbeddingBag(*zeros.shape, mode="sum", sparse=True, _weight=zeros)
        optimizer = torch.optim.SGD([bag.weight, bias.requires_grad_()], lr=lr)
        for columns, values, places, y in sparse_batches(rows, epochs):
            optimizer.zero_grad()
            functional.cross_entropy(bag(columns, places[:-1], values) + bias, y).backward()
            optimizer.step()
        return torch_model(rows, bag.weight, bias)

    return train


def residuals(logits, y):
    """Return softmax minus one-hot."""
    import torch

    q = torch.softmax(logits, dim=1)
    q[torch.arange(len(y)), y] -= 1
    return q


def with_embedding_bag_by_hand(rows, n_threads, lr=30.0):
    """The same steps without autograd: only rows of weights that a batch has are written."""
    import torch
    from torch.nn import functional

    @torch.no_grad()
    def train(epochs):
        weights, bias = torch_zeros(rows)
        for j, x, places, y in sparse_batches(rows, epochs):
            logits = functional.embedding_bag(j, weights, places[:-1], mode="sum", per_sample_weights=x)
            q = residuals(logits.add_(bias), y)
            row = torch.repeat_interleave(places.diff())
            weights.index_add_(0, j, q[row].mul_(x[:, None]), alpha=-lr / len(y))
            bias.sub_(q.sum(dim=0), alpha=lr / len(y))
        return torch_model(rows, weights, bias)

    return train


def with_torch_by_hand(rows, n_threads, lr=0.1):
    """The same steps without autograd: two products a batch of preloaded rows, the second straight into the weights."""
    import torch

    torch.set_num_threads(n_threads)
    X, y = torch.from_numpy(rows.X), torch.from_numpy(rows.y)

    @torch.no_grad()
    def train(epochs):
        torch.manual_seed(0)
        weights, bias = torch_zeros(rows)
        for _ in range(epochs):
            for batch in torch.randperm(len(y)).split(BATCH):
                x = X[batch]
                q = residuals(torch.addmm(bias, x, weights), y[batch])
                weights.addmm_(x.T, q, alpha=-lr / len(batch))
                bias.sub_(q.sum(dim=0), alpha=lr / len(batch))
        return torch_model(rows, weights, bias)

    return train


# ------------------------------------------------------------------------------------- races


def steps(name, *values, **more):
    return tuple({name: value, **more} for value in values)


def ours(batch_size, *more):
    """Our own: the automatic step first, then those of a search."""
    build = partial(with_estimator, "fastxent", batch_size=batch_size)
    return Descender(OURS, "fastxent", build, steps=({}, *more))


def scikit_learn(*tried):
    module = "sklearn.linear_model"
    build = partial(with_estimator, module, threads="n_jobs", loss="log_loss")
    return Descender("scikit-learn", module, build, steps=tried, patience=8)


def torch_rival(name, build, lrs, **how):
    return Descender(name, "torch", build, steps=steps("lr", *lrs), path="PyTorch", **how)


def vowpal_wabbit(name, options, *rates):
    build = partial(with_vowpal_wabbit, options=options)
    tried = steps("learning_rate", *rates)
    return Descender(name, "vowpalwabbit", build, dtypes=(F32,), steps=tried, patience=4)


ON_TEXT = [
    ours(1, *steps("eta0", 8.0, 16.0), {"learning_rate": "cosine"}, {"eta0": 3.0, "learning_rate": "cosine"}),
    scikit_learn(
        {},
        {"eta0": 3.0, "learning_rate": "constant"},
        {"eta0": 30.0, "learning_rate": "invscaling", "power_t": 0.25},
    ),
    torch_rival("PyTorch by hand, index_add_", with_embedding_bag_by_hand, (30.0, 45.0, 60.0)),
    torch_rival("PyTorch EmbeddingBag, sparse gradients", with_embedding_bag, (30.0, 45.0, 60.0)),
]
FAST_TEXT = {"dtypes": (F32,), "steps": steps("lr", 0.2, 0.4, 0.8), "patience": 8}
WORDS_ONLY = [
    vowpal_wabbit("Vowpal Wabbit", "", 0.5, 1.0, 2.0),
    vowpal_wabbit("Vowpal Wabbit --sgd", "--sgd --power_t 0", 1.0, 3.0),
    Descender("fastText", "fasttext", with_fasttext, **FAST_TEXT),
]
LRS, ALL = (0.05, 0.1, 0.2), os.cpu_count() or 1
IN_MINIBATCHES = [
    ours(BATCH, *steps("eta0", *LRS, learning_rate="constant"), {"learning_rate": "cosine"}),
    torch_rival("PyTorch, by hand", with_torch_by_hand, LRS),
    torch_rival("PyTorch, by hand, all threads", with_torch_by_hand, LRS, threads=ALL),
]
BY_PIXELS = [
    ours(1, *steps("eta0", 0.003, 0.01, 0.03)),
    scikit_learn(*steps("eta0", 0.003, 0.01, learning_rate="constant")),
]


@dataclass(frozen=True, eq=False)
class Race:
    """Rows and who trains on them; ``make(dtype, part=part)`` returns X and y.

    ``goal``: is there a loss to be reached? ``first_calls``: do the rivals also start in fresh processes?
    """

    name: str
    n_classes: int
    make: Callable
    rivals: list
    goal: bool = True
    first_calls: bool = False

    def rows(self, dtype):
        return Rows(*self.make(dtype, part="train"), *self.make(dtype, part="test"), self.n_classes)


WORDS, CHARACTERS = (partial(data.glosses, units=units) for units in ("words", "characters"))
RACES = {
    race.name: race
    for race in (
        Race("WordNet glosses, words, 45 classes", 45, WORDS, ON_TEXT + WORDS_ONLY, first_calls=True),
        Race("WordNet glosses, character n-grams, 45 classes", 45, CHARACTERS, ON_TEXT, goal=False),
        Race("Fashion-MNIST, 10 classes, minibatches of 128", 10, data.fashion, IN_MINIBATCHES),
        Race("Fashion-MNIST, 10 classes, single rows", 10, data.fashion, BY_PIXELS),
    )
}
