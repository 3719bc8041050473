"""What all tables share: numbers as a person would write them, Markdown, and where it goes."""

import math

import pandas as pd

import store

PRECISION = {"float32": "f32", "float64": "f64"}
NOTHING = "–"
BUSY = 0.3  # processors busy with other work, above which figures are not worth publishing


class Missing(LookupError):
    """These results do not have what a table or a picture shows."""


def seconds_text(seconds):
    """Return a time in the unit that a person would use."""
    if pd.isna(seconds):
        return NOTHING
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * size:
            return f"{significant(seconds / size)} {unit}"
    return f"{significant(seconds / 1e-6)} µs"


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


def markdown(rows):
    """Return a Markdown table of rows (dicts of column to text) without its empty columns."""
    frame = pd.DataFrame(rows).fillna(NOTHING)
    frame = frame[[name for i, name in enumerate(frame) if i == 0 or (frame[name] != NOTHING).any()]]
    aligned = ["left"] + ["right"] * (frame.shape[1] - 1)
    return frame.to_markdown(index=False, disable_numparse=True, colalign=aligned) + "\n"


def measured_on(known, part):
    """Return where, when and with what a part of the results was measured."""
    days = sorted(store.dates(known, part))
    caches = f", caches {known['caches']}" if "caches" in known else ""
    where = f"{known['processor']} ({known['processors']} processors{caches})"
    when = f", {' to '.join(dict.fromkeys((days[0], days[-1])))}" if days else ""
    what = ", ".join(f"{name} {version}" for name, version in known["versions"].get(part, {}).items())
    line = f"Measured on {where}{when}{what and '; ' + what}."
    if (load := known.get("busy", {}).get(part, 0)) > BUSY:
        line += f" **A draft: the machine was busy (load {load:.1f}).**"
    return line + "\n"


def section(path, name):
    """Return what stands before the section of this name in a file, in it, and after it."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    inside, ended, after = rest.partition(end)
    if not (found and ended) or begin in rest or end in after:
        raise SystemExit(f"{path}: wanted one line {begin.strip()} and, after it, one line {end}")
    return before + begin, inside, end + after


def insert(text, path, name):
    """Replace what stands between the markers of this name in a file."""
    before, _, after = section(path, name)
    path.write_text(before + text + after, encoding="utf-8")


def section_command(what, page, name, measure, text):
    """Be the command that measures the figures of one section, and prints or inserts it; return whether it did."""
    parser = store.parser(what, stored=False)
    parser.add_argument("--measure", action="store_true", help="the figures anew, on this machine")
    parser.add_argument("--insert", action="store_true", help=f"into {page.name}; else the text is printed")
    given = parser.parse_args()
    if given.measure:
        measure()
    if given.insert:
        insert(text(), page, name)
    else:
        print(text())
    return given.insert
