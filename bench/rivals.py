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


# ------------------------------------------------------------------------------------ evaluations


def predict_proba(name, module, needs=""):
    return Rival(name, module, "by_estimators.probabilities", {"module": module}, needs)


ONNX = partial(Rival, "onnxruntime", "onnxruntime", "by_scikit_learn.row_by_onnxruntime")
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
    ONNX({"dtype": "float32"}, setting="float32"),
    ONNX({"dtype": "float64"}, setting="float64"),
]

# ------------------------------------------------------------------------------------ training to the optimum

PASSES = tuple(np.unique(np.geomspace(1, 20_000, 22).astype(int)).tolist())
TOLERANCES = tuple(np.geomspace(10.0, 1e-9, 21).tolist())
LASSO = "two-classes lasso"


def estimator(name, module, needs="smooth", *, solver=None, **more):
    how = {"module": module} | ({"solver": solver} if solver else {})
    return Rival(name, module, "by_estimators.train", how, needs, **{"efforts": PASSES, **more})


def ours(solver, needs="smooth", name=None):
    return estimator(f"{OURS} {name or solver}", OURS, needs, solver=solver)


def scikit_learn(solver, needs="smooth", **more):
    return estimator(f"scikit-learn {solver}", SCIKIT_LEARN, needs, solver=solver, **more)


def liblinear(name, solver, needs="two-classes smooth", **more):
    more |= {"efforts": TOLERANCES, "threads": 1}
    adapter = "by_own_formats.liblinear"
    return Rival(f"LIBLINEAR {name}", "liblinear", adapter, {"solver": solver}, needs, **more)


# Time may run out: those who are fast as a rule come first.
TRAINERS = [
    estimator(OURS, OURS, "", solver="auto"),
    ours("sdca", "smooth sparse"),
    ours("metric"),
    ours("prox_newton", "l1"),
    ours("newton-cg"),
    ours("lbfgs"),
    ours("saga", "l1", name="l1-newton"),  # what scikit-learn's names mean with an L1 penalty
    estimator("Cyanure", "cyanure.estimators", ""),
    estimator("scikit-learn-intelex lbfgs", INTEL, "smooth dense", solver="lbfgs"),
    scikit_learn("saga", "", threads=1),
    liblinear("primal", "0 -R"),
    liblinear("dual", "7", intercepts="penalised"),
    liblinear("L1", "6 -R", LASSO),
    estimator("snapml dual, float32", "snapml", "two-classes smooth", intercepts="penalised"),
    estimator("skglm", "skglm", LASSO, threads=1),
    estimator("celer", "celer", LASSO, threads=1, intercepts="none"),
    Rival("JAX optax L-BFGS", "optax", "by_jax.train", needs="smooth dense", efforts=PASSES),
    scikit_learn("lbfgs"),
    scikit_learn("newton-cholesky", "smooth dense narrow"),
    scikit_learn("newton-cg"),
    scikit_learn("sag", threads=1),
]
WITH_TOL = Rival(
    "fastxent by tol",
    OURS,
    "by_estimators.train",
    {"module": OURS, "effort": "tol", "max_iter": 10_000},
    efforts=(1e-2,),
)

# ------------------------------------------------------------------------------------ row by row, or in minibatches

EPOCHS = (1, 2, 3, 5, 8, 12)


def steps(name, *values, **more):
    return tuple({name: value, **more} for value in values)


def descender(name, module, adapter, tried, *, patience=12, **more):
    epochs = tuple(n for n in EPOCHS if n <= patience)
    return Rival(name, module, adapter, steps=tried, efforts=epochs, **{"threads": 1, **more})


def sgd(name, module, *tried, patience=12, **how):
    how |= {"module": module}
    return descender(name, module, "by_estimators.descend", tried, patience=patience, how=how)


def pytorch(name, how, *lrs, **more):
    more |= {"how": {"how": how}, "family": "PyTorch"}
    return descender(f"PyTorch{name}", "torch", "by_torch.descend", steps("lr", *lrs), **more)


def one_dtype(name, module, tried, *, patience, **how):
    more = {"how": how, "dtypes": ("float32",)}
    return descender(name, module, f"by_own_formats.{module}", tried, patience=patience, **more)


COSINE = {"learning_rate": "cosine"}
INVERSE = {"eta0": 30.0, "learning_rate": "invscaling", "power_t": 0.25}
LRS = (0.05, 0.1, 0.2)
# Our own have the automatic step first, then those of a search.
ON_TEXT = [
    sgd(OURS, OURS, {}, *steps("eta0", 8.0, 16.0), COSINE, {"eta0": 3.0, **COSINE}, batch_size=1),
    sgd("scikit-learn", SCIKIT_LEARN, {}, {"eta0": 3.0, "learning_rate": "constant"}, INVERSE, patience=8),
    pytorch(" by hand, index_add_", "bag by hand", 30.0, 45.0, 60.0),
    pytorch(" EmbeddingBag, sparse gradients", "bag", 30.0, 45.0, 60.0),
]
RATES, CONSTANT_RATES = steps("learning_rate", 0.5, 1.0, 2.0), steps("learning_rate", 1.0, 3.0)
ON_WORDS = [
    *ON_TEXT,
    one_dtype("Vowpal Wabbit", "vowpalwabbit", RATES, patience=4),
    one_dtype("Vowpal Wabbit --sgd", "vowpalwabbit", CONSTANT_RATES, patience=4, options="--sgd --power_t 0"),
    one_dtype("fastText", "fasttext", steps("lr", 0.2, 0.4, 0.8), patience=8),
]
IN_MINIBATCHES = [
    sgd(OURS, OURS, {}, *steps("eta0", *LRS, learning_rate="constant"), COSINE, batch_size=128),
    pytorch(", by hand", "dense by hand", *LRS),
    pytorch(", by hand, all threads", "dense by hand", *LRS, threads=os.cpu_count() or 1),
]
BY_PIXELS = [
    sgd(OURS, OURS, {}, *steps("eta0", 0.003, 0.01, 0.03), batch_size=1),
    sgd("scikit-learn", SCIKIT_LEARN, *steps("eta0", 0.003, 0.01, learning_rate="constant"), patience=8),
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
