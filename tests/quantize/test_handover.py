"""A run folder says the same as the network it came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sono_models.errors import BadConfig
from sono_models.handover import DEV, FIT, read_handover, read_rows
from sono_quantize.network import as_input, convolutions, load_network, predict
from sono_training.handover import digest, folded
from sono_training.net import SaliencyNet
from tests.support.runs import IMAGES, Run, pictures

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]


def a_network_with_lived_in_batch_norms() -> SaliencyNet:
    torch.manual_seed(1)
    net = SaliencyNet().eval()
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.5)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    return net


@torch.no_grad()
def test_folding_batch_norm_changes_no_logit() -> None:
    net = a_network_with_lived_in_batch_norms()
    x = as_input(pictures(3, seed=1))
    exact = net(x)
    for ours, theirs in zip(folded(net)(x), exact, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4 * float(theirs.abs().max()))
    for ours, theirs in zip(net(x), exact, strict=True):
        assert torch.equal(ours, theirs)  # the network itself was left alone


def test_the_saved_network_is_the_folded_one_for_any_batch(run: Run) -> None:
    network, handover = load_network(run.folder)
    assert handover == run.handover == read_handover(run.folder)
    assert len(convolutions(network)) == 56
    shown = pictures(5, seed=2)
    one_by_one = np.concatenate([predict(network, [picture]) for picture in shown])
    assert np.allclose(predict(network, shown), one_by_one, atol=1e-4)


def test_the_digest_is_of_the_weights_alone() -> None:
    net = a_network_with_lived_in_batch_norms()
    assert digest(folded(net)) == digest(folded(net))
    before = digest(folded(net))
    with torch.no_grad():
        net.saliency.weight[0, 0] += 1e-3
    assert digest(folded(net)) != before


def test_the_tables_name_files_by_root(run: Run) -> None:
    text = (run.folder / FIT).read_text("utf-8")
    assert str(run.roots["phantom"]) not in text
    rows = read_rows(run.folder / FIT, run.roots) + read_rows(run.folder / DEV, run.roots)
    assert len(rows) == IMAGES
    assert all(row.image.is_file() for row in rows)
    with pytest.raises(BadConfig, match="--root phantom=DIR"):
        read_rows(run.folder / FIT, {})
