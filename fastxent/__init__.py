"""Linear softmax models by cross-entropy: the fastest and most accurate way to fit and use them on CPUs."""

import lazy_loader

__version__ = "0.1.0"

# A name loads its module at first use, so that `import fastxent` brings neither scikit-learn nor Numba with it.
_load, _public, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["__version__", *__all__]


def __getattr__(name):
    if name in __all__:
        from .forks import importing

        with importing:
            return _load(name)
    # Without the module as obj, Python adds no hint of its own.
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_hint(name)}", name=name)


def _hint(name):
    import difflib  # only for names that are wrong

    public = {known.lower(): known for known in __all__}
    nearest = [] if name.startswith("_") else difflib.get_close_matches(name.lower(), public, n=1)
    return "".join(f". Did you mean: {public[known]!r}?" for known in nearest)


def __dir__():
    return sorted(set(globals()) | set(__all__))
