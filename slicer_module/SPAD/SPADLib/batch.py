"""Segmenting without a window: one volume in one call, or every file of a folder.

    Slicer --no-main-window --python-script SPADLib/batch.py --input FOLDER --output FOLDER

See ``--help`` and docs/slicer.md. A file that fails is told, and the others go on; a file that is
done is not done again, so an interrupted batch goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a script, the module's folder is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

__all__ = ["load_segmentation", "load_volume", "main", "segment"]

PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
IMAGES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", *PICTURES)
LABELS = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tif")


def segment(
    volume: Any,
    checkpoint: Path | str,
    *,
    layout: Any = None,
    device: str = "auto",
    samples: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    inverted: bool | None = None,
    probability: bool = False,
    told: Callable[[str], None] | None = None,
    engine: Any = None,
) -> Any:
    """Segment a volume of the scene, and wait for it.

    Parameters
    ----------
    volume : vtkMRMLVolumeNode
    checkpoint : path, or the name of a shipped model
    layout : Layout, optional
        How its B-scans lie; guessed if None.
    device, samples, steps, seed, inverted, probability
        As of `spad.Segmenter.steps`.
    told : callable, optional
        Gets what is said before the run (`preflight`) and on the way.
    engine : spad.inference.hosts.Engine, optional

    Returns
    -------
    Result
        Its nodes are in the volume's scene.

    Raises
    ------
    ValueError, OSError, MemoryError
        In words.
    """
    from spad.inference import Engine
    from SPADLib.desk import Request, drain, events, warnings_of
    from SPADLib.scene import Result, guessed_layout, open_input

    engine = engine or Engine.spad()
    if layout is None and volume is not None and volume.IsA("vtkMRMLScalarVolumeNode"):
        layout, _ = guessed_layout(volume)
    source = open_input(volume, layout, inverted=inverted)
    path = Path(engine.shipped().get(str(checkpoint), Path(checkpoint)))
    if not path.is_file():
        known = ", ".join(engine.shipped())
        raise ValueError(f"there is no checkpoint “{checkpoint}”: give a file, or one of {known}")
    if told is not None:
        for text in warnings_of(source, engine.read_card(path)):
            told(text)
    ask = Request(path, device, range(source.depth), samples, steps, seed, probability)
    done = drain(events(engine, ask, source), told)
    return Result.create(volume, source.layout, done.segmentation, probability=probability)


def load_volume(path: Path) -> Any:
    """Load one file, and no file beside it, as a volume into the scene.

    Raises
    ------
    ValueError
        It cannot be read.
    """
    import slicer

    if path.name.lower().endswith(PICTURES):
        array = _picture(path)
        kind = "vtkMRMLScalarVolumeNode" if array.ndim == 3 else "vtkMRMLVectorVolumeNode"
        return _add(array, kind, path)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    storage.SetSingleFile(True)  # else numbered pictures of a folder become one stack
    for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode"):
        node = slicer.mrmlScene.AddNewNodeByClass(kind, path.name.split(".")[0])
        if storage.ReadData(node) and node.GetImageData() is not None:
            node.CreateDefaultDisplayNodes()
            return node
        slicer.mrmlScene.RemoveNode(node)
    raise ValueError(f"“{path.name}” cannot be read as a volume: is it whole, and an image?")


def load_segmentation(path: Path) -> Any:
    """Load a segmentation (``.seg.nrrd``) or a label map into the scene.

    Raises
    ------
    ValueError
        It cannot be read.
    """
    import slicer

    if path.name.lower().endswith(PICTURES):
        return _add(_picture(path), "vtkMRMLLabelMapVolumeNode", path)
    kind, storage = "vtkMRMLLabelMapVolumeNode", slicer.vtkMRMLVolumeArchetypeStorageNode()
    if path.name.endswith(".seg.nrrd"):
        kind, storage = "vtkMRMLSegmentationNode", slicer.vtkMRMLSegmentationStorageNode()
    else:
        storage.SetSingleFile(True)
    storage.SetFileName(str(path))
    node = slicer.mrmlScene.AddNewNodeByClass(kind, path.name.split(".")[0])
    if not storage.ReadData(node):
        slicer.mrmlScene.RemoveNode(node)
        raise ValueError(f"“{path.name}” cannot be read as a segmentation or label map")
    return node


def _picture(path: Path) -> Any:
    """Pixels of a picture, (Z, H, W) or (Z, H, W, 3): Slicer's readers would look for a series."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    reader = vtk.vtkImageReader2Factory.CreateImageReader2(str(path))
    if reader is None or not reader.CanReadFile(str(path)):
        raise ValueError(f"“{path.name}” cannot be read as a picture: is it whole, and an image?")
    reader.SetFileName(str(path))
    reader.Update()
    image = reader.GetOutput()
    if not image.GetNumberOfPoints():
        raise ValueError(f"“{path.name}” has no pixels: is it whole?")
    width, height, depth = image.GetDimensions()
    flat = vtk_to_numpy(image.GetPointData().GetScalars())
    array = flat.reshape(depth, height, width, -1)[:, ::-1]  # VTK's first row is the lowest
    return array[..., 0] if array.shape[-1] == 1 else array


def _add(array: Any, kind: str, path: Path) -> Any:
    """A picture as a volume: columns to the left, rows to posterior, as Slicer loads one."""
    import numpy as np
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass(kind, path.name.split(".")[0])
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array))
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    node.CreateDefaultDisplayNodes()
    return node


def _parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        prog="Slicer --no-main-window --python-script batch.py",
        description="Segment every image of a folder with a SPAD model. For research use only.",
    )
    out.add_argument("--input", type=Path, required=True, help="folder of images, or one image")
    out.add_argument("--output", type=Path, required=True, help="folder; made where it is missing")
    out.add_argument("--checkpoint", default="oct-lesions", help="file, or name of a shipped model")
    out.add_argument("--references", type=Path, help="folder of references named as the images")
    out.add_argument("--suffix", default=".seg.nrrd", choices=[".seg.nrrd", ".nii.gz", ".nrrd"])
    out.add_argument("--layout", default="auto", help="axis of the B-scans: k, j, i, or auto")
    out.add_argument("--device", default="auto")
    out.add_argument("--samples", type=int)
    out.add_argument("--steps", type=int)
    out.add_argument("--seed", type=int, default=0)
    out.add_argument("--uncertainty", action="store_true", help="write NAME.uncertainty.nrrd too")
    out.add_argument("--replace", action="store_true", help="do again what is done")
    return out


def main(argv: Sequence[str] | None = None, *, engine: Any = None) -> int:
    """Run a batch; 0 where all went well, 1 where a file failed, 2 for wrong arguments."""
    ask = _parser().parse_args(argv)
    from spad.inference import explain
    from SPADLib.scene import Layout

    try:
        layout = None if ask.layout == "auto" else Layout.of(ask.layout)
        files = _images(ask.input)
        ask.output.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        print(f"Nothing was done: {error}", file=sys.stderr)
        return 2
    failed = 0
    for number, path in enumerate(files, start=1):
        target = ask.output / f"{_stem(path, IMAGES)}{ask.suffix}"
        print(f"{number} of {len(files)}: {path.name}", flush=True)
        if target.exists() and not ask.replace:
            print("  done before; --replace does it again")
            continue
        try:
            _one(path, target, ask, layout, engine)
        except Exception as error:
            failed += 1
            said = explain(error, safe="The other files go on.")
            print(f"  FAILED: {said}", file=sys.stderr, flush=True)
    print(f"{len(files) - failed} of {len(files)} done, in {ask.output}")
    return 1 if failed else 0


def _tell(text: str) -> None:
    print(f"  {text}", flush=True)


def _one(path: Path, target: Path, ask: Any, layout: Any, engine: Any) -> None:
    """Segment one file, and leave the scene empty."""
    import slicer

    from SPADLib.save import save

    try:
        result = segment(
            load_volume(path),
            ask.checkpoint,
            layout=layout,
            device=ask.device,
            samples=ask.samples,
            steps=ask.steps,
            seed=ask.seed,
            told=_tell,
            engine=engine,
        )
        if ask.references is not None:
            _tell(_scored(path, target, ask.references, result))
        if ask.uncertainty:
            _write_volume(result.uncertainty_node, target, ".uncertainty.nrrd")
        save(result, target, replace=ask.replace)  # last: its presence says that all is done
    finally:
        slicer.mrmlScene.Clear(0)


def _scored(path: Path, target: Path, references: Path, result: Any) -> str:
    from SPADLib.compare import Comparison, Reference, to_csv

    stem = _stem(path, IMAGES)
    found = [f for s in LABELS if (f := references / f"{stem}{s}").is_file()]
    if not found:
        return f"no reference “{stem}” in {references}"
    reference = Reference.of(load_segmentation(found[0]), result)
    comparison = Comparison(result, reference)
    to_csv(comparison, target.with_name(f"{stem}.scores.csv"))
    rows = [r for r in comparison.rows() if r.value is not None]
    scores = [f"{r.name} {r.word or f'{r.dice:.3f}'}" for r in rows]
    return f"Dice: {', '.join(scores)}"


def _write_volume(node: Any, target: Path, suffix: str) -> None:
    import slicer

    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    file = target.with_name(f"{_stem(target, LABELS)}{suffix}")
    storage.SetFileName(str(file))
    if not storage.WriteData(node):
        raise OSError(f"{file} could not be written: is the disk full?")


def _images(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: give one with images by --input")
    found = [
        f
        for f in sorted(folder.iterdir())
        if f.name.lower().endswith(IMAGES) and not f.name.endswith(".seg.nrrd")
    ]
    if not found:
        raise ValueError(f"{folder} holds no image that ends in {', '.join(IMAGES)}")
    return found


def _stem(path: Path, suffixes: Sequence[str]) -> str:
    longest = max((s for s in suffixes if path.name.lower().endswith(s)), key=len, default="")
    return path.name[: len(path.name) - len(longest)]


if __name__ == "__main__":
    status = main(sys.argv[1:])
    try:
        from slicer.util import exit as leave  # the application would go on without a window

        leave(status)
    except (ImportError, AttributeError):
        sys.exit(status)
