"""The version floor, the order's judgement and the retries as pure laws: whatever comes, in whatever order."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError, SlowRetrievalError

from sono_edge.delivery import BackOff
from sono_edge.updater.floor import Floor, Mark, below, raised
from sono_edge.updater.order import Order
from sono_edge.updater.refusal import Code, of_clock, of_order, of_serial
from sono_edge.updater.retries import PROGRESS, Retries
from sono_models.release import Place, place_of, version_key

AT = datetime(2026, 11, 24, tzinfo=UTC)
ROLES = ("root", "timestamp", "snapshot", "targets", "breast")
KEYS = {"timestamp": ("t",), "snapshot": ("s",)}
versions = st.fixed_dictionaries({role: st.integers(1, 5) for role in ROLES})


def marks(of: dict[str, int], **keys: tuple[str, ...]) -> dict[str, Mark]:
    return {role: Mark(version, {**KEYS, **keys}.get(role, ())) for role, version in of.items()}


@given(st.lists(versions, max_size=12))
def test_without_a_change_of_keys_nothing_that_was_followed_goes_back(seen: list[dict[str, int]]) -> None:
    floor = Floor()
    followed: list[dict[str, int]] = []
    for state in seen:
        if not below(floor, marks(state)):
            floor = raised(floor, marks(state), AT)
            followed.append(state)
    for earlier, later in itertools.pairwise(followed):
        assert all(later[role] >= earlier[role] for role in ROLES)


@given(versions, versions)
def test_the_root_never_goes_back_whatever_keys_change(old: dict[str, int], new: dict[str, int]) -> None:
    floor = raised(Floor(), marks(old), AT)
    other = marks(new, timestamp=("x",), snapshot=("y",))
    assert bool(below(floor, other)) == (new["root"] < old["root"])


@given(versions, versions)
def test_a_new_timestamp_key_forgets_timestamp_and_snapshot_alone(old: dict[str, int], new: dict[str, int]) -> None:
    floor = raised(Floor(), marks(old), AT)
    kept = ("root", "targets", "breast")
    assert bool(below(floor, marks(new, timestamp=("x",)))) == any(new[role] < old[role] for role in kept)


def test_a_model_that_was_not_looked_at_keeps_its_mark() -> None:
    floor = raised(Floor(), {"lung": Mark(7, ())}, AT)
    assert raised(floor, marks(dict.fromkeys(ROLES, 1)), AT).roles["lung"].version == 7


@pytest.mark.parametrize(
    ("seen", "now", "code"),
    [
        (None, AT, None),
        (AT, AT, None),
        (AT, AT - timedelta(hours=23), None),
        (AT, AT - timedelta(hours=25), Code.CLOCK),
        (AT, datetime(1970, 1, 1, tzinfo=UTC), Code.CLOCK),
        (AT, AT + timedelta(days=4000), None),
    ],
)
def test_a_clock_that_went_back(seen: datetime | None, now: datetime, code: Code | None) -> None:
    assert of_clock(seen, now) is code


@pytest.mark.parametrize(("serial", "newest", "code"), [(1, 0, None), (5, 5, None), (4, 5, Code.STALE), (0, 5, None)])
def test_a_serial_that_was_overtaken(serial: int, newest: int, code: Code | None) -> None:
    assert of_serial(serial, newest) is code


@given(st.text(max_size=60))
def test_only_the_one_path_of_a_bundle_is_followed(target: str) -> None:
    order = Order("r", 1, "breast", "1.0.0", target, "0" * 64, 10)
    right = target == "breast/stable/breast-1.0.0.tar"
    assert (of_order(order, channel="stable", failed=None, now=AT) is None) == right


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/breast/stable/breast-1.0.0.tar",
        "breast/stable/../breast-1.0.0.tar",
        "breast/stable/lung-1.0.0.tar",
        "breast/stable/breast-1.0.tar",
        "breast/stable/breast-01.0.0.tar",
        "breast/stable/breast-1.0.0.tar\n",
        "Breast/stable/Breast-1.0.0.tar",
        "breast/stable/x/breast-1.0.0.tar",
        "breast//breast-1.0.0.tar",
    ],
)
def test_what_is_no_place(path: str) -> None:
    assert place_of(path) is None


@given(st.tuples(*[st.integers(0, 10**9 - 1)] * 3))
def test_a_place_is_what_its_path_says(numbers: tuple[int, int, int]) -> None:
    version = ".".join(map(str, numbers))
    place = Place("breast", "stable", version)
    assert place_of(place.path) == place
    assert version_key(version) == numbers


class Attempts:
    """Fails so often, moving so far each time."""

    def __init__(self, *errors: DownloadError, step: int = 0) -> None:
        self.errors, self.step, self.position, self.made = list(errors), step, 0, 0

    def __call__(self) -> str:
        self.made += 1
        self.position += self.step
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def retries(most: int, waits: list[float]) -> Retries:
    return Retries(most, BackOff(1.0, 8.0, lambda: 0.5), waits.append)


def test_waits_double_up_to_the_longest() -> None:
    waits: list[float] = []
    assert retries(6, waits)(Attempts(*[DownloadError("x")] * 6)) == "done"
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


@pytest.mark.parametrize("most", [0, 1, 5])
def test_trying_again_ends(most: int) -> None:
    attempts = Attempts(*[SlowRetrievalError("x")] * 100, step=PROGRESS - 1)
    with pytest.raises(SlowRetrievalError):
        retries(most, [])(attempts)
    assert attempts.made == most + 1


def test_new_bytes_begin_the_count_again() -> None:
    attempts = Attempts(*[DownloadError("cut")] * 50, step=PROGRESS)
    assert retries(1, [])(attempts, position=lambda: attempts.position) == "done"


@pytest.mark.parametrize(
    "error", [DownloadHTTPError("no", 404), DownloadHTTPError("no", 403), DownloadLengthMismatchError()]
)
def test_a_no_is_not_asked_again(error: DownloadError) -> None:
    attempts = Attempts(error)
    with pytest.raises(DownloadError):
        retries(5, [])(attempts)
    assert attempts.made == 1
