"""What the documentation shows is what happens: its examples run."""

import doctest
import re
from pathlib import Path

import pytest

import fastxent

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if ">>> " in page.read_text(encoding="utf-8")]


def name(page):
    return page.relative_to(DOCS).as_posix()


def test_there_are_pages_with_examples():
    assert {"sgd.md", "learn/cross-entropy.md"} <= {name(page) for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_examples_of_a_page(page):
    failed, attempted = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert attempted > 0
    assert failed == 0, "see the captured output"


def test_code_of_the_readme():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_the_reference_has_every_public_name():
    pages = "".join(
        page.read_text(encoding="utf-8") for page in sorted((DOCS / "reference").glob("[a-z]*.rst"))
    )
    names = [*fastxent.__all__[1:], *fastxent.sources.__all__]
    assert [name for name in names if not re.search(rf"^   {name}$", pages, re.MULTILINE)] == []
