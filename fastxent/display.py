"""Pictures of a training, in scikit-learn's Display convention; matplotlib is loaded when the first is drawn."""

import numpy as np

_LABELS = {"loss": "training loss", "val_loss": "validation loss", "grad_norm": "norm of the gradient"}
_X_LABELS = {"epoch": "epoch", "seconds": "seconds", "passes": "passes over the data"}


class LossCurveDisplay:
    """Loss by epoch, or by time, of a fitted estimator.

    Made by ``from_estimator``, or from curves of one's own.

    Parameters
    ----------
    x : array-like of shape (n,)
        Where the points stand: epochs, seconds ...
    curves : dict of array-like of shape (n,)
        What is drawn, by name.
    x_name : str, default='epoch'
        What x is.
    estimator_name : str or None, default=None
        Begins every name in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D, one a curve

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastxent import LossCurveDisplay, SGDClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SGDClassifier(early_stopping=True, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(model)  # doctest: +SKIP
    """

    def __init__(self, x, curves, *, x_name="epoch", estimator_name=None):
        self.x = x
        self.curves = curves
        self.x_name = x_name
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(cls, estimator, *, x="epoch", curves=None, ax=None, name=None, **line_options):
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator with ``history_``
        x : str, default='epoch'
            The entry of ``history_`` along the abscissa: 'epoch', 'seconds' ...
        curves : list of str or None, default=None
            The entries to draw; None: 'loss', and 'val_loss' if there is one.
        ax : matplotlib Axes or None
            Where to draw; None makes a new figure.
        name : str or None
            The estimator's name in the legend; None is the name of its class.
        **line_options
            For matplotlib's ``plot``.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        ValueError
            The estimator is not fitted, or its history lacks an entry asked for.
        """
        history = getattr(estimator, "history_", None)
        if history is None:
            raise ValueError(
                f"estimator has no history_: {type(estimator).__name__} is not fitted yet, or keeps no history."
            )
        if curves is None:
            curves = [entry for entry in ("loss", "val_loss") if entry in history]
        for entry in (x, *curves):
            if entry not in history:
                raise ValueError(f"history_ has no entry {entry!r}; it has {', '.join(sorted(history))}.")
        name = type(estimator).__name__ if name is None else name
        display = cls(history[x], {c: history[c] for c in curves}, x_name=x, estimator_name=name)
        return display.plot(ax=ax, **line_options)

    def plot(self, ax=None, *, name=None, **line_options):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or None
            Where to draw; None makes a new figure.
        name : str or None
            Instead of ``estimator_name``.
        **line_options
            For matplotlib's ``plot``.

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
        name = self.estimator_name if name is None else name
        self.lines_ = []
        for entry, values in self.curves.items():
            label = _LABELS.get(entry, entry)
            label = label if name is None else f"{name}: {label}"
            # Estimators may measure once more, or once less, than they count: points are paired from the end.
            count = min(len(self.x), len(values))
            x, y = np.asarray(self.x)[-count:], np.asarray(values)[-count:]
            self.lines_ += ax.plot(x, y, **{"label": label, **line_options})
        ax.set(xlabel=_X_LABELS.get(self.x_name, self.x_name), ylabel="loss")
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
