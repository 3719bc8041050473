"""What the figures of the documentation share: where they go, and how they look."""

import itertools
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures"
COLOURS = {"float64": "#0072b2", "float32": "#d55e00"}
MARKS = {"float64": "o-", "float32": "s--"}
OKABE_ITO = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
)  # for colour-blind readers, too
OWN_LOOK = {"color": "black", "linewidth": 2.5, "marker": ".", "markersize": 3}
STYLE = {
    "svg.fonttype": "none",  # letters as text: small files
    "svg.hashsalt": "fastxent",  # the same figure gives the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",  # on dark pages, too
    "lines.markersize": 4,
}


def subplots(*shape, **how):
    """Return a figure and its panels."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(STYLE)
    from matplotlib import pyplot

    return pyplot.subplots(*shape, **how)


def looks():
    """Yield looks of lines that can be told apart, also without their colours."""
    for (line, marker), colour in itertools.product(
        (("-", "o"), ("--", "s"), (":", "^"), ("-.", "v")), OKABE_ITO
    ):
        yield {"color": colour, "linestyle": line, "marker": marker, "markersize": 2.5, "linewidth": 1}


def few_ticks(axis, limits):
    """Label a logarithmic axis with plain numbers that do not overlap, whatever its limits (powers of ten)."""
    from matplotlib import ticker

    decades = limits[1] - limits[0]
    axis.set_major_locator(ticker.LogLocator(subs=(1.0,) if decades > 2 else (1.0, 3.0), numticks=6))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def save(figure, name):
    """Write docs/figures/name.svg."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
