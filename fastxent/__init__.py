"""Fast and accurate linear softmax models (logistic regression, maximum entropy) on CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


__version__ = "0.1.0"

# A name loads its module at first use, so that `import fastxent` brings neither scikit-learn nor Numba with it.
_load, _public, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["__version__", *__all__]


def __getattr__(name: str) -> Callable[..., Any] | type[Any]:
    if name in __all__:
        from .forks import importing

        with importing:
            return _load(name)
    # Without the module as obj, Python adds no hint of its own.
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_hint(name)}", name=name)


def _hint(name: str) -> Any:
    import difflib  # only for names that are wrong

    public = {known.lower(): known for known in __all__}
    nearest = [] if name.startswith("_") else difflib.get_close_matches(name.lower(), public, n=1)
    return "".join(f". Did you mean: {public[known]!r}?" for known in nearest)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
