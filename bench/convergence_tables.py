"""The tables and the picture of the races to the optimum, of the results of `convergence.py`."""

import math

import numpy as np

import figures
from convergence import LEVELS, gaps, seconds_to
from rivals import OURS
from tables import NOTHING, markdown, measured_on, seconds_text
from training import TRAININGS

INTERCEPT_MARKS = {"free": "", "penalised": "†", "none": "‡"}
LEVEL_NAMES = [f"{level:.0e}" for level in LEVELS]
FAR = 1.5  # times the best of our solvers: further than that, auto has chosen badly
DRAWN = (  # the problems of the picture, by the beginnings of their labels
    "Fashion-MNIST 60,000 x 784, 10 classes, l2 1e-04",
    "clusters 200,000 x 20, 26 classes, l2 1e-05",
    "breast_cancer raw",
    "glosses, words, 45 classes, l2 1e-05",
    "glosses, words, two classes, l2 1e-05",
    "glosses, words, 45 classes, l1 3e-04",
)
HOW_TO_READ = (
    "Seconds of a fit from scratch until F - F* <= 1e-2, 1e-4, 1e-6 of F*, interpolated between runs of growing "
    "effort; medians over processes. Ratios are fastxent's time over the peer's: below one, fastxent is faster. F is "
    "evaluated by one plain float64 function, each library runs on one thread or on all, whichever is faster, and a "
    "dash says that the level was not reached in the time given. Two-class problems also have peers that penalise the "
    "intercept (†) or have none (‡): they are measured against the least value of what they minimise.\n"
)


class Outcome:
    """What one problem's record says of each trainer."""

    def __init__(self, record):
        self.record, self.name, self.trainers = record, record["problem"], record["trainers"]
        self.seconds = {
            name: [seconds_to(level, t["points"], self.optimum(t)) for level in LEVELS]
            for name, t in self.trainers.items()
        }
        self.ours = [name for name in self.trainers if name.startswith(OURS)]
        self.peers = [name for name in self.trainers if not name.startswith(OURS)]

    def optimum(self, trainer):
        return self.record["least"][trainer["intercepts"]]

    def mark(self, name):
        return name + INTERCEPT_MARKS[self.trainers[name]["intercepts"]]

    def fastest(self, names, i):
        """Return who reached level i first, and the seconds; (None, NaN) if nobody did."""
        reached = [name for name in names if not math.isnan(self.seconds[name][i])]
        name = min(reached, key=lambda name: self.seconds[name][i], default=None)
        return name, self.seconds[name][i] if name else math.nan


def quotient(own, other):
    """Return our time over another's, which is known."""
    return "not reached" if math.isnan(own) else f"{own / other:.2f}"


def outcomes(known):
    """Return the outcomes of a processor's races, in the order of the problems."""
    found = {record["problem"]: record for record in known.get("training", ())}
    chosen = [found[t.label] for t in TRAININGS if t.label in found]
    return [Outcome(record) for record in chosen if OURS in record["trainers"]]


# ------------------------------------------------------------------------------------ sections


def race(known):
    """Return the table of ourselves and the fastest peer at each level, None without races."""
    rows = []
    for outcome in outcomes(known):
        own = outcome.seconds[OURS]
        row = {"problem": outcome.name}
        row |= {f"{OURS} {level}": seconds_text(s) for level, s in zip(LEVEL_NAMES, own, strict=True)}
        for i, level in enumerate(LEVEL_NAMES):
            name, seconds = outcome.fastest(outcome.peers, i)
            row[f"fastest peer {level}"] = (
                f"{quotient(own[i], seconds)}, {outcome.mark(name)} {seconds_text(seconds)}"
                if name
                else NOTHING
            )
        rows.append(row)
    return "\n".join([HOW_TO_READ, markdown(rows), measured_on(known, "training")]) if rows else None


def choices(known):
    """Return the table of our solvers, how far auto is from the best of them, and where it or we are behind."""
    if not (found := outcomes(known)):
        return None
    solvers = list(dict.fromkeys(name for outcome in found for name in outcome.ours if name != OURS))
    rows = []
    for outcome in found:
        row = {"problem": outcome.name, "auto takes": outcome.record["choice"]}
        for name in (OURS, *solvers):
            row[name.removeprefix(OURS).strip() or "auto"] = seconds_text(
                outcome.seconds.get(name, [None])[-1]
            )
        for i, level in enumerate(LEVEL_NAMES):
            name, seconds = outcome.fastest(outcome.ours, i)
            row[f"auto / best, {level}"] = quotient(outcome.seconds[OURS][i], seconds) if name else NOTHING
        rows.append(row)
    return "\n".join([markdown(rows), *behind(found), measured_on(known, "training")])


def behind(found):
    """Return the lines that say where auto is far from the best of our solvers, and where a peer is ahead."""
    places = {"far": [], "ahead": []}
    for outcome in found:
        for i, level in enumerate(LEVEL_NAMES):
            own = outcome.seconds[OURS][i]
            for kind, names, most in (("far", outcome.ours, FAR), ("ahead", outcome.peers, 1.0)):
                name, seconds = outcome.fastest(names, i)
                if name and not own <= most * seconds:
                    who = outcome.mark(name).removeprefix(OURS).strip()
                    places[kind].append(f"{outcome.name}, {level} ({quotient(own, seconds)}, {who})")
    far, ahead = ("; ".join(lines) or "nowhere" for lines in places.values())
    return [
        f"auto takes more than {FAR} times as long as the best of our solvers: {far}.\n",
        f"A peer is ahead of auto: {ahead}.\n",
    ]


def tolerances(known):
    """Return the table of what tol gives, None without races."""
    rows = []
    for outcome in outcomes(known):
        row, least = {"problem": outcome.name}, outcome.record["least"]["free"]
        for level, fit in zip(LEVEL_NAMES, outcome.record.get("tol", []), strict=False):
            row[f"tol {level}: F over the least"] = f"{max(fit['objective'] / least - 1, 0.0):.0e}"
            row[f"tol {level}: time"] = seconds_text(fit["seconds"])
        rows.append(row)
    return "\n".join([markdown(rows), measured_on(known, "training")]) if rows else None


def everybody(outcome):
    """Return the table of one problem: all trainers, the fastest to the last level first."""
    rows = []
    order = sorted(
        outcome.trainers, key=lambda name: [np.nan_to_num(s, nan=np.inf) for s in outcome.seconds[name]][::-1]
    )
    for name in order:
        trainer = outcome.trainers[name]
        _, gap = gaps(trainer["points"], outcome.optimum(trainer))
        row = {"trainer": outcome.mark(name), "threads": str(trainer["threads"])}
        row |= {level: seconds_text(s) for level, s in zip(LEVEL_NAMES, outcome.seconds[name], strict=True)}
        row |= {
            "best F over the least": f"{max(gap.min(), 0.0):.0e}",
            "first run": seconds_text(trainer["first"]),
        }
        row["extra MB"] = (
            NOTHING if trainer["extra_megabytes"] is None else f"{trainer['extra_megabytes']:.0f}"
        )
        rows.append(row)
    return f"### {outcome.name}\n\n{markdown(rows)}"


# ------------------------------------------------------------------------------------ picture


def draw(known):
    """Draw relative suboptimality over seconds of everybody's runs; return whether these results have what is drawn."""
    found = outcomes(known)
    chosen = [outcome for start in DRAWN for outcome in found if outcome.name.startswith(start)]
    if len(chosen) < len(DRAWN):
        return False
    from matplotlib import ticker

    figure, panels = figures.subplots(2, math.ceil(len(chosen) / 2), figsize=(10.5, 7), squeeze=False)
    names = list(dict.fromkeys(name for outcome in chosen for name in outcome.peers))
    looks = {
        name: {"color": f"C{i % 10}", "linestyle": ("-", "--", ":")[i // 10]} for i, name in enumerate(names)
    }
    handles = {}
    for panel, outcome in zip(panels.flat, chosen, strict=False):
        for name in (*outcome.peers, OURS):
            trainer = outcome.trainers[name]
            seconds, gap = gaps(trainer["points"], outcome.optimum(trainer))
            style = {"linewidth": 1, **looks[name]} if name != OURS else {"linewidth": 2.5, "color": "black"}
            shown = np.maximum.accumulate(seconds), np.maximum(np.minimum.accumulate(gap), 1e-8)
            (handles[outcome.mark(name)],) = panel.loglog(*shown, marker=".", markersize=3, **style)
        for level in LEVELS:
            panel.axhline(level, color="0.8", linewidth=0.7, zorder=0)
        panel.set_ylim(1e-8, 3)
        panel.set_title(outcome.name, fontsize=8)
        decades = np.diff(np.log10(panel.get_xlim()))[0]
        panel.xaxis.set_major_locator(
            ticker.LogLocator(subs=(1.0,) if decades > 2 else (1.0, 3.0), numticks=6)
        )
        panel.xaxis.set_major_formatter(ticker.FuncFormatter(lambda seconds, _: f"{seconds:g}"))
        panel.xaxis.set_minor_formatter(ticker.NullFormatter())
    for panel in panels[-1]:
        panel.set_xlabel("seconds")
    for panel in panels[:, 0]:
        panel.set_ylabel("F / F* - 1")
    where = {"loc": "outside lower center", "ncols": 6, "fontsize": 7, "frameon": False}
    figure.legend(handles.values(), handles.keys(), **where)
    figures.save(figure, "convergence")
    return True
