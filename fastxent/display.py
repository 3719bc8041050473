"""Plots of a training, in scikit-learn's Display convention; matplotlib is imported when the first is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from .arrays import plain_array

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

    from .typing import Array, ArrayLike


class Quantity(NamedTuple):
    """The texts for an entry of a history: in the legend, and along an axis."""

    legend: str
    axis: str


LOG_LOSS = "mean log loss (nats)"

# The meaning of entries, unless an estimator's ``_history_quantities`` says otherwise.
_QUANTITIES = {
    "epoch": Quantity("epoch", "epoch"),
    "seconds": Quantity("time", "time (seconds)"),
    "passes": Quantity("passes", "passes over the data"),
    "loss": Quantity("training loss", LOG_LOSS),
    "val_loss": Quantity("validation loss", LOG_LOSS),
    "val_score": Quantity("validation score", "score"),
    "grad_norm": Quantity("gradient", "norm of the gradient"),
    "gap": Quantity("gap", "objective above its minimum, estimated (nats)"),
    "learning_rate": Quantity("learning rate", "learning rate"),
}


class LossCurveDisplay:
    """Plot of the loss of a fitted estimator by epoch, or by time.

    Create it by ``from_estimator``, or from your own curves.

    Parameters
    ----------
    x : array-like of shape (n,)
        Positions along the horizontal axis: epochs, seconds ...
    curves : dict of array-like of shape (n,)
        The values to plot, by name.
    x_name : str, default='epoch'
        Name of x.
    estimator_name : str or None, default=None
        First part of every legend entry.
    quantities : dict or None, default=None
        For each name in ``curves``, a pair of texts: for the legend and for the axis. For other names, the texts are
        those of ``SGDClassifier.history_``, or else the name itself.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D, one per curve

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastxent import LossCurveDisplay, SGDClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SGDClassifier(early_stopping=True, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(model)  # doctest: +SKIP
    """

    ax_: Axes
    figure_: Figure | SubFigure
    lines_: list[Line2D]

    def __init__(
        self,
        x: ArrayLike,
        curves: Mapping[str, ArrayLike],
        *,
        x_name: str = "epoch",
        estimator_name: str | None = None,
        quantities: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self.x = x
        self.curves = curves
        self.x_name = x_name
        self.estimator_name = estimator_name
        self.quantities = quantities

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        x: str = "epoch",
        curves: str | Sequence[str] | None = None,
        ax: Axes | None = None,
        name: str | None = None,
        **line_options: Any,
    ) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator with ``history_``, Pipeline that ends in one, or fitted search for one
            For ``GridSearchCV`` and similar searches, ``best_estimator_`` is drawn.
        x : str, default='epoch'
            The entry of ``history_`` along the horizontal axis: 'epoch', 'seconds' ...
        curves : str, list of str or None, default=None
            The entries to draw. None draws 'loss', and 'val_loss' if there is one.
        ax : matplotlib Axes or None
            The axes to draw on; None makes a new figure.
        name : str or None
            The estimator's name in the legend; None is the name of its class.
        **line_options
            Passed to matplotlib's ``plot``.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        ValueError
            The estimator is not fitted (``NotFittedError``), has no history, or the history lacks a requested entry.
        """
        estimator, history = _history_of(estimator)
        if curves is None:
            curves = [entry for entry in ("loss", "val_loss") if entry in history]
        curves = [curves] if isinstance(curves, str) else curves
        if not (isinstance(curves, (list, tuple)) and all(isinstance(entry, str) for entry in (x, *curves))):
            raise TypeError(
                f"x must be the name of an entry of history_ and curves a list of them; got {x!r}, {curves!r}."
            )
        for entry in (x, *curves):
            if entry not in history:
                hint = " Fit with an eval_set to have it." if entry == "val_loss" else ""
                raise ValueError(
                    f"history_ has no entry {entry!r}; it has {', '.join(sorted(history))}.{hint}"
                )
        quantities: Any = getattr(estimator, "_history_quantities", dict)()
        name = type(estimator).__name__ if name is None else name
        display = cls(
            history[x],
            {entry: history[entry] for entry in curves},
            x_name=x,
            estimator_name=name,
            quantities=quantities,
        )
        return display.plot(ax=ax, **line_options)

    def plot(self, ax: Axes | None = None, *, name: str | None = None, **line_options: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or None
            The axes to draw on; None makes a new figure.
        name : str or None
            Replaces ``estimator_name``.
        **line_options
            Passed to matplotlib's ``plot``.

        Returns
        -------
        self
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("LossCurveDisplay needs matplotlib: pip install 'fastxent[plot]'.") from error
        if ax is None:
            _, ax = plt.subplots()
        elif not hasattr(ax, "plot"):
            raise TypeError(f"ax must be matplotlib Axes or None; got {type(ax).__name__}.")
        name = self.estimator_name if name is None else name
        self.lines_ = []
        drawn = {entry: self._quantity(entry) for entry in self.curves}
        along = _numbers(self.x, self.x_name)
        for entry, values in self.curves.items():
            values = _numbers(values, entry)
            label = drawn[entry].legend if name is None else f"{name}: {drawn[entry].legend}"
            # Histories may have one entry more or less than x, so points are paired from the end.
            count = min(len(along), len(values))
            x, y = along[len(along) - count :], values[len(values) - count :]
            self.lines_ += ax.plot(x, y, **{"label": label, **line_options})
        axes = dict.fromkeys(quantity.axis for quantity in drawn.values())  # each once, in order
        ax.set(xlabel=self._quantity(self.x_name).axis, ylabel="\n".join(axes))
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _quantity(self, entry: str) -> Quantity:
        given = {} if self.quantities is None else self.quantities
        return Quantity(*given.get(entry, _QUANTITIES.get(entry, (entry, entry))))


def _numbers(values: ArrayLike, name: str) -> Array:
    """Return a curve, or x, as an array (n,)."""
    values = plain_array(values, f"{name} of history_")
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} of history_ must be a 1-d array of numbers; got shape {values.shape} of {values.dtype}."
        )
    return values


def _history_of(estimator: Any) -> tuple[Any, Mapping[str, ArrayLike]]:
    """Return the trained estimator (also at the end of a pipeline, or a search's best) and its history."""
    if hasattr(estimator, "history_"):
        if not isinstance(estimator.history_, Mapping):
            raise TypeError(
                f"history_ of the estimator must be a dict; got {type(estimator.history_).__name__}."
            )
        return estimator, estimator.history_
    if hasattr(estimator, "best_estimator_"):
        return _history_of(estimator.best_estimator_)
    if hasattr(estimator, "steps"):
        return _history_of(estimator.steps[-1][1])
    from sklearn.utils.validation import check_is_fitted  # an estimator cannot exist without scikit-learn

    check_is_fitted(estimator)
    hint = " (it was fitted with refit=False)" if getattr(estimator, "refit", True) is False else ""
    raise ValueError(
        f"This {type(estimator).__name__} has no history_{hint}. LossCurveDisplay draws fastxent's "
        "LogisticRegression, LogisticRegressionCV and SGDClassifier, also as the last step of a Pipeline or as the "
        "best_estimator_ of a search."
    )
