"""`spad figures`: pictures that show something, of the sizes asked for, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spad import checkpoint
from spad.__main__ import main
from spad.cases import Case, NewCase
from spad.checkpoint.card import Card
from spad.checkpoint.labels import label_classes
from spad.network import build
from spad.train.config import Data
from spad.train.data import epoch_length, write_folder
from spad.train.experiments.run_data import read_run
from spad.train.experiments.run_figures import DPI, Picture, curve, mean_dice, overlay, rows

CLASSES = label_classes(["background", "SRF", "IRF"])


def colours(path: Path) -> int:
    with Image.open(path) as image:
        return len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0))


def picture(shape: tuple[int, int] = (40, 60), models: int = 1) -> Picture:
    labels = np.zeros(shape, np.uint8)
    labels[10:20, 10:30] = 1
    image = np.zeros(shape, np.float32)
    return Picture("one", image, image, labels, (labels,) * models, image)


def test_a_run_is_drawn_beside_another_model(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    other = str(whole / "latest.safetensors")
    assert main(["figures", str(whole), other, "--images", "2", "-o", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"curve.png", "rows.png"}
    for path in out.iterdir():
        assert colours(path) > 100
    with Image.open(out / "rows.png") as image:
        assert image.width > 6 * 2 * DPI


def test_pictures_that_exist_are_replaced_only_where_asked_for(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.png").write_bytes(b"another's")
    words = ["figures", str(whole), "--images", "1", "--steps", "1", "-o", str(tmp_path)]
    assert main(words) == 2
    assert "rows.png exists; choose another name, or --overwrite" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.png"]
    assert main([*words, "--overwrite"]) == 0
    assert colours(tmp_path / "rows.png") > 100


def test_what_was_logged_is_read(whole: Path) -> None:
    run = read_run(whole)
    assert run.dice["mean"].steps.tolist() == [15, 30]
    assert set(run.dice) == {"SRF", "IRF", "PED", "SHRM", "IS/OS", "mean"}
    assert run.loss.steps[-1] == 30
    assert (run.config.name, run.steps_per_epoch) == ("tiny", 2)
    assert [axes.get_xlim() for axes in curve(run).axes[:3]] == [(0, 30)] * 3


def test_an_epoch_of_a_figure_is_that_of_the_training(whole: Path) -> None:
    run = read_run(whole)
    batch = run.config.optimiser.batch

    def steps(**training: object) -> float:
        card = replace(run.card, training=training)
        return replace(run, card=card).steps_per_epoch * batch

    assert steps(epoch=30, cases={"training": 20}) == 30  # cases drawn more often than once
    assert steps(cases={"training": 20}) == 20
    alone = replace(run.card, training={"cases": {"training": 0}})  # phantoms
    assert all(np.isfinite(curve(replace(run, card=alone)).axes[0].get_xlim()))
    weighted = Data(folders=("a", "b"), weights=(2, 6))
    cases = [Case(n, n, n, n, None, None, Path(n)) for n in "ab"]
    assert epoch_length(weighted, cases) == 1 + 3
    assert epoch_length(weighted, []) == 1000


def test_rows_show_each_case_with_each_model() -> None:
    pictures = [picture(models=2), picture((30, 90), models=2)]
    figure = rows(pictures, CLASSES, ["a", "b"])
    titles = [axes.get_title() for axes in figure.axes]
    assert [t for t in titles if t] == [
        "image",
        "as trained on",
        "reference",
        "a",
        "b",
        "uncertainty",
    ]
    assert [axes.get_xlabel() for axes in figure.axes].count("Dice 1.000") == 4
    with pytest.raises(ValueError, match="no cases to show"):
        rows([], CLASSES, ["a"])


def test_structures_are_filled_and_their_edges_opaque_in_the_classes_colours() -> None:
    labels = picture().reference
    labels[0, 0] = 255
    drawn = overlay(labels, CLASSES)
    assert drawn[15, 15, :3].tolist() == list(CLASSES[1].color)
    assert 0 < drawn[15, 15, 3] < 255
    assert (drawn[10, 10:30, 3] == 255).all()
    assert not drawn[30, 30].any()
    assert drawn[0, 0, 3] > 0


def test_mean_dice_is_over_the_structures_that_either_map_shows() -> None:
    labels = picture().reference
    other = np.where(labels == 1, 2, 0).astype(np.uint8)
    assert mean_dice(labels, labels, 3) == 1
    assert mean_dice(other, labels, 3) == 0
    assert mean_dice(np.zeros_like(labels), np.zeros_like(labels), 3) is None


@pytest.fixture
def three(tmp_path: Path, whole: Path) -> Path:
    """A model of three classes."""
    card, _ = checkpoint.load(whole / "best.safetensors")
    other = Card.from_json({**card.as_json(), "classes": [c.as_json() for c in CLASSES]})
    path = tmp_path / "three.safetensors"
    checkpoint.save(path, other, build(card.network, 3, None).state_dict())
    return path


def test_what_cannot_be_drawn_is_refused_with_the_remedy(
    whole: Path, three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    young = tmp_path / "young"
    young.mkdir()
    (young / "latest.pt").write_bytes((whole / "latest.pt").read_bytes())
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "latest.pt").write_bytes(b"no state")
    image = np.zeros((32, 32), np.uint8)
    write_folder(
        tmp_path / "other",
        [NewCase("a", image, image, split="val")],
        {0: "background", 1: "tumour"},
    )
    for words, reason in (
        ([str(tmp_path)], "is no run: it has no latest.pt; give the folder"),
        ([str(broken)], "is no saved state of a run"),
        ([str(young)], "has no validation yet; the first comes at step 15"),
        ([str(whole), str(three)], "has the classes background, SRF, IRF, but"),
        ([str(whole), "--cases", str(tmp_path / "other")], "tumour"),
        ([str(whole), "--images", "99"], "99 images asked for; choose 1 to 32"),
        ([str(whole), str(tmp_path / "none.safetensors")], "no such checkpoint"),
    ):
        assert main(["figures", *words, "-o", str(tmp_path / "out")]) == 2
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
