"""Pictures of histories, some of which are none."""

import matplotlib
import numpy as np
from hypothesis import strategies as st

from fastxent import LogisticRegression, LossCurveDisplay
from fuzz.arguments import UNKNOWN, mostly
from fuzz.judge import agree, run

_VALUES = {
    "array": np.arange(4.0),
    "list": [3.0, 2.0, 1.0, 0.5],
    "shorter": np.array([2.0]),
    "empty": np.array([]),
    "nan": np.full(4, np.nan),
    "column": np.ones((4, 1)),
    "number": 3.0,
    "none": None,
    "strings": ["a", "b"],
    "complex": np.ones(4) * 1j,
    "ragged": [[1.0], [1.0, 2.0]],
}
_RIGHT = ("array", "list", "shorter", "empty", "nan")
_NO_HISTORY = (None, 3, "loss", [1, 2], np.ones(3))
_CURVES = (None, "loss", ["loss"], ("val_loss", "loss"), ["gap"], 3, [1], [None], {}, "no entry", [["loss"]])


@st.composite
def of_display(draw):
    value = mostly(st.sampled_from(_RIGHT), st.sampled_from(sorted(_VALUES)))
    return {
        "history": draw(mostly(st.fixed_dictionaries({"epoch": value, "loss": value, "val_loss": value}),
                               st.integers(0, len(_NO_HISTORY) - 1))),
        "x": draw(mostly(st.just("epoch"), st.sampled_from(["loss", "no entry", None, 3, ["epoch"]]))),
        "curves": draw(st.integers(0, len(_CURVES) - 1)),
        "ax": draw(st.sampled_from([None, None, None, 3, "ax"])),
        "name": draw(st.sampled_from([None, "a model", ""])),
    }  # fmt: skip


def run_display(example):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    model = LogisticRegression()
    history, curves, x = example["history"], _CURVES[example["curves"]], example["x"]
    if isinstance(history, dict):
        model.history_ = {name: _VALUES[value] for name, value in history.items()}
    else:
        model.history_ = _NO_HISTORY[history]
    options = {"x": x, "curves": curves, "ax": example["ax"], "name": example["name"]}
    try:
        display = run(lambda: LossCurveDisplay.from_estimator(model, **options), _is_right(example, curves))
        if display is not None:
            for line, values in zip(display.lines_, display.curves.values(), strict=True):
                values = np.asarray(values)
                agree("a curve", line.get_ydata(), values[len(values) - len(line.get_ydata()) :], 0.0)
    finally:
        plt.close("all")


def _is_right(example, curves):
    history, x = example["history"], example["x"]
    wanted = ["loss", "val_loss"] if curves is None else [curves] if isinstance(curves, str) else curves
    if not isinstance(history, dict) or not isinstance(wanted, (list, tuple)) or example["ax"] is not None:
        return UNKNOWN if wanted == {} else False
    entries = [x, *wanted]
    if not all(isinstance(entry, str) and entry in history for entry in entries):
        return False
    return all(history[entry] in _RIGHT for entry in entries) or UNKNOWN
