"""Several broker addresses: how they are written, whose turn it is, and that a fleet spreads over them."""

from __future__ import annotations

from collections import Counter

import pytest

from sono_models.address import address, addresses
from sono_models.errors import BadConfig
from sono_models.link import Endpoint, Nodes

CLUSTER = Endpoint("a", 1, "who", also=("b:2", "[::1]:3"))


def test_addresses_are_read_as_they_are_written() -> None:
    assert addresses("a:1, b.example.org:8883,[fd00::1]:1883") == (
        ("a", 1),
        ("b.example.org", 8883),
        ("fd00::1", 1883),
    )


@pytest.mark.parametrize("text", ["", "a", "a:", ":1", "a:0", "a:65536", "a:x", "a:-1", "a:1,", "a:²"])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(BadConfig, match="not HOST:PORT"):
        addresses(text)
    if "," not in text:
        with pytest.raises(BadConfig, match="not HOST:PORT"):
            address(text)


def test_each_node_keeps_how_to_be_let_in() -> None:
    nodes = CLUSTER.nodes()
    assert [(node.host, node.port, node.username, node.also) for node in nodes] == [
        ("a", 1, "who", ()),
        ("b", 2, "who", ()),
        ("::1", 3, "who", ()),
    ]


def test_the_next_one_follows_and_the_first_comes_again() -> None:
    nodes = Nodes(CLUSTER, "board-1")
    said = []
    for _ in range(4):
        said.append(nodes.said)
        nodes.next()
    assert len(set(said[:3])) == 3
    assert said[3] == said[0]


def test_a_fleet_spreads_over_the_nodes_and_a_board_begins_where_it_did_before() -> None:
    begins = Counter(Nodes(CLUSTER, f"site-board{number}-uplink").said for number in range(3000))
    assert min(begins.values()) > 800
    assert Nodes(CLUSTER, "site-board7-uplink").said == Nodes(CLUSTER, "site-board7-uplink").said


def test_one_broker_alone_is_tried_again() -> None:
    nodes = Nodes(Endpoint("a", 1), "x")
    nodes.next()
    assert nodes.said == "a:1"
