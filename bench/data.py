"""Where the benchmarks' rows come from: two real data sets, and synthetic ones with the same statistics.

Real data is looked for in the folder named by the environment variable FASTXENT_DATA, then in
``shared/data`` beside the project, then where the Debian packages ``dataset-fashion-mnist`` and
``wordnet-base`` put it.
"""

import gzip
import os
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

HERE = Path(__file__).resolve().parent
FASHION_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
WORDNET_DEBIAN = Path("/usr/share/wordnet")
N_TRAIN_GLOSSES = 100_000


class DataNotFound(FileNotFoundError):
    """A real data set is not on this machine; the message says how to get it."""


def find(file_name):
    """Return the path of a prepared data file, or None."""
    named = [os.environ["FASTXENT_DATA"]] if "FASTXENT_DATA" in os.environ else []
    paths = [Path(folder) / file_name for folder in (*named, HERE.parents[1] / "shared" / "data")]
    return next(filter(Path.is_file, paths), None)


def cache_folder():
    """Return the folder that keeps tokenised text between runs (variable FASTXENT_BENCH_CACHE)."""
    default = Path(tempfile.gettempdir()) / "fastxent-bench"
    folder = Path(os.environ.get("FASTXENT_BENCH_CACHE", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# -------------------------------------------------------------------------------- Fashion-MNIST


def fashion(dtype, part="train"):
    """Return Fashion-MNIST pixels scaled to 0..1, (60000 or 10000, 784), and labels of 10 classes."""
    if path := find("fashion_mnist.npz"):
        with np.load(path) as arrays:
            pixels, labels = arrays[f"X_{part}"], arrays[f"y_{part}"]
    elif FASHION_DEBIAN.is_dir():
        prefix = "train" if part == "train" else "t10k"
        pixels = read_idx(f"{prefix}-images-idx3-ubyte.gz", header=16).reshape(-1, 784)
        labels = read_idx(f"{prefix}-labels-idx1-ubyte.gz", header=8)
    else:
        raise DataNotFound(
            "Fashion-MNIST was not found. Either `apt-get install dataset-fashion-mnist`, or set FASTXENT_DATA to a "
            "folder with fashion_mnist.npz: arrays X_train (60000, 784), y_train, X_test (10000, 784), y_test, "
            'as from sklearn.datasets.fetch_openml("Fashion-MNIST").'
        )
    return pixels.astype(dtype) / dtype(255), labels.astype(np.intp)


def read_idx(name, header):
    """Return the bytes of a gzipped IDX file after its header."""
    with gzip.open(FASHION_DEBIAN / name) as file:
        return np.frombuffer(file.read(), dtype=np.uint8, offset=header)


# ------------------------------------------------------------------------------ WordNet glosses


def glosses(dtype, units="words", part="train"):
    """Return tf-idf rows (CSR) of WordNet's glosses and the codes of their 45 lexicographer files.

    ``units`` is "words" (about 10 non-zeros a row) or "characters" (n-grams of 2 to 4 letters, about 100).
    Vectorising takes up to a minute, so the matrices are kept in `cache_folder`.
    """
    paths = {name: cache_folder() / f"glosses-{units}-{name}.npz" for name in ("train", "test")}
    labels_path = cache_folder() / "glosses-labels.npy"
    if not (labels_path.exists() and all(path.exists() for path in paths.values())):
        labels, texts = read_glosses()
        for name, matrix in zip(paths, vectorise(texts, units), strict=True):
            sp.save_npz(paths[name], matrix, compressed=False)
        np.save(labels_path, np.unique(labels, return_inverse=True)[1])
    X = sp.load_npz(paths[part]).astype(dtype)
    y = np.load(labels_path).astype(np.intp)
    return X, y[:N_TRAIN_GLOSSES] if part == "train" else y[N_TRAIN_GLOSSES:]


def vectorise(texts, units):
    """Yield the train and test matrices of ``texts``."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    how = {"words": {}, "characters": {"analyzer": "char_wb", "ngram_range": (2, 4)}}[units]
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, **how)
    yield vectorizer.fit_transform(texts[:N_TRAIN_GLOSSES])
    yield vectorizer.transform(texts[N_TRAIN_GLOSSES:])


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
        raise DataNotFound(
            "WordNet's glosses were not found. Either `apt-get install wordnet-base`, or set FASTXENT_DATA to a folder "
            "with wordnet_glosses.tsv.gz: 117,659 shuffled lines, label, tab, gloss."
        )
    labels, texts = zip(*pairs, strict=True)
    return np.array(labels), list(texts)


# ------------------------------------------------------------------------------- synthetic data


def synthetic_dense(n_rows, n_features, dtype, seed=0):
    """Return standard normal rows."""
    return np.random.default_rng(seed).standard_normal((n_rows, n_features), dtype=dtype)


def synthetic_text(n_rows, n_features, nnz_per_row, dtype, seed=0):
    """Return CSR rows of unit length whose columns follow Zipf's law, like the words of a text.

    Word frequencies fall as 1 / (rank + 10), and ranks are scattered over the columns, as in an
    alphabetical vocabulary.
    """
    rng = np.random.default_rng(seed)
    cumulative = np.cumsum(1.0 / (np.arange(n_features) + 10.0))
    column_of_rank = rng.permutation(n_features).astype(np.int32)
    # Words drawn twice in a row are merged: drawing a quarter more leaves about nnz_per_row.
    lengths = np.maximum(rng.poisson(1.25 * nnz_per_row, n_rows), 1)
    ranks = np.searchsorted(cumulative, rng.random(lengths.sum()) * cumulative[-1])
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    values = (np.log1p(ranks) + 1.0).astype(dtype)
    X = sp.csr_matrix((values, column_of_rank[ranks], indptr), shape=(n_rows, n_features))
    X.sum_duplicates()
    norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    X.data /= np.repeat(norms, np.diff(X.indptr)).astype(dtype)
    return X


def few_words(n_rows, n_features, words, dtype):
    """Return CSR rows of so many entries each, evenly spread."""
    rng = np.random.default_rng(0)
    columns = [np.sort(rng.choice(n_features, words, replace=False)) for _ in range(n_rows)]
    values, indices = (rng.random(n_rows * words) + 0.1).astype(dtype), np.concatenate(columns)
    indptr = words * np.arange(n_rows + 1, dtype=np.int32)
    return sp.csr_matrix((values, indices.astype(np.int32), indptr), shape=(n_rows, n_features))


def topical_text(rng, shape, entries, n_classes, *, topical=0.2, wrong=0.1):
    """Return CSR rows of unit length, like texts of some topics, and the topics, a share of them wrong.

    A share of a row's words is of its topic: the same frequencies, but a rarer word becomes a frequent one.
    """
    n, d = shape
    topics = rng.integers(n_classes, size=n)
    common = synthetic_text(n, d, entries, np.float64, seed=int(rng.integers(1 << 30)))
    rows = np.repeat(np.arange(n), np.diff(common.indptr))
    shift = rng.integers(d, size=n_classes)
    moved = (common.indices + shift[topics[rows]]) % d
    columns = np.where(rng.random(common.nnz) < topical, moved, common.indices)
    X = sp.csr_matrix((common.data, columns, common.indptr), shape=shape)
    X.sum_duplicates()
    y = np.where(rng.random(n) < wrong, rng.integers(n_classes, size=n), topics)
    y[:n_classes] = np.arange(n_classes)
    return X, y
