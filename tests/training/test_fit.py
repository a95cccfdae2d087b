"""Training on a handful of images: the network, its pretrained weights, augmentation, and a resumed run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from sono_edge.phantom import still
from sono_models.inputs import InputSpec
from sono_models.saliency import Pooling, frame_scores, sigmoid
from sono_models.table import read_table
from sono_training.augment import disturb, disturb_hard, warp
from sono_training.data import Batch, as_input, mixed
from sono_training.fit import fit, pooled, predict, schedule
from sono_training.net import Front, pretrained
from sono_training.recipe import Recipe, Source, Split, gather
from sono_training.views import Views, is_hard

pytestmark = pytest.mark.train

SPEC = InputSpec(96, 96)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import cv2  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("table")
    lines = ["image,label,group,mask"]
    for index in range(12):
        kind = ("normal", "benign", "malignant")[index % 3]
        picture, mask = still(seed=index, kind=kind)  # type: ignore[arg-type]
        cv2.imwrite(str(folder / f"{index}.png"), picture)
        cv2.imwrite(str(folder / f"{index}-mask.png"), mask)
        lines.append(f"{index}.png,{kind},g{index},{index}-mask.png")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def recipe(epochs: int) -> Recipe:
    return Recipe(
        name="tiny",
        labels=("benign", "malignant"),
        seed=5,
        epochs=epochs,
        views=2,
        batch=4,
        learning_rate=1e-3,
        backbone_rate=0.4,
        weight_decay=0.01,
        mask_weight=0.5,
        lesion_weight=0.5,
        ema=0.5,
        dev_share=0.25,
        input=SPEC,
        pooling=Pooling(0.05),
        source=[Source("phantom", "here:manifest.csv")],
        mixup=(0.0, 0.4),
    )


def test_every_backbone_weight_comes_from_the_wheel_and_the_maps_are_of_their_strides() -> None:
    net = pretrained().eval()
    saliency, features, lesion = net(as_input([np.zeros((96, 96), np.uint8)]))
    assert (saliency.shape, features.shape, lesion.shape) == ((1, 2, 6, 6), (1, 96, 6, 6), (1, 1, 12, 12))
    assert len(pretrained(3, lesion=False).eval()(as_input([np.zeros((96, 96), np.uint8)]))) == 2
    assert bool((net.head.bn.running_var != 1).any())  # not what an untrained network starts with


def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(table: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    plan = recipe(2)
    split = gather(plan, table / "recipe.toml", {"here": table})
    assert not {row.group for row in split.fit} & {row.group for row in split.dev}
    whole = fit(plan, split, tmp_path / "views", tmp_path / "whole")

    _interrupt(plan, split, tmp_path, tmp_path / "cut")
    resumed = fit(plan, split, tmp_path / "views", tmp_path / "cut")
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    for member in ("member-0", "member-1"):
        assert len((tmp_path / "cut" / member / "log.jsonl").read_text("utf-8").splitlines()) == 2


def test_the_network_is_the_mean_of_its_members(table: Path, tmp_path: Path) -> None:
    plan = recipe(1)
    net = fit(plan, gather(plan, table / "recipe.toml", {"here": table}), tmp_path / "views", tmp_path / "out")
    one, other = (
        torch.load(tmp_path / "out" / f"member-{number}" / "checkpoint.pt", weights_only=True)["average"]
        for number in range(2)
    )
    weights = "saliency.weight"
    assert not torch.equal(one[weights], other[weights])
    assert torch.allclose(net.state_dict()[weights], (one[weights] + other[weights]) / 2)


def test_every_member_sees_the_hard_views_last() -> None:
    for member in range(3):
        order = schedule(16, 16, member)
        assert sorted(order) == list(range(16))
        assert [is_hard(view) for view in order] == [False] * 10 + [True] * 6
    assert schedule(8, 8, 0) != schedule(8, 8, 1)


def test_mixing_two_pictures_mixes_all_that_is_told_of_them() -> None:
    front = Front(torch.zeros(4, 40, 4, 4), torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 80, 2, 2))
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    outlined = torch.tensor([True, True, True, False])
    batch = Batch(front, targets, outlined, targets[:, :, None, None].expand(4, 2, 2, 2), targets[:, :1, None])
    found = mixed(batch, 0.4, np.random.default_rng(3))
    assert torch.allclose(found.targets.sum(1), torch.ones(4))
    assert torch.allclose(found.cover[:, :, 0, 0], found.targets)
    assert torch.allclose(found.fine[:, 0, 0], found.targets[:, 0])
    assert not torch.allclose(found.targets, targets)
    assert int(found.outlined.sum()) <= 3
    assert found.front.middle.shape == front.middle.shape


def _interrupt(plan: Recipe, split: Split, folder: Path, out: Path) -> None:
    """Stop after the first epoch's checkpoint, as a session's end would."""
    from sono_training import fit as module  # noqa: PLC0415

    class Ended(Exception):
        pass

    kept = module._save

    def save_then_end(state: object, path: Path) -> None:
        kept(state, path)
        raise Ended

    module._save = save_then_end
    try:
        with pytest.raises(Ended):
            fit(plan, split, folder / "views", out)
    finally:
        module._save = kept
    (out / "member-0" / "log.jsonl").write_text('{"epoch": 1}\n', "utf-8")


def test_float_scores_are_what_the_device_pools(table: Path) -> None:
    del table
    picture, _ = still(seed=3, kind="malignant")
    boxed = np.ascontiguousarray(picture[:96, :96])
    net = pretrained().eval()
    logits = predict(net, [boxed])
    theirs = pooled(torch.from_numpy(logits), Pooling(0.05))[0].numpy()
    assert frame_scores(sigmoid(logits[0]), Pooling(0.05)) == pytest.approx(tuple(theirs), abs=1e-5)


def test_augmentation_keeps_shape_and_moves_the_mask_with_the_picture() -> None:
    rng = np.random.default_rng(1)
    picture = np.zeros((300, 400), np.uint8)
    picture[100:200, 150:250] = 200
    mask = (picture > 0).astype(np.uint8) * 255
    for _ in range(50):
        warped, moved = warp(picture, mask, SPEC, rng)
        assert moved is not None
        inside, outside = warped[moved > 0], warped[moved == 0]
        assert inside.size == 0 or inside.mean() > 150
        assert outside.mean() < 30
        assert disturb(warped, rng).shape == (96, 96)
        assert disturb_hard(warped, moved, rng).shape == (96, 96)


def test_views_are_the_fronts_output_and_the_same_whoever_makes_them(table: Path, tmp_path: Path) -> None:
    rows = read_table(table / "manifest.csv")
    one, other = (Views(rows, "hash", SPEC, 5, tmp_path / name).view(6) for name in ("one", "other"))
    assert one.detail.shape == (12, 40, 12, 12)
    assert one.middle.shape == (12, 80, 6, 6)
    for name in ("detail", "middle", "coarse", "fine"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert not np.array_equal(one.middle, Views(rows, "hash", SPEC, 5, tmp_path / "one").view(0).middle)
    shown = [row.label != "normal" for row in rows]
    assert one.fine.any(axis=(1, 2)).tolist() == shown


def test_the_whole_network_is_its_front_and_its_back() -> None:
    net = pretrained().eval()
    picture = as_input([np.full((96, 96), 90, np.uint8)])
    with torch.no_grad():
        assert torch.equal(net(picture)[2], net.back(net.front(picture)).lesion)


def test_recipes_survive_a_round_trip() -> None:
    plan = recipe(1)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Recipe) == plan
