"""A cluster of three worker processes on this machine, for the tests of a file."""

import logging
import sys
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster

# Workers inherit this path, and find functions of these tests by their modules' names, which begin with "tests". At the
# end, so that the installed package comes before the one beside the tests.
sys.path.append(str(Path(__file__).parents[2]))


@pytest.fixture(scope="module")
def cluster():
    quiet = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    # The cluster gives a worker up that is missing so long after it was lost, be it that another test killed it again.
    kept = dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    with kept, LocalCluster(n_workers=3, threads_per_worker=2, processes=True, **quiet) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster) as client:
        yield client
