"""Partially labelled cases: sets with different structures train one model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spad import phantom
from spad.cases import NewCase
from spad.chain.noise_schedule import cosine_schedule
from spad.learning import soft_dice
from spad.network import Outputs
from spad.train.config import ConfigError, Loss, load_config
from spad.train.data import write_folder
from spad.train.data.samples import Samples, batches
from spad.train.evaluation import evaluate
from spad.train.loop.loop import train
from spad.train.loop.preparation import Prepared, prepare
from spad.train.method import loss as loss_module
from spad.train.method.loss import loss_terms
from spad.train.method.perturbed_image import Batch

K = 6
SIZE = (64, 96)
SEEN = {"fluid": ("SRF", "IRF"), "rest": ("PED", "SHRM", "IS/OS")}
"""Two folders of one annotator each, who looked for some structures only."""
NAMES = {
    "fluid": {0: "background", 1: "subretinal fluid", 2: "IRF"},
    "rest": {0: "nothing", 1: "PED", 2: "SHRM", 3: "line"},
}
CLASSES = """
[classes]
background = ["background", "nothing"]
SRF = ["subretinal fluid"]
IRF = ["IRF"]
PED = ["PED"]
SHRM = ["SHRM"]
"IS/OS" = ["line"]
"""


class Stub(torch.nn.Module):
    """A network whose logits are its parameters, so that the gradient arrives pixel by pixel."""

    diffuses = True
    predicts = "prior"
    num_classes = K

    def __init__(self, images: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.logits = torch.randn(images, K, *SIZE, generator=generator).requires_grad_()
        self.prior = torch.randn(images, K, *SIZE, generator=generator).requires_grad_()

    def forward(self, image: Tensor, x_t: Tensor, t: Tensor) -> Outputs:
        return Outputs((self.logits,), self.prior[:, None])


def terms_of(
    stub: Stub, batch: Batch, judged: Sequence[Sequence[int]] | None, config: Loss | None = None
) -> dict[str, Tensor]:
    return loss_terms(
        stub,  # type: ignore[arg-type]
        cosine_schedule(),
        config or Loss(),
        batch["image"],
        batch["labels"],
        seed=3,
        numbers=batch["number"].tolist(),
        judged=None if judged is None else torch.tensor(judged, dtype=torch.bool),
    )


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "autocast", lambda device: nullcontext())


ALL, NO_PED = [1] * 6, [1, 1, 1, 0, 1, 1]


# --- the loss


@pytest.mark.usefixtures("exact")
def test_fully_annotated_cases_cost_the_same_to_the_bit(batch_of: Callable[..., Batch]) -> None:
    batch = batch_of(3)
    plain, told = Stub(3), Stub(3)
    terms = terms_of(plain, batch, None), terms_of(told, batch, [ALL] * 3)
    assert all(torch.equal(terms[0][name], terms[1][name]) for name in terms[0])
    for one in terms:
        torch.stack(list(one.values())).sum().backward()
    assert torch.equal(plain.logits.grad, told.logits.grad)  # type: ignore[arg-type]
    assert torch.equal(plain.prior.grad, told.prior.grad)  # type: ignore[arg-type]


@pytest.mark.usefixtures("exact")
def test_beside_a_partial_case_a_full_one_has_the_same_gradient(
    batch_of: Callable[..., Batch],
) -> None:
    """But for Dice, which is pooled over the batch."""
    batch, pixels = batch_of(2), Loss(dice=0, encoder_dice=0)
    gradients = []
    for judged in (None, [ALL, NO_PED]):
        stub = Stub(2)
        torch.stack(list(terms_of(stub, batch, judged, pixels).values())).sum().backward()
        gradients.append((stub.logits.grad, stub.prior.grad))
    for before, after in zip(*gradients, strict=True):
        assert torch.equal(before[0], after[0])  # type: ignore[index]
        assert not torch.equal(before[1], after[1])  # type: ignore[index]


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("term", ["kl", "cross_entropy", "encoder_cross_entropy"])
def test_background_favours_neither_itself_nor_what_was_not_looked_for(
    batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setattr(loss_module, "diffusion_times", lambda *_: [1, 120])
    batch = batch_of(2)
    batch["labels"].zero_()
    weights = dict.fromkeys(("kl", "cross_entropy", "dice", "encoder_cross_entropy",
                             "encoder_dice"), 0.0)  # fmt: skip
    gradients = {}
    for judged in ([ALL] * 2, [NO_PED] * 2):
        stub = Stub(2)
        terms = terms_of(stub, batch, judged, Loss(**{**weights, term: 1.0}))  # type: ignore[arg-type]
        terms[term].backward()
        logits = stub.logits if term.startswith("encoder") else stub.prior
        assert logits.grad is not None
        gradients[str(judged)] = logits.grad
        p = logits.detach().softmax(1)
    full, partial = gradients[str([ALL] * 2)], gradients[str([NO_PED] * 2)]
    assert (full[:, 3] > 0).float().mean() > 0.9  # trained down ...
    assert (partial[:, 3] <= 1e-9).all()  # ... but not where nobody looked for it
    # Both are trained up by their own probability, so that neither gains on the other for its name.
    ratio = partial[:, 3] * p[:, 0] - partial[:, 0] * p[:, 3]
    assert ratio.abs().max() < 1e-9
    assert (partial[:, 1] > 0).float().mean() > 0.9  # what was looked for is trained down


@pytest.mark.usefixtures("exact")
def test_the_cross_entropy_is_that_of_the_summed_probability(
    batch_of: Callable[..., Batch],
) -> None:
    batch, stub = batch_of(1, first=2), Stub(1)
    terms = terms_of(stub, batch, [[1, 1, 0, 0, 1, 1]], Loss(encoder_cross_entropy=1))
    p, labels = stub.logits.detach().softmax(1)[0], batch["labels"][0]
    expected = 0.0
    for value in range(K):
        among = [0, 2, 3] if value in (0, 2, 3) else [value]
        expected -= float(p[among].sum(0).log()[labels == value].sum())
    assert terms["encoder_cross_entropy"].item() == pytest.approx(
        expected / labels.numel(), rel=1e-5
    )


def test_dice_counts_a_structure_in_the_cases_where_it_was_looked_for() -> None:
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 3, (2, 8, 8)).astype(np.uint8))
    p = torch.from_numpy(rng.dirichlet(np.ones(3), (2, 8, 8)).transpose(0, 3, 1, 2).copy())
    judged = torch.tensor([[1, 1, 0], [1, 0, 1]], dtype=torch.bool)
    alone = []
    for image, value in ((0, 1), (1, 2)):
        truth = labels[image] == value
        both = 2 * float(p[image, value][truth].sum()) + 1
        alone.append(1 - both / (float(p[image, value].sum()) + int(truth.sum()) + 1))
    assert soft_dice(p, labels, judged).item() == pytest.approx(np.mean(alone), rel=1e-9)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("t", [1, 2, 250])
def test_every_term_is_finite_where_nothing_was_looked_for(
    batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch, t: int
) -> None:
    monkeypatch.setattr(loss_module, "diffusion_times", lambda *_: [t, t])
    stub, batch = Stub(2), batch_of(2)
    terms = terms_of(stub, batch, [[1, 0, 0, 0, 0, 0], [0] * 6])
    torch.stack(list(terms.values())).sum().backward()
    assert all(math.isfinite(one.item()) for one in terms.values())
    for logits in (stub.logits, stub.prior):
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        assert logits.grad.abs().max() < 1e-6  # the annotator told nothing apart


# --- two folders, one model


def write(path: Path, folder: str, seeds: Sequence[int], **more: Any) -> None:
    """Phantoms of which the folder's annotator kept the structures that are in ``SEEN``."""
    made = []
    for i, seed in enumerate(seeds):
        one = phantom.bscan(seed, shape=SIZE)
        labels = np.zeros_like(one.labels)
        for value, name in enumerate(SEEN[folder], 1):
            labels[one.labels == phantom.CLASS_NAMES.index(name)] = value
        split = "val" if i == len(seeds) - 1 else "train"
        made.append(NewCase(f"{folder}{i}", one.image, labels, split=split, **more))
    write_folder(path / folder, made, NAMES[folder])


@pytest.fixture
def two(tiny: Path) -> Path:
    """A configuration of two folders with different structures, numbers and names."""
    write(tiny.parent, "fluid", (1, 7, 8))
    write(tiny.parent, "rest", (17, 28, 34))
    path = tiny.with_name("two.toml")
    text = tiny.read_text().replace('folders = ["set"]', 'folders = ["fluid", "rest"]')
    path.write_text(text + CLASSES)
    return path


def prepared(path: Path, *words: str) -> Prepared:
    with pytest.warns(UserWarning, match="was looked for in"):
        return prepare(load_config(path, words))


def test_a_class_without_a_value_in_a_folder_was_not_looked_for_there(two: Path) -> None:
    with pytest.warns(UserWarning, match="PED was looked for in 2 of 4 training cases"):
        made = prepare(load_config(two))
    assert [c.name for c in made.card.classes] == list(phantom.CLASS_NAMES)
    fluid, rest = [True, True, True, False, False, False], [True, False, False, True, True, True]
    assert made.judged.tolist() == [fluid, fluid, rest, rest]
    assert made.validation_judged.tolist() == [fluid, rest]


def test_the_batch_says_what_was_looked_for_only_where_that_is_not_all(
    two: Path, tiny: Path
) -> None:
    for path, expected in ((two, True), (tiny, False)):
        config = load_config(path)
        made = prepare(config) if path is tiny else prepared(path)
        names = [c.name for c in made.card.classes]
        samples = Samples(config, made.training, names, judged=made.judged)
        batch = next(batches(samples, config, 0, torch.device("cpu")))
        assert ("judged" in batch) is expected
        if expected:
            assert batch["judged"].dtype == torch.bool
            assert batch["judged"].shape == (2, K)


def test_what_was_looked_for_is_mirrored_with_the_classes(tmp_path: Path) -> None:
    labels = np.zeros((64, 96), np.uint8)
    labels[10:20, 5:30] = 1
    case = NewCase("a", np.arange(64 * 96).reshape(64, 96).astype(np.uint16), labels,
                   annotated=("left",))  # fmt: skip
    names = {0: "background", 1: "left", 2: "right"}
    write_folder(tmp_path / "set", [case], names)
    path = tmp_path / "run.toml"
    path.write_text(
        'name = "m"\n[data]\nfolders = ["set"]\n[input]\nsize = [64, 96]\n'
        '[augmentation]\nflip_swaps = [["left", "right"]]\n'
    )
    config = load_config(path)
    from spad.cases import open_folder
    from spad.train.data import class_table

    folder = open_folder(tmp_path / "set")
    samples = Samples(
        config,
        [(folder.splits["train"][0], class_table(names))],
        list(names.values()),
        judged=np.array([[True, True, False]]),
    )
    seen = set()
    for n in range(12):
        one = samples[n]
        present = 1 if (one["labels"] == 1).any() else 2
        seen.add(present)
        assert one["judged"].tolist() == [True, present == 1, present == 2]
    assert seen == {1, 2}


def test_annotated_in_cases_json_counts_as_a_folder_that_lacks_the_rest(tiny: Path) -> None:
    one = phantom.bscan(1, shape=SIZE)
    new = NewCase("p9", one.image, one.labels, annotated=("SRF",))
    write_folder(tiny.parent / "set", [new], dict(enumerate(phantom.CLASS_NAMES)))
    made = prepared(tiny)
    assert made.judged.sum(1).tolist() == [6, 6, 6, 6, 2]


def test_a_class_that_was_looked_for_nowhere_is_refused(two: Path) -> None:
    with pytest.raises(ConfigError, match="'SHRM' is annotated in no training case"):
        prepare(load_config(two, ["classes.SHRM=[]", 'classes.PED=["PED", "SHRM"]']))


def test_balance_counts_what_was_looked_for(two: Path) -> None:
    config = load_config(two, ["data.balance=1.0"])
    made = prepared(two, "data.balance=1.0")
    assert made.shown is not None
    names = [c.name for c in made.card.classes]
    samples = Samples(config, made.training, names, judged=made.judged & False, shown=made.shown)
    assert samples._holders == []
    samples = Samples(config, made.training, names, judged=made.judged, shown=made.shown)
    assert all((holders < 2).all() or (holders >= 2).all() for holders in samples._holders)


def test_two_folders_with_different_structures_train_one_model(two: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="was looked for"):
        best = train(load_config(two), tmp_path / "run", device="cpu")
    import spad

    model = spad.load(best, device="cpu")
    assert [c.name for c in model.card.classes] == list(phantom.CLASS_NAMES)
    assert model.card.scores["validation"]["images"] == 2


def test_validation_does_not_score_what_was_not_looked_for(two: Path) -> None:
    made = prepared(two)
    report = evaluate(
        lambda image: np.full(image.shape, 3, np.uint8),  # PED everywhere
        [case for case, _ in made.validation],
        np.stack([table for _, table in made.validation]),
        [c.name for c in made.card.classes],
        judged=made.validation_judged,
    )
    ped = report.structures[2]
    assert ped.invented + ped.images == 1  # of two images
