"""Draw the roofline picture of docs/performance.md, and write the table below it: `python bench/roofline.py`.

A case stands at its arithmetic per byte (the products' flops over the bytes that must move, see limits.py) and at
the rate of arithmetic reached. Above it there is only the roof: the processor's rate of matrix products, and to the
left what can be computed on bytes as they arrive. Takes about a minute.
"""

import os

import numpy as np
from matplotlib import pyplot as plt

import figures
from cases import CASES
from data import DataNotFound
from limits import READ_MEGABYTES, better, least_seconds, least_work, measure_limits, read_rate
from loss_gradient import RIVALS
from measure import busy_processors, race
from rivals import OURS
from run import log, processor
from table import BUSY, insert, markdown, seconds_text, share_text, times_text

SHOWN = (
    "Fashion-MNIST",
    "581,012 x 54",
    "60,000 x 784, binary",
    "20,000 x 512",
    "20,000 x 16",
    "1,797 x 64",
    "glosses, words",
    "64,000 x 40,000",
    "20,000 x 20,000",
)
SECONDS = 1.0  # for each race
LAYOUTS = {"FEATURES": "o", "CLASSES": "s", "SPARSE": "^"}


def layout(problem):
    """Return the name of the kernels' layout for a problem, and the rows of a block."""
    from fastxent.data.rows import bind

    rows = bind(problem.X, problem.theta.shape[1])
    return "SPARSE" if problem.sparse else "CLASSES" if rows.uses_theta else "FEATURES", rows.block


def measured(case, dtype, n_threads):
    """Return ours and NumPy's median seconds, the median ratio, and what must be done."""
    problem = case.problem(dtype)
    rivals = [rival for rival in RIVALS if rival.name in (OURS, "NumPy")]
    calls = {rival: rival.start(problem, n_threads)[0] for rival in rivals}
    seconds = race(calls, n_threads, SECONDS)
    ours = next(seconds[rival] for rival in seconds if rival.name == OURS)
    peer = min((seconds[rival] for rival in seconds if rival.name != OURS), key=np.median)
    name, block = layout(problem)
    return {
        "ours": float(np.median(ours)),
        "NumPy": float(np.median(peer)),
        "ratio": float(np.median(peer / ours)),
        "work": least_work(problem),
        "layout": name,
        "block": block,
    }


def point(record):
    """Return flops a byte."""
    return record["work"]["flops"] / sum(size for size, _ in record["work"]["moves"])


def draw(records, rates, n_threads):
    figure, panels = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True)
    for panel, dtype in zip(panels, ("float64", "float32"), strict=True):
        peak = rates[f"product GFLOP/s {dtype}"]
        x = np.geomspace(0.1, 2000, 200)
        for megabytes, style in ((READ_MEGABYTES[0], ":"), (16, "--"), (READ_MEGABYTES[-1], "-")):
            roof = np.minimum(peak, x * read_rate(megabytes * 2**20, rates))
            panel.plot(x, roof, "k", linestyle=style, linewidth=1, label=f"reading {megabytes} MB")
        for number, (_, by_dtype) in enumerate(records, 1):
            record = by_dtype[dtype]
            gigaflops = record["work"]["flops"] / 1e9
            ours, peer = gigaflops / record["ours"], gigaflops / record["NumPy"]
            colour, marker = figures.COLOURS[dtype], LAYOUTS[record["layout"]]
            panel.plot([point(record)] * 2, [peer, ours], color=colour, linewidth=0.7)
            panel.plot(point(record), peer, marker, color=colour, fillstyle="none", markersize=5)
            panel.plot(point(record), ours, marker, color=colour, markersize=7)
            panel.annotate(
                str(number), (point(record), ours), (6 if number % 2 else -11, -3), textcoords="offset points"
            )
        panel.set(xscale="log", yscale="log", xlabel="flops a byte", title=dtype)
    panels[0].set_ylabel(f"GFLOP/s, {n_threads} threads")
    for name, marker in LAYOUTS.items():
        panels[1].plot([], [], marker, color="grey", label=name)
    panels[1].plot([], [], "o", color="grey", fillstyle="none", markersize=5, label="NumPy")
    panels[1].legend(loc="lower right", frameon=False, fontsize=8)
    figures.save(figure, "roofline")


def table(records, rates, n_threads, load):
    header = ["", "case", "layout", "rows of a block"]
    header += [f"{dtype}{what}" for dtype in ("f64", "f32") for what in ("", ", of the limit", ", NumPy")]
    lines = []
    for number, (name, by_dtype) in enumerate(records, 1):
        record = by_dtype["float64"]
        line = [str(number), name, record["layout"]]
        line.append(" / ".join(dict.fromkeys(str(r["block"]) for r in by_dtype.values())))
        for dtype, record in by_dtype.items():
            limit = least_seconds(record["work"], dtype, rates)
            line += [
                seconds_text(record["ours"]),
                share_text(limit, record["ours"]),
                times_text(record["ratio"]),
            ]
        lines.append(line)
    where = f"Loss and gradient on {n_threads} threads of {processor()}"
    if load > BUSY:
        where += f"; **a draft: the machine was busy (load {load:.1f})**"
    machine = markdown(
        [f"the machine, {n_threads} threads", "rate"], [[name, f"{rate:.1f}"] for name, rate in rates.items()]
    )
    return f"{markdown(header, lines)}\n{where}. NumPy: how many times as long it takes.\n\n{machine}"


def main():
    n_threads, load = os.cpu_count(), busy_processors()
    log("the machine's limits")
    rates = measure_limits([n_threads])[n_threads]
    records = []
    for case in CASES:
        if not any(word in case.name for word in SHOWN):
            continue
        log(case.name)
        try:
            by_dtype = {
                np.dtype(dtype).name: measured(case, dtype, n_threads) for dtype in (np.float64, np.float32)
            }
        except DataNotFound as fault:
            log(f"    left out: {fault}")
            continue
        records.append((case.name, by_dtype))
    rates = better({n_threads: rates}, measure_limits([n_threads]))[n_threads]
    draw(records, rates, n_threads)
    insert(table(records, rates, n_threads, load), figures.PAGE, "roofline")


if __name__ == "__main__":
    main()
