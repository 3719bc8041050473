"""Models of texts: their vectoriser is in the file."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

import fastxent
from fastxent import LogisticRegression
from fastxent.files import load_vectorizer


@pytest.mark.parametrize(
    ("argv", "vectorizer"),
    [
        ([], TfidfVectorizer()),
        (["--word-ngrams", "2", "--min-count", "3"], TfidfVectorizer(ngram_range=(1, 2), min_df=3)),
        (["--char-ngrams", "2-3"], TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3))),
        (["--hashing", "8"], HashingVectorizer(n_features=256)),
        (["--hashing", "8", "--word-ngrams", "2"], HashingVectorizer(n_features=256, ngram_range=(1, 2))),
    ],
)
@pytest.mark.parametrize("name", ["texts.txt", "fasttext.txt"])
def test_the_model_of_its_texts(argv, vectorizer, name, run, files, tmp_path):
    path = tmp_path / "m.fxt"
    code, _, err = run("fit", files / name, "--text", *argv, "--quiet", "--model", path)
    assert (code, err) == (0, "")
    y, texts = zip(
        *(line.split("\t") for line in (files / "texts.txt").read_text().splitlines()), strict=True
    )
    X = vectorizer.fit_transform(texts)
    wanted = LogisticRegression(random_state=0).fit(X, y)
    np.testing.assert_array_equal(fastxent.load(path, estimator=True).coef_, wanted.coef_)
    assert (load_vectorizer(path).transform(texts) != vectorizer.transform(texts)).nnz == 0


def test_labels_that_are_numbers(run, tmp_path):
    (tmp_path / "x.txt").write_text("1\tgood\n-1\tbad\n" * 5)
    assert run("fit", tmp_path / "x.txt", "--text", "--quiet", "--model", tmp_path / "m.fxt")[0] == 0
    assert fastxent.load(tmp_path / "m.fxt").classes.tolist() == [-1, 1]
    (tmp_path / "x.txt").write_text("01\tgood\n1\tbad\n" * 5)  # not the same label
    assert run("fit", tmp_path / "x.txt", "--text", "--quiet", "--model", tmp_path / "m.fxt")[0] == 0
    assert fastxent.load(tmp_path / "m.fxt").classes.tolist() == ["01", "1"]
