"""Each module deploys one overlay. `make test-cluster` says which cluster it needs."""

import asyncio
import os

import pytest

from tests.support.cluster import load_images


@pytest.fixture(scope="session", autouse=True)
def images():
    """The images on the cluster's nodes."""
    if "KUBECONFIG" not in os.environ or "CLUSTER_LOAD" not in os.environ:
        pytest.skip("set KUBECONFIG, and CLUSTER_LOAD to a command that brings an image to its nodes")
    asyncio.run(load_images())
