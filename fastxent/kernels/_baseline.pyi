# What all clones offer: _v3.pyi and _v4.pyi repeat nothing of it. An array may have to be contiguous, of one of two
# dtypes, or of a certain size; the docstrings say so.

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import numpy as np
from typing_extensions import disjoint_base

from fastxent.sgd.loops import Rule as _Rule
from fastxent.typing import Array

_Buffer: TypeAlias = Array
_Columns: TypeAlias = tuple[Array, Array, Array, int, int]  # data, indices, indptr, n, d
_SparseColumns: TypeAlias = tuple[Array, Array, Array, Array, int, int]  # data, indices, begin, end, n, d
_Segments: TypeAlias = tuple[Array, Array, Array, Array]  # row, first, indices, values
_Kind: TypeAlias = int  # one of KINDS

CACHE_LINE: Final[int]
HASH_OF_COLUMN: Final[int]
HASH_OF_TARGET: Final[int]
HASH_OF_VALUE: Final[int]
KEPT_OF_UPDATES: Final[int]
KINDS: Final[dict[str, _Kind]]
LEAST_ROOT: Final[float]
READ_ONLY: Final[set[str]]
ROW_API_VERSION: Final[int]
SHORT_POWERS: Final[int]

def cpu_level() -> int: ...
def cache_size(level: int) -> int: ...
def cache_sizes() -> tuple[int, int, int]: ...
def set_caches(first: int, second: int, third: int) -> None: ...
def to_cache_line(x: Array) -> int: ...
def use_blas(dgemm_capsule: object, sgemm_capsule: object) -> None: ...
def has_blas() -> bool: ...
def largest(x: Array, first: int, stop: int) -> float: ...

class _Targets(Protocol):  # Targets below, or those of fastxent.data
    @property
    def target(self) -> Array: ...
    @property
    def n_classes(self) -> int: ...
    @property
    def row_weight(self) -> Array | None: ...
    @property
    def class_weight(self) -> Array | None: ...
    @property
    def smoothing(self) -> float: ...

class Targets:
    target: Array
    n_classes: int
    row_weight: Array | None
    class_weight: Array | None
    smoothing: float
    def __init__(
        self,
        target: Array,
        n_classes: int,
        row_weight: Array | None = None,
        class_weight: Array | None = None,
        smoothing: float = 0.0,
    ) -> None: ...

@disjoint_base
class LinearSoftmax:
    @property
    def n(self) -> int: ...
    @property
    def d(self) -> int: ...
    @property
    def K(self) -> int: ...
    @property
    def weights_size(self) -> int: ...
    @property
    def scratch_size(self) -> int: ...
    @property
    def store_size(self) -> int: ...
    @property
    def x_size(self) -> int: ...
    @property
    def z_size(self) -> int: ...
    @property
    def block(self) -> int: ...
    @property
    def panel(self) -> int: ...
    @property
    def strip_rows(self) -> int: ...
    @property
    def column_blocks(self) -> int: ...
    @property
    def is_double(self) -> bool: ...
    @property
    def uses_theta(self) -> bool: ...
    @property
    def uses_blas(self) -> bool: ...
    def __init__(
        self, X: Array | _Columns, K: int, targets: _Targets | None = None, shared: bool = False
    ) -> None: ...
    def pack(self, theta: Array, weights: _Buffer, first: int, stop: int) -> None: ...
    def unpack(
        self,
        parts: list[_Buffer],
        scale: float,
        l2: float,
        theta: Array,
        out: Array,
        first: int,
        stop: int,
    ) -> None: ...
    def shift_intercepts(self, weights: _Buffer, shift: Array) -> None: ...
    def squared_norms(self, first: int, stop: int, out: Array) -> None: ...
    def has_duplicates(self, last_row: Array) -> bool: ...
    def loss(
        self,
        weights: _Buffer,
        scratch: _Buffer,
        first: int,
        stop: int,
        gradient: _Buffer | None = None,
        row_loss: Array | None = None,
    ) -> float: ...
    def hessian(self, weights: _Buffer, scratch: _Buffer, first: int, stop: int, store: _Buffer) -> None: ...
    def hessp(
        self,
        weights: _Buffer | None,
        direction: _Buffer,
        scratch: _Buffer,
        first: int,
        stop: int,
        gradient: _Buffer,
        store: _Buffer | None = None,
    ) -> None: ...
    def keep_loss(
        self,
        weights: _Buffer,
        scratch: _Buffer,
        first: int,
        stop: int,
        kept: _Buffer,
        row_loss: Array | None = None,
    ) -> float: ...
    def keep_hessp(
        self,
        weights: _Buffer | None,
        direction: _Buffer,
        scratch: _Buffer,
        first: int,
        stop: int,
        kept: _Buffer,
        store: _Buffer | None = None,
    ) -> None: ...
    def add_kept(
        self, kept: _Buffer, scratch: _Buffer, first: int, stop: int, gradient: _Buffer, k0: int, k1: int
    ) -> None: ...
    def add_kept_strips(
        self, kept: _Buffer, scratch: _Buffer, first: int, stop: int, gradient: _Buffer, b0: int, b1: int
    ) -> None: ...
    def count_segments(self, bounds: Array, start: int, stop: int, scratch: Array, counts: Array) -> bool: ...
    def fill_segments(
        self, bounds: Array, start: int, stop: int, scratch: Array, tiles: Array, arrays: _Segments
    ) -> None: ...
    def use_tiles(self, bounds: Array, tiles: Array, arrays: _Segments, is_sorted: bool) -> None: ...
    def predict(
        self,
        weights: _Buffer,
        scratch: _Buffer,
        first: int,
        stop: int,
        out: Array,
        kind: _Kind,
        origin: int = 0,
    ) -> bool: ...
    def open_block(self, first: int, start: int, stop: int, x: _Buffer) -> None: ...
    def block_logits(
        self, x: _Buffer, rows: int, weights: _Buffer, z: _Buffer, k0: int, k1: int, scratch: _Buffer
    ) -> None: ...
    def block_loss(
        self,
        first: int,
        start: int,
        stop: int,
        z: _Buffer,
        gradient: bool,
        scratch: _Buffer,
        row_loss: Array | None = None,
    ) -> float: ...
    def block_hessian(
        self, first: int, start: int, stop: int, z: _Buffer, a: _Buffer, scratch: _Buffer
    ) -> None: ...
    def block_gradient(
        self, x: _Buffer, rows: int, q: _Buffer, gradient: _Buffer, k0: int, k1: int, scratch: _Buffer
    ) -> None: ...

@disjoint_base
class RowProblem(LinearSoftmax):
    @property
    def ld(self) -> int: ...
    @property
    def intercept(self) -> int: ...
    @property
    def by_class(self) -> bool: ...
    @property
    def address(self) -> int: ...
    def __init__(
        self,
        X: Array | _Columns,
        K: int,
        targets: _Targets,
        batches: bool,
        batch: int,
        zeros: Callable[[int, int], Array],
        beside: int = 1,
    ) -> None: ...
    def standardise(
        self,
        shift: Array | None = None,
        factor: Array | None = None,
        offset_columns: Array | None = None,
        offsets: Array | None = None,
    ) -> None: ...
    def measure(self, squares: Array) -> None: ...

@disjoint_base
class Descent:
    @property
    def address(self) -> int: ...
    def __init__(
        self, rule: _Rule, arrays: dict[str, Array], counters: Array, problem: RowProblem | None = None
    ) -> None: ...
    def hold(self, row: Array, value: Array) -> None: ...
    def synchronise(self, eta0: float) -> None: ...
    def penalise(self) -> None: ...
    def rescale(self) -> None: ...

def drift_weights(w: Array, mean: Array, time: float, l1: float, l2: float) -> None: ...

class RowFeatures(LinearSoftmax):
    def __init__(self, X: Array | _Columns) -> None: ...
    def keys(self, first: int, stop: int, out: Array) -> None: ...
    def observe(self, order: Array, masses: Array, known: Array) -> None: ...
    def squares(self, order: Array, shift: Array, factor: Array, out: Array) -> None: ...

def added_hashes(values: Array, start: int) -> int: ...
def logits_scratch_size(K: int) -> int: ...
def output_logits(
    z: Array, out: Array, kind: _Kind, K: int, first: int, stop: int, scratch: _Buffer
) -> None: ...
def loss_logits(
    z: Array,
    targets: _Targets,
    first: int,
    stop: int,
    scratch: _Buffer,
    row_loss: Array | None = None,
    gradient: Array | None = None,
    scale: float = 1.0,
) -> float: ...
def curvature_of_rows(
    X: LinearSoftmax,
    weights: _Buffer,
    scratch: _Buffer,
    first: int,
    stop: int,
    mass: Array,
    row: Array,
    column: Array,
) -> None: ...
def probabilities_of_rows(
    X: LinearSoftmax, weights: _Buffer, scratch: _Buffer, some: slice, mass: Array, P: Array
) -> None: ...
def moments_of_columns(
    X: LinearSoftmax, first: int, stop: int, masses: Array | None, shift: Array, out: Array
) -> float: ...
def logits_of_entries(
    rows: _Columns, coef: Array, intercept: Array, z: Array, first: int, stop: int, places: Array
) -> None: ...
def few_room_size(n: int, K: int) -> int: ...
def logits_of_few(
    x: Array, coef: Array, intercept: Array, z: Array, first: int, stop: int, room: _Buffer | None = None
) -> None: ...
def outputs_of_binary(z: Array, out: Array, kind: _Kind) -> None: ...
def outputs_of_entries(
    rows: _Columns, coef: Array, intercept: Array, out: Array, kind: _Kind, longest: int
) -> bool: ...
def outputs_of_few(x: Array, coef: Array, intercept: Array, out: Array, kind: _Kind) -> bool: ...

@disjoint_base
class Packed:
    def __init__(
        self,
        coef: Array,
        intercept: Array,
        new: Callable[[tuple[int, ...], np.dtype[np.generic]], Array],
        dtypes: tuple[np.dtype[np.generic], np.dtype[np.generic]],
        most_rows: int,
        most: int,
    ) -> None: ...
    def dense(self, x: object, kind: _Kind, out: Array | None = None) -> Array | None: ...
    def sparse(
        self, indices: object, values: object, kind: _Kind, out: Array | None = None
    ) -> Array | None: ...

@disjoint_base
class DualAscent:
    @property
    def scratch_size(self) -> int: ...
    def __init__(
        self,
        rows: LinearSoftmax,
        weights: _Buffer,
        log_alpha: Array,
        state: Array,
        gap: Array,
        residual: Array,
    ) -> None: ...
    def visit(
        self,
        order: Array,
        first: int,
        stop: int,
        scale: float,
        beta: float,
        enough: float,
        scratch: _Buffer,
    ) -> None: ...
    def evaluate(
        self,
        gradient: _Buffer | None,
        scratch: _Buffer,
        first: int,
        stop: int,
        kept: _Buffer | None = None,
    ) -> float: ...
    def add_targets(
        self,
        gradient: _Buffer,
        scratch: _Buffer,
        first: int,
        stop: int,
        k0: int = 0,
        k1: int | None = None,
    ) -> None: ...
    def shares(self, tilt: Array, sums: Array, out: Array, first: int, stop: int) -> None: ...
    def bound(
        self,
        balanced: tuple[Array, Array, float],
        gradient: _Buffer | None,
        scratch: _Buffer,
        first: int,
        stop: int,
        kept: _Buffer | None = None,
    ) -> float: ...

@disjoint_base
class BinaryDualAscent:
    def __init__(self, rows: LinearSoftmax, weights: _Buffer, state: Array, gap: Array) -> None: ...
    def start(self, sums: Array, first: int, stop: int) -> tuple[float, float, float, int]: ...
    def visit(
        self, order: Array, first: int, stop: int, scale: float, beta: float, enough: float
    ) -> float: ...
    def balance(self, factor: float) -> tuple[float, float, float, float]: ...
    def bound(
        self, factor: float, share: float, towards: float, sums: Array, first: int, stop: int
    ) -> tuple[float, float, float]: ...

def draw_rows(gap: Array, mean: float, floor: float, order: Array, state: Array) -> int: ...

@disjoint_base
class Columns:
    @property
    def n(self) -> int: ...
    @property
    def d(self) -> int: ...
    @property
    def is_double(self) -> bool: ...
    @property
    def X(self) -> Array | _SparseColumns: ...
    def __init__(self, X: Array | _SparseColumns) -> None: ...
    def add_to(self, z: Array, features: Array, steps: Array, first: int, stop: int) -> None: ...
    def products(self, r: Array, out: Array, features: Array, first: int, stop: int) -> None: ...
    def has_duplicates(self, features: Array, first: int, stop: int) -> bool: ...

@disjoint_base
class QuadraticModel:
    def __init__(
        self,
        columns: Columns,
        P: Array,
        mass: Array | None,
        largest: float,
        A: Array,
        s: Array | None,
        shifted: Array,
    ) -> None: ...
    def curvature(self, pairs: Array, h: Array, m: Array, centre: bool) -> None: ...

@disjoint_base
class Coordinates:
    def __init__(self, model: QuadraticModel, pairs: Array, m: Array, shift: Array, table: Array) -> None: ...
    def sweep(self, order: Array, first: int, stop: int) -> None: ...
    def sweep_groups(self, order: Array, first: int, stop: int, scratch: _Buffer) -> None: ...

def sweep_gram(H: Array, slope: Array, table: Array, order: Array, first: int, stop: int) -> None: ...
def binary_logits(z: Array, one: Array, zero: Array, r: Array, h: Array, first: int, stop: int) -> float: ...
def binary_entropy(
    z: Array, one: Array, zero: Array, share: float, q: float, back: float, first: int, stop: int
) -> float: ...
def column_sizes(
    X: _Columns, classes: tuple[Array, Array] | None, sizes: Array, first: int, stop: int
) -> bool: ...
def columns_of_rows(
    X: _Columns, chosen: Array, places: Array, indices: Array, values: Array, first: int, stop: int
) -> None: ...
def products_of_rows(X: _Columns, r: Array, out: Array, first: int, stop: int) -> None: ...
