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

__all__ = ["main", "segment"]

_SCORES = ".scores.csv"


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
    checkpoint : path, or the name of a model
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
    from spad.remote import is_server, model_on
    from SPADLib.desk import Request, drain, events, warnings_of
    from SPADLib.scene import Result, guessed_layout, open_source

    engine = engine or Engine.spad()
    if layout is None and volume is not None and volume.IsA("vtkMRMLScalarVolumeNode"):
        layout, _ = guessed_layout(volume)
    source = open_source(volume, layout, inverted=inverted)
    models = engine.shipped()
    path = Path(models.get(str(checkpoint), checkpoint))
    if not path.is_file() and is_server(device):
        path = model_on(checkpoint, device)
    if not path.is_file():
        known = ", ".join(models)
        raise ValueError(f"there is no checkpoint “{checkpoint}”: give a file, or one of {known}")
    if told is not None:
        for text in warnings_of(source, engine.read_card(path)):
            told(text)
    ask = Request(path, device, range(source.depth), samples, steps, seed, probability)
    done = drain(events(engine, ask, source), told)
    return Result.create(volume, source.layout, done.segmentation, probability=probability)


def _parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        prog="Slicer --no-main-window --python-script batch.py",
        description="Segment every image of a folder with a SPAD model. For research use only.",
    )
    out.add_argument("--input", type=Path, required=True, help="folder of images, or one image")
    out.add_argument("--output", type=Path, required=True, help="folder; made where it is missing")
    out.add_argument("--checkpoint", default="oct-lesions", help="file, or name of a model")
    out.add_argument("--references", type=Path, help="folder of references named as the images")
    out.add_argument("--suffix", default=".seg.nrrd", choices=[".seg.nrrd", ".nii.gz", ".nrrd"])
    out.add_argument("--layout", default="auto", help="axis of the B-scans: k, j, i, or auto")
    axes = ("BSCANS", "ROWS", "COLUMNS")
    out.add_argument("--cube", nargs=3, type=int, metavar=axes, help="size of .img without one")
    out.add_argument("--cube-mm", nargs=3, type=float, metavar=axes, help="its lengths; 0: unknown")
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
    from spad.annotation import result_stems
    from spad.cases import Layout, file_error, make_writable
    from spad.inference import Engine, ServerError, explain
    from spad.pictures import CubeSize
    from SPADLib.read import IMAGES

    engine = engine or Engine.spad()
    try:
        layout = None if ask.layout == "auto" else Layout.of(ask.layout)
        cube = CubeSize.of(ask.cube, ask.cube_mm)
        files = _images(ask.input)
        if ask.references is not None and not ask.references.is_dir():
            raise ValueError(f"there is no folder {ask.references}: give that of the references")
        among = ask.output.resolve() in {file.parent.resolve() for file in files}
        if among and ask.suffix != ".seg.nrrd":
            raise ValueError(
                f"{ask.output} holds the images, among which results ending in {ask.suffix} would "
                "be taken for images: choose another folder by --output, or --suffix .seg.nrrd"
            )
        make_writable(ask.output)
    except (ValueError, OSError) as error:
        print(f"Nothing was done: {file_error(error)}", file=sys.stderr)
        return 2
    failed = 0
    stems = result_stems(files, lambda path: _stem(path, IMAGES))
    for number, (path, stem) in enumerate(stems.items(), start=1):
        shown = path.name.encode(errors="backslashreplace").decode()
        print(f"{number} of {len(files)}: {shown}", flush=True)
        try:
            if shown != path.name:
                raise ValueError(f"{shown}: its name is no UTF-8, which Slicer asks for; rename it")
            target = _target(path, stem, ask)
            if target.exists() and not ask.replace:
                said = _amiss(path, target, ask, engine)
                print(f"  done before{said}; --replace does it again")
                continue
            _one(path, target, ask, layout, engine, cube)
        except Exception as error:
            failed += 1
            said = explain(error, safe="The other files go on.")
            print(f"  FAILED: {said}", file=sys.stderr, flush=True)
            if isinstance(error, ServerError):  # nor would the other files be segmented
                failed += len(files) - number
                break
    print(f"{len(files) - failed} of {len(files)} done, in {ask.output}")
    return 1 if failed else 0


def _target(path: Path, stem: str, ask: Any) -> Path:
    """Where an image's result goes: not where that of another image lies.

    Raises
    ------
    ValueError
        One of its files would have too long a name.
    """
    from spad.cases import read_json, refuse_long_names

    try:
        made_of = read_json(ask.output / f"{stem}.spad.json")["image"]
    except (OSError, ValueError, KeyError, TypeError):
        made_of = path.name
    if made_of not in (path.name, path.name.split(".")[0]):  # the latter by earlier versions
        stem = path.name.replace(".", "_")
    names = [ask.suffix, ".spad.json"]
    names += [".uncertainty.nrrd"] * ask.uncertainty + [_SCORES] * bool(ask.references)
    files = [Path(ask.output / f"{stem}{name}") for name in names]
    refuse_long_names(*files)  # before the computing, not after it
    return files[0]


def _tell(text: str) -> None:
    print(f"  {text}", flush=True)


def _one(path: Path, target: Path, ask: Any, layout: Any, engine: Any, cube: Any) -> None:
    """Segment one file, and leave the scene empty."""
    import slicer

    from spad.cases import file_error
    from SPADLib.read import load_volume
    from SPADLib.write import save, save_volume

    try:
        volume = load_volume(path, cube)
        if told := volume.GetDescription():
            _tell(told)
        volume.SetName(path.name)  # which the sidecar tells
        result = segment(
            volume,
            ask.checkpoint,
            layout=layout,
            device=ask.device,
            samples=ask.samples,
            steps=ask.steps,
            seed=ask.seed,
            told=_tell,
            engine=engine,
        )
        if ask.uncertainty:
            save_volume(result.uncertainty_node, _beside(target, ".uncertainty.nrrd"))
        save(result, target, replace=ask.replace)
        if ask.references is not None:
            try:
                _tell(_scored(path, target, ask.references, result))
            except (ValueError, OSError) as error:
                raise ValueError(f"it is segmented, but not scored: {file_error(error)}") from error
    finally:
        slicer.mrmlScene.Clear(0)


def _scored(path: Path, target: Path, references: Path, result: Any) -> str:
    from spad.checkpoint import named_like
    from spad.pictures import told_names
    from SPADLib.read import IMAGES, load_segmentation, name_values
    from SPADLib.scores import LiveScores, Reference, to_csv

    found = _references(path, references)
    if not found:
        return f"no reference “{_stem(path, IMAGES)}” in {references}"
    if len(found) > 1:
        names = ", ".join(f.name for f in found)
        raise ValueError(f"{references} holds {names}: keep the one that is meant")
    node, called = load_segmentation(found[0], of=result.volume), told_names(found[0])
    agree = any(named_like(name, result.classes) for name in called.values())
    if agree and node.IsA("vtkMRMLLabelMapVolumeNode"):
        name_values(node, called)
    reference = Reference.of(node, result)
    comparison = LiveScores(result, reference)
    if reference.remark:
        _tell(reference.remark)
    to_csv(comparison, _beside(target, _SCORES))
    rows = [r for r in comparison.rows() if r.value is not None]
    scores = [f"{r.name} {r.word or f'{r.dice:.3f}'}" for r in rows]
    return f"Dice: {', '.join(scores)}"


def _references(path: Path, folder: Path) -> list[Path]:
    from SPADLib.read import IMAGES, LABELS

    stem = _stem(path, IMAGES)
    return [file for s in LABELS if (file := folder / f"{stem}{s}").is_file()]


def _beside(target: Path, suffix: str) -> Path:
    from SPADLib.read import LABELS

    return target.with_name(f"{_stem(target, LABELS)}{suffix}")


def _amiss(path: Path, target: Path, ask: Any, engine: Any) -> str:
    """How a result is not what is asked for; it stays, for a person may have corrected it."""
    from spad.cases import read_json
    from spad.checkpoint import sha256

    told = ""
    try:
        made = read_json(_beside(target, ".spad.json"))["provenance"][-1]
        model = Path(engine.shipped().get(ask.checkpoint, ask.checkpoint))
        if model.is_file() and made["checkpoint"]["sha256"] != sha256(model):
            told = f" by another model, “{made['checkpoint']['name']}”"
        elif any(getattr(ask, k) not in (None, made[k]) for k in ("samples", "steps", "seed")):
            told = " with other samples, steps or seed"
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        told = ", though nothing tells by what"
    lacks = ask.references and not _beside(target, _SCORES).exists()
    return told + (", but not scored" if lacks and _references(path, ask.references) else "")


def _images(folder: Path) -> list[Path]:
    from spad.annotation import images_in
    from SPADLib.read import IMAGES

    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: give one with images by --input")
    found = images_in(folder, _opens)
    if not found:
        raise ValueError(f"{folder} holds no image that ends in {', '.join(IMAGES)}")
    return found


def _opens(path: Path) -> bool:
    from SPADLib.read import IMAGES

    name = path.name.lower()
    return name.endswith(IMAGES) and not name.endswith((".seg.nrrd", ".uncertainty.nrrd"))


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
