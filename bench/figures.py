"""What the figures of the documentation share: where they go, and how they look."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures"
COLOURS = {"float64": "#0b5394", "float32": "#cc6600"}
LOOKS = {
    "svg.fonttype": "none",  # letters as text: small files
    "svg.hashsalt": "fastxent",  # the same figure gives the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}


def subplots(*shape, **how):
    """Return a figure and its panels."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(LOOKS)
    from matplotlib import pyplot

    return pyplot.subplots(*shape, **how)


def save(figure, name):
    """Write docs/figures/name.svg."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
