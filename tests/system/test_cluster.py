"""More than one machine: NATS JetStream of three nodes, PostgreSQL, two ingesters, two engines, and kills all over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sono_edge.board import Board
from sono_edge.config import AgentConfig, with_
from sono_edge.outbox import Outbox
from sono_edge.uplink import Uplink
from sono_models.link import Endpoint, Link
from tests.support.nats_cluster import NatsCluster

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    with NatsCluster(tmp_path_factory.mktemp("nats")) as running:
        yield running
