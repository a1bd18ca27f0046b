"""The training loop: what it leaves, where it starts, and what stays when something goes wrong."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import spad
from spad import checkpoint
from spad.checkpoint.labels import label_classes
from spad.train.config import ConfigError, load_config
from spad.train.loop import loop
from spad.train.loop import update as updating
from spad.train.loop.loop import Diverged, train
from spad.train.loop.state import start

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")


def run(config: Path, out: Path, *words: str, resume: bool = False) -> Path:
    return train(load_config(config, words), out, resume=resume, device="cpu")


def state_of(out: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(out / "latest.pt", weights_only=True)
    return state


def tensors(state: Any) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from tensors(value)


def scalars(out: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out))
    events.Reload()
    return {t: {e.step: e.value for e in events.Scalars(t)} for t in events.Tags()["scalars"]}


# --- what a run leaves


def test_a_run_leaves_checkpoints_a_state_and_events(tiny: Path, tmp_path: Path) -> None:
    best = run(tiny, tmp_path / "run")
    assert best == tmp_path / "run" / "best.safetensors"
    names = {path.name for path in best.parent.iterdir() if "tfevents" not in path.name}
    models = {"best.safetensors", "latest.safetensors"}
    beside = {"latest.pt", "cases.txt", "progress.jsonl", "training.lock"}
    assert names == models | beside
    for name in ("best", "latest"):
        segmenter = spad.load(best.with_name(f"{name}.safetensors"), device="cpu")
        assert segmenter.segment(np.zeros((50, 80)), samples=1).labels.shape == (50, 80)
    scores = checkpoint.read_card(best.with_name("latest.safetensors")).scores["validation"]
    assert (scores["step"], scores["images"]) == (6, 2)
    assert set(scores["pooled Dice"]) == {"SRF", "IRF", "PED", "SHRM", "IS/OS"}
    logged = scalars(best.parent)
    assert {f"train/{name}" for name in ("loss", "kl", "norm", "rate")} <= logged.keys()
    assert {"validation/pooled Dice/SRF", "leakage/soft Dice, clean training images"} <= set(logged)
    assert list(logged["validation/pooled Dice/SRF"]) == [3, 6]
    assert state_of(best.parent)["step"] == 6


def test_the_loss_falls(whole: Path) -> None:
    loss = scalars(whole)["train/loss"]
    assert 20 in loss
    assert loss[30] < loss[min(loss)]


@pytest.mark.parametrize("killed", [False, True])
def test_the_best_checkpoint_is_the_one_of_the_highest_score(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    values = iter([0.2, 0.6, 0.4])
    validate, update = loop.validate, loop.update

    def scored(*args: Any) -> Any:
        report, value = validate(*args), next(values)
        return Scored(report, value)

    def dying(run: Any, *args: Any) -> Any:
        if run.step == 5:
            raise RuntimeError("killed")
        return update(run, *args)

    monkeypatch.setattr(loop, "validate", scored)
    if killed:
        with monkeypatch.context() as patch:
            patch.setattr(loop, "update", dying)
            with pytest.raises(RuntimeError, match="killed"):
                run(tiny, tmp_path / "run", "validation.every=2")
    best = run(tiny, tmp_path / "run", "validation.every=2", resume=killed)
    assert checkpoint.read_card(best).scores["validation"]["step"] == 4
    latest = checkpoint.read_card(best.with_name("latest.safetensors"))
    assert latest.scores["validation"]["step"] == 6
    assert state_of(best.parent)["best"] == 0.6


class Scored:
    """A report whose mean is as the test wants it."""

    def __init__(self, report: Any, value: float) -> None:
        score = SimpleNamespace(value=value, low=value, high=value)
        self.mean = SimpleNamespace(name="mean", images=2, dice_pooled=score, dice_per_image=score)
        self.structures = report.structures
        self.images, self.patients = report.images, report.patients


def test_the_plain_unet_trains(tiny: Path, tmp_path: Path) -> None:
    best = run(tiny, tmp_path / "run", "method=unet")
    card, weights = checkpoint.load(best)
    assert card.network.kind == "unet"
    assert not any(name.startswith("denoiser") for name in weights)
    assert set(scalars(best.parent)) >= {"train/encoder_dice", "train/loss"}
    assert "train/kl" not in scalars(best.parent)
    assert spad.load(best, device="cpu").segment(np.zeros((50, 80))).labels.shape == (50, 80)


def test_fine_tuning_starts_from_the_checkpoints_weights(
    tiny: Path, tmp_path: Path, whole: Path
) -> None:
    config = load_config(tiny, [f"init={whole / 'best.safetensors'}"])
    card, weights = checkpoint.load(whole / "best.safetensors")
    names = ", ".join(c.name for c in card.classes)
    said = f"started from tiny: {len(weights)} tensors; classes taken over: {names}$"
    with pytest.warns(UserWarning, match=said):
        begun = start(config, card.classes, CPU)
    for taken in (begun.network.state_dict(), begun.mean):
        assert taken.keys() == weights.keys()
        assert all(torch.equal(taken[name], weights[name]) for name in weights)
    assert begun.step == 0
    with pytest.warns(UserWarning, match="started from tiny"):
        best = train(config, tmp_path / "tuned", device="cpu")
    _, tuned = checkpoint.load(best.with_name("latest.safetensors"))
    moved = max(float((tuned[name] - weights[name]).abs().max()) for name in weights)
    assert 0 < moved < 0.02


@pytest.mark.filterwarnings("ignore:started from")
def test_fine_tuning_with_the_classes_in_another_order_starts_from_the_same_function(
    tiny: Path, whole: Path
) -> None:
    config = load_config(tiny, [f"init={whole / 'best.safetensors'}"])
    card = checkpoint.read_card(whole / "best.safetensors")
    order = [0, 3, 1, 5, 2, 4]
    classes = label_classes([card.classes[i].name for i in order])
    old, new = (start(config, c, CPU).network for c in (card.classes, classes))
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 1, 64, 96, generator=generator) * 2 - 1
    x_t = torch.randint(0, 6, (1, 1, 64, 96), generator=generator).to(torch.uint8)
    place = torch.tensor(order).argsort().to(torch.uint8)
    with torch.no_grad():
        before, after = old.encode(image), new.encode(image)
        torch.testing.assert_close(after.logits, before.logits[:, order], rtol=1e-4, atol=1e-4)
        t = torch.tensor([0.4])
        expected = old.denoise(x_t, t, before)[:, :, order]
        given = new.denoise(place[x_t.long()], t, after)
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["background", "IRF", "PED"], r"over: background, IRF, PED; classes left out: SRF, SHRM"),
        (["background", "drusen", "SRF"], r"over: background, SRF; new classes: drusen; .* left"),
    ],
)
def test_fine_tuning_with_fewer_classes_keeps_those_and_says_which(
    tiny: Path, whole: Path, classes: list[str], said: str
) -> None:
    config = load_config(tiny, [f"init={whole / 'best.safetensors'}"])
    card = checkpoint.read_card(whole / "best.safetensors")
    before = [c.name for c in card.classes]
    with pytest.warns(UserWarning, match=said):
        new = start(config, label_classes(classes), CPU).network
    with pytest.warns(UserWarning, match="started from"):
        old = start(config, card.classes, CPU).network
    image = torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    kept = [name for name in classes if name in before]
    with torch.no_grad():
        given, expected = new.encode(image).logits, old.encode(image).logits
    torch.testing.assert_close(
        given[:, [classes.index(name) for name in kept]],
        expected[:, [before.index(name) for name in kept]],
        rtol=1e-4,
        atol=1e-4,
    )


def test_a_checkpoint_that_shares_nothing_with_the_network_is_refused(
    tiny: Path, whole: Path
) -> None:
    words = [f"init={whole / 'best.safetensors'}", "network.widths=[40, 48, 56]"]
    words += ["network.denoiser_widths=[24, 32]", "network.time_width=24"]
    with pytest.raises(ConfigError, match=r"no tensor of .* into \[network\]"):
        start(load_config(tiny, words), label_classes(["nothing", "other"]), CPU)


# --- what goes wrong


def _broken_after(steps: int, value: float) -> Callable[..., dict[str, Tensor]]:
    calls = iter(range(10**6))
    real = updating.loss_terms

    def terms(*args: Any, **more: Any) -> dict[str, Tensor]:
        found = real(*args, **more)
        return {n: x * value for n, x in found.items()} if next(calls) >= steps else found

    return terms


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("save_every", [4, 3, 1])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, save_every: int
) -> None:
    monkeypatch.setattr(loop, "_LOG_EVERY", 4)  # the only steps after which the loss is looked at
    monkeypatch.setattr(updating, "loss_terms", _broken_after(5, value))
    words = ["optimiser.steps=20", "validation.every=20", f"validation.save_every={save_every}"]
    with pytest.raises(Diverged, match=r"loss is (nan|inf).*learning_rate"):
        run(tiny, tmp_path / "run", *words)
    state = state_of(tmp_path / "run")
    assert 3 <= state["step"] <= 5
    assert all(x.isfinite().all() for x in tensors(state))


def test_the_step_and_the_cases_of_a_nan_are_named(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updating, "loss_terms", _broken_after(5, float("nan")))
    words = ["optimiser.steps=20", "validation.every=20", "validation.save_every=20"]
    with pytest.raises(Diverged) as caught:
        run(tiny, tmp_path / "run", *words)
    config = load_config(tiny, words)
    prepared = loop.prepare(config)
    names = [c.name for c in prepared.card.classes]
    batch = loop.Samples(config, prepared.training, names).cases_of([10, 11])  # of the sixth step
    assert len(batch) > 0
    assert f"at step 6, in the batch of the cases {', '.join(batch)};" in str(caught.value)


@pytest.mark.parametrize("step", [2, 4, 7])
def test_the_logged_loss_is_the_mean_of_the_steps_since_the_last(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    real = updating.loss_terms

    def constant(*args: Any, **more: Any) -> dict[str, Tensor]:
        return {"kl": 0 * real(*args, **more)["kl"] + 3}

    monkeypatch.setattr(updating, "loss_terms", constant)
    monkeypatch.setattr(loop, "_LOG_EVERY", 4)
    words = ["optimiser.steps=9", "validation.every=1000", f"validation.save_every={step}"]
    stop = iter(range(10**6))

    def killed(*args: Any) -> None:
        if next(stop) == step:
            raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        update = loop.update
        patch.setattr(loop, "update", lambda *a: (killed(), update(*a))[1])
        with pytest.raises(RuntimeError, match="killed"):
            run(tiny, tmp_path / "run", *words)
    run(tiny, tmp_path / "run", *words, resume=True)
    losses = scalars(tmp_path / "run")["train/loss"]
    assert set(losses.values()) == {3.0}
    assert set(losses) >= {4, 8, 9}  # nothing is lost that was logged before the resume


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("write")])
def test_a_full_disk_leaves_the_last_state(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real, calls = torch.save, iter(range(10))

    def full(state: Any, handle: Any) -> None:
        if next(calls) >= 1:
            handle.write(b"half")
            raise error
        real(state, handle)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"latest\.pt could not be saved.*--resume"):
        run(tiny, tmp_path / "run")
    monkeypatch.undo()
    assert state_of(tmp_path / "run")["step"] == 2
    assert not list((tmp_path / "run").glob(".latest*"))
    run(tiny, tmp_path / "run", resume=True)
    run(tiny, tmp_path / "again")
    for name in ("latest.safetensors", "best.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_events_that_cannot_be_written_do_not_end_the_run(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorBoard writes in a thread, whose error comes up at a later call, or at the last."""
    from tensorboard.summary.writer import record_writer

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record_writer.RecordWriter, "write", full)
    monkeypatch.setattr("threading.excepthook", lambda *_: None)
    with pytest.warns(UserWarning, match=r"not written any more .*No space left.* goes on"):
        run(tiny, tmp_path / "run")
    assert state_of(tmp_path / "run")["step"] == 6


def test_a_file_that_the_system_cuts_short_leaves_the_last_state(
    tiny: Path, tmp_path: Path, whole: Path
) -> None:
    config = load_config(tiny)
    begun = start(config, checkpoint.read_card(whole / "best.safetensors").classes, CPU)
    path = tmp_path / "latest.pt"
    begun.save(path, config, "x")
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    begun.step = 5
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OSError, match="could not be saved"):
            begun.save(path, config, "x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.glob("*.pt*")] == ["latest.pt"]
    assert not list(tmp_path.glob(".latest*"))
