"""Types of what the package takes and gives, for annotations. Nothing in the package loads this module at run time.

>>> from fastxent.typing import Floats
>>> def entropy(probabilities: Floats) -> float: ...
"""

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, DTypeLike, NDArray

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

__all__ = [
    "Array",
    "ArrayLike",
    "Batch",
    "Batches",
    "Callback",
    "ClassWeight",
    "DTypeLike",
    "EvalSet",
    "Floats",
    "LearningRate",
    "MatrixLike",
    "OnBadRows",
    "Optimizer",
    "Path",
    "RandomState",
    "Reduction",
    "Solver",
    "Transformer",
    "Vectorizer",
    "WeightsByLabel",
]

# What comes in. Data frames and series count as array-likes, since they have __array__.
MatrixLike: TypeAlias = ArrayLike | sp.sparray | sp.spmatrix
Batch: TypeAlias = (
    tuple[MatrixLike]
    | tuple[MatrixLike, ArrayLike | None]
    | tuple[MatrixLike, ArrayLike | None, ArrayLike | None]
)
Batches: TypeAlias = Iterable[Batch]  # a source: the same batches each time that it is iterated over
EvalSet: TypeAlias = tuple[MatrixLike, ArrayLike] | tuple[MatrixLike, ArrayLike, ArrayLike | None] | Batches
ClassWeight: TypeAlias = ArrayLike | Mapping[int, float]  # by code, in the functional API
WeightsByLabel: TypeAlias = Mapping[Any, float] | Literal["balanced"]  # by label, of an estimator
Reduction: TypeAlias = Literal["mean", "sum", "none"]
RandomState: TypeAlias = int | np.random.RandomState | None
Solver: TypeAlias = Literal[
    "auto",
    "metric",
    "sdca",
    "prox_newton",
    "sgd",
    "lbfgs",
    "newton-cg",
    "newton-cholesky",
    "sag",
    "saga",
    "liblinear",
]
LearningRate: TypeAlias = Literal["auto", "constant", "optimal", "invscaling", "adaptive", "cosine"]
Optimizer: TypeAlias = Literal[
    "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl", "svrg"
]
OnBadRows: TypeAlias = Literal["raise", "skip"]
Callback: TypeAlias = Callable[[dict[str, Any]], object]
Path: TypeAlias = str | PathLike[str]
Vectorizer: TypeAlias = "CountVectorizer | HashingVectorizer"  # a TfidfVectorizer is a CountVectorizer


class Transformer(Protocol):
    """What makes rows out of documents."""

    def transform(self, documents: list[str], /) -> MatrixLike: ...


# What comes out.
Floats: TypeAlias = NDArray[np.floating[Any]]
Array: TypeAlias = NDArray[Any]  # labels, for instance: of a dtype that depends on what came in

# Inside: a table is an array or CSR, and no type says what both have in common.
Table: TypeAlias = Any
Collection: TypeAlias = Any  # ... or of Dask, which has no types
