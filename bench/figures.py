"""The pictures of the documentation, and how they look."""

import math
from pathlib import Path

import numpy as np

from cases import GROWTH
from convergence import LEVELS
from limits import READ_MEGABYTES, best_read_rate
from rivals import OURS
from tables import PRECISION, Missing, growth, outcomes, roofline

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures"
# For colour-blind readers, too.
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DTYPES = {"float64": ("o-", OKABE_ITO[0]), "float32": ("s--", OKABE_ITO[1])}
LAYOUTS = {"FEATURES": "o", "CLASSES": "s", "SPARSE": "^"}
LOOKS = [  # of lines that can be told apart, also without their colours
    {"color": colour, "linestyle": line, "marker": marker, "markersize": 2.5, "linewidth": 1}
    for line, marker in (("-", "o"), ("--", "s"), (":", "^"), ("-.", "v"))
    for colour in OKABE_ITO
]
OWN_LOOK = {"color": "black", "linewidth": 2.5, "marker": ".", "markersize": 3}
STYLE = {
    "svg.fonttype": "none",  # letters as text: small files
    "svg.hashsalt": "fastxent",  # the same figure gives the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",  # on dark pages, too
    "legend.frameon": False,
    "lines.markersize": 4,
}
COURSES = (  # the first problems of the picture of convergence, by the beginnings of their labels
    "Fashion-MNIST 60,000 x 784, 10 classes, l2 1e-04",
    "clusters 200,000 x 20, 26 classes, l2 1e-05",
    "breast_cancer raw",
    "glosses, words, 45 classes, l2 1e-05",
    "glosses, words, two classes, l2 1e-05",
    "glosses, words, 45 classes, l1 3e-04",
)


def subplots(*shape, **how):
    """Return a figure and its panels."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(STYLE)
    from matplotlib import pyplot

    return pyplot.subplots(*shape, **how)


def save(figure, name):
    """Write docs/figures/name.svg."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})


def draw_roofline(known):
    """Draw each case at its arithmetic per byte (the products' flops over the bytes that must move, see limits.py) and
    at the rate of arithmetic reached.

    Above it there is only the roof: the processor's rate of matrix products, and to the left what can be computed on
    bytes as they arrive.
    """
    owns, threads, rates = roofline(known)
    figure, panels = subplots(1, 2, figsize=(9, 5.2), sharey=True)
    x = np.geomspace(0.1, 2000, 200)
    for panel, dtype in zip(panels, DTYPES, strict=True):
        for megabytes, style in ((READ_MEGABYTES[0], ":"), (16, "--"), (READ_MEGABYTES[-1], "-")):
            roof = np.minimum(rates[f"product GFLOP/s {dtype}"], x * best_read_rate(megabytes * 2**20, rates))
            panel.plot(x, roof, "k", linestyle=style, linewidth=1, label=f"reading {megabytes} MB")
        colours = {layout: iter(OKABE_ITO) for layout in LAYOUTS}
        for case, own in owns.xs(PRECISION[dtype], level="short").iterrows():
            work, gigaflops = own["work"], own["work"]["flops"] / 1e9
            at = work["flops"] / sum(size for size, _ in work["moves"])
            reached, peer = gigaflops / own["median"], gigaflops / own["NumPy"]
            look = {"color": next(colours[work["layout"]]), "marker": LAYOUTS[work["layout"]]}
            panel.plot([at] * 2, [peer, reached], color=look["color"], linewidth=0.7)
            panel.plot(at, peer, fillstyle="none", markersize=5, **look)
            panel.plot(at, reached, markersize=7, linestyle="", label=case, **look)
        for layout, marker in LAYOUTS.items():
            panel.plot([], [], marker, color="grey", label=f"{layout} (of NumPy: hollow)")
        panel.set(xscale="log", yscale="log", xlabel="flops a byte", title=dtype)
    panels[0].set_ylabel(f"GFLOP/s, {threads} threads")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, fontsize=7.5)
    save(figure, "roofline")


def draw_growth(known):
    """Draw our time over what grows."""
    of, threads = growth(known)
    figure, panels = subplots(1, len(GROWTH), figsize=(9.5, 3.2))
    for panel, (name, (what, _)) in zip(panels, GROWTH.items(), strict=True):
        for dtype, (mark, colour) in DTYPES.items():
            size, seconds = of[name, PRECISION[dtype]]
            panel.loglog(size, 1e3 * seconds, mark, color=colour, label=dtype)
        panel.loglog(size, 1e3 * seconds[-1] * size / size[-1], "k:", linewidth=1, label="linear")
        panel.set(xlabel=name)
        panel.set_title(what, fontsize=7.5)
    panels[0].set_ylabel(f"ms, {threads} threads")
    panels[0].legend(fontsize=8)
    save(figure, "growth")


def draw_convergence(known):
    """Draw relative suboptimality over seconds of everybody's runs, a panel for each of some problems."""
    from matplotlib import ticker

    found = outcomes(known)
    chosen = sorted(found, key=lambda outcome: not outcome.name.startswith(COURSES))[: len(COURSES)]
    if len(chosen) < len(COURSES):
        raise Missing("training")
    figure, panels = subplots(2, math.ceil(len(chosen) / 2), figsize=(10.5, 7), squeeze=False)
    names = sorted({name for outcome in chosen for name in outcome.peers.index})
    look = dict(zip(names, LOOKS, strict=False)) | {OURS: OWN_LOOK}
    handles = {}
    for panel, outcome in zip(panels.flat, chosen, strict=False):
        for name in (*outcome.peers.index, OURS):
            seconds, gap = outcome.gaps[name]
            shown = np.maximum.accumulate(seconds), np.maximum(np.minimum.accumulate(gap), 1e-8)
            (handles[outcome.mark(name)],) = panel.loglog(*shown, **look[name])
        for level in LEVELS:
            panel.axhline(level, color="0.8", linewidth=0.7, zorder=0)
        panel.set_ylim(1e-8, 3)
        panel.set_title(outcome.name.replace("classes, ", "classes\n"), fontsize=8)
        # Plain numbers that do not overlap, whatever the limits.
        first, last = np.log10(panel.get_xlim())
        subs = (1.0,) if last - first > 2 else (1.0, 3.0)
        panel.xaxis.set_major_locator(ticker.LogLocator(subs=subs, numticks=6))
        panel.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        panel.xaxis.set_minor_formatter(ticker.NullFormatter())
    for panel in panels[-1]:
        panel.set_xlabel("seconds")
    for panel in panels[:, 0]:
        panel.set_ylabel("F / F* - 1")
    order = sorted(handles, key=lambda name: (name != OURS, name))
    where = {"loc": "outside lower center", "ncols": 5, "fontsize": 7, "handlelength": 3.5}
    figure.legend([handles[name] for name in order], order, **where)
    save(figure, "convergence")


def draw_summary(outcomes, where):
    """Draw our seconds of training and the fastest peer's: {name: (ours, peer, theirs)}, measured on ``where``."""
    labels = [f"{name}: {peer}" for name, (_, peer, _) in outcomes.items()]
    ours, _, theirs = zip(*outcomes.values(), strict=True)
    at = np.arange(len(labels))
    figure, panel = subplots(figsize=(7.6, 0.27 * len(at) + 1.1))
    panel.hlines(at, ours, theirs, color="#b0b7c0", linewidth=3)
    panel.plot(ours, at, "o", markersize=6, color=OKABE_ITO[0], label=OURS)
    panel.plot(theirs, at, "D", markersize=6, color=OKABE_ITO[1], label="fastest peer, named on the left")
    panel.set(yticks=at, yticklabels=labels, xscale="log")
    panel.set_xlabel("seconds of training, to within 1 % of the minimum")
    panel.invert_yaxis()
    panel.grid(axis="x", color="#e3e6ea", zorder=0)
    panel.set_axisbelow(True)
    figure.legend(loc="outside upper right", ncols=2, title=where)
    save(figure, "summary")
