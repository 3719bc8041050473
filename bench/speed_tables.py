"""The tables of single evaluations: by processor, of all cases, of single predictions."""

import numpy as np
import pandas as pd

from cases import CASES
from evaluations import ESTIMATOR
from limits import least_seconds
from processes import CONFIGURATIONS, ours_alone
from rivals import OURS
from tables import (
    NOTHING,
    PRECISION,
    markdown,
    measured_on,
    ratio_text,
    seconds_text,
    significant,
    times_text,
)

MAIN, PROBABILITIES, LATENCY, GROWTH = "loss + gradient", "class probabilities", "latency", "growth"
LONG = {short: long for long, short in PRECISION.items()}
TITLES = {
    "native": "Native",
    "AVX2": "Everybody held to AVX2",
    "caches 32K, 1M, 16M": "Native, fastxent told that the caches are Skylake's (32K, 1M, 16M)",
}


def frame_of(known, *tasks):
    """Return the records of some tasks with a column of median seconds, in the order of the cases; None without any."""
    frame = pd.DataFrame([record for record in known.get("speed", []) if record["task"] in tasks])
    if frame.empty:
        return None
    frame["dtype"] = frame["dtype"].map(PRECISION)
    frame["median"] = frame["seconds"].map(np.median)
    places = {case.name: place for place, case in enumerate(CASES)}
    by = {"task": tasks.index, "case": lambda name: places.get(name, len(places))}
    return frame.sort_values(list(by), key=lambda column: column.map(by[column.name]), kind="stable")


def fastest(frame):
    """Return the record of the least time, or None."""
    return frame.loc[frame["median"].idxmin()] if len(frame) else None


def ours(frame):
    return fastest(frame[frame["rival"] == OURS])


def best_peer(frame):
    return fastest(frame[~frame["rival"].str.startswith(OURS)])


# ------------------------------------------------------------------------------------ by processor


def speed_text(record):
    """Return a time, or the rows a second of predictions."""
    if record is None:
        return NOTHING
    if record["task"] == PROBABILITIES and pd.notna(record.get("rows")):
        return f"{record['rows'] / record['median'] / 1e6:.2f}M rows/s"
    return seconds_text(record["median"])


def times_rows(group):
    """Yield a line of times for each number of threads."""
    first = None
    for n in sorted(group["threads"].unique()):
        own = ours(group[group["threads"] == n])
        best = best_peer(group[group["threads"] <= n])  # some peers are faster on fewer threads
        compared = own is not None and best is not None
        row = {"threads": str(n), OURS: speed_text(own)}
        row["best peer"] = NOTHING if best is None else f"{speed_text(best)}, {best['rival']}"
        row["ours / best"] = ratio_text(own["median"] / best["median"] if compared else None)
        row["speed-up by threads"] = NOTHING
        if own is not None and first is not None:
            row["speed-up by threads"] = f"{first / own['median']:.2f}"
        elif own is not None:
            first = own["median"]
        yield row


def details_rows(group):
    """Yield what else is known of a case on most threads: of ours and of the best peer."""
    own = ours(group[group["threads"] == group["threads"].max()])
    records = [{} if record is None else record for record in (own, best_peer(group))]

    def pair(column, text):
        cells = [NOTHING if pd.isna(record.get(column)) else text(record[column]) for record in records]
        return NOTHING if cells == [NOTHING] * 2 else " / ".join(cells)

    loss = records[0].get("value")
    row = {
        "loss": NOTHING if pd.isna(loss) else f"{loss:.6f}",
        "first call": pair("first", seconds_text),
        "extra MB": pair("extra_megabytes", lambda size: significant(size, 2)),
        "deviation": pair("error", lambda error: f"{error:.0e}"),
    }
    if set(row.values()) != {NOTHING}:
        yield row


def processor_tables(known):
    """Return a heading and a table for each configuration of one processor, and one of details."""
    frame = frame_of(known, MAIN, PROBABILITIES)
    if frame is None:
        return ""
    compared = frame[~frame["case"].isin([case.name for case in CASES if not case.compared])]
    frame = compared if len(compared) else frame
    native = frame[frame["configuration"] == "native"]
    parts = [f"### {known['processor']}\n", *(f"{note}\n" for note in known.get("notes", []))]
    for configuration in [c for c in CONFIGURATIONS if c in set(frame["configuration"])]:
        some = frame[frame["configuration"] == configuration]
        if ours_alone(configuration):  # the peers of the native races, which took place at the same time
            some = pd.concat([some, native[~native["rival"].str.startswith(OURS)]])
            some = some[some["case"].isin(frame["case"][frame["configuration"] == configuration])]
        parts += [f"{TITLES[configuration]}:\n", by_case(some, times_rows)]
    if details := by_case(native, details_rows):
        parts += ["Native on most threads, fastxent's / the best peer's:\n", details]
    return "\n".join([*parts, measured_on(known, "speed")])


def by_case(frame, rows_of):
    """Return the table of the rows ``rows_of(group)`` of each task, case and precision; None if there are none."""
    rows = []
    for (task, case, dtype), group in frame.groupby(["task", "case", "dtype"], sort=False, dropna=False):
        what = "predict_proba, " if task == PROBABILITIES else ""
        name = f"{what}{case}" + (f", {dtype}" if isinstance(dtype, str) else "")
        rows += [{MAIN: "" if i else name, **row} for i, row in enumerate(rows_of(group))]
    return markdown(rows) if rows else None


def every_processor(results):
    """Return the section of docs/performance.md: all processors recorded."""
    return "\n".join(filter(None, map(processor_tables, results)))


# ------------------------------------------------------------------------------------ all cases


HOW_TO_READ = (
    'Loss + gradient, {} threads. Times are medians over processes; "2.5x" means that the peer takes 2.5 times as long '
    "as fastxent (bold where the peer is faster). Every library runs in processes of its own, on one thread or on all, "
    "whichever is faster. The limit is what moving the data, or the multiplications and exponentials, would take at "
    "the full speed measured on the same machine, whichever is longer (bench/limits.py).\n"
)


def native_races(known):
    """Return the frame of loss + gradient, the most threads, and the machine's rates; None if something is missing."""
    if (frame := frame_of(known, MAIN)) is None:
        return None
    frame = frame[frame["configuration"] == "native"]
    threads = frame["threads"].max()
    rates = known.get("limits", {}).get(str(threads))
    return (frame, threads, rates) if rates else None


def share_of_limit(own, rates):
    return f"{100 * least_seconds(own['work'], LONG[own['dtype']], rates) / own['median']:.0f} %"


def all_cases(known):
    """Return the table of all cases, None without the machine's limits."""
    if (found := native_races(known)) is None:
        return None
    frame, threads, rates = found
    rows = []
    for (case, dtype), group in frame.groupby(["case", "dtype"], sort=False):
        own, best = ours(group[group["threads"] == threads]), best_peer(group)
        if own is None or best is None:
            continue
        row = {"case": f"{case}, {dtype}", OURS: seconds_text(own["median"])}
        row["of the limit"] = share_of_limit(own, rates)
        for family in ("NumPy", "scikit-learn", "PyTorch", "JAX"):
            peer = fastest(group[group["rival"].str.startswith(family)])
            row[family] = NOTHING if peer is None else against(peer["median"], own["median"])
        row["against the best peer"] = f"{times_text(best['median'] / own['median'])}, {best['rival']}"
        rows.append(row)
    return "\n".join([HOW_TO_READ.format(threads), markdown(rows), measured_on(known, "speed")])


def against(peer, own):
    return f"{seconds_text(peer)}, {times_text(peer / own)}"


# ------------------------------------------------------------------------------------ single predictions


def single_predictions(known):
    """Return the table of predictions asked for alone, None if there are none."""
    if (frame := frame_of(known, LATENCY)) is None:
        return None
    how = (
        "Medians over processes of their own, on one thread, in float64; onnxruntime in float32 or float64, whichever "
        'is faster, and with dense rows of text. "2.5x": 2.5 times as long as the predictor (bold where it is '
        "faster).\n"
    )
    rows = []
    for case, group in frame.groupby("case", sort=False):
        median = group.set_index("rival")["median"]
        row = {"": case, "predictor": seconds_text(median[OURS])}
        for name in (ESTIMATOR, "scikit-learn", "NumPy", "onnxruntime"):
            title = {ESTIMATOR: "`predict_proba`", "NumPy": "NumPy by hand"}.get(name, name)
            if name in median:
                row[title] = against(median[name], median[OURS])
        rows.append(row)
    return "\n".join([how, markdown(rows), measured_on(known, "speed")])
