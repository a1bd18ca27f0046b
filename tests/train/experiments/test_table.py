"""The table of an experiment: means, differences paired by seed, its files and its plot."""

from __future__ import annotations

import csv
import json
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spad.cases import NewCase
from spad.train.config import Config, Data
from spad.train.data import write_folder
from spad.train.experiments.table import Spread, paired, read_table
from spad.train.experiments.table_files import markdown, render
from spad.train.experiments.trial import scored_on


def by_hand(out: Path, values: dict[str, dict[int, float]]) -> None:
    """An experiment's folder with given pooled mean Dice, made without training."""
    trials = [(arm, seed, v) for arm, found in values.items() for seed, v in found.items()]
    config = {
        "name": "hand",
        "optimiser": {"steps": 5, "batch": 2},
        "input": {"size": [64, 96]},
        "sampling": {"steps": 3},
    }
    asked = {"samples": 8, "steps": None, "seed": 0}
    out.mkdir(exist_ok=True)
    about = {
        "kind": "ablation",
        "path": "hand.toml",
        "config": config,
        "sampling": asked,
        "arms": {arm: ["a=1"] for arm in values},
        "trials": [{"arm": a, "seed": s, "folder": f"{a}/seed-{s}"} for a, s, _ in trials],
        "commands": ["spad ablate hand.toml"],
    }
    (out / "experiment.json").write_text(json.dumps(about))
    for arm, seed, value in trials:
        one = {k: {"value": value} for k in ("dice_pooled", "dice_per_image", "iou_pooled")}
        content = {
            "asked": asked, "mean": one, "split": "val", "images": 2, "patients": 2,
            "structures": [{"name": "SRF", **one}, {"name": "IRF", "dice_pooled": {"value": None}}],
            "diversity": 0.1, "training_seconds": 10.0 * seed, "scoring_seconds": 1.0,
            "leakage": {"leakage/gap": [[1, 0.3], [2, 0.4]]},
            "device": "CPU", "spad": "0", "torch": "0",
        }  # fmt: skip
        folder = out / arm / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "scores.json").write_text(json.dumps(content))


def test_the_table_says_which_images_were_scored(tmp_path: Path) -> None:
    write_folder(
        tmp_path / "set", [NewCase("a", *[np.zeros((4, 4), np.uint8)] * 2)], {0: "a", 1: "b"}
    )
    drawn = Config(name="m", data=Data(folders=(str(tmp_path / "set"),)))
    said = "patients set aside from the split 'train', others with each seed"
    assert scored_on(drawn) == said
    named = replace(drawn, data=replace(drawn.data, validation="train"))
    assert scored_on(named) == "the split 'train'"
    assert scored_on(Config(name="m", data=Data(phantoms=1))) == "phantoms that never train"
    by_hand(tmp_path, {"a": {0: 0.5}})
    assert "averaged weights on the split 'val' (2 images of" in markdown(read_table(tmp_path))
    file = tmp_path / "a" / "seed-0" / "scores.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "scored on": said}))
    assert f"averaged weights on {said} (2 images of" in markdown(read_table(tmp_path))


def test_means_spreads_and_paired_differences(tmp_path: Path) -> None:
    by_hand(tmp_path, {"a": {0: 0.5, 1: 0.7, 2: 0.9}, "b": {0: 0.6, 1: 0.7, 3: 0.1}})
    rows = read_table(tmp_path).rows
    a, b = rows["a"]["mDice"], rows["b"]["mDice"]
    assert a.mean == pytest.approx(0.7)
    assert a.sd == pytest.approx(0.2)
    assert a.text() == "0.700 ± 0.200"
    difference = paired(b, a)  # only of seeds that both have
    assert difference.values == pytest.approx({0: 0.1, 1: 0})
    assert difference.sd == pytest.approx(statistics.stdev([0.1, 0]))
    assert rows["a"]["leakage gap"].mean == pytest.approx(0.35)
    assert rows["a"]["training s"].median == 10
    assert Spread({0: 0.5}).text() == "0.500"  # one seed has no spread
    assert Spread({}).text() == "-"
    assert rows["a"]["IRF"].text() == "-"
    assert Spread({0: -0.00001}).text(sign=True) == "+0.000"


def test_the_table_is_written_as_markdown_csv_and_png(tmp_path: Path) -> None:
    by_hand(tmp_path, {"a|x": {0: 0.5, 1: 0.7}, "b": {0: 0.6, 1: 0.9}})
    render(tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert "| a\\|x | 0.600 ± 0.141 |" in text
    assert "0: +0.1000, 1: +0.2000" in text
    for said in ("5 steps of batch 2", "64 x 96", "8 samples of 3 steps", "spad ablate hand.toml"):
        assert said in text
    with (tmp_path / "table.csv").open(newline="") as handle:
        rows = {(r["arm"], r["measure"]): r for r in csv.DictReader(handle)}
    one = rows["b", "mDice"]
    assert float(one["mean"]) == pytest.approx(0.75)
    assert float(one["minus a|x"]) == pytest.approx(0.15)
    assert (float(one["seed 0"]), float(one["seed 1"])) == (0.6, 0.9)
    assert rows["b", "IRF"]["mean"] == ""
    with Image.open(tmp_path / "plot.png") as image:
        assert np.ptp(np.asarray(image.convert("L"))) > 0


@pytest.mark.parametrize("values", [("0.05", "0.1"), ("true", "false")])
def test_a_sweep_is_drawn_along_its_values(tmp_path: Path, values: tuple[str, str]) -> None:
    by_hand(tmp_path, {f"k={v}": {0: 0.5, 1: 0.6} for v in values})
    about = json.loads((tmp_path / "experiment.json").read_text())
    about |= {"kind": "sweep", "arms": {arm: [arm] for arm in about["arms"]}}
    (tmp_path / "experiment.json").write_text(json.dumps(about))
    render(tmp_path)
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width > 100


def test_what_is_not_in_the_paper_stands_below_a_line_and_costs_have_columns(
    tmp_path: Path,
) -> None:
    by_hand(tmp_path, {"DynUNet": {0: 0.5}, "Swin-Unet": {0: 0.7}, "unet": {0: 0.6}})
    path = tmp_path / "Swin-Unet/seed-0/scores.json"
    costs = {"parameters": 27_165_540, "inference_seconds": 0.25, "peak_bytes": 1_500_000_000}
    path.write_text(json.dumps({**json.loads(path.read_text()), **costs}))
    render(tmp_path)
    lines = (tmp_path / "table.md").read_text().splitlines()
    head = next(i for i, line in enumerate(lines) if "| mIoU |" in line)
    assert "parameters, M | inference, s an image | peak memory, GB | seeds" in lines[head]
    firsts = [line.split("|")[1].strip() for line in lines[head + 2 : head + 6]]
    assert firsts == ["Swin-Unet", "unet", "**not in the paper**", "DynUNet"]
    assert "| 27.166 | 0.250 | 1.500 | 1 |" in lines[head + 2]
    assert "| - | - | - | 1 |" in lines[head + 5]  # as an older version has scored it


def test_a_table_can_be_read_before_any_trial_is_finished(tmp_path: Path) -> None:
    by_hand(tmp_path, {"a": {0: 0.5}})
    (tmp_path / "a/seed-0/scores.json").unlink()
    render(tmp_path)
    assert "0 of 1 trials finished" in (tmp_path / "table.md").read_text()


def test_scores_of_another_sampling_do_not_mix_into_the_table(tmp_path: Path) -> None:
    by_hand(tmp_path, {"a": {0: 0.5, 1: 0.7}})
    path = tmp_path / "a/seed-0/scores.json"
    path.write_text(path.read_text().replace('"samples": 8', '"samples": 1'))
    assert read_table(tmp_path).rows["a"]["mDice"].values == {1: 0.7}
