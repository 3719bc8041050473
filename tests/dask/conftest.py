"""A cluster of three worker processes on this machine, for the tests of a file."""

import logging

import pytest
from distributed import Client, LocalCluster


@pytest.fixture(scope="module")
def cluster():
    quiet = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=3, threads_per_worker=2, processes=True, **quiet) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster) as client:
        yield client
