"""Where the benchmarks' rows come from: real data sets, and synthetic ones that imitate kinds of real ones.

Fashion-MNIST and WordNet are looked for in the folder named by the environment variable FASTXENT_DATA, then in
``shared/data`` beside the project, then where the Debian packages ``dataset-fashion-mnist`` and ``wordnet-base`` put
them. Everything is in float64, and the same every time.
"""

import gzip
import os
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
FASHION_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
WORDNET_DEBIAN = Path("/usr/share/wordnet")
N_TRAIN_GLOSSES = 100_000


class DataNotFound(FileNotFoundError):
    """A real data set is not on this machine."""

    def __init__(self, package, file):
        super().__init__(f"`apt-get install {package}`, or set FASTXENT_DATA to a folder with {file}")


def find(file_name):
    """Return the path of a prepared data file, or None."""
    paths = [Path(folder) / file_name for folder in (os.environ.get("FASTXENT_DATA", BESIDE), BESIDE)]
    return next(filter(Path.is_file, paths), None)


# ------------------------------------------------------------------------------------ real data


def fashion(part="train"):
    """Return Fashion-MNIST pixels scaled to 0..1, (60000 or 10000, 784), and labels of 10 classes."""
    if path := find("fashion_mnist.npz"):
        with np.load(path) as arrays:
            pixels, labels = arrays[f"X_{part}"], arrays[f"y_{part}"]
    elif FASHION_DEBIAN.is_dir():
        prefix = "train" if part == "train" else "t10k"
        images = gzip.decompress((FASHION_DEBIAN / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
        codes = gzip.decompress((FASHION_DEBIAN / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
        pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 784)
        labels = np.frombuffer(codes, np.uint8, offset=8)
    else:
        arrays = "X_train (60000, 784), y_train, X_test (10000, 784), y_test"
        raise DataNotFound("dataset-fashion-mnist", f"fashion_mnist.npz: {arrays}")
    return pixels / 255.0, labels.astype(np.intp)


def glosses(units="words", part="train"):
    """Return tf-idf rows (CSR) of WordNet's glosses and the codes of their 45 lexicographer files.

    ``units`` is "words" (about 10 non-zeros a row) or "characters" (n-grams of 2 to 4 letters, about 100). Vectorising
    takes up to a minute, so the matrices are kept in the folder that the variable FASTXENT_BENCH_CACHE names.
    """
    import joblib

    folder = os.environ.get("FASTXENT_BENCH_CACHE", Path(tempfile.gettempdir()) / "fastxent-bench")
    matrices, y = joblib.Memory(folder, verbose=0).cache(vectorised)(units)
    return matrices[part], y[:N_TRAIN_GLOSSES] if part == "train" else y[N_TRAIN_GLOSSES:]


def vectorised(units):
    """Return the train and test matrices of the glosses, and all labels."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    labels, texts = read_glosses()
    how = {"words": {}, "characters": {"analyzer": "char_wb", "ngram_range": (2, 4)}}[units]
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, **how)
    train = vectorizer.fit_transform(texts[:N_TRAIN_GLOSSES])
    test = vectorizer.transform(texts[N_TRAIN_GLOSSES:])
    return {"train": train, "test": test}, np.unique(labels, return_inverse=True)[1]


def read_glosses():
    """Return labels and texts, shuffled."""
    if path := find("wordnet_glosses.tsv.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            pairs = [line.rstrip("\n").split("\t", 1) for line in file]
    elif WORDNET_DEBIAN.is_dir():
        # "00001740 03 n 01 entity ... | that which is perceived": the second word is the class.
        lines = [
            line
            for speech in ("noun", "verb", "adj", "adv")
            for line in (WORDNET_DEBIAN / f"data.{speech}").read_text(encoding="utf-8").splitlines()
            if not line.startswith("  ")
        ]
        order = np.random.default_rng(0).permutation(len(lines))
        pairs = [(lines[i].split(" ", 2)[1], lines[i].split(" | ", 1)[1].strip()) for i in order]
    else:
        lines = "117,659 shuffled lines of label, tab, gloss"
        raise DataNotFound("wordnet-base", f"wordnet_glosses.tsv.gz: {lines}")
    labels, texts = zip(*pairs, strict=True)
    return np.array(labels), list(texts)


def without_empty_columns(X):
    """Return the columns that occur, the entries of each row in order, as a vectorizer gives them."""
    X = X[:, np.flatnonzero(X.getnnz(axis=0))]
    X.sort_indices()
    return X


def two_largest_classes():
    """Return the words of the glosses of the two largest classes."""
    X, y = glosses("words")
    largest = np.sort(np.argsort(np.bincount(y))[-2:])
    kept = np.isin(y, largest)
    return without_empty_columns(X[kept]), (y[kept] == largest[1]).astype(np.intp)


def raw(loader):
    """Return a data set of scikit-learn's as it comes, its columns not scaled."""
    import sklearn.datasets

    X, y = getattr(sklearn.datasets, loader)(return_X_y=True)
    return X.astype(np.float64), y.astype(np.intp)


# ------------------------------------------------------------------------------------ labels


def point(X, n_columns):
    """Return random weights (d + 1, n_columns) with logits of standard deviation one, as in mid-training."""
    squares = X.multiply(X).sum() if sp.issparse(X) else np.einsum("ij,ij->", X, X)
    theta = np.random.default_rng(1).standard_normal((X.shape[1] + 1, n_columns))
    return theta / np.sqrt(squares / X.shape[0])


def drawn_labels(X, theta):
    """Draw each row's label from the model's own probabilities (by Gumbel noise; logistic if there is one column)."""
    rng = np.random.default_rng(3)
    logits = X @ theta[:-1] + theta[-1]
    if theta.shape[1] == 1:
        return (logits[:, 0] + rng.logistic(size=len(logits)) > 0).astype(np.intp)
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def labels_of_shares(rng, logits, shares):
    """Draw labels from a softmax model whose intercepts give the classes about these shares of the rows."""
    noisy = logits + rng.gumbel(size=logits.shape)
    offsets = np.zeros(len(shares))
    for _ in range(200):
        counts = np.bincount((noisy + offsets).argmax(axis=1), minlength=len(shares))
        offsets += np.log((len(noisy) * np.array(shares) + 0.5) / (counts + 0.5))
    return every_class((noisy + offsets).argmax(axis=1), len(shares))


def every_class(y, n_classes):
    """Return labels that have every class at least once."""
    y[:n_classes] = np.arange(n_classes)
    return y


# ------------------------------------------------------------------------------------ synthetic rows


def normal(n_rows, n_features):
    """Return standard normal rows."""
    return np.random.default_rng(0).standard_normal((n_rows, n_features))


def zipf_text(n_rows, n_features, entries, seed=0):
    """Return CSR rows of unit length whose columns follow Zipf's law, like the words of a text.

    Word frequencies fall as 1 / (rank + 10), and ranks are scattered over the columns, as in an alphabetical
    vocabulary.
    """
    rng = np.random.default_rng(seed)
    cumulative = np.cumsum(1.0 / (np.arange(n_features) + 10.0))
    column_of_rank = rng.permutation(n_features).astype(np.int32)
    # Words drawn twice in a row are merged: drawing a quarter more leaves about as many as were asked for.
    lengths = np.maximum(rng.poisson(1.25 * entries, n_rows), 1)
    ranks = np.searchsorted(cumulative, rng.random(lengths.sum()) * cumulative[-1])
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    X = sp.csr_matrix((np.log1p(ranks) + 1.0, column_of_rank[ranks], indptr), shape=(n_rows, n_features))
    X.sum_duplicates()
    X.data /= np.repeat(np.sqrt(X.multiply(X).sum(axis=1).A1), np.diff(X.indptr))
    return X


def topical_text(rng, shape, entries, n_classes, *, topical=0.2, wrong=0.1):
    """Return CSR rows of unit length, like texts of some topics, and the topics, a share of them wrong.

    A share of a row's words is of its topic: the same frequencies, but a rarer word becomes a frequent one.
    """
    n, d = shape
    topics = rng.integers(n_classes, size=n)
    common = zipf_text(n, d, entries, seed=int(rng.integers(1 << 30)))
    rows = np.repeat(np.arange(n), np.diff(common.indptr))
    shift = rng.integers(d, size=n_classes)
    moved = (common.indices + shift[topics[rows]]) % d
    columns = np.where(rng.random(common.nnz) < topical, moved, common.indices)
    X = sp.csr_matrix((common.data, columns, common.indptr), shape=shape)
    X.sum_duplicates()
    y = np.where(rng.random(n) < wrong, rng.integers(n_classes, size=n), topics)
    return X, every_class(y, n_classes)


def text_of_two_classes():
    return topical_text(np.random.default_rng(0), (60_000, 30_000), 60, 2, topical=0.1)


def few_words(n_rows, n_features=80_000, words=77):
    """Return CSR rows of so many entries each, evenly spread."""
    rng = np.random.default_rng(0)
    columns = [np.sort(rng.choice(n_features, words, replace=False)) for _ in range(n_rows)]
    return csr_of_equal_rows(rng.random(n_rows * words) + 0.1, np.array(columns), n_features)


def csr_of_equal_rows(values, columns, n_features):
    """Return CSR rows that all have as many entries: ``columns`` is (n, entries)."""
    n_rows, entries = columns.shape
    indptr = entries * np.arange(n_rows + 1, dtype=np.int32)
    parts = values.ravel(), columns.ravel().astype(np.int32), indptr
    return sp.csr_matrix(parts, shape=(n_rows, n_features))


def clusters(n_rows, n_features, n_classes=26):
    """Return correlated columns and labels drawn from a softmax model: few features, many classes."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((n_features, n_features)) / np.sqrt(n_features)
    X = rng.standard_normal((n_rows, n_features)) @ mixing
    theta = np.vstack([2.0 * rng.standard_normal((n_features, n_classes)), np.zeros(n_classes)])
    return X, drawn_labels(X, theta)


def heavy_tails(n_rows=46_400, shares=(0.79, 0.15, 0.05, 8e-3, 1e-3, 4e-4, 2e-4)):
    """Return columns of Student's t with 3 degrees of freedom; rare classes, some of them nearly separable."""
    rng = np.random.default_rng(0)
    X = rng.standard_t(3, (n_rows, 9))
    return X, labels_of_shares(rng, 3.0 * X @ rng.standard_normal((9, len(shares))), shares)


def images(n_rows=4_000, size=28, n_classes=10):
    """Return smooth grey images, each a prototype of its class and disturbances that all classes share."""
    rng = np.random.default_rng(0)
    grid = np.linspace(-1, 1, size)

    def blobs(count):
        centre, width = rng.uniform(-0.7, 0.7, (2, count, 1)), rng.uniform(0.1, 0.4, (2, count, 1))
        across, down = np.exp(-(((grid - centre) / width) ** 2))
        return (down[:, :, None] * across[:, None, :]).reshape(count, -1)

    y = rng.integers(n_classes, size=n_rows)
    prototypes = blobs(4 * n_classes).reshape(n_classes, 4, -1).sum(axis=1)
    X = prototypes[y] + rng.normal(scale=0.7, size=(n_rows, 60)) @ blobs(60)
    X += rng.normal(scale=0.1, size=X.shape)
    return np.clip(X, 0, 1), y


def one_hot(n_rows=80_000, n_columns=29, n_features=649, rare=(4e-4, 7e-5, 4e-5)):
    """Return one-hot categories, their frequencies falling as 1 / rank, and 8 classes, some of a few rows."""
    rng = np.random.default_rng(0)
    columns, start = [], 0
    for ranks in np.array_split(np.arange(n_features), n_columns):
        shares = 1 / np.arange(1, len(ranks) + 1)
        columns.append(start + rng.choice(len(ranks), n_rows, p=shares / shares.sum()))
        start += len(ranks)
    X = csr_of_equal_rows(np.ones((n_rows, n_columns)), np.stack(columns, axis=1), n_features)
    logits = X @ (0.5 * rng.standard_normal((n_features, 8)))
    return X, labels_of_shares(rng, logits, (0.35, 0.25, 0.2, 0.15, 0.05 - sum(rare), *rare))
