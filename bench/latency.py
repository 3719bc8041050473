"""How long a prediction takes that is asked for alone: one row, and a hundred, each library on one thread.

`python bench/latency.py --insert` writes latency.json to --output, and the table to README.md; `--grid` races on many
more shapes and numbers of rows, and `--method` other methods. The models are the same numbers in every library. A row
is in the form that suits the library: a vector for the predictor, the entries of a text where it takes them, a dense
row of 80,000 numbers for onnxruntime, which has no other. Making it is not timed.
"""

import argparse
import json
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from cases import F32, F64, Problem, point
from measure import busy_processors, prepare, quartiles, race
from rivals import OURS, Rival
from run import installed_versions, log, machine, wanted
from table import BUSY, insert, machine_line, markdown, seconds_text, times_text

PAGE = Path(__file__).resolve().parents[1] / "README.md"
PACKAGES = ("fastxent", "numpy", "scipy", "scikit-learn", "onnxruntime", "skl2onnx")
PREDICTOR, ESTIMATOR = OURS, "fastxent estimator"
SECONDS = 4.0


@dataclass(frozen=True)
class Case:
    """Some rows, and a model of them. words: of each row, if it is sparse."""

    name: str
    n_features: int
    n_classes: int
    n_rows: int
    words: int = 0

    def problem(self):
        rng = np.random.default_rng(0)
        if self.words:
            columns = [
                np.sort(rng.choice(self.n_features, self.words, replace=False)) for _ in range(self.n_rows)
            ]
            indptr = self.words * np.arange(self.n_rows + 1)
            values = rng.random(self.n_rows * self.words) + 0.1
            parts = values, np.concatenate(columns).astype(np.int32), indptr.astype(np.int32)
            X = sp.csr_matrix(parts, shape=(self.n_rows, self.n_features))
        else:
            X = rng.standard_normal((self.n_rows, self.n_features))
        return Problem(X, None, point(X, self.n_classes), self.n_classes)


CASES = [
    Case(f"{what}, {'one row' if n == 1 else f'{n} rows'}", d, K, n, words)
    for what, d, K, words in (
        ("64 features, 10 classes", 64, 10, 0),
        ("784 features, 10 classes", 784, 10, 0),
        ("text, 77 of 80,000 words, 57 classes", 80_000, 57, 77),
    )
    for n in (1, 100)
]


SHAPES = [
    *((d, K, 0) for d, K in ((4, 3), (64, 10), (784, 10), (1_000, 100), (10_000, 300), (20_000, 10))),
    *((d, K, 77) for d, K in ((40_000, 45), (80_000, 57), (200_000, 200))),
]
GRID = [
    Case(f"{'text, 77 of ' if words else ''}{d:,} features, {K} classes, {n:,} rows", d, K, n, words)
    for d, K, words in SHAPES
    for n in (1, 2, 10, 17, 100, 1_000)
]


def softmax_by_hand(z):
    z -= z.max(axis=-1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=-1, keepdims=True)
    return z


METHODS = {  # what of logits each gives
    "predict_proba": softmax_by_hand,
    "decision_function": lambda z: z,
    "predict": lambda z: z.argmax(axis=-1),
}


def one_array(result):
    return [np.atleast_2d(result)]


def fitted(estimator, problem):
    """The estimator with the problem's model, as a fit leaves it."""
    estimator.classes_ = np.arange(problem.n_classes)
    estimator.coef_, estimator.intercept_ = problem.theta[:-1].T, problem.theta[-1].copy()
    estimator.n_features_in_ = problem.X.shape[1]
    return estimator


def with_predictor(method, problem, threads):
    from fastxent import LogisticRegression

    predictor, X = fitted(LogisticRegression(), problem).predictor(), problem.X
    call = predictor if method == "predict_proba" else predictor.predict
    if X.shape[0] > 1:
        return partial(call, X), one_array
    return partial(call, *((X.indices, X.data) if problem.sparse else (X[0],))), one_array


def with_estimator(method, problem, threads):
    from fastxent import LogisticRegression

    return partial(
        getattr(fitted(LogisticRegression(n_threads=threads), problem), method), problem.X
    ), one_array


def with_scikit_learn(method, problem, threads):
    from sklearn.linear_model import LogisticRegression

    return partial(getattr(fitted(LogisticRegression(), problem), method), problem.X), one_array


def with_numpy(method, problem, threads):
    X, W, b = problem.X, problem.theta[:-1].copy(), problem.theta[-1]
    of_logits = METHODS[method]
    if X.shape[0] > 1:
        return lambda: of_logits(X @ W + b), one_array
    if problem.sparse:
        indices, values = X.indices, X.data
        return lambda: of_logits(values @ W[indices] + b), one_array
    x, coef = X[0], W.T.copy()
    return lambda: of_logits(coef @ x + b), one_array


def with_onnxruntime(dtype):
    """float32: scikit-learn's model, by its own converter. float64: ours."""

    def build(problem, threads):
        import onnxruntime
        import skl2onnx
        from sklearn.linear_model import LogisticRegression

        import fastxent.onnx

        fastxent.onnx.register()
        kind = LogisticRegression if dtype == F32 else fastxent.LogisticRegression
        rows = (problem.X.toarray() if problem.sparse else problem.X).astype(dtype)
        graph = skl2onnx.to_onnx(fitted(kind(), problem), rows[:1], options={"zipmap": False})
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads  # idle threads would spin in the next rival's time
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return partial(
            session.run, ["probabilities"], {session.get_inputs()[0].name: rows}
        ), lambda found: found

    return build


def rivals_of(method):
    rivals = [
        Rival(ESTIMATOR, "fastxent", partial(with_estimator, method)),
        Rival("scikit-learn", "sklearn", partial(with_scikit_learn, method)),
        Rival("NumPy by hand", "numpy", partial(with_numpy, method)),
    ]
    if method != "decision_function":  # which a predictor does not have
        rivals.insert(0, Rival(PREDICTOR, "fastxent", partial(with_predictor, method)))
    if method == "predict_proba":
        rivals += [
            Rival("onnxruntime", "onnxruntime", with_onnxruntime(dtype), setting=np.dtype(dtype).name)
            for dtype in (F32, F64)
        ]
    return rivals


def run_case(case, method, rivals, budget):
    """Race on one case; return a dict of name to the record of its best setting."""
    problem = case.problem()
    logits = problem.X @ problem.theta[:-1] + problem.theta[-1]
    reference = [METHODS[method](np.asarray(logits))]
    calls, deviations = {}, {}
    for rival in rivals:
        calls[rival], deviations[rival] = prepare(rival, problem, 1, reference)
    seconds = race(calls, 1, budget)
    unit = next((rival for rival in seconds if rival.name == PREDICTOR), next(iter(seconds)))
    return {
        rival.name: {
            "setting": rival.setting,
            "seconds": quartiles(seconds[rival]),
            "ratio": quartiles(seconds[rival] / seconds[unit]),
            "errors": deviations[rival],
        }
        for rival in sorted(
            seconds, key=lambda rival: np.median(seconds[rival]), reverse=True
        )  # the last one stays
    }


def report(results):
    """Return the table as the README shows it."""
    method = results["method"]
    names = list(dict.fromkeys(rival.name for rival in rivals_of(method)))
    header = ["", *({PREDICTOR: "predictor", ESTIMATOR: f"`{method}`"}.get(name, name) for name in names)]
    lines = []
    for case, rivals in results["cases"].items():
        unit = PREDICTOR in rivals
        cells = [
            seconds_text(rivals[name]["seconds"][1])
            + (f", {times_text(rivals[name]['ratio'][1])}" if unit and name != PREDICTOR else "")
            if name in rivals
            else "–"
            for name in names
        ]
        lines.append([case, *cells])
    draft = ""
    if results["load"] > BUSY:
        draft = f" **A draft: the machine was busy (load {results['load']:.1f}).**"
    return "\n".join(
        [
            "Medians on one thread, in float64; onnxruntime in float32 or float64, whichever is faster, and with dense "
            'rows of text. "2.5x": 2.5 times as long as the predictor in the same rounds (bold where it is faster).\n',
            markdown(header, lines),
            f"Measured on {machine_line(results)}{draft}\n",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", metavar="TEXT", help="only cases whose name has TEXT")
    parser.add_argument("--rival", action="append", metavar="TEXT", help="only rivals whose name has TEXT")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help="for each race")
    parser.add_argument("--output", type=Path, default=Path("bench_output"), help="folder of latency.json")
    parser.add_argument("--grid", action="store_true", help="many more shapes and numbers of rows")
    parser.add_argument("--method", choices=list(METHODS), default="predict_proba")
    parser.add_argument("--insert", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    if options.insert and (options.grid or options.method != "predict_proba"):
        parser.error("--insert goes with neither --grid nor another --method")
    warnings.filterwarnings("ignore")  # what peers warn of is their own affair
    results = {
        "machine": machine(),
        "versions": installed_versions(PACKAGES),
        "method": options.method,
        "load": busy_processors(),  # before we add to it
        "cases": {},
    }
    rivals = [
        rival
        for rival in rivals_of(options.method)
        if wanted(rival.name, options.rival) and rival.installed()
    ]
    for case in GRID if options.grid else CASES:
        if wanted(case.name, options.case):
            log(case.name)
            results["cases"][case.name] = run_case(case, options.method, rivals, options.seconds)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "latency.json").write_text(json.dumps(results, indent=1) + "\n")
    text = report(results)
    print(text)
    if options.insert:
        insert(text, PAGE, "latency")


if __name__ == "__main__":
    main()
