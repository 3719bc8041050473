"""All tables of docs/ that show measured figures, and what they share.

A function that makes a table takes what is known of one processor, and raises `Missing` if that is not enough.
"""

import itertools
import math

import numpy as np
import pandas as pd

import store
from cases import CASES, GROWTH, RACES, TRAININGS
from convergence import LEVELS, gaps, seconds_to
from descent import FIRST, FIRST_ROWS
from limits import least_seconds
from processes import CACHES, CONFIGURATIONS, OURS_ALONE
from rivals import ESTIMATOR, OURS

PRECISION = {"float32": "f32", "float64": "f64"}
NOTHING = "–"
BUSY = 0.3  # processors busy with other work, above which figures are not worth publishing
MAIN, PROBABILITIES = "loss + gradient", "class probabilities"
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
SIZES = {  # of what grows, in our records
    "rows": lambda work: work["rows"],
    "classes": lambda work: work["exponentials"] // work["rows"],
    "non-zeros": lambda work: work["entries"],
}
INTERCEPT_MARKS = {"free": "", "penalised": "†", "none": "‡"}
LEVEL_NAMES = [f"{level:.0e}" for level in LEVELS]
FAR = 1.5  # times the best of our solvers: further than that, auto has chosen badly
OF_EVALUATIONS = (
    'Loss + gradient, {} threads. Times are medians over processes; "2.5x" means that the peer takes 2.5 times as long '
    "as fastxent (bold where the peer is faster). Every library runs in processes of its own, on one thread or on all, "
    "whichever is faster. The limit is what moving the data, or the multiplications and exponentials, would take at "
    "the full speed measured on the same machine, whichever is longer (bench/limits.py).\n"
)
OF_REQUESTS = (
    "Medians over processes of their own, on one thread, in float64; onnxruntime in float32 or float64, whichever is "
    'faster, and with dense rows of text. "2.5x": 2.5 times as long as the predictor (bold where it is faster).\n'
)
OF_TRAINING = (
    "Seconds of a fit from scratch until F - F* <= 1e-2, 1e-4, 1e-6 of F*, interpolated between runs of growing "
    "effort; medians over processes. Ratios are fastxent's time over the peer's: below one, fastxent is faster. F is "
    "evaluated by one plain float64 function, each library runs on one thread or on all, whichever is faster, and a "
    "dash says that the level was not reached in the time given. Two-class problems also have peers that penalise the "
    "intercept (†) or have none (‡): they are measured against the least value of what they minimise.\n"
)


class Missing(LookupError):
    """These results do not have what a table or a picture shows."""


def seconds_text(seconds):
    """Return a time in the unit that a person would use."""
    if pd.isna(seconds):
        return NOTHING
    unit, size = next((u for u in (("s", 1.0), ("ms", 1e-3)) if seconds >= 0.9995 * u[1]), ("µs", 1e-6))
    return f"{significant(seconds / size)} {unit}"


def significant(value, digits=3):
    """Return about ``digits`` digits, without an exponent."""
    if pd.isna(value):
        return NOTHING
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{decimals}f}"


def ratio_text(ratio):
    """Return our time over a peer's; above one, where the peer beats us, in bold."""
    return NOTHING if pd.isna(ratio) else f"{ratio:.2f}" if ratio <= 1 else f"**{ratio:.2f}**"


def times_text(ratio):
    """Return how many times slower a rival is; below one, where it beats us, in bold."""
    text = f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x"
    return NOTHING if pd.isna(ratio) else text if ratio >= 1 else f"**{text}**"


def against(peers, own):
    """Return the texts of peers' seconds, and how many times ours they are."""
    texts = [(seconds_text(peer), times_text(peer / us)) for peer, us in zip(peers, own, strict=True)]
    return [NOTHING if seconds == NOTHING else f"{seconds}, {times}" for seconds, times in texts]


def markdown(rows):
    """Return a Markdown table of rows (dicts of column to text, or a frame) without its empty columns."""
    frame = pd.DataFrame(rows).fillna(NOTHING)
    frame = frame[[name for i, name in enumerate(frame) if i == 0 or (frame[name] != NOTHING).any()]]
    aligned = ["left"] + ["right"] * (frame.shape[1] - 1)
    return frame.to_markdown(index=False, disable_numparse=True, colalign=aligned) + "\n"


def measured_on(known, part):
    """Return where, when and with what a part of the results was measured."""
    days = store.dates(known, part)
    caches = f", caches {known['caches']}" if "caches" in known else ""
    where = f"{known['processor']} ({known['processors']} processors{caches})"
    when = f", {' to '.join(dict.fromkeys((days[0], days[-1])))}" if days else ""
    what = ", ".join(f"{name} {version}" for name, version in known["versions"].get(part, {}).items())
    line = f"Measured on {where}{when}{what and '; ' + what}."
    if (load := known.get("busy", {}).get(part, 0)) > BUSY:
        line += f" **A draft: the machine was busy (load {load:.1f}).**"
    return line + "\n"


# ------------------------------------------------------------------------------------ evaluations, by processor


def evaluations(known, *tasks):
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
    """Return the record of the least time; one of nothing if there is none."""
    return frame.loc[frame["median"].idxmin()] if len(frame) else pd.Series({"median": np.nan})


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
        # Some peers are faster on fewer threads.
        best = fastest(group[~group["ours"] & (group["threads"] <= n)])
        peer = f", {best['rival']}" if "rival" in best else ""
        row = {"threads": str(n), OURS: speed_text(own), "best peer": speed_text(best) + peer}
        row["ours / best"] = ratio_text(own["median"] / best["median"])
        speedup = first / own["median"]
        row["speed-up by threads"] = NOTHING if pd.isna(speedup) else f"{speedup:.2f}"
        first = own["median"] if pd.isna(first) else first
        yield row


def details_rows(group):
    """Yield what else is known of a case on most threads: of ours and of the best peer."""
    own = fastest(group[(group["rival"] == OURS) & (group["threads"] == group["threads"].max())])
    records = own, fastest(group[~group["ours"]])

    def pair(column, text, records=records):
        cells = [NOTHING if pd.isna(record.get(column)) else text(record[column]) for record in records]
        return NOTHING if set(cells) == {NOTHING} else " / ".join(cells)

    row = {
        "loss": pair("value", "{:.6f}".format, records[:1]),
        "first call": pair("first", seconds_text),
        "extra MB": pair("extra_megabytes", lambda size: significant(size, 2)),
        "deviation": pair("error", "{:.0e}".format),
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
    frame = evaluations(known, MAIN, PROBABILITIES)
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


# ------------------------------------------------------------------------------------ evaluations, of all cases


def native_races(known):
    """Return our records of loss + gradient on most threads, everybody's seconds, threads and the machine's rates."""
    frame = evaluations(known, MAIN)
    frame = frame[frame["configuration"] == "native"]
    threads, key = frame["threads"].max(), ["case", "short"]
    if not (rates := known.get("limits", {}).get(str(threads))):
        raise Missing("limits")
    own = frame[(frame["rival"] == OURS) & (frame["threads"] == threads)].set_index(key)
    seconds = frame.groupby([*key, "rival"], sort=False)["median"].min().unstack("rival")
    limit = [least_seconds(work, dtype, rates) for dtype, work in zip(own["dtype"], own["work"], strict=True)]
    own["of the limit"] = [f"{share:.0f} %" for share in 100 * np.array(limit) / own["median"]]
    return own, seconds.drop(columns=OURS, errors="ignore").reindex(own.index), threads, rates


def all_cases(known):
    """Return the table of all cases."""
    own, peers, threads, _ = native_races(known)
    raced = peers.notna().any(axis=1)
    (own, peers), times = (own[raced], peers[raced]), own["median"][raced]
    columns = {
        "case": map(", ".join, own.index),
        OURS: times.map(seconds_text),
        "of the limit": own["of the limit"],
    }
    for family in ("NumPy", "scikit-learn", "PyTorch", "JAX"):
        columns[family] = against(peers.filter(regex=f"^{family}").min(axis=1), times)
    best = zip((peers.min(axis=1) / times).map(times_text), peers.idxmin(axis=1), strict=True)
    columns["against the best peer"] = map(", ".join, best)
    rows = markdown({name: list(cells) for name, cells in columns.items()})
    return "\n".join([OF_EVALUATIONS.format(threads), rows, measured_on(known, "speed")])


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
    machine = {f"the machine, {threads} threads": list(rates), "rate": [f"{r:.1f}" for r in rates.values()]}
    how = f"Loss and gradient on {threads} threads. NumPy: how many times as long it takes."
    return "\n".join([markdown(rows), f"{how} {measured_on(known, 'speed')}", markdown(machine)])


def growth(known):
    """Return {(sweep, precision): (sizes, seconds)} of our records, and the number of threads."""
    frame, found = evaluations(known, "growth"), {}
    threads = frame["threads"].max()
    frame = frame[(frame["rival"] == OURS) & (frame["threads"] == threads)]
    for name, (_, cases) in GROWTH.items():
        for short in PRECISION.values():
            some = frame[frame["case"].isin([case.name for case in cases]) & (frame["short"] == short)]
            if len(some) < 2:
                raise Missing(name)
            points = sorted(zip(some["work"].map(SIZES[name]), some["median"], strict=True))
            found[name, short] = np.array(points).T
    return found, threads


def growth_table(known):
    (of, threads), rows = growth(known), []
    for name, (what, _) in GROWTH.items():
        size, _ = of[name, "f64"]
        row = {"over": name, "of": what, "from to": f"{size[0]:,.0f} to {size[-1]:,.0f}"}
        for short in ("f64", "f32"):  # b of the line log(seconds) = a + b log(size)
            row[f"exponent, {short}"] = f"{np.polyfit(*np.log(of[name, short]), 1)[0]:.2f}"
        rows.append(row)
    return f"{markdown(rows)}\nLoss and gradient on {threads} threads. {measured_on(known, 'speed')}"


def single_predictions(known):
    """Return the table of predictions asked for alone."""
    frame = evaluations(known, "latency")
    seconds = frame.groupby(["case", "rival"], sort=False)["median"].min().unstack("rival")
    columns = {"": seconds.index, "predictor": seconds[OURS].map(seconds_text)}
    titles = {ESTIMATOR: "`predict_proba`", "NumPy": "NumPy by hand"}
    for name in (ESTIMATOR, "scikit-learn", "NumPy", "onnxruntime"):
        if name in seconds:
            columns[titles.get(name, name)] = against(seconds[name], seconds[OURS])
    return "\n".join([OF_REQUESTS, markdown(columns), measured_on(known, "speed")])


# ------------------------------------------------------------------------------------ training to the optimum


class Outcome:
    """What one problem's record says of each trainer; ``seconds`` has a row for each, and a column for each level."""

    def __init__(self, record):
        self.record, self.name, self.trainers = record, record["problem"], record["trainers"]
        runs = {name: (t["points"], record["least"][t["intercepts"]]) for name, t in self.trainers.items()}
        self.gaps = {name: gaps(*of) for name, of in runs.items()}
        times = {name: [seconds_to(level, *of) for level in LEVELS] for name, of in runs.items()}
        self.seconds = pd.DataFrame.from_dict(times, orient="index", columns=LEVEL_NAMES)
        by_us = self.seconds.index.str.startswith(OURS)
        self.ours, self.peers, self.own = self.seconds[by_us], self.seconds[~by_us], self.seconds.loc[OURS]

    def mark(self, name):
        return name + INTERCEPT_MARKS[self.trainers[name]["intercepts"]]

    def best(self, trainers, level):
        """Return who of some trainers reached a level first, the seconds, and our time over them, if anybody did."""
        if trainers[level].isna().all():
            return NOTHING, math.nan, NOTHING
        own, best = self.own[level], trainers[level].min()
        return trainers[level].idxmin(), best, "not reached" if math.isnan(own) else f"{own / best:.2f}"


def outcomes(known):
    """Return the outcomes of a processor's races, in the order of the problems."""
    found = {record["problem"]: record for record in known.get("training", ()) if OURS in record["trainers"]}
    return [Outcome(found[case.label]) for case in TRAININGS if case.label in found]


def by_problem(known, row_of, notes=lambda found: []):
    """Return a table of a row for each problem."""
    if not (found := outcomes(known)):
        raise Missing("training")
    rows = markdown([{"problem": outcome.name, **row_of(outcome)} for outcome in found])
    return "\n".join([rows, *notes(found), measured_on(known, "training")])


def race(known):
    """Return the table of ourselves and the fastest peer at each level."""

    def row(outcome):
        cells = {f"{OURS} {level}": seconds_text(outcome.own[level]) for level in LEVEL_NAMES}
        for level in LEVEL_NAMES:
            who, seconds, ratio = outcome.best(outcome.peers, level)
            text = NOTHING if who == NOTHING else f"{ratio}, {outcome.mark(who)} {seconds_text(seconds)}"
            cells[f"fastest peer {level}"] = text
        return cells

    return f"{OF_TRAINING}\n{by_problem(known, row)}"


def choices(known):
    """Return the table of our solvers, how far auto is from the best of them, and where it or we are behind."""

    def row(outcome):
        last = outcome.ours[LEVEL_NAMES[-1]].map(seconds_text)
        cells = {"auto takes": outcome.record["choice"], "auto": last.pop(OURS)}
        cells |= {f"auto / best, {level}": outcome.best(outcome.ours, level)[2] for level in LEVEL_NAMES}
        return cells | {name.removeprefix(OURS).strip(): text for name, text in last.items()}

    def behind(found):
        far, ahead = [], []
        for outcome, level in itertools.product(found, LEVEL_NAMES):
            for places, trainers, most in ((far, outcome.ours, FAR), (ahead, outcome.peers, 1.0)):
                who, seconds, ratio = outcome.best(trainers, level)
                if who != NOTHING and not outcome.own[level] <= most * seconds:
                    name = outcome.mark(who).removeprefix(OURS).strip()
                    places.append(f"{outcome.name}, {level} ({ratio}, {name})")
        what = f"auto takes more than {FAR} times as long as the best of our solvers"
        yield f"{what}: {'; '.join(far) or 'nowhere'}.\n"
        yield f"A peer is ahead of auto: {'; '.join(ahead) or 'nowhere'}.\n"

    return by_problem(known, row, behind)


def tolerances(known):
    """Return the table of what tol gives."""

    def row(outcome):
        cells, least = {}, outcome.record["least"]["free"]
        for level, fit in zip(LEVEL_NAMES, outcome.record.get("tol", []), strict=False):
            cells[f"tol {level}: F over the least"] = f"{max(fit['objective'] / least - 1, 0.0):.0e}"
            cells[f"tol {level}: time"] = seconds_text(np.median(fit["seconds"]))
        return cells

    return by_problem(known, row)


def everybody(outcome):
    """Return the table of one problem: all trainers, the fastest to the last level first."""
    rows = []
    for name, times in outcome.seconds.sort_values(LEVEL_NAMES[::-1]).iterrows():
        trainer, best = outcome.trainers[name], max(outcome.gaps[name][1].min(), 0.0)
        row = {"trainer": outcome.mark(name), "threads": str(trainer["threads"]), **times.map(seconds_text)}
        row |= {"best F over the least": f"{best:.0e}", "first run": seconds_text(trainer["first"])}
        extra = trainer["extra_megabytes"]
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


def regret_table(frame):
    """Return the table of auto's time over that of the best solver; inf where it did not get there."""
    of_cases = [pd.DataFrame(case["seconds"], dtype=float) for _, case in frame.iterrows()]
    pairs = zip(of_cases, frame["choice"], strict=True)
    ratios = [(seconds[choice] / seconds.min(axis=1)).fillna(np.inf) for seconds, choice in pairs]
    ratios = pd.DataFrame(ratios, frame.index).set_axis(LEVEL_NAMES, axis=1)
    few = np.where(frame["classes"] == 2, "CSR, two classes", "CSR, more classes")
    groups, rows = dict(list(ratios.groupby(frame["kind"].where(frame["kind"] != "CSR", few)))), []
    for name in filter(groups.__contains__, ("CSR, two classes", "CSR, more classes", "text", "dense")):
        row = {"problems": name, "number": str(len(groups[name]))}
        for level, found in groups[name].items():
            row[f"median, {level}"] = f"{found.median():.2f}"
            row[f"within 1.5x, {level}"] = f"{100 * (found <= 1.5).mean():.0f} %"
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


def descent(known):
    """Return the tables of descents, and of fresh processes."""
    if not known.get("descent"):
        raise Missing("descent")
    by_race = {name: [] for name in (*(case.name for case in RACES.values()), FIRST)}
    for record in known["descent"]:
        by_race.setdefault(record["race"], []).append(record)
    first = by_race.pop(FIRST)
    parts = [f"**{name}**\n\n{descent_table(records)}" for name, records in by_race.items() if records]
    if first:
        what = f"import, and one epoch on the first {FIRST_ROWS:,} rows of the glosses"
        times = {"import": "import", "first epoch": "first"}
        rows = [{"": r["rival"]} | {name: seconds_text(r[key]) for name, key in times.items()} for r in first]
        parts += [f"**A fresh process**: {what}\n", markdown(rows)]
    return "\n".join([*parts, measured_on(known, "descent")])


def descent_table(records):
    records = [r | {"one": np.median(r["first"]), "epoch": np.median(r["seconds"])} for r in records]
    ours, rows = {record["dtype"]: record["epoch"] for record in records if record["rival"] == OURS}, []
    for record in sorted(records, key=lambda r: (r["rival"] != OURS, r["epoch"])):
        row = {
            "": f"{record['rival']}, {PRECISION[record['dtype']]}",
            "rows/s": f"{significant(record['rows'] / record['epoch'] / 1e3)}k",
            "an epoch": seconds_text(record["epoch"]),
        }
        for dtype, short in PRECISION.items():
            unit = ours.get(dtype, np.nan) if record["rival"] != OURS else np.nan
            row[f"against ours, {short}"] = times_text(record["epoch"] / unit)
        row["log loss after one"] = f"{record['loss']:.3f}"
        row["extra MB"] = significant(record["extra_megabytes"], 2)
        if record["goal"]:
            row[f"to log loss {record['goal']:.3f}"] = way_to_goal(record)
        rows.append(row)
    return markdown(rows)


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
