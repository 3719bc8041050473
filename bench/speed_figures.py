"""Two pictures of single evaluations and the tables below them, of the results of `run.py --all`.

How near the machine's limits are they, and how does time grow with rows, classes and non-zeros?

In the roofline a case stands at its arithmetic per byte (the products' flops over the bytes that must move, see
limits.py) and at the rate of arithmetic reached. Above it there is only the roof: the processor's rate of matrix
products, and to the left what can be computed on bytes as they arrive.
"""

import numpy as np

import cases
import figures
from limits import READ_MEGABYTES, read_rate
from rivals import OURS
from speed_tables import GROWTH, frame_of, native_races, ours, share_of_limit
from tables import PRECISION, markdown, measured_on, seconds_text, times_text

SHOWN = (
    "Fashion-MNIST",
    "581,012 x 54",
    "60,000 x 784, two",
    "20,000 x 512",
    "20,000 x 16",
    "1,797 x 64",
    "WordNet glosses, words",
    "text 64,000",
    "text 20,000",
)
LAYOUTS = {"FEATURES": "o", "CLASSES": "s", "SPARSE": "^"}
SIZES = {  # of our records
    "rows": lambda work: work["rows"],
    "classes": lambda work: work["exponentials"] // work["rows"],
    "non-zeros": lambda work: work["entries"],
}


# ------------------------------------------------------------------------------------ roofline


def shown(known):
    """Return {case: {precision: (our record, NumPy's seconds)}}, threads and rates; None if something is missing."""
    if (found := native_races(known)) is None:
        return None
    frame, threads, rates = found
    by_case = {}
    for (case, dtype), group in frame[frame["case"].str.startswith(SHOWN)].groupby(
        ["case", "dtype"], sort=False
    ):
        own, numpy = ours(group[group["threads"] == threads]), group[group["rival"] == "NumPy"]["median"]
        if own is not None and len(numpy):
            by_case.setdefault(case, {})[dtype] = own, numpy.min()
    by_case = {case: pairs for case, pairs in by_case.items() if len(pairs) == len(PRECISION)}
    return (by_case, threads, rates) if len(by_case) > 3 else None


def draw_roofline(known):
    """Draw it; return whether these results have what is drawn."""
    if (found := shown(known)) is None:
        return False
    by_case, threads, rates = found
    figure, panels = figures.subplots(1, 2, figsize=(9, 5.2), sharey=True)
    for panel, (dtype, short) in zip(panels, reversed(PRECISION.items()), strict=True):
        x = np.geomspace(0.1, 2000, 200)
        for megabytes, style in ((READ_MEGABYTES[0], ":"), (16, "--"), (READ_MEGABYTES[-1], "-")):
            roof = np.minimum(rates[f"product GFLOP/s {dtype}"], x * read_rate(megabytes * 2**20, rates))
            panel.plot(x, roof, "k", linestyle=style, linewidth=1, label=f"reading {megabytes} MB")
        colours = {layout: iter(figures.OKABE_ITO) for layout in LAYOUTS}
        for case, pairs in by_case.items():
            own, numpy = pairs[short]
            work = own["work"]
            at, gigaflops = work["flops"] / sum(size for size, _ in work["moves"]), work["flops"] / 1e9
            reached, peer = gigaflops / own["median"], gigaflops / numpy
            looks = {"color": next(colours[work["layout"]]), "marker": LAYOUTS[work["layout"]]}
            panel.plot([at] * 2, [peer, reached], color=looks["color"], linewidth=0.7)
            panel.plot(at, peer, fillstyle="none", markersize=5, **looks)
            panel.plot(at, reached, markersize=7, linestyle="", label=case, **looks)
        for layout, marker in LAYOUTS.items():
            panel.plot([], [], marker, color="grey", label=f"{layout} (of NumPy: hollow)")
        panel.set(xscale="log", yscale="log", xlabel="flops a byte", title=dtype)
    panels[0].set_ylabel(f"GFLOP/s, {threads} threads")
    names = {"loc": "outside lower center", "ncols": 3, "fontsize": 7.5, "frameon": False}
    figure.legend(*panels[0].get_legend_handles_labels(), **names)
    figures.save(figure, "roofline")
    return True


def roofline_table(known):
    """Return the section of docs/performance.md, None if these results do not have it."""
    if (found := shown(known)) is None:
        return None
    by_case, threads, rates = found
    rows = []
    for case, pairs in by_case.items():
        works = [own["work"] for own, _ in pairs.values()]
        row = {"case": case, "layout": works[0]["layout"]}
        row["rows of a block"] = " / ".join(dict.fromkeys(str(work["block"]) for work in works))
        for dtype, (own, numpy) in pairs.items():
            row[dtype] = seconds_text(own["median"])
            row[f"{dtype}, of the limit"] = share_of_limit(own, rates)
            row[f"{dtype}, NumPy"] = times_text(numpy / own["median"])
        rows.append(row)
    machine = [
        {f"the machine, {threads} threads": name, "rate": f"{rate:.1f}"} for name, rate in rates.items()
    ]
    how = f"Loss and gradient on {threads} threads. NumPy: how many times as long it takes."
    return "\n".join([markdown(rows), f"{how} {measured_on(known, 'speed')}", markdown(machine)])


# ------------------------------------------------------------------------------------ growth


def curves(known):
    """Return {(sweep, precision): (sizes, seconds)} and the number of threads; None if something is missing."""
    if (frame := frame_of(known, GROWTH)) is None:
        return None
    threads, found = frame["threads"].max(), {}
    frame = frame[(frame["rival"] == OURS) & (frame["threads"] == threads)]
    for name, (_, of_sweep) in cases.GROWTH.items():
        for dtype in PRECISION.values():
            some = frame[frame["case"].isin([case.name for case in of_sweep]) & (frame["dtype"] == dtype)]
            if len(some) < 2:
                return None
            points = sorted(zip(some["work"].map(SIZES[name]), some["median"], strict=True))
            found[name, dtype] = np.array(points).T
    return found, threads


def draw_growth(known):
    """Draw it; return whether these results have what is drawn."""
    if (found := curves(known)) is None:
        return False
    of, threads = found
    figure, panels = figures.subplots(1, len(cases.GROWTH), figsize=(9.5, 3.2))
    for panel, (name, (what, _)) in zip(panels, cases.GROWTH.items(), strict=True):
        for long, dtype in reversed(PRECISION.items()):
            size, seconds = of[name, dtype]
            panel.loglog(size, 1e3 * seconds, figures.MARKS[long], color=figures.COLOURS[long], label=long)
        panel.loglog(size, 1e3 * seconds[-1] * size / size[-1], "k:", linewidth=1, label="linear")
        panel.set(xlabel=name)
        panel.set_title(what, fontsize=7.5)
    panels[0].set_ylabel(f"ms, {threads} threads")
    panels[0].legend(frameon=False, fontsize=8)
    figures.save(figure, "growth")
    return True


def growth_table(known):
    """Return the section of docs/performance.md, None if these results do not have it."""
    if (found := curves(known)) is None:
        return None
    of, threads = found
    rows = []
    for name, (what, _) in cases.GROWTH.items():
        size, _ = of[name, "f64"]
        row = {"over": name, "of": what, "from to": f"{size[0]:,.0f} to {size[-1]:,.0f}"}
        for dtype in reversed(PRECISION.values()):  # b of the line log(seconds) = a + b log(size)
            row[f"exponent, {dtype}"] = f"{np.polyfit(*np.log(of[name, dtype]), 1)[0]:.2f}"
        rows.append(row)
    return f"{markdown(rows)}\nLoss and gradient on {threads} threads. {measured_on(known, 'speed')}"
