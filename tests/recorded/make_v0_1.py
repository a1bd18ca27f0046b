"""How the files in ``v0_1`` were made: by version 0.1 itself, from phantoms and tiny networks.

``python tests/recorded/make_v0_1.py PART``, PART being model, trainer, napari or slicer, in this
order. It is kept as the files' description: made anew by another version, they would prove nothing.
Where the program writes the path of a folder, ``FOLDER`` stands in its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spad.card import Card, InputConfig, NetworkConfig, SamplingConfig, ScheduleConfig
from spad.labels import label_classes
from spad.segmenter import load

from spad import checkpoint, phantom
from spad.network import build

HERE = Path(__file__).parent / "v0_1"
SHAPE = (3, 32, 48)
NETWORK = {"widths": (8, 8, 8), "blocks": 1, "time_width": 8}
TRAINING = """
name = "begun"
[data]
folders = ["set"]
workers = 0
[input]
size = [32, 48]
[network]
widths = [8, 8, 8]
blocks = 1
denoiser_widths = [8]
time_width = 8
[optimiser]
steps = 6
batch = 2
warmup = 2
[validation]
every = 3
save_every = 2
samples = 1
steps = 2
[sampling]
samples = 1
"""


def eye() -> phantom.Phantom:
    """The stack that napari and Slicer open."""
    return phantom.stack(49, shape=SHAPE)


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def settle(folder: Path, target: Path, replaced: Path) -> None:
    """Put a folder into the record, without the paths of this machine."""
    for file in folder.rglob("*"):
        if file.suffix in (".json", ".jsonl", ".toml", ".txt", ".ini", ".mrml"):
            text = file.read_text("utf-8")
            file.write_text(text.replace(str(replaced), "FOLDER"), "utf-8")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)


# ---------------------------------------------------------------------- checkpoints


def model(_work: Path) -> None:
    """A checkpoint of each kind of network, with random weights, and what it makes of a phantom."""
    out = HERE / "model"
    out.mkdir(parents=True, exist_ok=True)
    image = phantom.bscan(3, shape=SHAPE[1:]).image
    maps = {}
    for kind in ("cached", "concat", "unet"):
        diffuses = {} if kind == "unet" else {"denoiser_widths": (8,)}
        network = NetworkConfig(kind=kind, **NETWORK, **diffuses)
        card = Card(
            name=f"tiny {kind}",
            classes=label_classes(phantom.CLASS_NAMES),
            network=network,
            schedule=ScheduleConfig(),
            input=InputConfig(size=SHAPE[1:]),
            sampling=SamplingConfig(steps=3, samples=2),
            training={"method": "unet" if kind == "unet" else "spad", "note": "random weights"},
            scores={"validation": {"pooled mean Dice": 0.125}},
        )
        torch.manual_seed(0)
        made = build(network, len(card.classes), None)
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                parameter.normal_(0, 0.15)
                if "head" in name:
                    parameter.mul_(100)  # sure in places, unsure in others
        checkpoint.save(out / f"{kind}.safetensors", card, made.state_dict())
        run = load(out / f"{kind}.safetensors", device="cpu").segment(image, samples=2, seed=5)
        maps[f"{kind}: labels"], maps[f"{kind}: samples"] = run.labels, run.samples
    np.savez_compressed(out / "labels.npz", **maps)


# ---------------------------------------------------------------------- the trainer


def trainer(work: Path) -> None:
    """A case folder, a run that was stopped on its way, and one that was left to its end."""
    from spad.train.case_writer import write_folder
    from spad.train.phantom_cases import phantom_cases

    from spad.train import loop
    from spad.train.config import load_config

    torch.set_num_threads(1)
    cases = phantom_cases(4, 2, size=SHAPE[1:], seed=2, randomise=False, raters=0)
    write_folder(work / "set", cases, dict(enumerate(phantom.CLASS_NAMES)))
    (work / "begun.toml").write_text(TRAINING, "utf-8")
    config = load_config(work / "begun.toml")
    loop.train(config, work / "whole", device="cpu")
    update = loop._update

    def killed(run: Any, *args: Any) -> Any:
        if run.step == 4:
            raise RuntimeError("killed")
        return update(run, *args)

    loop._update = killed
    with contextlib.suppress(RuntimeError):
        loop.train(config, work / "run", device="cpu")
    state = torch.load(work / "run" / "latest.pt", weights_only=True)
    state["config"]["data"]["folders"] = ["FOLDER/set"]
    torch.save(state, work / "run" / "latest.pt")
    _, weights = checkpoint.load(work / "whole" / "latest.safetensors")
    np.savez_compressed(work / "whole.npz", **{name: x.numpy() for name, x in weights.items()})
    for left in (*work.rglob("*tfevents*"), *(work / "run").glob("*.safetensors")):
        left.unlink()
    shutil.rmtree(work / "whole")
    settle(work, HERE / "trainer", work)


# ---------------------------------------------------------------------- napari


def napari(work: Path) -> None:
    """A session in napari: segmented, corrected, reviewed, exported, trained from, then killed."""
    import napari as program
    from napari_spad._cases import png_bytes
    from napari_spad._dock import SpadDock
    from qtpy.QtCore import QSettings
    from qtpy.QtWidgets import QApplication

    shutil.copytree(HERE / "model", work / "model")
    settings = QSettings(str(work / "settings.ini"), QSettings.Format.IniFormat)
    settings.setValue("annotator", "reader 1")
    viewer = program.Viewer(show=False)
    dock = SpadDock(viewer, settings=settings, folder=work / "data")
    viewer.window.add_dock_widget(dock, name="SPAD segmentation", area="right")

    def wait(until: Callable[[], bool], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end
            QApplication.processEvents()
            time.sleep(0.01)

    def pause(seconds: float) -> None:
        end = time.monotonic() + seconds
        wait(lambda: time.monotonic() > end)

    wait(lambda: dock.form.device.count() > 1)
    made = eye()
    placed = {"scale": made.spacing_mm, "units": ("mm",) * 3}
    viewer.add_image(made.image, name="phantom", **placed)
    truth = viewer.add_labels(made.labels, name="truth", **placed)
    dock.form.checkpoint.choose(work / "model" / "cached.safetensors")
    dock.form.samples.setValue(3)
    dock.form.whole.setChecked(True)
    dock.form.device.setCurrentIndex(dock.form.device.findData("cpu"))
    dock.form.device.activated.emit(dock.form.device.currentIndex())
    dock.segment()
    wait(lambda: not dock.running)
    result = dock.desk.result
    dock.scores.reference.choose(truth)
    layer = result.layer
    viewer.layers.selection.active = layer
    layer.name = "eye"

    def stroke(where: tuple[int, ...], value: int) -> None:
        layer.selected_label, layer.brush_size = value, 6
        layer.paint(where, value)

    # The log, and a sampling around edits.
    viewer.dims.set_point(0, made.spacing_mm[0])
    pause(1)
    stroke((1, 10, 20), 2)
    stroke((1, 20, 30), 4)
    layer.undo()
    dock.correct.sample_anew()
    wait(lambda: not dock.running)
    pause(0.5)
    viewer.dims.set_point(0, 2 * made.spacing_mm[0])
    wait(lambda: dock.keep.log.lines == 1)
    dock.correct.scopes["doubtful"].click()
    result.locked.add(3)

    # The review.
    reviews = dock.review.reviews
    wait(lambda: len(reviews.bench(result).queue.error) == SHAPE[0])
    reviews.accept(result, (0,))
    reviews.accept(result, (1,))
    reviews.skip(result, (2,))
    pause(1)

    # The exports, one format after another.
    for at in range(dock.keep.format.count()):
        dock.keep.format.setCurrentIndex(at)
        dock.keep.format.activated.emit(at)
        dock.keep.folder.setText(str(work / "exports" / str(dock.keep.format.itemData(at))[1:]))
        dock.keep.export()
        wait(lambda: dock.keep._worker is None)
    dock.keep.export_log(work / "exports" / "log.csv")
    pause(1)
    np.savez_compressed(work / "exported.npz", labels=layer.data, by_hand=result.hand.mask)

    # The training set, where PED was not looked for; a batch; a fine-tuning as a process.
    cases = dock.training.cases
    cases.folder.choose(work / "cases")
    next(a for a in cases._menu.actions() if a.text() == "PED").setChecked(False)
    cases.add([(0,), (1,)])
    wait(lambda: cases._worker is None)
    (work / "scans").mkdir()
    for z in range(2):
        (work / "scans" / f"scan{z}.png").write_bytes(png_bytes(made.image[z]))
    dock.training.batch.images.choose(work / "scans")
    dock.training.batch.folder.click()
    wait(lambda: not dock.desk.busy)
    tuning = dock.training.fine_tune
    tuning.minutes.setValue(0.1)
    tuning.name.setText("tuned")
    tuning.name.setModified(True)
    tuning.start()
    wait(lambda: not tuning.running)

    # Edited once more after the exports, and then the power fails.
    stroke((0, 16, 40), 1)
    drawn = viewer.add_labels(np.zeros(SHAPE, np.uint8), name="drawn", **placed)
    drawn.selected_label, drawn.brush_size = 7, 4
    drawn.paint((2, 8, 8), 7)
    pause(1.5)
    wait(lambda: not dock.keep.autosave.waiting)
    dock.keep.autosave.session.close(properly=False)
    dock.keep.autosave._timer.stop()
    np.savez_compressed(
        work / "crashed.npz",
        labels=layer.data,
        by_hand=result.hand.mask,
        written=result.written,
        uncertainty=result.uncertainty.data,
        samples=np.stack([result.packed[(z,)].samples() for z in range(SHAPE[0])]),
        drawn=drawn.data,
    )
    write_json(
        work / "crashed.json",
        {
            "name": layer.name,
            "provenance": layer.metadata["spad"]["provenance"],
            "classes": [c.as_json() for c in result.classes],
            "states": {str(p[0]): s for p, s in reviews.bench(result).queue.state.items()},
            "Batch": dock.training.batch.status.text(),
            "Fine-tune": tuning.status.text(),
        },
    )
    settings.sync()
    for left in work.rglob("*"):
        if "tfevents" in left.name or (left.parent.name == "tuned" and left.name.startswith("lat")):
            left.unlink()
    shutil.rmtree(work / "model")
    settle(work, HERE / "napari", work)
    os._exit(0)  # the session does not end properly


# ---------------------------------------------------------------------- Slicer


def slicer(work: Path) -> None:
    """A scene with a result that a person edited and reviewed, and a reference beside it."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "slicer"))
    import slicer as program
    from fakes import paint
    from scene import add_volume, new_scene, save_scene
    from SPADLib.compare import Comparison
    from SPADLib.layout import Layout
    from SPADLib.reference import Reference
    from SPADLib.result import Result
    from SPADLib.review import Review
    from SPADLib.save import save
    from SPADLib.score_nodes import to_table
    from SPADLib.segments import write_segments

    scene, _, _ = new_scene()
    made = eye()
    volume = add_volume(made.image, spacing=made.spacing_mm, name="phantom")
    segmenter = load(HERE / "model" / "cached.safetensors", device="cpu")
    result = Result.create(volume, Layout(), segmenter.segment(made.image, samples=2, seed=5))
    paint(result, 1, slice(4, 12), slice(10, 20), 3)
    own = result.segmentation.GetSegmentation().AddEmptySegment("mine", "mine")
    part = np.zeros(SHAPE, np.uint8)
    part[2, 20:24, 30:36] = 1
    program.util.updateSegmentBinaryLabelmapFromArray(part, result.segmentation, own, volume)
    review = Review(result)
    list(review.judge())
    review.mark(0, "accepted")
    review.mark(2, "skipped")
    truth = program.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "reader 2")
    truth.CreateDefaultDisplayNodes()
    segments = []
    for value, name in ((1, "fluid"), (2, "IRF")):
        segment = program.vtkSegment()
        segment.SetName(name)
        segment.SetLabelValue(value)
        segments.append((f"S{value}", segment))
    write_segments(truth, made.labels, segments, volume)
    reference = Reference.of(truth, result)
    reference.set_match("S1", 1)
    comparison = Comparison(result, reference)
    comparison.refresh()
    table = to_table(comparison, scene)
    expected = {
        "name": result.segmentation.GetName(),
        "segments": dict(result.values),
        "segmented": sorted(result.segmented),
        "layout": result.layout.code,
        "spacing_mm": list(result.spacing_mm),
        "classes": [c.as_json() for c in result.classes],
        "provenance": result.provenance,
        "review": json.loads(result.segmentation.GetAttribute("SPAD.review")),
        "match": reference.match,
        "table": {
            "name": table.GetName(),
            "columns": {
                table.GetColumnName(c): [
                    table.GetTable().GetValue(r, c).ToString()
                    for r in range(table.GetNumberOfRows())
                ]
                for c in range(table.GetNumberOfColumns())
            },
        },
    }
    arrays = {
        "labels": result.labels(),
        "by_hand": result.by_hand(),
        "uncertainty": result.uncertainty(),
        "proposal": result.proposal(),
        "reference": reference.labels(),
    }
    (work / "saved").mkdir()
    for suffix in (".seg.nrrd", ".nii.gz"):
        save(result, work / "saved" / f"result{suffix}")
    (work / "scene").mkdir()
    save_scene(scene, work / "scene")
    write_json(work / "expected.json", expected)
    np.savez_compressed(work / "expected.npz", **{name: np.array(x) for name, x in arrays.items()})
    settle(work, HERE / "slicer", work)


if __name__ == "__main__":
    part = {"model": model, "trainer": trainer, "napari": napari, "slicer": slicer}[sys.argv[1]]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPAD_CACHE"] = f"{folder}/cache"
        (inside := Path(folder) / "work").mkdir()
        part(inside)
