"""Stochastic and minibatch descent: jitted loops that call the kernels row by row. Only here Numba is imported.

schedules   step size by number of the update
updates     optimisers and penalties on a stretch of parameters
gaps        updates in which a feature has no gradient, all at once
loops       an epoch, or a piece of one, in one call
order       rows sorted by what they hold
trainer     the state of a training, and the way from arrays to the loops and back
descents    epochs as the estimators see them: by rows and minibatches, by all rows, SVRG, Hogwild
warmup      compile what people use most
bridge      the kernels as functions that jitted code can call; the only file that knows llvmlite
compile     the one decorator of everything jitted
"""

try:
    import numba as _numba  # noqa: F401
except MemoryError:
    raise
except Exception as error:  # a broken installation raises what it likes
    missing = isinstance(error, ModuleNotFoundError) and error.name == "numba"
    what = "it is not installed" if missing else f"it cannot be imported ({type(error).__name__}: {error})"
    raise ImportError(
        "SGDClassifier, and solver='sgd' of LogisticRegression, run loops that Numba compiles, but "
        f"{what}. To install it: pip install numba{'' if missing else ' --upgrade'}. The other solvers do without."
    ) from error

# All at once: whoever imports this package lets forks wait meanwhile, and what comes later finds everything here.
from . import descents, fingerprint, order, trainer  # noqa: F401
