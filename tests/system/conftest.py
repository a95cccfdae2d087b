"""A browser and a view for the tests of the page; selenium is imported only where one of them is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sono_edge.phantom import PhantomFrame, sweep
from sono_edge.view import View


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from tests.support.browser import chromium  # noqa: PLC0415
    from tests.support.page import emulate  # noqa: PLC0415

    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        emulate(driver, prefers_color_scheme="dark")
        yield driver


@pytest.fixture(scope="module")
def found() -> PhantomFrame:
    """A phantom frame with a lesion well in view."""
    frames = [frame for frame in sweep(seconds=4) if frame.lesions]
    return max(frames, key=lambda frame: frame.lesions[0].box.area())


@pytest.fixture
def view(browser: Any) -> Iterator[View]:
    browser.get_log("browser")
    with View(port=0, token="a-token-of-some-length") as opened:
        yield opened
        browser.get("about:blank")  # a page whose view goes reports it
