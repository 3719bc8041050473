"""TextSource: lines through a vectoriser."""

import gzip

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer

from fastxent import LogisticRegression, SGDClassifier
from fastxent.readers.batch import DataError
from fastxent.sources import TextSource


def test_lines_through_the_vectoriser(tmp_path):
    path = tmp_path / "mail.txt.gz"
    path.write_bytes(gzip.compress(b"spam\tbuy now\n__label__ham see you\n"))
    source = TextSource(path, n_features=64)
    ((X, y),) = source
    assert y.tolist() == ["spam", "ham"]
    expected = HashingVectorizer(n_features=64).transform(["buy now", "see you"])
    np.testing.assert_array_equal(X.toarray(), expected.toarray())
    other = TextSource(path, vectorizer=HashingVectorizer(n_features=8, analyzer="char"))
    assert next(iter(other))[0].shape == (2, 8)
    with pytest.raises(TypeError, match="vectorizer must have a method transform"):
        TextSource(path, vectorizer=len)


def test_bad_lines(tmp_path):
    path = tmp_path / "mail.txt"
    path.write_bytes(b"spam\tbuy\nno label here\nham\tyou \xff\nham\tyou\n")
    with pytest.raises(DataError, match=r"mail\.txt, line 2: has no label"):
        list(TextSource(path))
    source = TextSource(path, on_bad_rows="skip")
    assert [len(y) for _, y in source] == [2]
    assert source.skipped_ == 2


@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
def test_a_model_of_texts(tmp_path, kind):
    path = tmp_path / "mail.txt"
    path.write_text("".join(f"spam\tbuy {i}\nham\tsee {i}\n" for i in range(200)))
    source = TextSource(path, n_features=2**10, batch_rows=64)
    model = kind(random_state=0).fit(source)
    assert model.score(source) == 1.0
