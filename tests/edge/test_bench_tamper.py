"""The tamper campaign, small: it tells an updater that takes a forgery from one that takes none."""

from __future__ import annotations

import pytest

from sono_edge.bench.tamper import campaign
from sono_edge.updater import floor
from sono_edge.updater.floor import Floor, Mark


def test_no_forgery_is_taken_and_every_genuine_update_is() -> None:
    result = campaign.run(count=150, seed=3)
    assert result["tampered"] >= 150
    assert (result["accepted"], result["crashed"], result["genuine"]) == (0, 0, 5)
    assert set(result["forgeries"]) >= {
        forgery.__name__ for forgery in campaign.FORGERIES if "online" not in forgery.__name__
    }
    assert sum(result["refused_by"].values()) == result["tampered"]


def test_the_campaign_finds_an_updater_without_a_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that could not fail would prove nothing."""

    def never(floor: Floor, now: dict[str, Mark]) -> str:
        return ""

    monkeypatch.setattr(floor, "below", never)
    result = campaign.run(count=1, seed=3)
    assert result["accepted"] > 0
    assert any("wiped" in what for what in result["accepted_what"])
