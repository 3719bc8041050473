"""Notebooks link estimators to our documentation, never to scikit-learn's."""

from email.message import Message
from importlib import metadata

import pytest

from fastxent import LogisticRegression, LogisticRegressionCV, SGDClassifier
from fastxent.estimators import doc_link

ESTIMATORS = [LogisticRegression, LogisticRegressionCV, SGDClassifier]


@pytest.fixture
def urls(monkeypatch):
    """urls(*entries): the metadata have these entries of [project.urls]."""

    def of(*entries):
        fields = Message()
        for entry in entries:
            fields.add_header("Project-URL", entry)
        monkeypatch.setattr(metadata, "metadata", lambda name: fields)

    doc_link.address.cache_clear()
    yield of
    doc_link.address.cache_clear()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_link_leads_to_the_page_of_the_estimator(urls, estimator):
    urls("Source, https://code.example", "Documentation, https://docs.example/stable/")
    page = f"https://docs.example/stable/reference/fastxent.{estimator.__name__}.html"
    assert estimator()._get_doc_link() == page
    assert page in estimator()._repr_html_()


@pytest.mark.parametrize("entries", [(), ("Source, https://code.example",)])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_link_without_an_address(urls, estimator, entries):
    urls(*entries)
    assert estimator()._get_doc_link() == ""
    assert 'href="' not in estimator()._repr_html_()


def test_no_link_in_a_source_tree_that_is_not_installed(urls, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", missing)
    assert LogisticRegression()._get_doc_link() == ""
