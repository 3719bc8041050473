"""Whatever a file holds, there is an answer or a sentence: never a traceback, and no exit code but 0, 1 and 2."""

import random

import pytest

PIECES = [
    b",",
    b"\n",
    b":",
    b"nan",
    b'"',
    b"\t",
    b" ",
    b"1e400",
    b"-",
    b"\r",
    b"\0",
    b"\xff",
    b"#",
    b"999",
    b"__label__",
]
ROUNDS = 25


def damaged(content, chance):
    content = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 5])):
        i = chance.randrange(len(content) + 1)
        if chance.random() < 0.5:
            content[i:i] = chance.choice(PIECES)
        elif chance.random() < 0.5:
            del content[i : i + chance.randrange(1, 6)]
        else:
            content[i : i + 1] = bytes([chance.randrange(256)])
    return bytes(content[: chance.randrange(len(content) + 1)] if chance.random() < 0.1 else content)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("svm", "test.svm"),
        ("svm", "test.svm.gz"),
        ("csv", "test.csv"),
        ("csv", "test.csv.zst"),
        ("csv", "test.parquet"),
        ("npz", "test.npz"),
        ("npz", "test.sparse.npz"),
        ("text", "texts.txt"),
        (None, "svm.fxt"),
        (None, "text.fxt"),
    ],
)
def test_files_with_random_damage(model, name, run, files, models, tmp_path):
    chance = random.Random(name)
    content = (files / name).read_bytes()
    if name in ("test.svm", "test.csv", "texts.txt"):
        content = b"".join(content.splitlines(keepends=True)[:20])  # so that most damage is to what matters
    path = tmp_path / name
    codes = set()
    for _ in range(ROUNDS):
        path.write_bytes(damaged(content, chance))
        for command in ("evaluate", "predict") if model else ("info",):
            argv = [command, path, "--model", models[model]] if model else [command, path]
            code, _, err = run(*argv)
            codes.add(code)
            assert code in (0, 1, 2)
            assert code == 0 or str(path) in err
    assert 1 in codes
