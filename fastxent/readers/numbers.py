"""What counts as a number in a text file."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity|nan)", re.IGNORECASE)


def objection(text: str) -> str | None:
    """Say what is wrong with a field that should be a finite number, or return None."""
    text = text.strip()
    if text == "":
        return "is empty"
    if not _NUMBER.fullmatch(text):
        return f"is {shortened(text)!r}, not a number"
    number = float(text)
    if number != number:
        return "is NaN"
    if number in (float("inf"), -float("inf")):
        return f"is {text}, too large for a number" if text[-1].isdigit() else "is infinite"
    return None


def shortened(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[:most] + "..."
