"""What all tables share: numbers as a person would write them, Markdown, and where it goes."""

import math

import pandas as pd

from machine import BUSY

PRECISION = {"float32": "f32", "float64": "f64"}
NOTHING = "–"


def seconds_text(seconds):
    """Return a time in the unit that a person would use."""
    if seconds is None or math.isnan(seconds):
        return NOTHING
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * size:
            return f"{significant(seconds / size)} {unit}"
    return f"{significant(seconds / 1e-6)} µs"


def significant(value, digits=3):
    """Return about ``digits`` digits, without an exponent."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def ratio_text(ratio):
    """Return our time over a peer's; above one, where the peer beats us, in bold."""
    return NOTHING if ratio is None else f"{ratio:.2f}" if ratio <= 1 else f"**{ratio:.2f}**"


def times_text(ratio):
    """Return how many times slower a rival is; below one, where it beats us, in bold."""
    text = f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x"
    return text if ratio >= 1 else f"**{text}**"


def markdown(rows):
    """Return a Markdown table of rows (dicts of column to text) without its empty columns."""
    frame = pd.DataFrame(rows).fillna(NOTHING)
    frame = frame[[name for i, name in enumerate(frame) if i == 0 or (frame[name] != NOTHING).any()]]
    aligned = ["left"] + ["right"] * (frame.shape[1] - 1)
    return frame.to_markdown(index=False, disable_numparse=True, colalign=aligned) + "\n"


def measured_on(known, part):
    """Return where, when and with what a part of the results was measured."""
    dates = sorted({record["date"] for record in known[part] if "date" in record})
    caches = f", caches {known['caches']}" if "caches" in known else ""
    where = f"{known['processor']} ({known['processors']} processors{caches})"
    when = f", {' to '.join(dict.fromkeys((dates[0], dates[-1])))}" if dates else ""
    what = "".join(f", {name} {version}" for name, version in known["versions"].get(part, {}).items())
    line = f"Measured on {where}{when}{';' + what[1:] if what else ''}."
    if (load := known.get("busy", {}).get(part, 0)) > BUSY:
        line += f" **A draft: the machine was busy (load {load:.1f}).**"
    return line + "\n"


def insert(text, path, name):
    """Replace what stands between the markers of this name in a file."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, after = around_section(path, begin, end)
    path.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


def section(path, name):
    """Return what stands between the markers."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, after = around_section(path, begin, end)
    page = path.read_text(encoding="utf-8")
    return page[len(before) + len(begin) : len(page) - len(after) - len(end)]


def around_section(path, begin, end):
    page = path.read_text(encoding="utf-8")
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise SystemExit(f"{path}: wanted one line {begin.strip()} and, after it, one line {end}")
    return page.split(begin)[0], page.split(end)[1]
