"""The tables of single evaluations: by processor, of all cases, of single predictions."""

import numpy as np
import pandas as pd

from cases import CASES
from latency import ESTIMATOR
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

MAIN, PROBABILITIES, LATENCY = "loss + gradient", "class probabilities", "latency"
TITLES = {
    "native": "Native",
    "AVX2": "Everybody held to AVX2",
    "caches 32K, 1M, 16M": "Native, fastxent told that the caches are Skylake's (32K, 1M, 16M)",
}


def frame_of(known):
    """Return the records of single evaluations, one of the median seconds each."""
    frame = pd.DataFrame(known["speed"])
    frame["dtype"] = frame["dtype"].map(PRECISION).fillna("")
    places = {case.name: place for place, case in enumerate(CASES)}
    frame = frame.sort_values("case", key=lambda names: names.map(places), kind="stable")
    frame["median"] = frame["seconds"].map(np.median)
    for column in ("first", "extra_megabytes", "error", "value", "rows", "setting"):
        frame[column] = frame.get(column)
    return frame


def ours_and_best(frame):
    """Return our record and the fastest peer's, or None for each."""
    own, peers = frame[frame["rival"] == OURS], frame[~frame["rival"].str.startswith(OURS)]
    return (
        own.iloc[0] if len(own) else None,
        peers.loc[peers["median"].idxmin()] if len(peers) else None,
    )


# ------------------------------------------------------------------------------------ by processor


def speed_text(record):
    """Return a time, or the rows a second of predictions."""
    if record is None:
        return NOTHING
    if record["task"] == PROBABILITIES and record["rows"]:
        return f"{record['rows'] / record['median'] / 1e6:.2f}M rows/s"
    return seconds_text(record["median"])


def pair(own, best, column, text):
    """Return "ours / the best peer's" of a column."""
    cells = [NOTHING if r is None or pd.isna(r[column]) else text(r[column]) for r in (own, best)]
    return NOTHING if cells == [NOTHING] * 2 else " / ".join(cells)


def processor_row(frame, threads):
    """Return one line: a case in one configuration."""
    row, times = {}, {}
    for n in threads:
        own, _ = ours_and_best(frame[frame["threads"] == n])
        _, best = ours_and_best(frame[frame["threads"] <= n])  # some peers are faster on fewer threads
        at = f"{n} thread{'s' if n > 1 else ''}"
        row[f"{at}: {OURS}"] = speed_text(own)
        row[f"best peer, {at}"] = NOTHING if best is None else f"{best['rival']} {speed_text(best)}"
        compared = own is not None and best is not None
        row[f"ours / best, {at}"] = ratio_text(own["median"] / best["median"] if compared else None)
        times[n] = None if own is None else own["median"]
    known = [t for t in times.values() if t]
    row["speed-up by threads"] = f"{known[0] / known[-1]:.2f}" if len(known) > 1 else NOTHING
    row["loss"] = NOTHING if own is None or pd.isna(own["value"]) else f"{own['value']:.6f}"
    row["first call"] = pair(own, best, "first", seconds_text)
    row["extra MB"] = pair(own, best, "extra_megabytes", lambda size: significant(size, 2))
    row["deviation"] = pair(own, best, "error", lambda error: f"{error:.0e}")
    return row


def processor_tables(known):
    """Return a heading and a table for each configuration of one processor."""
    frame = frame_of(known)
    frame = pd.concat([frame[frame["task"] == task] for task in (MAIN, PROBABILITIES)])
    compared = frame[~frame["case"].isin([case.name for case in CASES if not case.compared])]
    frame = compared if len(compared) else frame
    parts = [f"### {known['processor']}\n", *(f"{note}\n" for note in known.get("notes", []))]
    for configuration in [c for c in CONFIGURATIONS if c in set(frame["configuration"])]:
        some = frame[frame["configuration"] == configuration]
        if ours_alone(configuration):  # the peers of the native races, which took place at the same time
            peers = frame[(frame["configuration"] == "native") & ~frame["rival"].str.startswith(OURS)]
            some = pd.concat([some, peers[peers["case"].isin(some["case"])]])
        rows = []
        threads = sorted(some["threads"].unique())
        for (task, case, dtype), group in some.groupby(["task", "case", "dtype"], sort=False):
            name = ", ".join(filter(None, [case, dtype]))
            name = f"predict_proba, {name}" if task == PROBABILITIES else name
            rows.append({MAIN: name, **processor_row(group, threads)})
        parts += [f"{TITLES[configuration]}:\n", markdown(rows)]
    return "\n".join([*parts, measured_on(known, "speed")])


def every_processor(results):
    """Return the section of docs/performance.md: all processors recorded."""
    return "\n".join(processor_tables(known) for known in results if "speed" in known)


# ------------------------------------------------------------------------------------ all cases


HOW_TO_READ = (
    'Loss + gradient, {} threads. Times are medians over processes; "2.5x" means that the peer takes 2.5 times as long '
    "as fastxent (bold where the peer is faster). Every library runs in processes of its own, on one thread or on all, "
    "whichever is faster. The limit is what moving the data, or the multiplications and exponentials, would take at "
    "the full speed measured on the same machine, whichever is longer (bench/limits.py).\n"
)


def fastest(frame, prefix):
    """Return the record of a family of rivals that is the fastest, or None."""
    some = frame[frame["rival"].str.startswith(prefix)]
    return some.loc[some["median"].idxmin()] if len(some) else None


def all_cases(known):
    """Return the table of all cases, None without the machine's limits."""
    if "limits" not in known or "speed" not in known:
        return None
    frame = frame_of(known)
    frame = frame[(frame["task"] == MAIN) & (frame["configuration"] == "native")]
    threads = frame["threads"].max()
    rates, rows = known["limits"][str(threads)], []
    for (case, dtype), group in frame.groupby(["case", "dtype"], sort=False):
        own, best = ours_and_best(group)  # on any number of threads
        own, _ = ours_and_best(group[group["threads"] == threads])
        if own is None or best is None:
            continue
        row = {"case": f"{case}, {dtype}", OURS: seconds_text(own["median"])}
        full = "float64" if dtype == "f64" else "float32"
        row["of the limit"] = f"{100 * least_seconds(own['work'], full, rates) / own['median']:.0f} %"
        for family in ("NumPy", "scikit-learn", "PyTorch", "JAX"):
            peer = fastest(group, family)
            row[family] = (
                NOTHING
                if peer is None
                else f"{seconds_text(peer['median'])}, {times_text(peer['median'] / own['median'])}"
            )
        row["against the best peer"] = f"{times_text(best['median'] / own['median'])}, {best['rival']}"
        rows.append(row)
    return "\n".join([HOW_TO_READ.format(threads), markdown(rows), measured_on(known, "speed")])


# ------------------------------------------------------------------------------------ single predictions


def single_predictions(known):
    """Return the table of predictions asked for alone, None if there are none."""
    if "speed" not in known:
        return None
    frame, rows = frame_of(known), []
    frame = frame[frame["task"] == LATENCY]
    for case, group in frame.groupby("case", sort=False):
        median = group.set_index("rival")["median"]
        row = {"": case, "predictor": seconds_text(median[OURS])}
        for name in (ESTIMATOR, "scikit-learn", "NumPy", "onnxruntime"):
            title = {ESTIMATOR: "`predict_proba`", "NumPy": "NumPy by hand"}.get(name, name)
            if name in median:
                row[title] = f"{seconds_text(median[name])}, {times_text(median[name] / median[OURS])}"
        rows.append(row)
    if not rows:
        return None
    how = (
        "Medians over processes of their own, on one thread, in float64; onnxruntime in float32 or float64, whichever "
        'is faster, and with dense rows of text. "2.5x": 2.5 times as long as the predictor (bold where it is '
        "faster).\n"
    )
    return "\n".join([how, markdown(rows), measured_on(known, "speed")])
