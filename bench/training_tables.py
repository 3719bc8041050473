"""The tables of training, of the results of `convergence.py`, `choices.py` and `descent.py`."""

import math

import numpy as np
import pandas as pd

from cases import RACES, TRAININGS
from convergence import LEVELS, gaps, seconds_to
from descent import FIRST, FIRST_ROWS
from rivals import OURS
from tables import NOTHING, PRECISION, Missing, markdown, measured_on, seconds_text, significant, times_text

INTERCEPT_MARKS = {"free": "", "penalised": "†", "none": "‡"}
LEVEL_NAMES = [f"{level:.0e}" for level in LEVELS]
FAR = 1.5  # times the best of our solvers: further than that, auto has chosen badly
HOW_TO_READ = (
    "Seconds of a fit from scratch until F - F* <= 1e-2, 1e-4, 1e-6 of F*, interpolated between runs of growing "
    "effort; medians over processes. Ratios are fastxent's time over the peer's: below one, fastxent is faster. F is "
    "evaluated by one plain float64 function, each library runs on one thread or on all, whichever is faster, and a "
    "dash says that the level was not reached in the time given. Two-class problems also have peers that penalise the "
    "intercept (†) or have none (‡): they are measured against the least value of what they minimise.\n"
)


class Outcome:
    """What one problem's record says of each trainer; ``seconds`` has a row for each, and a column for each level."""

    def __init__(self, record):
        self.record, self.name, self.trainers = record, record["problem"], record["trainers"]
        runs = {name: (t["points"], record["least"][t["intercepts"]]) for name, t in self.trainers.items()}
        self.gaps = {name: gaps(*of) for name, of in runs.items()}
        times = {name: [seconds_to(level, *of) for level in LEVELS] for name, of in runs.items()}
        self.seconds = pd.DataFrame.from_dict(times, orient="index", columns=LEVEL_NAMES)
        by_us = self.seconds.index.str.startswith(OURS)
        self.ours, self.peers = self.seconds[by_us], self.seconds[~by_us]
        self.own = self.seconds.loc[OURS] if OURS in times else None

    def mark(self, name):
        return name + INTERCEPT_MARKS[self.trainers[name]["intercepts"]]

    def against(self, trainers, level):
        """Return who of some trainers reached a level first, the seconds, and our time over them; None if nobody."""
        column, own = trainers[level].dropna(), self.own[level]
        if column.empty:
            return None
        best = column.min()
        return column.idxmin(), best, "not reached" if math.isnan(own) else f"{own / best:.2f}"


def outcomes(known):
    """Return the outcomes of a processor's races, in the order of the problems."""
    found = {record["problem"]: Outcome(record) for record in known.get("training", ())}
    chosen = [found[case.label] for case in TRAININGS if case.label in found]
    return [outcome for outcome in chosen if outcome.own is not None]


def table(known, row_of, *notes):
    """Return a table of a row for each problem."""
    if not (found := outcomes(known)):
        raise Missing("training")
    rows = markdown([{"problem": outcome.name, **row_of(outcome)} for outcome in found])
    after = [line for note in notes for line in note(found)]
    return "\n".join([rows, *after, measured_on(known, "training")])


def race(known):
    """Return the table of ourselves and the fastest peer at each level."""

    def row(outcome):
        cells = {f"{OURS} {level}": seconds_text(outcome.own[level]) for level in LEVEL_NAMES}
        for level in LEVEL_NAMES:
            best = outcome.against(outcome.peers, level)
            text = best and f"{best[2]}, {outcome.mark(best[0])} {seconds_text(best[1])}"
            cells[f"fastest peer {level}"] = text or NOTHING
        return cells

    return f"{HOW_TO_READ}\n{table(known, row)}"


def choices(known):
    """Return the table of our solvers, how far auto is from the best of them, and where it or we are behind."""

    def row(outcome):
        last = outcome.ours[LEVEL_NAMES[-1]].map(seconds_text)
        cells = {"auto takes": outcome.record["choice"], "auto": last.pop(OURS)}
        for level in LEVEL_NAMES:
            best = outcome.against(outcome.ours, level)
            cells[f"auto / best, {level}"] = best[2] if best else NOTHING
        return cells | {name.removeprefix(OURS).strip(): text for name, text in last.items()}

    return table(known, row, behind)


def behind(found):
    """Return the lines that say where auto is far from the best of our solvers, and where a peer is ahead."""
    far, ahead = [], []
    for outcome in found:
        for level in LEVEL_NAMES:
            for places, trainers, most in ((far, outcome.ours, FAR), (ahead, outcome.peers, 1.0)):
                best = outcome.against(trainers, level)
                if best and not outcome.own[level] <= most * best[1]:
                    who = outcome.mark(best[0]).removeprefix(OURS).strip()
                    places.append(f"{outcome.name}, {level} ({best[2]}, {who})")
    yield f"auto takes more than {FAR} times as long as the best of our solvers: {'; '.join(far) or 'nowhere'}.\n"
    yield f"A peer is ahead of auto: {'; '.join(ahead) or 'nowhere'}.\n"


def tolerances(known):
    """Return the table of what tol gives."""

    def row(outcome):
        cells, least = {}, outcome.record["least"]["free"]
        for level, fit in zip(LEVEL_NAMES, outcome.record.get("tol", []), strict=False):
            cells[f"tol {level}: F over the least"] = f"{max(fit['objective'] / least - 1, 0.0):.0e}"
            cells[f"tol {level}: time"] = seconds_text(np.median(fit["seconds"]))
        return cells

    return table(known, row)


def everybody(outcome):
    """Return the table of one problem: all trainers, the fastest to the last level first."""
    rows = []
    for name, times in outcome.seconds.sort_values(LEVEL_NAMES[::-1]).iterrows():
        trainer, best = outcome.trainers[name], max(outcome.gaps[name][1].min(), 0.0)
        extra = trainer["extra_megabytes"]
        row = {"trainer": outcome.mark(name), "threads": str(trainer["threads"]), **times.map(seconds_text)}
        row |= {"best F over the least": f"{best:.0e}", "first run": seconds_text(trainer["first"])}
        rows.append(row | {"extra MB": NOTHING if extra is None else f"{extra:.0f}"})
    return f"### {outcome.name}\n\n{markdown(rows)}"


# ------------------------------------------------------------------------------------ the cost model of auto


def cost_model(known):
    """Return the table of auto's choices on random problems, and that of the cost model fitted to them."""
    frame = pd.DataFrame(known.get("choices", []))
    sparse = frame[frame["kind"] != "dense"] if len(frame) else frame
    if len(sparse) < 10:
        raise Missing("choices")
    where = f"One thread. {measured_on(known, 'choices')}"
    return "\n".join([regret_table(frame), model_table(sparse), where])


def regrets(case):
    """Return auto's time over that of the best solver to each level; inf where it did not get there."""
    seconds = pd.DataFrame(case["seconds"], dtype=float)
    return (seconds[case["choice"]] / seconds.min(axis=1)).fillna(np.inf)


def regret_table(frame):
    few = np.where(frame["classes"] == 2, "CSR, two classes", "CSR, more classes")
    groups = frame.apply(regrets, axis=1).groupby(frame["kind"].where(frame["kind"] != "CSR", few))
    rows = []
    for name in [
        name for name in ("CSR, two classes", "CSR, more classes", "text", "dense") if name in groups.groups
    ]:
        found = groups.get_group(name)
        row = {"problems": name, "number": str(len(found))}
        for level, of_level in zip(LEVEL_NAMES, found, strict=True):
            row[f"median, {level}"] = f"{found[of_level].median():.2f}"
            row[f"within 1.5x, {level}"] = f"{100 * (found[of_level] <= 1.5).mean():.0f} %"
        rows.append(row)
    return markdown(rows)


def model_table(frame):
    """Return the table of the cost model at each level, and the spread of what it leaves, in powers of ten.

    log(seconds of sdca / seconds of metric)
        = start + a log(stiffness) + b log K + c log(rows / columns) + e log(entries of a row)
    """
    known = {
        "start": 10.0,
        "stiffness": frame["stiffness"],
        "K": frame["classes"].replace(2, 1),
        "rows / columns": frame["rows"] / frame["features"],
        "entries of a row": frame["entries"] / frame["rows"],
    }
    design, seconds = np.log10(pd.DataFrame(known)), pd.DataFrame(list(frame["seconds"]), frame.index)
    rows = []
    for i, level in enumerate(LEVEL_NAMES):
        sdca, metric = seconds["sdca"].str[i].astype(float), seconds["metric"].str[i].astype(float)
        kept = metric.notna()
        # A run of sdca that did not get there took at least ten times as long, for all that matters here.
        ratios, of_cases = np.log10((sdca / metric).fillna(10.0).clip(0.1, 10.0))[kept], design[kept]
        found = np.linalg.lstsq(of_cases, ratios, rcond=None)[0]
        values = dict(zip(design, found, strict=True)) | {"spread": np.std(ratios - of_cases @ found)}
        row = {"level": level, "problems": str(len(frame))}
        rows.append(row | {name: f"{value:.2f}" for name, value in values.items()})
    return markdown(rows)


# ------------------------------------------------------------------------------------ descent


def way_to_goal(record):
    """Return time and epochs to the goal, or what was reached instead."""

    def text(epochs):
        return f"{seconds_text(record['one'] + (epochs - 1) * record['epoch'])}, {epochs:.1f}"

    if record["searched"] is None:
        loss, epochs = record["best"]
        return f"never: {loss:.3f} at best, after {epochs}"
    way = f"{text(record['searched'])} epochs"
    if record["rival"] == OURS:
        way += f" (automatic step: {text(record['automatic']) if record['automatic'] else 'never'})"
    return way


def race_table(records):
    records = [r | {"one": np.median(r["first"]), "epoch": np.median(r["seconds"])} for r in records]
    ours = {record["dtype"]: record["epoch"] for record in records if record["rival"] == OURS}
    rows = []
    for record in sorted(records, key=lambda r: (r["rival"] != OURS, r["epoch"])):
        row = {
            "": f"{record['rival']}, {PRECISION[record['dtype']]}",
            "rows/s": f"{significant(record['rows'] / record['epoch'] / 1e3)}k",
            "an epoch": seconds_text(record["epoch"]),
        }
        for dtype, short in PRECISION.items():
            unit = ours.get(dtype, math.nan) if record["rival"] != OURS else math.nan
            row[f"against ours, {short}"] = times_text(record["epoch"] / unit)
        row["log loss after one"] = f"{record['loss']:.3f}"
        row["extra MB"] = significant(record["extra_megabytes"], 2)
        if record["goal"]:
            row[f"to log loss {record['goal']:.3f}"] = way_to_goal(record)
        rows.append(row)
    return markdown(rows)


def descent(known):
    if not known.get("descent"):
        raise Missing("descent")
    by_race = {name: [] for name in (*(case.name for case in RACES.values()), FIRST)}
    for record in known["descent"]:
        by_race.setdefault(record["race"], []).append(record)
    first = by_race.pop(FIRST)
    parts = [f"**{name}**\n\n{race_table(records)}" for name, records in by_race.items() if records]
    if first:
        parts.append(
            f"**A fresh process**: import, and one epoch on the first {FIRST_ROWS:,} rows of the glosses\n"
        )
        times = {"import": "import", "first epoch": "first"}
        rows = [{"": r["rival"]} | {name: seconds_text(r[key]) for name, key in times.items()} for r in first]
        parts.append(markdown(rows))
    return "\n".join([*parts, measured_on(known, "descent")])
