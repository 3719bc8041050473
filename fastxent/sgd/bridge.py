"""The kernels' row functions (kernels/rowapi.pxi) as functions that jitted code calls by name.

Compiled code holds a symbol, never an address, so Numba can cache it; the symbol is registered with the address in the
kernels that this process loaded. The name is the same for every instruction-set level, and so is the cached code; it
carries the version of the row API, because Numba would not notice a changed signature.

A cached function that runs before its symbol is registered crashes, so callers must import these names from here.
"""

import ctypes

import numba
from llvmlite import binding
from numba import types
from numba.extending import get_cython_function_address

from .. import kernels

_PLACE = types.intp  # an address
_C_TYPES = {types.intp: ctypes.c_ssize_t, types.float64: ctypes.c_double, types.void: None}


def _external(name, result, *arguments):
    address = get_cython_function_address(f"{kernels.__name__}._{kernels.level}", name)
    if numba.config.DISABLE_JIT:
        return ctypes.CFUNCTYPE(_C_TYPES[result], *(_C_TYPES[kind] for kind in arguments))(address)
    symbol = f"fastxent_{kernels.ROW_API_VERSION}_{name}"
    binding.add_symbol(symbol, address)
    return types.ExternalFunction(symbol, result(*arguments))


_real = types.float64

# (api, place in the order of rows, number of later rows, weights, scale of weights, step, intercept's step) -> loss
row_step = _external("row_step", _real, _PLACE, _PLACE, types.intp, _PLACE, _real, _real, _real)
# (api, place in the order of rows, number of later rows, weights, scale of weights, gradient by logits) -> loss
row_gradient = _external("row_gradient", _real, _PLACE, _PLACE, types.intp, _PLACE, _real, _PLACE)
# (api, row, gradient by logits, factor, array that it is added to)
row_add = _external("row_add", types.void, _PLACE, types.intp, _PLACE, _real, _PLACE)
# (api, numbers of the rows, their count, weights, gradient) -> loss
batch_gradient = _external("batch_gradient", _real, _PLACE, _PLACE, types.intp, _PLACE, _PLACE)
# (address, bytes): memory that will soon be needed
fetch = _external("fetch_memory", types.void, _PLACE, types.intp)
