"""Stochastic and minibatch descent: jitted loops that call the kernels row by row. Numba is imported only here.

The loops choose rows and step sizes; what an update does to arrays is in kernels/descent.pxi and kernels/gaps.pxi.

options     the choices of a training, and what follows from them alone
trainer     the state of a training, in its units and layout
rules       the numbers by which the loops update weights
layouts     arrays like the weights as the kernels have them
columns     units of the columns, from the rows seen so far
steepness   how steep the loss of a minibatch can be
loops       an epoch, or a piece of one, in one call
schedules   step sizes by the number of the update
optimizers  their numbers, and what each of them stores
order       rows sorted by their content
fingerprint  whether weights have been changed, without a copy of them
variance_reduction  the steps of SVRG
descents    epochs over data in memory: by rows, by minibatches, by all rows, SVRG, Hogwild
consistency whether the state of a training, as a file has it, can be true
warmup      compile the most common combinations in advance
bridge      the kernels as functions that jitted code can call; the only file that knows llvmlite
compile     the decorators for jitted functions
"""

try:
    import numba as _numba  # noqa: F401
except MemoryError:
    raise
except Exception as _error:  # a broken installation may raise anything
    _missing = isinstance(_error, ModuleNotFoundError) and _error.name == "numba"
    _what = (
        "it is not installed" if _missing else f"it cannot be imported ({type(_error).__name__}: {_error})"
    )
    raise ImportError(
        "SGDClassifier, and solver='sgd' of LogisticRegression, run loops that Numba compiles, but "
        f"{_what}. To install it: pip install numba{'' if _missing else ' --upgrade'}. The other solvers do without."
    ) from _error

# All modules now: forks wait while this package is imported, and later imports find everything loaded.
from . import descents, fingerprint, order, trainer  # noqa: F401
