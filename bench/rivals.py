"""Who competes: one table of everybody, and of what each of them computes. How it is done is in `adapters/`."""

import importlib
import os
import pickle
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

OURS, ESTIMATOR = "fastxent", "fastxent estimator"
SCIKIT_LEARN, INTEL = "sklearn.linear_model", "sklearnex.linear_model"


@dataclass(frozen=True, eq=False)
class Rival:
    """One way to compute something from a problem, seen as a black box.

    ``adapter`` names a function of a module in `adapters/` that takes a problem, a number of threads and ``how``. It
    prepares what a user would do once (other containers, compiled code), and returns what is timed: a call without
    arguments that evaluates, or ``fit(effort)`` that trains from scratch.
    """

    name: str
    module: str  # what has to be installed
    adapter: str
    how: dict = field(default_factory=dict)
    needs: str = ""  # traits of the cases that it can do
    setting: str = ""  # of rivals of the same name the fastest counts
    # The rest is about training.
    efforts: tuple = ()  # numbers of iterations or tolerances, in the order in which they are tried
    intercepts: str = "free"  # how the intercept is treated
    threads: int | None = None  # on how many it runs (None: on one and on all)
    dtypes: tuple = ("float64", "float32")
    steps: tuple = ({},)  # step sizes, and what goes with them, to search; first the default, if there is one
    family: str = ""  # its members get the same weights, and are searched once

    @property
    def label(self):
        return f"{self.name}, {self.setting}" if self.setting else self.name

    @property
    def ours(self):
        return self.name.startswith(OURS)

    def suits(self, case):
        return case.traits.issuperset(self.needs.split())

    def build(self, problem, threads, **step):
        module, function = self.adapter.split(".")
        adapter = getattr(importlib.import_module(f"adapters.{module}"), function)
        return adapter(problem, threads, **self.how, **step)


def meet(path, group, label):
    """Return the problem in a file, and the rival of this label: what a process of its own begins with."""
    return pickle.loads(Path(path).read_bytes()), next(r for r in RIVALS[group] if r.label == label)


def estimator(does, name, module, needs="", how=(), **more):
    """Return a rival that is a class in scikit-learn's idiom."""
    return Rival(name, module, f"by_estimators.{does}", {"module": module, **dict(how)}, needs, **more)


# ------------------------------------------------------------------------------------ evaluations

predict_proba = partial(estimator, "probabilities")
onnx = partial(Rival, "onnxruntime", "onnxruntime", "by_scikit_learn.row_by_onnxruntime")
ONE = "OpenMP one thread"  # scikit-learn's two pools can get into each other's way
LOSS_AND_GRADIENT = [
    Rival(OURS, "fastxent.objective", "by_fastxent.loss"),
    Rival("NumPy", "numpy", "by_numpy.loss"),
    Rival("scikit-learn", SCIKIT_LEARN, "by_scikit_learn.loss"),
    Rival("scikit-learn", SCIKIT_LEARN, "by_scikit_learn.loss", {"openmp": 1}, setting=ONE),
    Rival("PyTorch", "torch", "by_torch.loss"),
    Rival("PyTorch compiled", "torch", "by_torch.loss", {"how": "compiled"}, "dense"),
    Rival("PyTorch linear_cross_entropy", "torch", "by_torch.loss", {"how": "chunked"}, "dense wide"),
    Rival("JAX", "jax", "by_jax.loss", needs="dense"),
]
PROBABILITIES = [
    Rival(OURS, "fastxent.prediction", "by_fastxent.probabilities"),
    Rival("NumPy", "numpy", "by_numpy.probabilities"),
    predict_proba("scikit-learn", SCIKIT_LEARN),
    predict_proba("scikit-learn-intelex", INTEL, "dense"),
    Rival("PyTorch", "torch", "by_torch.probabilities"),
    Rival("JAX", "jax", "by_jax.probabilities", needs="dense"),
]
SINGLE_ROWS = [
    Rival(OURS, "fastxent", "by_fastxent.row"),
    predict_proba(ESTIMATOR, "fastxent"),
    predict_proba("scikit-learn", SCIKIT_LEARN),
    Rival("NumPy", "numpy", "by_numpy.row"),
    onnx({"dtype": "float32"}, setting="float32"),
    onnx({"dtype": "float64"}, setting="float64"),
]

# ------------------------------------------------------------------------------------ training to the optimum

PASSES = tuple(np.unique(np.geomspace(1, 20_000, 22).astype(int)).tolist())
TOLERANCES = tuple(np.geomspace(10.0, 1e-9, 21).tolist())
DENSE, SPARSE, TWO, LASSO = "smooth dense", "smooth sparse", "two-classes smooth", "two-classes lasso"
train = partial(estimator, "train", efforts=PASSES)


def solver(library, module, name, needs="smooth", called="", **more):
    return train(f"{library} {called or name}", module, needs, {"solver": name}, **more)


ours, scikit_learn = partial(solver, OURS, OURS), partial(solver, "scikit-learn", SCIKIT_LEARN)
LIBLINEAR = {"module": "liblinear", "adapter": "by_own_formats.liblinear"}
liblinear = partial(Rival, **LIBLINEAR, efforts=TOLERANCES, threads=1)
# Time may run out: those who are fast as a rule come first.
TRAINERS = [
    train(OURS, OURS, how={"solver": "auto"}),
    ours("sdca", SPARSE),
    ours("metric"),
    ours("prox_newton", "l1"),
    ours("newton-cg"),
    ours("lbfgs"),
    ours("saga", "l1", "l1-newton"),  # what scikit-learn's names mean with an L1 penalty
    train("Cyanure", "cyanure.estimators"),
    solver("scikit-learn-intelex", INTEL, "lbfgs", DENSE),
    scikit_learn("saga", "", threads=1),
    liblinear("LIBLINEAR primal", how={"solver": "0 -R"}, needs=TWO),
    liblinear("LIBLINEAR dual", how={"solver": "7"}, needs=TWO, intercepts="penalised"),
    liblinear("LIBLINEAR L1", how={"solver": "6 -R"}, needs=LASSO),
    train("snapml dual, float32", "snapml", TWO, intercepts="penalised"),
    train("skglm", "skglm", LASSO, threads=1),
    train("celer", "celer", LASSO, threads=1, intercepts="none"),
    Rival("JAX optax L-BFGS", "optax", "by_jax.train", needs=DENSE, efforts=PASSES),
    scikit_learn("lbfgs"),
    scikit_learn("newton-cholesky", "smooth dense narrow"),
    scikit_learn("newton-cg"),
    scikit_learn("sag", threads=1),
]
WITH_TOL = train("fastxent by tol", OURS, "", {"effort": "tol", "max_iter": 10_000}, efforts=(1e-2,))

# ------------------------------------------------------------------------------------ row by row, or in minibatches


def steps(name, *values, **more):
    return tuple({name: value, **more} for value in values)


def epochs(most):
    return {"efforts": tuple(n for n in (1, 2, 3, 5, 8, 12) if n <= most), "threads": 1}


def pytorch(name, how, lrs, **more):
    more = {**epochs(12), "family": "PyTorch", **more}
    return Rival(f"PyTorch{name}", "torch", "by_torch.descend", {"how": how}, steps=steps("lr", *lrs), **more)


descend = partial(estimator, "descend")
VW = {"module": "vowpalwabbit", "adapter": "by_own_formats.vowpal_wabbit"}
FASTTEXT = {"module": "fasttext", "adapter": "by_own_formats.fasttext"}
vowpal_wabbit = partial(Rival, **VW, dtypes=("float32",), **epochs(4))
fasttext = partial(Rival, **FASTTEXT, dtypes=("float32",), **epochs(8))
COSINE, CONSTANT = {"learning_rate": "cosine"}, {"learning_rate": "constant"}
INVERSE = {"eta0": 30.0, "learning_rate": "invscaling", "power_t": 0.25}
# Our own have the automatic step first, then those of a search.
OURS_ON_TEXT = ({}, *steps("eta0", 8.0, 16.0), COSINE, {"eta0": 3.0, **COSINE})
OURS_IN_MINIBATCHES = ({}, *steps("eta0", 0.05, 0.1, 0.2, **CONSTANT), COSINE)
OURS_BY_PIXELS = ({}, *steps("eta0", 0.003, 0.01, 0.03))
ON_TEXT = [
    descend(OURS, OURS, how={"batch_size": 1}, steps=OURS_ON_TEXT, **epochs(12)),
    descend("scikit-learn", SCIKIT_LEARN, steps=({}, {"eta0": 3.0, **CONSTANT}, INVERSE), **epochs(8)),
    pytorch(" by hand, index_add_", "bag by hand", (30.0, 45.0, 60.0)),
    pytorch(" EmbeddingBag, sparse gradients", "bag", (30.0, 45.0, 60.0)),
]
PLAIN = {"options": "--sgd --power_t 0"}
ON_WORDS = [
    *ON_TEXT,
    vowpal_wabbit("Vowpal Wabbit", steps=steps("learning_rate", 0.5, 1.0, 2.0)),
    vowpal_wabbit("Vowpal Wabbit --sgd", how=PLAIN, steps=steps("learning_rate", 1.0, 3.0)),
    fasttext("fastText", steps=steps("lr", 0.2, 0.4, 0.8)),
]
IN_MINIBATCHES = [
    descend(OURS, OURS, how={"batch_size": 128}, steps=OURS_IN_MINIBATCHES, **epochs(12)),
    pytorch(", by hand", "dense by hand", (0.05, 0.1, 0.2)),
    pytorch(", by hand, all threads", "dense by hand", (0.05, 0.1, 0.2), threads=os.cpu_count() or 1),
]
BY_PIXELS = [
    descend(OURS, OURS, how={"batch_size": 1}, steps=OURS_BY_PIXELS, **epochs(12)),
    descend("scikit-learn", SCIKIT_LEARN, steps=steps("eta0", 0.003, 0.01, **CONSTANT), **epochs(8)),
]
RIVALS = {
    "loss + gradient": LOSS_AND_GRADIENT,
    "class probabilities": PROBABILITIES,
    "growth": LOSS_AND_GRADIENT[:2],
    "latency": SINGLE_ROWS,
    "training": [*TRAINERS, WITH_TOL],
    "words": ON_WORDS,
    "character n-grams": ON_TEXT,
    "minibatches": IN_MINIBATCHES,
    "single rows": BY_PIXELS,
}
