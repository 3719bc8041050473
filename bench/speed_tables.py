"""The tables of single evaluations: by processor, all cases, single predictions, how near the machine's limits they
are, and how time grows with rows, classes and non-zeros."""

import numpy as np
import pandas as pd

from cases import CASES
from cases import GROWTH as SWEEPS
from limits import least_seconds
from processes import CACHES, CONFIGURATIONS, OURS_ALONE
from rivals import ESTIMATOR, OURS
from tables import (
    NOTHING,
    PRECISION,
    Missing,
    markdown,
    measured_on,
    ratio_text,
    seconds_text,
    significant,
    times_text,
)

MAIN, PROBABILITIES, LATENCY, GROWTH = "loss + gradient", "class probabilities", "latency", "growth"
FAMILIES = ("NumPy", "scikit-learn", "PyTorch", "JAX")
TITLES = {
    "native": "Native",
    "AVX2": "Everybody held to AVX2",
    CACHES: "Native, fastxent told that the caches are Skylake's (32K, 1M, 16M)",
}
ROOFLINE = (  # the beginnings of the names of the cases shown
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
SIZES = {  # of our records
    "rows": lambda work: work["rows"],
    "classes": lambda work: work["exponentials"] // work["rows"],
    "non-zeros": lambda work: work["entries"],
}


def frame_of(known, *tasks):
    """Return the records of some tasks with a column of median seconds, in the order of the cases."""
    frame = pd.DataFrame([record for record in known.get("speed", []) if record["task"] in tasks])
    if frame.empty:
        raise Missing(tasks)
    frame["short"], frame["median"] = frame["dtype"].map(PRECISION), frame["seconds"].map(np.median)
    frame["ours"] = frame["rival"].str.startswith(OURS)
    places = {case.name: place for place, case in enumerate(CASES)}
    by = {"task": tasks.index, "case": lambda name: places.get(name, len(places))}
    return frame.sort_values(list(by), key=lambda column: column.map(by[column.name]), kind="stable")


def fastest(frame):
    """Return the record of the least time; an empty one if there is none."""
    return frame.loc[frame["median"].idxmin()] if len(frame) else pd.Series({"median": np.nan})


# ------------------------------------------------------------------------------------ by processor


def speed_text(record):
    """Return a time, or the rows a second of predictions."""
    if record.get("task") == PROBABILITIES and pd.notna(record.get("rows")):
        return f"{record['rows'] / record['median'] / 1e6:.2f}M rows/s"
    return seconds_text(record["median"])


def times_rows(group):
    """Yield a line of times for each number of threads."""
    first = np.nan
    for n in sorted(group["threads"].unique()):
        own = fastest(group[(group["rival"] == OURS) & (group["threads"] == n)])
        best = fastest(
            group[~group["ours"] & (group["threads"] <= n)]
        )  # some peers are faster on fewer threads
        peer = f", {best['rival']}" if len(best) > 1 else ""
        row = {"threads": str(n), OURS: speed_text(own), "best peer": speed_text(best) + peer}
        speedup = first / own["median"]
        row["ours / best"] = ratio_text(own["median"] / best["median"])
        row["speed-up by threads"] = NOTHING if pd.isna(speedup) else f"{speedup:.2f}"
        first = own["median"] if pd.isna(first) else first
        yield row


def details_rows(group):
    """Yield what else is known of a case on most threads: of ours and of the best peer."""
    own = fastest(group[(group["rival"] == OURS) & (group["threads"] == group["threads"].max())])
    records, loss = (own, fastest(group[~group["ours"]])), own.get("value")

    def pair(column, text):
        cells = [NOTHING if pd.isna(record.get(column)) else text(record[column]) for record in records]
        return NOTHING if cells == [NOTHING] * 2 else " / ".join(cells)

    row = {
        "loss": NOTHING if pd.isna(loss) else f"{loss:.6f}",
        "first call": pair("first", seconds_text),
        "extra MB": pair("extra_megabytes", lambda size: significant(size, 2)),
        "deviation": pair("error", lambda error: f"{error:.0e}"),
    }
    if set(row.values()) != {NOTHING}:
        yield row


def by_case(frame, rows_of):
    """Return the table of the rows ``rows_of(group)`` of each task, case and precision."""
    rows = []
    for (task, case, short), group in frame.groupby(["task", "case", "short"], sort=False, dropna=False):
        what = "predict_proba, " if task == PROBABILITIES else ""
        name = f"{what}{case}" + (f", {short}" if isinstance(short, str) else "")
        rows += [{MAIN: "" if i else name, **row} for i, row in enumerate(rows_of(group))]
    return markdown(rows) if rows else ""


def processor_tables(known):
    """Return a heading and a table for each configuration of one processor, and one of details."""
    frame = frame_of(known, MAIN, PROBABILITIES)
    compared = frame[~frame["case"].isin([case.name for case in CASES if not case.compared])]
    frame = compared if len(compared) else frame
    native = frame[frame["configuration"] == "native"]
    parts = [f"### {known['processor']}\n", *(f"{note}\n" for note in known.get("notes", []))]
    for configuration in [c for c in CONFIGURATIONS if c in set(frame["configuration"])]:
        some = frame[frame["configuration"] == configuration]
        if configuration in OURS_ALONE:  # the peers of the native races, which took place at the same time
            some = pd.concat([some, native[native["case"].isin(some["case"]) & ~native["ours"]]])
        parts += [f"{TITLES[configuration]}:\n", by_case(some, times_rows)]
    if details := by_case(native, details_rows):
        parts += ["Native on most threads, fastxent's / the best peer's:\n", details]
    return "\n".join([*parts, measured_on(known, "speed")])


# ------------------------------------------------------------------------------------ all cases, and the limits


HOW_TO_READ = (
    'Loss + gradient, {} threads. Times are medians over processes; "2.5x" means that the peer takes 2.5 times as long '
    "as fastxent (bold where the peer is faster). Every library runs in processes of its own, on one thread or on all, "
    "whichever is faster. The limit is what moving the data, or the multiplications and exponentials, would take at "
    "the full speed measured on the same machine, whichever is longer (bench/limits.py).\n"
)


def native_races(known):
    """Return our records of loss + gradient on most threads, everybody's seconds, threads and the machine's rates."""
    frame = frame_of(known, MAIN)
    frame = frame[frame["configuration"] == "native"]
    threads, cases = frame["threads"].max(), ["case", "short"]
    if not (rates := known.get("limits", {}).get(str(threads))):
        raise Missing("limits")
    own = frame[(frame["rival"] == OURS) & (frame["threads"] == threads)].set_index(cases)
    seconds = frame.groupby([*cases, "rival"], sort=False)["median"].min().unstack("rival")
    limit = [least_seconds(work, dtype, rates) for dtype, work in zip(own["dtype"], own["work"], strict=True)]
    own["of the limit"] = [f"{share:.0f} %" for share in 100 * np.array(limit) / own["median"]]
    return own, seconds.drop(columns=OURS, errors="ignore").reindex(own.index), threads, rates


def all_cases(known):
    """Return the table of all cases."""
    owns, peers, threads, _ = native_races(known)
    rows = []
    for key, own in owns[peers.notna().any(axis=1)].iterrows():
        row = {"case": ", ".join(key), OURS: seconds_text(own["median"]), "of the limit": own["of the limit"]}
        for family in FAMILIES:
            row[family] = against(peers.loc[key].filter(regex=f"^{family}").min(), own["median"])
        best = peers.loc[key]
        row["against the best peer"] = f"{times_text(best.min() / own['median'])}, {best.idxmin()}"
        rows.append(row)
    return "\n".join([HOW_TO_READ.format(threads), markdown(rows), measured_on(known, "speed")])


def against(peer, own):
    return NOTHING if pd.isna(peer) else f"{seconds_text(peer)}, {times_text(peer / own)}"


def roofline(known):
    """Return our records of the cases shown, with NumPy's seconds; threads and rates."""
    own, peers, threads, rates = native_races(known)
    own["NumPy"] = peers.get("NumPy")
    own = own[own["NumPy"].notna() & own.index.get_level_values("case").str.startswith(ROOFLINE)]
    own = own[own.groupby("case")["median"].transform("size") == len(PRECISION)]
    if len(own) <= 3 * len(PRECISION):
        raise Missing("cases")
    return own, threads, rates


def roofline_table(known):
    owns, threads, rates = roofline(known)
    rows = []
    for case, group in owns.groupby("case", sort=False):
        blocks = dict.fromkeys(str(work["block"]) for work in group["work"])
        row = {"case": case, "layout": group["work"].iloc[0]["layout"], "rows of a block": " / ".join(blocks)}
        for (_, short), own in group.iterrows():
            row[short], row[f"{short}, of the limit"] = seconds_text(own["median"]), own["of the limit"]
            row[f"{short}, NumPy"] = times_text(own["NumPy"] / own["median"])
        rows.append(row)
    what = f"the machine, {threads} threads"
    machine = [{what: name, "rate": f"{rate:.1f}"} for name, rate in rates.items()]
    how = f"Loss and gradient on {threads} threads. NumPy: how many times as long it takes."
    return "\n".join([markdown(rows), f"{how} {measured_on(known, 'speed')}", markdown(machine)])


# ------------------------------------------------------------------------------------ growth, single predictions


def growth(known):
    """Return {(sweep, precision): (sizes, seconds)} and the number of threads."""
    frame, found = frame_of(known, GROWTH), {}
    threads = frame["threads"].max()
    frame = frame[(frame["rival"] == OURS) & (frame["threads"] == threads)]
    for name, (_, of_sweep) in SWEEPS.items():
        for short in PRECISION.values():
            some = frame[frame["case"].isin([case.name for case in of_sweep]) & (frame["short"] == short)]
            if len(some) < 2:
                raise Missing(name)
            points = sorted(zip(some["work"].map(SIZES[name]), some["median"], strict=True))
            found[name, short] = np.array(points).T
    return found, threads


def growth_table(known):
    (of, threads), rows = growth(known), []
    for name, (what, _) in SWEEPS.items():
        size, _ = of[name, "f64"]
        row = {"over": name, "of": what, "from to": f"{size[0]:,.0f} to {size[-1]:,.0f}"}
        for short in ("f64", "f32"):  # b of the line log(seconds) = a + b log(size)
            row[f"exponent, {short}"] = f"{np.polyfit(*np.log(of[name, short]), 1)[0]:.2f}"
        rows.append(row)
    return f"{markdown(rows)}\nLoss and gradient on {threads} threads. {measured_on(known, 'speed')}"


def single_predictions(known):
    """Return the table of predictions asked for alone."""
    how = (
        "Medians over processes of their own, on one thread, in float64; onnxruntime in float32 or float64, whichever "
        'is faster, and with dense rows of text. "2.5x": 2.5 times as long as the predictor (bold where it is '
        "faster).\n"
    )
    titles = {ESTIMATOR: "`predict_proba`", "scikit-learn": "scikit-learn", "NumPy": "NumPy by hand"}
    titles["onnxruntime"] = "onnxruntime"
    rows = []
    for case, group in frame_of(known, LATENCY).groupby("case", sort=False):
        median = group.set_index("rival")["median"]
        row = {"": case, "predictor": seconds_text(median[OURS])}
        rows.append(row | {to: against(median.get(name), median[OURS]) for name, to in titles.items()})
    return "\n".join([how, markdown(rows), measured_on(known, "speed")])
