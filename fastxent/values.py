"""Python values as JSON and arrays, and back: exactly, and by a closed list of types, so that nothing is executed.

    None, bool, int, float, str, list         themselves
    infinite float, NaN                       {"float": "inf"}
    tuple, dict, bytes                        {"tuple": [...]}  {"dict": [[key, value], ...]}  {"bytes": hexadecimal}
    dtype, NumPy scalar                       {"dtype": code}  {"scalar": [code, value]}
    array of numbers, dates                   {"array": [code, name of the array, "C" or "F"]}
    array of strings, bytes, objects          {"strings": [code, shape, [value, ...]]}
    CSR matrix                                {"csr": [class, shape, data, indices, indptr]}
    object of a class that is known           {"object": [class, state]}, and {"again": number} from the second time on

A code is NumPy's, as in ``dtype.str``: "<f8", ">i4", "<U10", "|O". Dates are stored as their whole numbers.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from .arrays import copied, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .typing import Array, Table


_PLAIN = type(None), bool, int, str
# Of strings with more digits NumPy 1 cannot count the bytes.
_CODE = re.compile(r"[<>|](b1|[iu][1248]|f[248]|[mM]8(\[\d*\w+\])?|[US]\d{1,8}|O)")
_CSR = {"csr_matrix": sp.csr_matrix, "csr_array": sp.csr_array}
_WASTE = 1024  # times the memory that strings need is what an array of them may have


class Writer:
    """Turns values into JSON, and collects the arrays that go beside it.

    describe: gives the name and the state of an object of a known class, and None for any other.
    """

    def __init__(self, describe: Callable[[Any], Any] = lambda value: None) -> None:
        self.arrays: dict[str, Array] = {}
        self._describe = describe
        self._known: dict[int, Any] = {}

    def __call__(self, value: Any, name: str) -> Any:
        """The JSON of a value. name: what an error, or the name of an array, calls it."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if kind in (list, tuple):
            items = [self(item, f"{name}.{i}") for i, item in enumerate(value)]
            return items if kind is list else {"tuple": items}
        if kind is dict:
            return {"dict": [self._pair(pair, i, name) for i, pair in enumerate(value.items())]}
        if kind is bytes:
            return {"bytes": value.hex()}
        if isinstance(value, np.dtype):
            return {"dtype": self._code(value, name, value)}
        if isinstance(value, np.generic):
            code = self._code(value.dtype, name, value)
            return {"scalar": [code, self(_item(value), name)]}
        if kind in (np.ndarray, np.memmap):
            return self._array(value.view(np.ndarray), name)
        if kind in _CSR.values():
            parts = (value.data, value.indices, value.indptr)
            parts = [
                self(part, f"{name}.{of}")
                for part, of in zip(parts, ("data", "indices", "indptr"), strict=True)
            ]
            return {"csr": [kind.__name__, list(map(int, value.shape)), *parts]}
        return self._object(value, name)

    def _pair(self, pair: tuple[Any, Any], i: int, name: str) -> list[Any]:
        key, value = pair
        inner = f"{name}.{key}" if type(key) is str and key.isidentifier() else f"{name}.{i}"
        return [self(key, f"a key of {name}"), self(value, inner)]

    def _array(self, value: Array, name: str) -> dict[str, Any]:
        code = self._code(value.dtype, name, value)
        if value.dtype.kind in "USO":
            flat = value.ravel().tolist()
            if value.dtype.kind in "US" and value.nbytes > _room(flat):
                raise TypeError(
                    f"{name} cannot be saved: most of its strings are far shorter than its dtype {value.dtype}. "
                    f"Convert it by {name}.astype(object)."
                )
            values = [self(item, f"{name}.{i}") for i, item in enumerate(flat)]
            return {"strings": [code, list(value.shape), values]}
        stored, order = name, "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        while stored in self.arrays:
            stored += "+"
        self.arrays[stored] = value.astype(f"<{code[1:]}").view("<i8") if value.dtype.kind in "mM" else value
        return {"array": [code, stored, order]}

    def _object(self, value: Any, name: str) -> dict[str, Any]:
        if id(value) in self._known:
            return {"again": self._known[id(value)][0]}
        described = self._describe(value)
        if described is None:
            raise self._refusal(value, name)
        kind, state = described
        self._known[id(value)] = len(self._known), value  # which keeps it, and so its id
        return {"object": [kind, self(state, name)]}

    def _code(self, dtype: np.dtype[Any], name: str, value: Any) -> str:
        if not _CODE.fullmatch(dtype.str):
            raise self._refusal(value, name)
        return dtype.str

    @staticmethod
    def _refusal(value: Any, name: str) -> TypeError:
        of = f"an array of dtype {value.dtype}" if type(value) is np.ndarray else f"a {type(value).__name__}"
        return TypeError(
            f"{name} is {of}, {shown(value)}, which a model file cannot hold: only numbers of at most 64 bits, "
            "strings, bytes, lists, tuples, dicts and NumPy arrays of these can be saved. "
            f"Replace {name} before saving, or use pickle."
        )


class Reader:
    """Turns JSON and arrays into values. Whatever is not as `Writer` writes it raises ValueError.

    build: makes an object of the name of its class and its state.
    """

    def __init__(self, arrays: Mapping[str, Array], build: Callable[[str, Any], Any] | None = None) -> None:
        self._arrays = arrays
        self._build: Any = build
        self._known: list[Any] = []

    def __call__(self, value: Any) -> Any:
        if isinstance(value, _PLAIN) or type(value) is float:
            return value
        if type(value) is list:
            return [self(item) for item in value]
        if type(value) is dict and len(value) == 1:
            ((tag, content),) = value.items()
            make = getattr(self, f"_{tag}", None) if tag in _TAGS else None
            if make is not None:
                try:
                    return make(content)
                except (TypeError, KeyError, IndexError, OverflowError, AttributeError) as error:
                    raise ValueError(f"{tag}: {error}") from error
        raise ValueError(f"{shown(value)} stands for no value")

    def _float(self, text: str) -> float:
        return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[text]

    def _tuple(self, items: list[Any]) -> tuple[Any, ...]:
        return tuple(map(self, items))

    def _dict(self, pairs: list[Any]) -> dict[Any, Any]:
        return {self(key): self(value) for key, value in pairs}

    def _bytes(self, text: str) -> bytes:
        return bytes.fromhex(text)

    def _dtype(self, code: str) -> np.dtype[Any]:
        return _dtype_of(code)

    def _scalar(self, content: list[Any]) -> Any:
        code, value = content
        return _strings(code, (), [self(value)])[()]

    def _array(self, content: list[Any]) -> Array:
        code, name, order = content
        dtype, array = _dtype_of(code), self._arrays[name]
        if dtype.kind in "mM" and array.dtype == np.int64:
            return np.array(array.view(f"<{code[1:]}"), dtype, order=order)
        if array.dtype.newbyteorder("=") != dtype.newbyteorder("="):
            raise ValueError(f"array {name!r} has dtype {array.dtype}, not {dtype}")
        if order not in ("C", "F"):
            raise ValueError(f"{shown(order)} is no order of an array")
        array = array.astype(dtype, copy=False)
        return array if order == "C" else copied(array, order)

    def _strings(self, content: list[Any]) -> Array:
        code, shape, values = content
        return _strings(code, tuple(shape), [self(value) for value in values])

    def _csr(self, content: list[Any]) -> Table:
        kind, shape, *parts = content
        data, indices, indptr = map(self, parts)
        matrix = _CSR[kind]((data, indices, indptr), shape=tuple(shape))
        matrix.check_format(full_check=True)
        return matrix

    def _object(self, content: list[Any]) -> Any:
        kind, state = content
        place = len(self._known)
        self._known.append(None)
        self._known[place] = self._build(kind, self(state))
        return self._known[place]

    def _again(self, place: int) -> Any:
        return self._known[place]


_TAGS = "float", "tuple", "dict", "bytes", "dtype", "scalar", "array", "strings", "csr", "object", "again"


def _item(scalar: Any) -> Any:
    """A NumPy scalar as a Python one; dates as whole numbers."""
    return scalar.view(np.int64).item() if scalar.dtype.kind in "mM" else scalar.item()


def _dtype_of(code: object) -> np.dtype[Any]:
    if not (isinstance(code, str) and _CODE.fullmatch(code)):
        raise ValueError(f"{shown(code)} is no dtype of a model file")
    return np.dtype(code)


def _strings(code: str, shape: tuple[int, ...], flat: list[Any]) -> Array:
    """An array of a dtype, a shape and a list of values, in no more memory than these justify."""
    dtype = _dtype_of(code)
    if math.prod(shape) != len(flat):
        raise ValueError(f"{len(flat)} values do not make an array of shape {shape}")
    if dtype.kind in "US" and len(flat) * dtype.itemsize > _room(flat):
        raise ValueError(f"{len(flat)} strings do not need the dtype {code}")
    if dtype.kind in "iu":  # NumPy 1 would wrap what is too large
        limits = np.iinfo(dtype)
        for value in flat:
            if not (isinstance(value, int) and limits.min <= value <= limits.max):
                raise ValueError(f"{shown(value)} is no number of the dtype {code}")
    if dtype.kind in "mM":
        return np.array(flat, np.int64).view(f"<{code[1:]}").astype(dtype).reshape(shape)
    array = np.empty(len(flat), dtype)
    for i, value in enumerate(flat):
        array[i] = value
    return array.reshape(shape)


def _room(flat: list[str]) -> int:
    """How many bytes an array of these strings may take."""
    return _WASTE * (1024 + sum(map(len, flat)) + len(flat))
