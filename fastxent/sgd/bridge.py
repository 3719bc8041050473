"""The kernels' functions for descent (kernels/descent.pxi), which jitted code calls by name.

Compiled code holds a symbol, never an address, so Numba can cache it; the symbol is registered with the address in the
kernels that this process loaded. The name is the same for every instruction-set level, and so is the cached code; it
carries the version of the row API, because Numba would not notice a changed signature.

A cached function that runs before its symbol is registered crashes, so callers must import these names from here.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numba
from llvmlite import binding
from numba import types
from numba.extending import get_cython_function_address

from .. import kernels

if TYPE_CHECKING:
    from typing import Any

_place = types.intp  # an address: of kernels.Descent, or of a place in the order of rows
_count = types.intp
_flag = types.int32
_real = types.float64
_C_TYPES: dict[Any, Any] = {
    _place: ctypes.c_ssize_t,
    _flag: ctypes.c_int,
    _real: ctypes.c_double,
    types.void: None,
}


def _external(name: str, result: Any, *arguments: Any) -> Any:
    address = get_cython_function_address(f"{kernels.__name__}._{kernels.level}", name)
    if numba.config.DISABLE_JIT:
        return ctypes.CFUNCTYPE(_C_TYPES[result], *(_C_TYPES[kind] for kind in arguments))(address)
    symbol = f"fastxent_{kernels.ROW_API_VERSION}_{name}"
    binding.add_symbol(symbol, address)
    return types.ExternalFunction(symbol, result(*arguments))


# (memory, order, rows after this one, scale of weights, step, intercept's step) -> loss
plain_step: Any = _external("descent_plain_step", _real, _place, _place, _count, _real, _real, _real)
# (memory, order, rows, scale of weights): gradients by logits -> loss
gradients: Any = _external("descent_gradients", _real, _place, _place, _count, _count, _real)
# (memory, order, rows, step, intercept's step): plain steps with them
add: Any = _external("descent_add", types.void, _place, _place, _count, _real, _real)
# (memory, order, rows): L1
pay: Any = _external("descent_pay", types.void, _place, _place, _count)
# (memory, order, rows, rows after them, ftrl's first step) -> features
touch: Any = _external("descent_touch", _count, _place, _place, *2 * [_count], _real)
# (memory, order, rows, rows after them, features, part, time, ftrl's first step)
step: Any = _external("descent_step", types.void, _place, _place, *3 * [_count], _real, _real, _real)
# (memory, part, time, ftrl's first step)
step_all: Any = _external("descent_step_all", types.void, _place, _real, _real, _real)
# (memory, order, rows after this one) -> loss
dense_row: Any = _external("descent_row", _real, _place, _place, _count)
# (memory, order, rows, rows after them) -> loss
dense_batch: Any = _external("descent_batch", _real, _place, _place, _count, _count)
# (memory, order, rows after this one, time, own time, part) -> loss
reduced_step: Any = _external("descent_reduced", _real, _place, _place, _count, _real, _real, _real)
# (memory)
rescale: Any = _external("rescale_weights", types.void, _place)
# (memory, whether to penalise, to average, ftrl's first step)
finish_updates: Any = _external("finish_updates", types.void, _place, _flag, _flag, _real)
