"""The roofline picture of docs/performance.md and the table below it, of the results of `run.py --all`.

A case stands at its arithmetic per byte (the products' flops over the bytes that must move, see limits.py) and at
the rate of arithmetic reached. Above it there is only the roof: the processor's rate of matrix products, and to the
left what can be computed on bytes as they arrive.
"""

import numpy as np

import figures
from limits import READ_MEGABYTES, least_seconds, read_rate
from rivals import OURS
from speed_tables import MAIN, frame_of
from tables import markdown, measured_on, seconds_text, times_text

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


def shown(known):
    """Return {case: {dtype: (our record, NumPy's seconds)}}, rates and threads; None if something is missing."""
    if "limits" not in known or "speed" not in known:
        return None
    frame = frame_of(known)
    frame = frame[
        (frame["task"] == MAIN) & (frame["configuration"] == "native") & frame["case"].str.startswith(SHOWN)
    ]
    threads, cases = frame["threads"].max(), {}
    for (case, dtype), group in frame.groupby(["case", "dtype"], sort=False):
        own = group[(group["rival"] == OURS) & (group["threads"] == threads)]
        numpy = group[group["rival"] == "NumPy"]["median"]
        if len(own) and len(numpy):
            name = {"f64": "float64", "f32": "float32"}[dtype]
            cases.setdefault(case, {})[name] = own.iloc[0], numpy.min()
    cases = {case: by_dtype for case, by_dtype in cases.items() if len(by_dtype) == 2}
    return (cases, known["limits"][str(threads)], threads) if len(cases) > 3 else None


def draw(known):
    """Draw it; return whether these results have what is drawn."""
    if not (found := shown(known)):
        return False
    cases, rates, threads = found
    figure, panels = figures.subplots(1, 2, figsize=(9, 4.8), sharey=True)
    for panel, dtype in zip(panels, ("float64", "float32"), strict=True):
        peak = rates[f"product GFLOP/s {dtype}"]
        x = np.geomspace(0.1, 2000, 200)
        for megabytes, style in ((READ_MEGABYTES[0], ":"), (16, "--"), (READ_MEGABYTES[-1], "-")):
            roof = np.minimum(peak, x * read_rate(megabytes * 2**20, rates))
            panel.plot(x, roof, "k", linestyle=style, linewidth=1, label=f"reading {megabytes} MB")
        for number, (case, by_dtype) in enumerate(cases.items()):
            own, numpy = by_dtype[dtype]
            work = own["work"]
            at, gigaflops = work["flops"] / sum(size for size, _ in work["moves"]), work["flops"] / 1e9
            ours, peer = gigaflops / own["median"], gigaflops / numpy
            looks = {"color": f"C{number}", "marker": LAYOUTS[work["layout"]]}
            panel.plot([at] * 2, [peer, ours], color=f"C{number}", linewidth=0.7)
            panel.plot(at, peer, fillstyle="none", markersize=5, **looks)
            panel.plot(
                at, ours, markersize=7, linestyle="", label=case if dtype == "float64" else None, **looks
            )
        panel.set(xscale="log", yscale="log", xlabel="flops a byte", title=dtype)
    panels[0].set_ylabel(f"GFLOP/s, {threads} threads")
    for name, marker in LAYOUTS.items():
        panels[1].plot([], [], marker, color="grey", label=name)
    panels[1].plot([], [], "o", color="grey", fillstyle="none", markersize=5, label="NumPy")
    panels[1].legend(loc="lower right", frameon=False, fontsize=8)
    names = dict(zip(*panels[0].get_legend_handles_labels()[::-1], strict=True))
    names = {name: handle for name, handle in names.items() if name in cases}
    figure.legend(names.values(), names, loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    figures.save(figure, "roofline")
    return True


def table(known):
    """Return the section of docs/performance.md, None if these results do not have it."""
    if not (found := shown(known)):
        return None
    cases, rates, threads = found
    rows = []
    for number, (case, by_dtype) in enumerate(cases.items(), 1):
        blocks = dict.fromkeys(str(own["work"]["block"]) for own, _ in by_dtype.values())
        row = {"": str(number), "case": case, "layout": by_dtype["float64"][0]["work"]["layout"]}
        row["rows of a block"] = " / ".join(blocks)
        for dtype, short in (("float64", "f64"), ("float32", "f32")):
            own, numpy = by_dtype[dtype]
            row[short] = seconds_text(own["median"])
            row[f"{short}, of the limit"] = (
                f"{100 * least_seconds(own['work'], dtype, rates) / own['median']:.0f} %"
            )
            row[f"{short}, NumPy"] = times_text(numpy / own["median"])
        rows.append(row)
    machine = [
        {f"the machine, {threads} threads": name, "rate": f"{rate:.1f}"} for name, rate in rates.items()
    ]
    how = f"Loss and gradient on {threads} threads. NumPy: how many times as long it takes."
    return "\n".join([markdown(rows), f"{how} {measured_on(known, 'speed')}", markdown(machine)])
