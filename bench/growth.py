"""How time grows with rows, classes and non-zeros: cases of `run.py --task growth`, a figure, a table."""

import numpy as np

import figures
from cases import GROWTH
from rivals import OURS
from speed_tables import frame_of
from tables import markdown, measured_on

DTYPES = {"f64": "float64", "f32": "float32"}
SIZES = {  # of our records
    "rows": lambda work: work["rows"],
    "classes": lambda work: work["exponentials"] // work["rows"],
    "non-zeros": lambda work: work["entries"],
}


def curves(known):
    """Return {(sweep, dtype): (sizes, seconds)} and the number of threads; None if something is missing."""
    frame = frame_of(known) if "speed" in known else None
    if frame is None or "growth" not in set(frame["task"]):
        return None
    frame = frame[(frame["task"] == "growth") & (frame["rival"] == OURS)]
    threads, found = frame["threads"].max(), {}
    for name, (_, cases) in GROWTH.items():
        for dtype in DTYPES:
            some = frame[frame["case"].isin([case.name for case in cases]) & (frame["dtype"] == dtype)]
            some = some[some["threads"] == threads]
            points = sorted((SIZES[name](record["work"]), record["median"]) for _, record in some.iterrows())
            if len(points) < 2:
                return None
            found[name, dtype] = np.array(points).T
    return found, threads


def draw(known):
    """Draw it; return whether these results have what is drawn."""
    if not (found := curves(known)):
        return False
    figure, panels = figures.subplots(1, len(GROWTH), figsize=(9.5, 3.2))
    for panel, (name, (what, _)) in zip(panels, GROWTH.items(), strict=True):
        for dtype, long in DTYPES.items():
            size, seconds = found[0][name, dtype]
            panel.loglog(size, 1e3 * seconds, "o-", color=figures.COLOURS[long], markersize=4, label=long)
        panel.loglog(size, 1e3 * seconds[-1] * size / size[-1], "k:", linewidth=1, label="linear")
        panel.set(xlabel=name)
        panel.set_title(what, fontsize=7.5)
    panels[0].set_ylabel(f"ms, {found[1]} threads")
    panels[0].legend(frameon=False, fontsize=8)
    figures.save(figure, "growth")
    return True


def table(known):
    """Return the section of docs/performance.md, None if these results do not have it."""
    if not (found := curves(known)):
        return None
    rows = []
    for name, (what, _) in GROWTH.items():
        size, _ = found[0][name, "f64"]
        row = {"over": name, "of": what, "from to": f"{size[0]:,.0f} to {size[-1]:,.0f}"}
        for dtype in DTYPES:  # b of the line log(seconds) = a + b log(size)
            row[f"exponent, {dtype}"] = f"{np.polyfit(*np.log(found[0][name, dtype]), 1)[0]:.2f}"
        rows.append(row)
    return f"{markdown(rows)}\nLoss and gradient on {found[1]} threads. {measured_on(known, 'speed')}"
