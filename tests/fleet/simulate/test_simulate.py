"""A small simulated fleet through a whole roll-out: the good model reaches all, a bad one stops in its first wave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from sono_edge.embedded import EmbeddedBroker
from sono_fleet.commands import app
from sono_fleet.simulate.device import Fault
from sono_fleet.simulate.run import Wanted, simulate
from sono_models.errors import BadConfig


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


def small(broker: EmbeddedBroker, fault: Fault, devices: int) -> Wanted:
    where = (broker.host, broker.port)
    waves = (4.0, 50.0, 100.0)
    rest = Wanted(devices, where, fault, alerts_per_s=5.0, engines=2, waves=waves)
    return replace(rest, soak_s=0.5, spread_s=1.0, longest_s=250.0)


@pytest.mark.timeout(300)
def test_a_bad_model_stops_in_its_first_wave_and_everyone_comes_back(broker: EmbeddedBroker) -> None:
    result = simulate(small(broker, "shift", 50))
    assert result.good_share == 1.0
    assert result.waves == 3
    assert 1 <= result.bad_model_devices <= 2
    assert result.back == result.bad_model_devices
    assert "clinical:shift" in result.why
    assert result.lost == 0
    assert result.reports >= 50 * 7


@pytest.mark.timeout(300)
def test_a_model_that_takes_the_board_with_it_is_stopped_by_its_silence(broker: EmbeddedBroker) -> None:
    """It cannot come back, so it is named."""
    result = simulate(replace(small(broker, "silent", 10), deadline_s=5.0, back_s=3.0))
    assert (result.bad_model_devices, result.back, result.lost) == (1, 0, 0)
    assert "1 failed (1 silent)" in result.why
    assert "not back: sim/d0000" in result.why


@pytest.mark.peer
@pytest.mark.timeout(300)
def test_a_thousand_boards_on_mosquitto() -> None:
    arguments = ["simulate", "--devices", "1000", "--longest", "280", "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    result = json.loads(done.output.splitlines()[-1])
    wanted = "devices waves bad_model_share rollback_s_max reports_per_s commit_p99_ms lost kb_per_device"
    assert set(wanted.split()) <= set(result)
    assert (result["devices"], result["waves"], result["lost"], result["good_share"]) == (1000, 4, 0, 1.0)
    assert 0 < result["bad_model_share"] <= 0.01
    assert result["back"] == result["bad_model_devices"]
    assert result["rollback_s_max"] <= 30


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(BadConfig, match="open files"):
        simulate(Wanted(10_000_000))
    with pytest.raises(BadConfig, match="at least one"):
        simulate(Wanted(0))
    assert CliRunner().invoke(app, ["simulate", "--fault", "nonsense"]).exit_code == 2
