"""The tables and the picture of the races to the optimum, of the results of `convergence.py`."""

import math

import numpy as np
import pandas as pd

import figures
from convergence import LEVELS, gaps, seconds_to
from rivals import OURS
from tables import NOTHING, markdown, measured_on, seconds_text
from training import TRAININGS

INTERCEPT_MARKS = {"free": "", "penalised": "†", "none": "‡"}
LEVEL_NAMES = [f"{level:.0e}" for level in LEVELS]
FAR = 1.5  # times the best of our solvers: further than that, auto has chosen badly
DRAWN = (  # the first problems of the picture, by the beginnings of their labels
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
    """What one problem's record says of each trainer; ``seconds`` has a row for each, and a column for each level."""

    def __init__(self, record):
        self.record, self.name, self.trainers = record, record["problem"], record["trainers"]
        times = {
            name: [seconds_to(level, trainer["points"], self.optimum(trainer)) for level in LEVELS]
            for name, trainer in self.trainers.items()
        }
        self.seconds = pd.DataFrame.from_dict(times, orient="index", columns=LEVEL_NAMES)
        by_us = self.seconds.index.str.startswith(OURS)
        self.ours, self.peers = self.seconds[by_us], self.seconds[~by_us]

    def optimum(self, trainer):
        return self.record["least"][trainer["intercepts"]]

    def gaps(self, name):
        return gaps(self.trainers[name]["points"], self.optimum(self.trainers[name]))

    def mark(self, name):
        return name + INTERCEPT_MARKS[self.trainers[name]["intercepts"]]

    def own(self, level):
        return self.seconds.at[OURS, level]

    def against(self, trainers, level):
        """Return who of some trainers reached a level first, the seconds, and our time over them; None if nobody."""
        column = trainers[level].dropna()
        if column.empty:
            return None
        own, best = self.own(level), column.min()
        return column.idxmin(), best, "not reached" if math.isnan(own) else f"{own / best:.2f}"


def outcomes(known):
    """Return the outcomes of a processor's races, in the order of the problems."""
    found = {record["problem"]: record for record in known.get("training", ())}
    chosen = [found[t.label] for t in TRAININGS if t.label in found]
    return [Outcome(record) for record in chosen if OURS in record["trainers"]]


# ------------------------------------------------------------------------------------ sections


def table(known, row_of, *notes):
    """Return a table of a row for each problem, None without races."""
    if not (found := outcomes(known)):
        return None
    rows = markdown([{"problem": outcome.name, **row_of(outcome)} for outcome in found])
    after = [line for note in notes for line in note(found)]
    return "\n".join([rows, *after, measured_on(known, "training")])


def race(known):
    """Return the table of ourselves and the fastest peer at each level."""

    def row(outcome):
        cells = {f"{OURS} {level}": seconds_text(outcome.own(level)) for level in LEVEL_NAMES}
        for level in LEVEL_NAMES:
            best = outcome.against(outcome.peers, level)
            text = best and f"{best[2]}, {outcome.mark(best[0])} {seconds_text(best[1])}"
            cells[f"fastest peer {level}"] = text or NOTHING
        return cells

    text = table(known, row)
    return text and f"{HOW_TO_READ}\n{text}"


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
                if best and not outcome.own(level) <= most * best[1]:
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
            cells[f"tol {level}: time"] = seconds_text(fit["seconds"])
        return cells

    return table(known, row)


def everybody(outcome):
    """Return the table of one problem: all trainers, the fastest to the last level first."""
    rows = []
    for name, times in outcome.seconds.sort_values(LEVEL_NAMES[::-1]).iterrows():
        trainer = outcome.trainers[name]
        row = {"trainer": outcome.mark(name), "threads": str(trainer["threads"])} | dict(
            times.map(seconds_text)
        )
        row["best F over the least"] = f"{max(outcome.gaps(name)[1].min(), 0.0):.0e}"
        row["first run"] = seconds_text(trainer["first"])
        row["extra MB"] = (
            NOTHING if trainer["extra_megabytes"] is None else f"{trainer['extra_megabytes']:.0f}"
        )
        rows.append(row)
    return f"### {outcome.name}\n\n{markdown(rows)}"


# ------------------------------------------------------------------------------------ picture


def draw(known):
    """Draw the courses of some races, those named above first; return whether there are enough to be drawn."""
    found = outcomes(known)
    chosen = sorted(found, key=lambda outcome: not outcome.name.startswith(DRAWN))[: len(DRAWN)]
    if len(chosen) < len(DRAWN):
        return False
    draw_courses(chosen)
    return True


def draw_courses(chosen):
    """Draw relative suboptimality over seconds of everybody's runs, a panel for each problem."""
    figure, panels = figures.subplots(2, math.ceil(len(chosen) / 2), figsize=(10.5, 7), squeeze=False)
    names = sorted({name for outcome in chosen for name in outcome.peers.index})
    looks = dict(zip(names, figures.looks(), strict=False)) | {OURS: figures.OWN_LOOK}
    handles = {}
    for panel, outcome in zip(panels.flat, chosen, strict=False):
        for name in (*outcome.peers.index, OURS):
            seconds, gap = outcome.gaps(name)
            shown = np.maximum.accumulate(seconds), np.maximum(np.minimum.accumulate(gap), 1e-8)
            (handles[outcome.mark(name)],) = panel.loglog(*shown, **looks[name])
        for level in LEVELS:
            panel.axhline(level, color="0.8", linewidth=0.7, zorder=0)
        panel.set_ylim(1e-8, 3)
        panel.set_title(outcome.name.replace("classes, ", "classes\n"), fontsize=8)
        figures.few_ticks(panel.xaxis, np.log10(panel.get_xlim()))
    for panel in panels[-1]:
        panel.set_xlabel("seconds")
    for panel in panels[:, 0]:
        panel.set_ylabel("F / F* - 1")
    order = sorted(handles, key=lambda name: (name != OURS, name))
    where = {"loc": "outside lower center", "ncols": 5, "fontsize": 7, "frameon": False, "handlelength": 3.5}
    figure.legend([handles[name] for name in order], order, **where)
    figures.save(figure, "convergence")
