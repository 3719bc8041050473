"""A cluster of three worker processes on this machine, for the tests of a file."""

import logging
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Where tests run in several processes, these run in one: they depend on what the last one did to the cluster."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("dask"))


@pytest.fixture(scope="module")
def cluster():
    quiet = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=3, threads_per_worker=2, processes=True, **quiet) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster) as client:
        yield client
