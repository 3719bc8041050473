"""What the scripts that draw for the documentation share: where figures go, and how they look."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update(
    {
        "svg.fonttype": "none",  # letters as text: small files
        "svg.hashsalt": "fastxent",  # the same figure gives the same file
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
    }
)

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "performance.md"
COLOURS = {"float64": "#0b5394", "float32": "#cc6600"}


def save(figure, name):
    """Write docs/figures/name.svg."""
    (DOCS / "figures").mkdir(parents=True, exist_ok=True)
    figure.savefig(DOCS / "figures" / f"{name}.svg", metadata={"Date": None})
