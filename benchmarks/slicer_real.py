"""A case folder's validation images through the Slicer module, on slicer-core: end to end.

    python benchmarks/slicer_real.py FOLDER --checkpoint oct-lesions --stack 496 512
    python benchmarks/slicer_real.py FOLDER --checkpoint runs/jsrt/best.safetensors

Each image (or, with ``--stack``, all of them as one volume, resized to this size) is loaded into a
real MRML scene, segmented, compared with its reference, edited through the segmentation's own label
map as the Segment Editor does, scored again, saved with the scene, and loaded. The label maps must
be those that the engine gives without Slicer, and those loaded those saved. Printed are the scores
over all images, and how long the table takes to follow an edit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "slicer"), str(ROOT / "slicer_module" / "SPAD")]

import numpy as np
import slicer
from PIL import Image
from render import SliceView
from scene import add_volume, new_scene, save_scene

from spad.checkpoint import shipped
from spad.inference.hosts import Engine, open_model
from spad.metrics import confusion_matrix, structure_scores
from SPADLib.batch import segment
from SPADLib.desk.views import overlay, show_bscan
from SPADLib.scene.result import results
from SPADLib.scene.segments import replace_labels
from SPADLib.scores.live_scores import LiveScores
from SPADLib.scores.reference_on_grid import Reference

EDITS = 9


def volumes(folder: Path, size: tuple[int, int] | None) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, image (Z, H, W) and reference of each volume of the validation split."""
    names = json.loads((folder / "split.json").read_text())["val"]["images"]
    pairs = []
    for name in names:
        pair = [Image.open(next((folder / p).glob(f"{name}.*"))) for p in ("images", "masks")]
        if size is not None:
            ways = (Image.Resampling.BILINEAR, Image.Resampling.NEAREST)
            pair = [i.resize(size[::-1], way) for i, way in zip(pair, ways, strict=True)]
        pairs.append([np.asarray(image.convert("L")) for image in pair])
    if size is None:
        return [(n, i[None], m[None]) for n, (i, m) in zip(names, pairs, strict=True)]
    return [(f"{len(pairs)} B-scans", *(np.stack(part) for part in zip(*pairs, strict=True)))]


def reference_node(labels: np.ndarray, names: dict[str, str], spacing: Any) -> Any:
    """The reference as a label map with a colour table that names its values."""
    node = add_volume(labels, spacing=spacing, kind="vtkMRMLLabelMapVolumeNode", name="reference")
    table = slicer.vtkMRMLColorTableNode()
    table.SetTypeToUser()
    table.SetNumberOfColors(1 + max(map(int, names)))
    for value, name in names.items():
        table.SetColor(int(value), name, 1, 1, 1, float(value != "0"))
    node.GetDisplayNode().SetAndObserveColorNodeID(slicer.mrmlScene.AddNode(table).GetID())
    return node


def edit(result: Any, truth: np.ndarray, comparison: Any) -> list[float]:
    """Correct a square of the middle B-scan, again and again; milliseconds until it is scored."""
    took = []
    z, (rows, columns) = truth.shape[0] // 2, truth.shape[1:]
    for n in range(EDITS):
        where = np.zeros(truth.shape, bool)
        side = (n + 1) * min(rows, columns) // (2 * EDITS)
        where[z, rows // 2 - side : rows // 2 + side, columns // 2 - side : columns // 2 + side] = 1
        grid = result.layout.volume
        replace_labels(result.segmentation, result.values, result.volume, grid(where), grid(truth))
        began = time.perf_counter()
        comparison.refresh()
        comparison.rows()
        took.append(1000 * (time.perf_counter() - began))
        assert (result.labels()[where] == truth[where]).all()
    return took


def reloaded(result: Any) -> bool:
    """Save the scene, load it, and compare all that is kept."""
    with tempfile.TemporaryDirectory() as folder:
        file = save_scene(slicer.mrmlScene, Path(folder))
        again = slicer.vtkMRMLScene()
        again.SetURL(str(file))
        again.Connect()
        (found,) = results(again)
        return (
            np.array_equal(found.labels(), result.labels())
            and np.array_equal(found.uncertainty(), result.uncertainty())
            and np.array_equal(found.by_hand(), result.by_hand())
            and found.provenance == result.provenance
        )


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--stack", type=int, nargs=2, metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--samples", type=int)
    parser.add_argument("--pictures", type=Path, help="folder, never the repository's")
    ask = parser.parse_args()
    names = json.loads((ask.folder / "labels.json").read_text())
    path = shipped().get(ask.checkpoint, Path(ask.checkpoint))
    segmenter = open_model(Engine.spad(), Path(path), "cpu")
    classes = segmenter.card.classes
    counts = np.zeros((len(classes), len(classes)), np.int64)
    each: dict[str, list[float]] = {c.name: [] for c in classes[1:]}
    seconds, followed = [], []
    spacing = (1.0, 1.0, 1.0)
    for number, (name, image, labels) in enumerate(
        volumes(ask.folder, ask.stack and tuple(ask.stack))
    ):
        _, _, app = new_scene()
        volume = add_volume(image, spacing=spacing, name=name)
        began = time.perf_counter()
        result = segment(volume, path, device="cpu", samples=ask.samples)
        seconds.append((time.perf_counter() - began) / len(image))
        plain = segmenter.segment(image, samples=ask.samples)
        assert np.array_equal(result.labels(), plain.labels), "not what the engine gives"
        reference = Reference.of(reference_node(labels, names, spacing), result)
        comparison = LiveScores(result, reference)
        truth = np.array(comparison.labels[1])
        counts += confusion_matrix(*comparison.labels, len(classes))
        for row in comparison.rows()[:-1]:
            if row.word != "absent in both":
                each[row.name].append(row.dice)
        if ask.pictures is not None:
            view = SliceView(slicer.mrmlScene, app, "Picture", (700, 500))
            overlay(volume, None)
            result.segmentation.GetDisplayNode().SetVisibility2DFill(False)
            show_bscan(view.node, volume, result.layout, len(image) // 2)
            view.save(ask.pictures / f"{number:03d}.png")
            view.close()
        followed += edit(result, truth, comparison)
        assert reloaded(result), "the scene came back otherwise"
        slicer.mrmlScene.Clear(1)
    print(f"{len(seconds)} volumes, {statistics.median(seconds):.2f} s a B-scan (median, CPU)")
    for score in structure_scores(counts, classes):
        dice = each[score.name]
        spread = f"{np.mean(dice):.3f} ± {np.std(dice):.3f}" if dice else "–"
        print(f"{score.name:16s} pooled Dice {score.dice:.3f}; by volume {spread} (n={len(dice)})")
    low, high = np.percentile(followed, (5, 95))
    print(
        f"the table follows an edit in {statistics.median(followed):.1f} ms (median of "
        f"{len(followed)}; 5 % to 95 %: {low:.1f} to {high:.1f} ms)"
    )
    print("label maps as the engine's own; scenes came back as they were saved")


if __name__ == "__main__":
    main()
