"""Lines of text."""

import pytest

from fastxent.readers import text
from fastxent.readers.batch import DataError

LINES = b"x\tsalt and pepper\n__label__y two words\r\n\nz\t\ttab\n"


def read(path, content, labelled):
    path.write_bytes(content)
    return [
        (
            batch.X,
            None if batch.y is None else batch.y.tolist(),
            [batch.place(i) for i in range(len(batch.X))],
        )
        for batch in text.read(str(path), labelled=labelled)
    ]


def test_lines_with_labels(tmp_path):
    assert read(tmp_path / "x.txt", b"\xef\xbb\xbf" + LINES, True) == [
        (["salt and pepper", "two words", "\ttab"], ["x", "y", "z"], ["line 1", "line 2", "line 4"])
    ]


def test_lines_that_may_have_labels(tmp_path):
    (found,) = read(tmp_path / "x.txt", LINES + b"no label\n", None)
    assert found[:2] == (["salt and pepper", "two words", "", "\ttab", "no label"], None)
    (found,) = read(tmp_path / "x.txt", LINES, False)
    assert found[0] == ["x\tsalt and pepper", "__label__y two words", "", "z\t\ttab"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no label", "has no label: it should be label<TAB>text"),
        ("\ttext", "has an empty label"),
        ("__label__ text", "has an empty label"),
        ("__label__a __label__b text", "has several labels (__label__a, __label__b)"),
        ("a\ttext\0", "is not text"),
    ],
)
def test_faults(line, said, tmp_path):
    with pytest.raises(DataError) as raised:
        read(tmp_path / "x.txt", b"a\tb\n" + line.encode() + b"\n", True)
    assert str(raised.value).startswith(f"{tmp_path / 'x.txt'}, line 2: {said}")


def test_other_encodings_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 2: is not UTF-8 \(byte 4\)"):
        read(tmp_path / "x.txt", b"a\tb\na\tb\xe9\n", True)
