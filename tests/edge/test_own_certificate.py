"""The certificate that the uplink shows: how long it holds, whether it was renewed, and what is said once it ended."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from sono_edge.config import AgentConfig, with_
from sono_edge.identity.certificate import term
from sono_edge.identity.watch import OwnCertificate
from sono_models.errors import BadConfig
from tests.support.identities import Fleet, now


def test_it_is_told_how_long_it_holds_and_that_it_changed(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        first, second = fleet.device("a"), fleet.device("a", days=10)
    watched = tmp_path / "device.pem"
    watched.write_bytes(first.read_bytes())
    own = OwnCertificate(watched)
    assert own.days_left(now()) is None
    own.look()
    assert own.days_left(now()) == pytest.approx(30, abs=0.1)
    assert not own.changed()
    assert own.ended(now()) == ""
    said = own.ended(now() + timedelta(days=31))
    assert "it ended at" in said
    assert "sono enroll" in said
    second.replace(watched)
    assert own.changed()
    own.look()
    assert own.days_left(now()) == pytest.approx(10, abs=0.1)
    watched.unlink()
    assert not own.changed()


def test_a_file_that_is_no_certificate_is_no_reason_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "device.pem"
    path.write_text("nonsense")
    own = OwnCertificate(path)
    with caplog.at_level(logging.WARNING):
        own.look()
    assert "holds no certificate" in caplog.text
    assert own.days_left(now()) is None
    with pytest.raises(BadConfig, match="Enrol this board"):
        term(tmp_path / "none.pem")


def test_the_identity_lies_with_the_state() -> None:
    assert with_(AgentConfig(), state={"folder": "/var/x"}).state.identity == Path("/var/x/identity")
