"""Libraries that want the rows in a form of their own: LIBLINEAR, Vowpal Wabbit, fastText."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import softmax


def liblinear(problem, threads, solver):
    """Return ``fit(tolerance)``, which gives coef (1, d) and intercept."""
    from liblinear.liblinearutil import parameter, train
    from liblinear.liblinearutil import problem as converted

    rows = converted(problem.signs, problem.X, bias=1)

    def fit(tolerance):
        model = train(rows, parameter(f"-s {solver} -c {problem.C!r} -e {tolerance!r} -B 1 -q"))
        weights, intercept = model.get_decfun()
        sign = 1.0 if model.get_labels()[0] == 1 else -1.0  # the class met first is its positive one
        return sign * np.array(weights)[np.newaxis], sign * np.array([intercept])

    return fit


def lines(line, X, y):
    """Return ``line(label, columns, values)`` of every sparse row."""
    places = zip(y, X.indptr[:-1], X.indptr[1:], strict=True)
    return [line(label, X.indices[begin:end], X.data[begin:end]) for label, begin, end in places]


def vowpal_wabbit(problem, threads, options="", **step):
    """One against all, logistic; rows are parsed beforehand and go in from Python one by one."""
    import vowpalwabbit as vw

    bits = int(np.ceil(np.log2((problem.X.shape[1] + 1) * problem.n_classes)))
    command = f"--oaa {problem.n_classes} --loss_function logistic --probabilities -b {bits} --quiet "
    command += options + "".join(f" --{name} {value}" for name, value in step.items())

    def line(label, columns, values):
        return f"{label + 1} | " + " ".join(f"{j}:{x:.7g}" for j, x in zip(columns, values, strict=True))

    parser = vw.Workspace(command)
    examples = [parser.example(text) for text in lines(line, problem.X, problem.y)]

    def fit(epochs):
        workspace, random = vw.Workspace(command), np.random.default_rng(0)
        for _ in range(epochs):
            for i in random.permutation(len(examples)).tolist():
                workspace.learn(examples[i])

        def probabilities():
            p = np.array([workspace.predict(text) for text in lines(line, *problem.held_out)])
            return p / p.sum(axis=1, keepdims=True)

        return probabilities

    fit.parser = parser  # it must live as long as its examples
    return fit


def fasttext(problem, threads, lr):
    """Supervised softmax over the mean of word vectors of K dimensions: a linear model, of words without weights."""
    import fasttext

    def words(label, columns, values):
        return " ".join([f"__label__{label}", *map(str, columns)])

    folder = tempfile.TemporaryDirectory(prefix="fastxent-bench-")
    path = Path(folder.name, "train.txt")
    path.write_text("\n".join(lines(words, problem.X, problem.y)) + "\n")
    how = {"dim": problem.n_classes, "loss": "softmax", "minCount": 1, "thread": threads, "verbose": 0}

    def fit(epochs):
        return partial(probabilities, fasttext.train_supervised(str(path), epoch=epochs, lr=lr, **how))

    def probabilities(model):  # of its own predict, the wheel repeats the first class's for all
        vectors = dict(zip(model.words, model.get_input_matrix(), strict=False))
        end, by_column = vectors.pop("</s>"), np.zeros((problem.X.shape[1], problem.n_classes))
        by_column[list(map(int, vectors))] = list(vectors.values())
        known = problem.held_out[0].sign().astype(np.float64)
        hidden = (known @ by_column + end) / (known.sum(axis=1).reshape(-1, 1) + 1)
        p = np.zeros((known.shape[0], problem.n_classes))
        order = [int(label.removeprefix("__label__")) for label in model.labels]
        p[:, order] = softmax(np.asarray(hidden) @ model.get_output_matrix().T, axis=1)
        return p

    fit.folder = folder  # it goes with what is returned
    return fit
