"""The tab Train: corrections become a training set, and the trainer is a watched process."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from conftest import CLASSES, fake_labels

import napari_spad.learn.fine_tuning as fine_tune
import napari_spad.learn.trainer_process as trainer
from napari_spad.learn.training_set import png_bytes
from spad.cases import Case, open_folder
from spad.cases.new_cases import NewCase, write_cases
from spad.checkpoint import shipped
from spad.checkpoint.labels import IGNORE
from spad.train.data import check, read_image
from spad.train.data.cases import read_values

pytestmark = pytest.mark.gui

SHAPE = (3, 24, 36)
SRF, IRF = 1, 2

FAKE = """
import json, os, signal, sys, time
from pathlib import Path
config, out = Path(sys.argv[1]), Path(sys.argv[3])
began = time.time()
def note(step, **content):
    with open(out / "progress.jsonl", "a") as file:
        file.write(json.dumps({"step": step, "seconds": time.time() - began, **content}) + "\\n")
def scores(dice):
    row = {"images": 4, "dice": dice, "low": dice - 0.1, "high": dice + 0.1}
    rows = [{"name": name, **row} for name in ("SRF", "mean")]
    return {"images": 4, "patients": 2, "rows": rows}
note(0, steps=1000000, minutes=1)
note(0, scoring=True)
note(0, validation=scores(0.5))
note(0, training=True)
for step in range(1, 4):
    note(step, loss=1 / step)
"""
ENDS = """
note(3, validation=scores(0.6))
(out / "best.safetensors").write_bytes(b"the new model")
print(out / "best.safetensors")
"""
WAITS = """
def stopped(*_):
    print("spad: stopped and saved at step 3 of 1000000", file=sys.stderr)
    sys.exit(130)
signal.signal(signal.SIGTERM, stopped)
note(4, loss=0.2)
time.sleep(60)
"""
DEAF = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
note(4, loss=0.2)
time.sleep(60)
"""
FAILS = """
print("  0%| | 1/1000 [00:01<9:00, 3.3s/step]\\r", file=sys.stderr)
print("spad: 2 problems:\\n  a.png: is damaged\\n  b.png: is missing", file=sys.stderr)
sys.exit(2)
"""
CRASHES = """
raise RuntimeError("no space left on device")
"""


@pytest.fixture
def panel(open_dock, qtbot):
    from napari_spad.learn.train_panel import TrainingPanel

    _viewer, dock = open_dock()
    panel = TrainingPanel(dock.desk)
    dock.panels.addTab(panel, "Train")
    panel.follow(dock.form)
    dock.form.checkpoint.choose(shipped()["oct-phantom"])  # its card alone is read
    panel.dock = dock
    yield panel
    panel.disconnect_viewer()
    if (left := trainer.find(dock.desk.folder)) is not None:
        left.kill()


def stack(seed: int = 0, shape: tuple[int, ...] = SHAPE, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def segment(panel, qtbot, data: np.ndarray, **options):
    """Add an image and segment all of it; return its result."""
    dock = panel.dock
    layer = dock.viewer.add_image(data, **options)
    dock.form.image.choose(layer)
    dock.form.whole.setChecked(True)
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    return dock.desk.result


def added(panel, qtbot, button) -> str:
    button.click()
    qtbot.waitUntil(lambda: panel.cases._worker is None, timeout=10_000)
    return panel.cases.status.text()


def read(folder: Path) -> dict[str, list[Case]]:
    opened = open_folder(folder)
    check([opened], None, [split for split, some in opened.splits.items() if some])
    return {split: list(some) for split, some in opened.splits.items()}


def said(panel) -> str:
    return panel.dock.footer.status.text()


# ---------------------------------------------------------------------- the training set


def test_corrected_bscans_become_cases_that_the_trainer_reads(panel, tmp_path: Path, qtbot):
    placed = {"scale": (0.1, 0.004, 0.011), "units": ("mm",) * 3}
    result = segment(panel, qtbot, stack(), name="Müller Jörg.vol", **placed)
    panel.cases.folder.choose(tmp_path / "set")
    assert not panel.cases.done.isEnabled()
    result.layer.paint((1, 20, 5), SRF)
    result.layer.paint((2, 20, 5), SRF)
    assert panel.cases.done.text() == "Corrected (2)"
    assert "Add a second patient" in added(panel, qtbot, panel.cases.done)
    cases = read(tmp_path / "set")["train"]
    assert len(cases) == 2
    for z, case in zip((1, 2), cases, strict=True):
        np.testing.assert_array_equal(read_image(case), stack()[z])
        np.testing.assert_array_equal(read_values(case), result.layer.data[z])
        assert case.spacing_mm == (0.004, 0.011)
        assert case.annotated == tuple(c.name for c in CLASSES[1:])
    everything = " ".join(str(p) for p in (tmp_path / "set").rglob("*"))
    everything += (tmp_path / "set" / "cases.json").read_text()
    assert "ller" not in everything


def test_an_undone_stroke_is_no_correction(panel, qtbot):
    result = segment(panel, qtbot, stack())
    result.layer.paint((1, 20, 5), SRF)
    result.layer.undo()
    assert panel.cases.done.text() == "Corrected (0)"


def test_accepted_bscans_count_as_corrected(panel, tmp_path: Path, qtbot):
    segment(panel, qtbot, stack())
    panel.cases.accepted = lambda _: {(2,)}
    panel.cases.refresh()
    panel.cases.folder.choose(tmp_path / "set")
    assert panel.cases.done.text() == "Corrected (1)"
    added(panel, qtbot, panel.cases.done)
    [case] = read(tmp_path / "set")["train"]
    np.testing.assert_array_equal(read_image(case), stack()[2])


def test_the_bscan_on_screen_and_the_whole_stack(panel, tmp_path: Path, qtbot):
    segment(panel, qtbot, stack())
    panel.cases.folder.choose(tmp_path / "set")
    panel.dock.viewer.dims.set_current_step(0, 1)
    added(panel, qtbot, panel.cases.this)
    [case] = read(tmp_path / "set")["train"]
    np.testing.assert_array_equal(read_image(case), stack()[1])
    assert "Added 3." in added(panel, qtbot, panel.cases.all)
    assert len(read(tmp_path / "set")["train"]) == 3


def test_no_bscan_is_added_as_that_on_screen_where_none_is(panel, tmp_path: Path, qtbot):
    segment(panel, qtbot, stack())
    panel.cases.folder.choose(tmp_path / "set")
    panel.dock.viewer.dims.ndisplay = 3
    panel.cases.this.click()
    assert panel.cases._worker is None
    assert said(panel).startswith("No B-scan is on screen")
    panel.dock.viewer.dims.ndisplay = 2
    added(panel, qtbot, panel.cases.this)
    assert len(read(tmp_path / "set")["train"]) == 1


def test_what_was_corrected_again_replaces_itself_and_says_where_the_older_is(
    panel, tmp_path: Path, qtbot
):
    result = segment(panel, qtbot, stack())
    panel.cases.folder.choose(tmp_path / "set")
    added(panel, qtbot, panel.cases.this)
    result.layer.paint((*panel.desk.place(), 20, 5), IRF)
    assert ".bak" in added(panel, qtbot, panel.cases.this)
    [case] = read(tmp_path / "set")["train"]
    np.testing.assert_array_equal(read_values(case), result.layer.data[panel.desk.place()])


def test_structures_that_nobody_looked_for_are_ignored(panel, tmp_path: Path, qtbot):
    segment(panel, qtbot, stack(shape=SHAPE[1:]))
    panel.cases.folder.choose(tmp_path / "set")
    for action in panel.cases._menu.actions():
        action.setChecked(action.text() in ("SRF", "IRF"))
    assert panel.cases.structures.text() == "SRF, IRF"
    added(panel, qtbot, panel.cases.this)
    [case] = read(tmp_path / "set")["train"]
    assert case.annotated == ("SRF", "IRF")
    expected = fake_labels(stack(shape=SHAPE[1:]))
    np.testing.assert_array_equal(read_values(case), np.where(expected > IRF, IGNORE, expected))
    for action in panel.cases._menu.actions():
        action.setChecked(False)
    added(panel, qtbot, panel.cases.this)
    assert "no structure is marked" in said(panel)


def test_what_was_chosen_for_a_result_is_there_again_after_a_look_at_another(panel, qtbot):
    first = segment(panel, qtbot, stack(), name="one")
    menu = panel.cases._menu
    menu.actions()[SRF - 1].setChecked(False)
    panel.cases.own.setChecked(True)
    second = segment(panel, qtbot, stack(1), name="two")
    every = [c.name for c in second.classes if c.value]
    assert panel.cases.annotated() == every
    assert not panel.cases.own.isChecked()
    menu.actions()[IRF - 1].setChecked(False)
    for result, own in ((first, True), (second, False)):
        panel.dock.viewer.layers.selection.active = result.image
        assert panel.dock.desk.result is result
        gone = SRF if result is first else IRF
        assert panel.cases.annotated() == [n for n in every if n != every[gone - 1]]
        assert panel.cases.structures.text() == ", ".join(panel.cases.annotated())
        assert panel.cases.own.isChecked() == own
    first.add_class("cyst")  # it is looked for: somebody added it
    panel.dock.viewer.layers.selection.active = first.image
    assert panel.cases.annotated() == [*(n for n in every if n != every[SRF - 1]), "cyst"]


def test_a_structure_that_was_just_added_goes_into_the_set(panel, tmp_path: Path, qtbot):
    result = segment(panel, qtbot, stack(shape=SHAPE[1:]))
    panel.cases._menu.actions()[IRF - 1].setChecked(False)
    panel.cases.folder.choose(tmp_path / "set")
    result.add_class("cyst")
    panel.dock.desk.result_described.emit(result)  # as `+` above the scores does
    result.layer.data_setitem((np.array([0]), np.array([0])), 6)
    added(panel, qtbot, panel.cases.done)
    [case] = read(tmp_path / "set")["train"]
    assert case.annotated == (*(c.name for c in CLASSES[1:] if c.value != IRF), "cyst")
    assert read_values(case)[0, 0] == 6


def test_patients_share_no_split_and_the_second_validates(panel, tmp_path: Path, qtbot):
    panel.cases.folder.choose(tmp_path / "set")
    for seed in range(2):
        segment(panel, qtbot, stack(seed))
        told = added(panel, qtbot, panel.cases.all)
    assert "3 B-scans of 1 patient train, 3 B-scans of 1 patient validate" in told
    segment(panel, qtbot, stack(5), metadata={"patient": "P-77"})
    added(panel, qtbot, panel.cases.all)
    assert {c.patient for c in read(tmp_path / "set")["train"]} > {"P-77"}


def test_a_stack_of_different_people_is_split_by_bscan(panel, tmp_path: Path, qtbot):
    metadata = {"bscan_sizes": [(24, 36), (20, 36), (24, 30)]}
    segment(panel, qtbot, stack(), metadata=metadata)
    assert panel.cases.own.isChecked()  # B-scans of one scan are of one size
    panel.cases.folder.choose(tmp_path / "set")
    added(panel, qtbot, panel.cases.all)
    splits = read(tmp_path / "set")
    assert [len(splits[s]) for s in ("train", "val")] == [2, 1]
    shapes = {read_image(c).shape for some in splits.values() for c in some}
    assert shapes == {(24, 36), (20, 36), (24, 30)}  # the padding is not learned


@pytest.mark.parametrize(
    ("data", "options", "told"),
    [
        (stack(dtype="float32") / 7, {}, "Float32 pixels"),
        (np.stack([stack(k)[0] for k in range(3)], -1), {"rgb": True}, "Colours became grey"),
        (stack(dtype="uint16") * 300, {}, ""),
    ],
)
def test_pixels_keep_their_depth_or_it_is_said(
    panel, tmp_path: Path, qtbot, data, options, told: str
):
    segment(panel, qtbot, data, **options)
    panel.cases.folder.choose(tmp_path / "set")
    assert told in added(panel, qtbot, panel.cases.this)
    [case] = read(tmp_path / "set")["train"]
    assert read_image(case).dtype == (np.uint8 if "rgb" in options else np.uint16)


def test_a_folder_of_other_classes_is_refused(panel, tmp_path: Path, qtbot):
    segment(panel, qtbot, stack())
    panel.cases.folder.choose(tmp_path / "set")
    added(panel, qtbot, panel.cases.this)
    labels = tmp_path / "set" / "labels.json"
    labels.write_text(json.dumps({"0": "background", "1": "lung"}))
    before = sorted((tmp_path / "set").rglob("*"))
    added(panel, qtbot, panel.cases.all)
    assert "Not added" in said(panel)
    assert sorted((tmp_path / "set").rglob("*")) == before


def test_a_bscan_that_nobody_segmented_is_no_case(panel, tmp_path: Path, qtbot):
    viewer, dock = panel.dock.viewer, panel.dock
    viewer.add_image(stack())
    dock.form.one.setChecked(True)
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    place = panel.desk.place()
    viewer.dims.set_current_step(0, (place[0] + 1) % 3)
    panel.cases.folder.choose(tmp_path / "set")
    panel.cases.this.click()
    assert "is not segmented" in said(panel)
    assert panel.cases.all.text() == "All (1)"
    assert not (tmp_path / "set").exists()


# ---------------------------------------------------------------------- fine-tuning


def write_set(folder: Path, patients: int) -> None:
    cases = (
        NewCase(f"b{n}{z}", stack(n)[z], fake_labels(stack(n)[z]), split=None, patient=f"P{n}")
        for n in range(patients)
        for z in range(3)
    )
    write_cases(folder, cases, {c.value: c.name for c in CLASSES}, encode=png_bytes)


@pytest.fixture
def tuning(panel, tmp_path: Path, monkeypatch):
    """A training set of two patients, and a trainer that does as the test wants."""
    write_set(tmp_path / "set", 2)
    panel.cases.folder.choose(tmp_path / "set")

    def does(what: str) -> None:
        script = tmp_path / "fake_trainer.py"
        script.write_text(textwrap.dedent(FAKE + what))
        monkeypatch.setattr(trainer, "COMMAND", (sys.executable, str(script)))

    does(ENDS)
    panel.does = does
    return panel


def ended(panel, qtbot) -> str:
    qtbot.waitUntil(lambda: not panel.fine_tune.running, timeout=20_000)
    return panel.fine_tune.status.text()


def running(panel, qtbot) -> None:
    tune = panel.fine_tune
    qtbot.waitUntil(lambda: len(tune.curve._losses) == 4, timeout=20_000)
    assert tune.running


def test_a_new_model_is_offered_beside_the_old_ones_scores(tuning, qtbot):
    tune, form = tuning.fine_tune, tuning.dock.form
    old = form.checkpoint.path
    assert tune.name.text() == "oct-phantom-tuned"
    tune.button.click()
    assert tune.running
    assert "3 steps done" in ended(tuning, qtbot)
    text = tune.table.text()
    assert "0.500" in text
    assert "0.600" in text
    assert "Too few to tell: 4 B-scans of 2 patients" in text
    tune.use.click()
    assert form.checkpoint.path.read_bytes() == b"the new model"
    assert form.checkpoint.currentText() == "oct-phantom-tuned"
    assert old.is_file()
    assert tune.name.text() == "oct-phantom-tuned-2"


@pytest.mark.parametrize("at", ["write_bytes", "write_json"])
def test_a_full_disk_leaves_neither_a_process_nor_a_name_that_is_taken(
    tuning, qtbot, monkeypatch, at: str
):
    tune = tuning.fine_tune
    before = set(trainer._running)

    def full(path, _content):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(trainer, at, full)
        tune.button.click()
        assert "Not started: " in said(tuning)
        assert "No space left on device; free some space there" in said(tuning)
    assert not tune.running
    assert set(trainer._running) == before
    tune.button.click()
    assert "3 steps done" in ended(tuning, qtbot)


def test_a_model_that_does_not_fit_the_disk_is_no_half_model(tuning, qtbot, monkeypatch):
    tune = tuning.fine_tune
    tune.button.click()
    ended(tuning, qtbot)

    def full(_source, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("napari_spad.learn.fine_tuning.shutil.copyfile", full)
        tune.use.click()
        assert "No space left on device; free some space there" in said(tuning)
    assert not list((tuning.dock.desk.folder / "models").iterdir())
    tune.use.click()
    assert tuning.dock.form.checkpoint.path.read_bytes() == b"the new model"


def test_the_configuration_is_one_that_the_trainer_takes(tuning, qtbot):
    from spad.train.config import load_config

    tuning.fine_tune.minutes.setValue(2.5)
    tuning.fine_tune.button.click()
    ended(tuning, qtbot)
    config = load_config(tuning.desk.folder / "runs" / "oct-phantom-tuned" / "fine-tune.toml")
    assert Path(config.init) == shipped()["oct-phantom"].resolve()
    assert config.optimiser.minutes == 2.5
    assert config.optimiser.learning_rate == 1e-3
    assert config.optimiser.encoder_factor == 0
    assert config.validation.before
    assert not config.perturbation.semantic


def test_stop_saves_and_says_that_nothing_was_scored_yet(tuning, qtbot):
    tuning.does(WAITS)
    tuning.fine_tune.button.click()
    running(tuning, qtbot)
    assert "of training left" in tuning.fine_tune.status.text()
    tuning.fine_tune.stop_button.click()
    words = ended(tuning, qtbot)
    assert "stopped at step 4" in words
    assert "no new model" in words
    assert tuning.fine_tune.use.isHidden()
    assert tuning.fine_tune.button.isEnabled()


def test_a_process_that_does_not_stop_is_killed_and_it_is_said(tuning, qtbot, monkeypatch):
    monkeypatch.setattr(fine_tune, "PATIENCE_S", 1)
    tuning.does(DEAF)
    tuning.fine_tune.button.click()
    running(tuning, qtbot)
    tuning.fine_tune.stop_button.click()
    assert "did not end within 1 s and was killed" in ended(tuning, qtbot)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (FAILS, "failed: 2 problems:\na.png: is damaged\nb.png: is missing"),
        (CRASHES, "no space left on device"),
        ("os.kill(os.getpid(), 9)", "killed (signal 9)"),
        ("sys.exit(7)", "code 7"),
    ],
)
def test_what_the_trainer_complains_of_is_told(tuning, qtbot, what: str, words: str):
    tuning.does(what)
    tuning.fine_tune.button.click()
    assert words in ended(tuning, qtbot)
    assert tuning.fine_tune.use.isHidden()


def test_a_process_outlives_the_dock_and_is_found_again(tuning, qtbot, monkeypatch):
    from napari_spad.learn.fine_tuning import FineTune

    tuning.does(WAITS)
    tuning.fine_tune.button.click()
    running(tuning, qtbot)
    tuning.disconnect_viewer()
    monkeypatch.setattr(trainer, "_running", {})  # another session did not start it
    again = FineTune(tuning.desk, lambda: None, lambda: None, lambda: "cpu")
    qtbot.addWidget(again)
    assert again.running
    with pytest.raises(ValueError, match="still being trained"):
        trainer.start(again.training, "", "cpu", tuning.desk.folder)
    again.stop()
    qtbot.waitUntil(lambda: not again.running, timeout=20_000)
    assert "stopped at step 4" in again.status.text()
    once_more = FineTune(tuning.desk, lambda: None, lambda: None, lambda: "cpu")
    qtbot.addWidget(once_more)
    assert not once_more.running
    assert "stopped" in once_more.status.text()


def test_one_patient_is_scored_on_its_own_images_and_it_is_said(
    panel, tmp_path: Path, qtbot, monkeypatch
):
    write_set(tmp_path / "set", 1)
    panel.cases.folder.choose(tmp_path / "set")
    script = tmp_path / "fake_trainer.py"
    script.write_text(FAKE + ENDS)
    monkeypatch.setattr(trainer, "COMMAND", (sys.executable, str(script)))
    panel.fine_tune.button.click()
    ended(panel, qtbot)
    assert "the very B-scans that trained it" in panel.fine_tune.table.text()
    config = (panel.desk.folder / "runs" / "oct-phantom-tuned" / "fine-tune.toml").read_text()
    assert '"validation" = "train"' in config


def test_a_name_that_is_none_is_refused(tuning):
    for name in ("", "a/b", "../x", "u" * 61):
        tuning.fine_tune.name.setText(name)
        tuning.fine_tune.button.click()
        assert f"“{name}” is no name for a model" in said(tuning)
        assert not tuning.fine_tune.running


def test_a_training_set_of_other_classes_is_refused_before_the_start(tuning, tmp_path: Path):
    labels = tmp_path / "set" / "labels.json"
    labels.write_text(labels.read_text().replace("SHRM", "drusen"))
    tuning.fine_tune.button.click()
    assert "has drusen, which the model" in said(tuning)
    assert not tuning.fine_tune.running


def test_a_broken_training_set_is_told_before_the_start(tuning, tmp_path: Path):
    (tmp_path / "set" / "split.json").write_text("{")
    tuning.fine_tune.button.click()
    assert "not JSON" in said(tuning)


def test_the_curve_is_drawn_in_its_colours(tuning, qtbot):
    tuning.does(WAITS)
    tuning.fine_tune.button.click()
    running(tuning, qtbot)
    curve = tuning.fine_tune.curve
    curve.resize(300, 110)
    picture = curve.grab().toImage()
    seen = {
        picture.pixelColor(x, y).getRgb()[:3]
        for x in range(picture.width())
        for y in range(picture.height())
    }
    from napari_spad.learn.training_curve import DICE, LOSS

    assert {LOSS.getRgb()[:3], DICE.getRgb()[:3]} <= seen
    tuning.fine_tune.stop()
    ended(tuning, qtbot)


@pytest.mark.slow
def test_a_real_fine_tuning_from_end_to_end(open_dock, tmp_path: Path, qtbot, monkeypatch):
    """The real trainer, as a process, with a tiny network."""
    pytest.importorskip("torch")
    import torch

    from napari_spad.learn.train_panel import TrainingPanel
    from spad import checkpoint as files
    from spad.checkpoint.card import (
        Card,
        InputConfig,
        NetworkConfig,
        SamplingConfig,
        ScheduleConfig,
    )
    from spad.network import build

    monkeypatch.setenv("SPAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    card = Card(
        name="untrained",
        classes=CLASSES,
        network=NetworkConfig(widths=(8, 8, 8), blocks=1, denoiser_widths=(8,), time_width=8),
        schedule=ScheduleConfig(),
        input=InputConfig(size=(32, 32)),
        sampling=SamplingConfig(steps=2, samples=1),
    )
    path = tmp_path / "untrained.safetensors"
    torch.manual_seed(0)
    files.save(path, card, build(card.network, len(CLASSES), None).state_dict())
    _viewer, dock = open_dock()
    panel = TrainingPanel(dock.desk)
    dock.panels.addTab(panel, "Train")
    panel.follow(dock.form)
    panel.dock = dock
    dock.form.checkpoint.choose(path)
    write_set(tmp_path / "set", 2)
    panel.cases.folder.choose(tmp_path / "set")
    panel.fine_tune.minutes.setValue(0.1)
    panel.fine_tune.button.click()
    qtbot.waitUntil(lambda: not panel.fine_tune.running, timeout=120_000)
    words = panel.fine_tune.status.text()
    assert "steps done" in words, words
    assert "before: untrained" in panel.fine_tune.table.text()
    if not panel.fine_tune.use.isHidden():
        panel.fine_tune.use.click()
        assert files.read_card(dock.form.checkpoint.path).name == "untrained-tuned"
    panel.disconnect_viewer()
