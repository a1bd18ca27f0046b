"""``spad tune`` on a tiny network: what it measures, chooses, writes, keeps and refuses."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import spad
from spad import checkpoint, phantom
from spad.__main__ import main
from spad.cases import NewCase, open_folder
from spad.checkpoint.card import Card, InputConfig, NetworkConfig, SamplingConfig, ScheduleConfig
from spad.checkpoint.labels import label_classes
from spad.metrics import confusion_matrix
from spad.metrics.calibration import calibration_histogram
from spad.network import build
from spad.train.data import class_table, read_image, write_folder
from spad.train.evaluation.ged import energy_distance
from spad.train.evaluation.sample_diversity import diversity
from spad.train.tune import search
from spad.train.tune.bench import Bench
from spad.train.tune.choice import Standing
from spad.train.tune.measurements import scans_of
from spad.train.tune.settings import Setting

T = 26  # one more than what is run on every image
K = len(phantom.CLASS_NAMES)


def write_model(path: Path, kind: str = "cached") -> Path:
    config = NetworkConfig(
        kind=kind,
        widths=(8, 16, 16),
        blocks=1,
        denoiser_widths=(8, 16),
        time_width=16,
    )
    card = Card(
        name="tiny",
        classes=label_classes(phantom.CLASS_NAMES),
        network=config,
        schedule=ScheduleConfig(steps=T),
        input=InputConfig(size=(32, 48)),
        sampling=SamplingConfig(steps=3, samples=2),
    )
    torch.manual_seed(0)
    network = build(config, K, None)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.15)
    checkpoint.save(path, card, network.state_dict())
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny.safetensors")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantoms") / "set"
    made = [phantom.bscan(seed, shape=(32, 48)) for seed in (1, 7, 17, 28)]
    new = [NewCase(f"p{i}", one.image, one.labels, split="val") for i, one in enumerate(made)]
    write_folder(path, new, dict(enumerate(phantom.CLASS_NAMES)))
    return path


@pytest.fixture(scope="module")
def raters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantoms") / "raters"
    words = ["--train", "0", "--val", "2", "--size", "32", "48", "--raters", "3"]
    assert main(["phantom", str(path), *words]) == 0
    return path


SHORT = ("--steps", "1", "2", "--learn", "2", "--device", "cpu")


def tune(model: Path | str, cases: Path, *words: str) -> int:
    return main(["tune", str(model), str(cases), *SHORT, *words])


def bench(model: Path, cases: Path, file: Path) -> Bench:
    folder = open_folder(cases)
    return Bench(model, class_table(folder.names), folder.names, file, device="cpu")


def count_runs(monkeypatch: pytest.MonkeyPatch, stop_after: int | None = None) -> list[object]:
    runs: list[object] = []
    run = Bench._run

    def counted(self: Bench, *args: object) -> object:
        if len(runs) == stop_after:
            raise KeyboardInterrupt
        runs.append(args)
        return run(self, *args)

    monkeypatch.setattr(Bench, "_run", counted)
    return runs


def let_fit(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """As if chains of so many steps, and no others, lost nothing."""
    monkeypatch.setattr(
        search, "standing", lambda _, s, *__: Standing(0.0, float(len(s.times) == steps))
    )


def refused(capsys: pytest.CaptureFixture[str], model: Path | str, cases: Path, *w: str) -> str:
    assert tune(model, cases, *w) == 2
    return capsys.readouterr().err


def test_what_cases_json_says_makes_other_measurements(cases: Path, tmp_path: Path) -> None:
    """A structure that nobody looked for, or millimetres, change numbers that were kept."""
    path = shutil.copytree(cases, tmp_path / "set")
    told = json.loads((path / "cases.json").read_text()) if (path / "cases.json").exists() else {}

    def hashes(**entry: object) -> list[str]:
        new = {f"p{i}": {**told.get(f"p{i}", {}), **entry} for i in range(4)}
        (path / "cases.json").write_text(json.dumps(new))
        return [scan.sha256 for scan in scans_of(open_folder(path).splits["val"])]

    plain = hashes()
    assert plain == hashes()
    apart = [hashes(annotated=["SRF"]), hashes(annotated=["SRF", "IRF"])]
    apart += [hashes(spacing_mm=[0.004, 0.011]), hashes(spacing_mm=[0.004, 0.012])]
    assert len({tuple(one) for one in [plain, *apart]}) == 5


# --- what is written


def test_the_chosen_sampling_and_what_was_measured_go_into_a_new_file(
    model: Path, cases: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_fit(monkeypatch, 2)
    card, tensors = checkpoint.load(model)
    ruled = replace(card.sampling, odds=2.0, peak=0.1)
    checkpoint.save(model, replace(card, sampling=ruled), tensors)
    before = model.read_bytes()
    assert tune(model, cases, "--images", "4", "--reference-images", "1") == 0
    out = model.with_name("tiny-tuned.safetensors")
    assert model.read_bytes() == before
    card, told = checkpoint.read_card(out), capsys.readouterr()
    facts = card.scores["tuning"]
    assert facts["chosen on"] == facts["reported on"] == 2
    assert facts["report"]["images"] == 2
    assert facts["command"].startswith("spad tune ")
    assert str(model.parent) not in facts["command"]
    assert facts["the whole chain"]["images"] == 1
    assert facts["on the images of the whole chain"]["images"] == 1
    assert "the whole chain of 26 steps on 1 of them, which is all it is compared on" in told.err
    assert "chosen on 2 images, reported on 2 of other patients" in told.err
    assert told.out.count("| 26 | uniform | 50 |") == 1
    assert card.sampling.steps == 2
    assert (card.sampling.odds, card.sampling.peak) == (2.0, 0.1)
    assert "Chosen: 2 steps" in told.out
    assert "On the 2 images of other patients" in told.out
    assert "tuning" in card.text()
    # The weights are the same, and the file is used as it says.
    old, new = checkpoint.load(model)[1], checkpoint.load(out)[1]
    assert all(torch.equal(old[name], new[name]) for name in old)
    image = phantom.bscan(1, shape=(32, 48)).image
    assert spad.load(out).segment(image).provenance["steps"] == card.sampling.steps


def test_a_model_is_tuned_in_place_when_asked(model: Path, cases: Path) -> None:
    old = checkpoint.load(model)[1]
    assert tune(model, cases, "--in-place", "--images", "2", "--reference-images", "1") == 0
    card, new = checkpoint.load(model)
    assert "tuning" in card.scores
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_one_image_is_enough_and_its_flattery_said(
    model: Path, cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(model, cases, "--images", "1") == 0
    told = capsys.readouterr().err
    assert "one patient: the choice is made and reported on the same images" in told


def test_a_long_chain_is_chosen_where_nothing_shorter_will_do(
    model: Path, cases: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_fit(monkeypatch, T)
    assert tune(model, cases, "--images", "4", "--reference-images", "1") == 0
    told = capsys.readouterr()
    assert "26 steps are too dear to run on other images and to fit a temperature" in told.err
    assert "On 1 of these: pooled" in told.out
    assert "Chosen: 26 steps at t = 26, 25, ..., 1, temperature 1" in told.out
    sampling = checkpoint.read_card(model.with_name("tiny-tuned.safetensors")).sampling
    assert sampling == SamplingConfig(steps=T, samples=2, grid="uniform")


def test_limits_that_nothing_meets_are_said(
    model: Path, cases: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_fit(monkeypatch, 99)
    assert tune(model, cases, "--images", "2", "--reference-images", "1") == 0
    assert "No setting keeps Dice" in capsys.readouterr().out
    card = checkpoint.read_card(model.with_name("tiny-tuned.safetensors"))
    assert card.scores["tuning"]["within the limits"] == "no: the diversity alone"


def test_with_several_raters_the_distance_to_their_spread_is_measured(
    model: Path, raters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(model, raters, "--reference-images", "1") == 0
    assert "GED²" in capsys.readouterr().out
    facts = checkpoint.read_card(model.with_name("tiny-tuned.safetensors")).scores["tuning"]
    assert facts["report"]["images"] == 1
    assert 0 < facts["report"]["energy"] < 2


# --- what is measured


def test_a_measurement_is_that_of_the_segmenter(model: Path, raters: Path, tmp_path: Path) -> None:
    (scan, _) = scans_of(open_folder(raters).splits["val"])
    assert len(scan.cases) == 3
    assert {case.patient for case in scan.cases} == {scan.patient}
    one = bench(model, raters, tmp_path / "found.jsonl")
    setting = Setting((T, 7, 2), samples=3, temperature=2.0)
    one.measure(setting, [scan])
    found = one.done[scan.sha256, setting.key]

    segmenter = spad.load(model, device="cpu")
    card = segmenter.card
    segmenter.card = segmenter._model.card = replace(card, sampling=setting.sampling(card.sampling))
    result = segmenter.segment(read_image(scan.cases[0]), probability=True)
    maps = np.stack([phantom.bscan(1_000_000, shape=(32, 48), raters=3).raters])[0]
    assert found.matrices == [confusion_matrix(result.labels, m, K).tolist() for m in maps]
    assert found.diversity == diversity(result.samples, K)
    assert found.energy == energy_distance(result.samples, maps, K)
    p = result.probability.astype(np.float32)
    expected = sum(calibration_histogram(p, m) for m in maps)
    np.testing.assert_allclose(found.histograms[0], expected, atol=1e-2)
    assert 0 < np.sum(found.histograms[1]) < np.sum(expected)
    of_truth = [np.take_along_axis(p, m[None].astype(int), 0) for m in maps]
    np.testing.assert_allclose(found.surprise[0], -np.log(of_truth).sum(), rtol=1e-4)
    assert found.surprise[1] == maps.size


def test_an_image_is_encoded_once_for_all_settings(
    model: Path, cases: Path, tmp_path: Path
) -> None:
    one = bench(model, cases, tmp_path / "found.jsonl")
    scans = scans_of(open_folder(cases).splits["val"])[:2]
    spent = []
    for times in ((T,), (T, 3), (T, 5, 2)):
        one.measure(Setting(times, 2, 1.0), scans)
        spent.append(one._memory.spent)
    assert 0 < spent[0] == spent[1] == spent[2]
    last, fresh = Setting((T, 5, 2), 2, 1.0), bench(model, cases, tmp_path / "fresh.jsonl")
    fresh.measure(last, scans[1:])
    again, first = (b.done[scans[1].sha256, last.key] for b in (one, fresh))
    assert (again.matrices, again.histograms) == (first.matrices, first.histograms)
    assert len({one.done[s.sha256, Setting((T,), 2, 1.0).key].encode_seconds for s in scans}) == 2


# --- interrupted, resumed


def test_an_interrupted_search_goes_on_where_it_was(
    model: Path,
    cases: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("--images", "2", "--reference-images", "1")
    with monkeypatch.context() as patch:
        whole = count_runs(patch)
        assert tune(model, cases, *words, "--out", str(model.with_name("whole.safetensors"))) == 0
    with monkeypatch.context() as patch:
        first = count_runs(patch, stop_after=5)
        assert tune(model, cases, *words) == 130
    assert len(first) == 5
    told = capsys.readouterr().err
    (file,) = model.parent.glob("tiny-tuned.*.jsonl")
    assert f"interrupted; 5 measurements are kept in {file}" in told
    assert not model.with_name("tiny-tuned.safetensors").exists()
    with file.open("a") as handle:
        handle.write('{"scan": "cut o')  # as a killed process leaves it
    with monkeypatch.context() as patch:
        second = count_runs(patch)
        assert tune(model, cases, *words) == 0
    assert "5 measurements of" in capsys.readouterr().err
    assert len(first) + len(second) == len(whole)
    assert all(json.loads(line) for line in file.read_text().splitlines())
    cards = [
        checkpoint.read_card(model.with_name(f"{name}.safetensors"))
        for name in ("whole", "tiny-tuned")
    ]
    assert cards[0].sampling == cards[1].sampling


def test_measurements_of_another_seed_are_refused(
    model: Path, cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--images", "1", "--reference-images", "1")
    assert tune(model, cases, *words) == 0
    model.with_name("tiny-tuned.safetensors").unlink()
    said = refused(capsys, model, cases, *words, "--seed", "5")
    assert re.search(r"another checkpoint, seed.*remove it, or choose another --out", said)


@pytest.mark.parametrize("content", ["no json\n", "[1]\n", '{"checkpoint": 1}\n{"scan": 2}\n'])
def test_a_file_that_holds_no_measurements_is_refused(
    model: Path, cases: Path, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "found.jsonl"
    file.write_text(content)
    with pytest.raises(ValueError, match="no measurements that this search can go on with"):
        bench(model, cases, file)
    assert file.read_text() == content


# --- what is refused


def test_a_model_that_cannot_sample_is_refused(
    tmp_path: Path, cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unet = write_model(tmp_path / "unet.safetensors", "unet")
    assert "does not diffuse: one pass gives its one answer" in refused(capsys, unet, cases)


def test_places_that_are_taken_are_refused_before_anything_is_measured(
    model: Path,
    cases: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = count_runs(monkeypatch)
    said = refused(capsys, model, cases, "--out", str(model))
    assert "exists and is not overwritten; remove it, or choose another with --out" in said
    monkeypatch.setenv("SPAD_MODELS", str(model.parent))
    said = refused(capsys, model.stem, cases, "--in-place")
    assert "goes by its name, for others too, and is not changed in place; name another" in said
    assert runs == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--split", "test"), "split 'test' has no images; the splits with images are: val"),
        (("--steps", "27"), r"27 steps asked for; this model allows 1\.\.26"),
        (("--learn", "99"), "--learn 99: times are learnt for at most 8 steps"),
        (("--samples", "65"), "samples is 65; allowed are 1 to 64"),
        (("--map", "SRF=1"), "are in no class"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(
    model: Path,
    cases: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    assert re.search(said, refused(capsys, model, cases, *words))
