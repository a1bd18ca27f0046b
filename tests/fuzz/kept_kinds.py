"""What is kept between sessions and handed from one program to the next, changed and read back."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from mutators import mutated, mutated_json

__all__ = ["KEPT_KINDS", "told"]

Case = Callable[[Random], bool]


def told(names: tuple[str, ...], act: Callable[[], Any]) -> tuple[bool, Any]:
    """Whether there is a result, and what; an error has to name a file and say more than that."""
    try:
        return True, act()
    except (ValueError, OSError) as error:
        said = str(error)
        assert any(name in said for name in names), f"no file is named: {error!r}"
        assert len(said) > 40, f"no remedy: {error!r}"
        return False, None


def _put(path: Path, text: str) -> None:
    path.write_bytes(text.encode(errors="surrogatepass"))


def autosaves(folder: Path) -> Case:
    """Autosaved layers of which one file was changed: the others come back as they were."""
    from spad.autosave import AutosavedLayer, ModelPart, Packed, kept_layers

    rng = np.random.default_rng(0)
    labels = rng.integers(1, 5, (3, 6, 9)).astype(np.uint8)
    root, source = folder / "sessions", folder / "whole"
    shutil.rmtree(source, ignore_errors=True)
    saved = AutosavedLayer(source)
    classes = [{"value": n, "name": f"c{n}", "color": [1, 2, 3]} for n in range(5)]
    saved.save_header(
        {"name": "eye", "shape": [3, 6, 9], "dtype": "|u1", "classes": classes, "lines": ["ILM"],
         "placement": {"scale": [1, 1, 1], "units": ["mm"] * 3}, "details": {"own": []}}
    )  # fmt: skip
    for z, plane in enumerate(labels):
        saved.save_bscan((z,), plane, plane > 2)
        part = ModelPart(plane, plane / np.float16(9), Packed.of([plane]), {"seed": 1})
        saved.save_model((z,), part)
    files = sorted(f.name for f in source.iterdir())

    def case(rng: Random) -> bool:
        shutil.rmtree(root, ignore_errors=True)
        layer = root / "session" / "layer"
        shutil.copytree(source, layer)
        (root / "session" / "lock").touch()
        name = "layer.json" if rng.random() < 0.4 else rng.choice(files)
        if name == "layer.json":
            _put(layer / name, mutated_json((layer / name).read_text("utf-8"), rng))
        elif rng.random() < 0.1:
            (layer / name).rename(layer / rng.choice(("b-0001 (1).npz", "b.npz", "b-00001.npz")))
        else:
            (layer / name).write_bytes(mutated((layer / name).read_bytes(), rng))
        (found,) = kept_layers(root)
        read, back = told((str(layer),), AutosavedLayer(layer).load)
        if not read:
            return False
        assert found.bscans or back.problems
        for z, plane in enumerate(labels):
            if name != f"b-{z:04d}.npz" and back.labels.shape == labels.shape:
                np.testing.assert_array_equal(back.labels[z], plane)
                np.testing.assert_array_equal(back.by_hand[z], plane > 2)
        return not back.problems

    return case


def lines(folder: Path) -> Case:
    """Lines in the three forms of files."""
    from napari_spad.borders.eyepy_file import read_eyepy, write_eyepy
    from spad.borders import Lines, read_lines, write_lines

    heights = np.random.default_rng(0).random((2, 3, 9)).astype(np.float32) * 5
    heights[0, 1, 2:4] = np.nan
    drawn = Lines(("ILM", "RPE"), heights)
    readers = {"a.csv": read_lines, "a.npz": read_lines, "a.eye": read_eyepy}
    write_lines(drawn, folder / "a.csv")
    write_lines(drawn, folder / "a.npz")
    write_eyepy(drawn, np.zeros((3, 6, 9), np.uint8), (0.1, 0.01, 0.01), folder / "a.eye")
    whole = {name: (folder / name).read_bytes() for name in readers}

    def case(rng: Random) -> bool:
        name = rng.choice(list(whole))
        path = folder / f"x{name}"
        path.write_bytes(mutated(whole[name], rng, list(whole.values())))
        read, found = told((path.name,), partial(readers[name], path))
        if read:
            assert found.heights.ndim == 3 and found.heights.dtype == np.float32
        return read

    return case


def sidecars(folder: Path) -> Case:
    """A result with its sidecar and its lines, measured: one of them changed."""
    from PIL import Image

    from spad.borders import Lines, write_lines
    from spad.cases import sidecar
    from spad.checkpoint import label_classes
    from spad.cohort.measuring_file import MeasureJob, measure_file
    from spad.measuring import Scale

    labels = np.random.default_rng(0).integers(0, 3, (12, 17)).astype(np.uint8)
    Image.fromarray(labels).save(folder / "a.png")
    facts = {"scale": Scale.of((0.1, 0.004, 0.01)).as_json(), "eye": "OD", "first": "inferior",
             "fovea": {"at": [0, 8], "origin": "by hand"}}  # fmt: skip
    classes = label_classes(("background", "SRF", "PED"))
    plain = json.dumps(sidecar(
        labels="a.png", image="a", shape=(12, 17), spacing_mm=(0.004, 0.01), classes=classes,
        provenance={"seed": 1}, facts=facts,
    ))  # fmt: skip
    write_lines(Lines(("ILM",), np.full((1, 1, 17), 2, np.float32)), folder / "a.lines.npz")
    whole = {name: (folder / name).read_bytes() for name in ("a.png", "a.lines.npz")}

    def case(rng: Random) -> bool:
        for name, data in whole.items():
            (folder / name).write_bytes(data)
        beside = folder / "a.spad.json"
        name = rng.choice(list(whole)) if rng.random() < 0.3 else ""
        _put(beside, plain if name else mutated_json(plain, rng))
        if name:
            (folder / name).write_bytes(mutated(whole[name], rng))
        done = measure_file(MeasureJob(), str(beside))
        assert done.state == "done" or len(done.text) > 15, done
        return done.state == "done"

    return case


def exports(folder: Path) -> Case:
    """What napari and Slicer export, opened in napari by its sidecar and measured: one of both
    files changed. What opens becomes a layer, and can be exported again."""
    from napari.layers import Labels

    from napari_spad.read.reader import read
    from napari_spad.write.image_files import write_png, write_tiff
    from napari_spad.write.volume_files import write_nifti, write_nrrd, write_seg_nrrd
    from spad.checkpoint import label_classes
    from spad.cohort.measuring_file import MeasureJob, measure_file
    from spad.measuring import Scale

    stack = np.random.default_rng(0).integers(0, 3, (3, 12, 17)).astype(np.uint8)
    classes = [c.as_json() for c in label_classes(("background", "SRF", "PED"))]
    meta = {
        "name": "eye", "scale": (0.1, 0.004, 0.01), "units": ("mm",) * 3,
        "metadata": {
            "spad": {"classes": classes, "provenance": [{"seed": 1, "bscans": [0, 3]}],
                     "bscan_sizes": [[12, 17]] * 3, "by_hand": stack == 2},
            "scale": Scale.of((0.1, 0.004, 0.01)).as_json(), "eye": "OD", "annotator": "A",
            "fovea": {"at": [0, 8], "origin": "by hand"},
        },
    }  # fmt: skip
    writers = {"tif": write_tiff, "nii.gz": write_nifti, "nrrd": write_nrrd,
               "seg.nrrd": write_seg_nrrd}  # fmt: skip
    whole = {}
    for suffix, write in writers.items():
        write(str(folder / f"a.{suffix}"), stack, meta)
        beside = json.loads((folder / "a.spad.json").read_text("utf-8"))
        layout = {"layout": "jTU", "parent_transform": None}  # as Slicer tells
        told_there = [json.dumps(beside | more) for more in ({}, layout)]
        whole[f"a.{suffix}"] = (folder / f"a.{suffix}").read_bytes(), told_there
    flat = {**meta, "scale": meta["scale"][1:], "units": ("mm",) * 2}
    write_png(str(folder / "a.png"), stack[0], flat)
    plain = (folder / "a.spad.json").read_text("utf-8")
    whole["a.png"] = (folder / "a.png").read_bytes(), [plain]

    def case(rng: Random) -> bool:
        name = rng.choice(list(whole))
        data, told_there = whole[name]
        text, pixels_too = rng.choice(told_there), rng.random() < 0.3
        _put(folder / "a.spad.json", text if pixels_too else mutated_json(text, rng))
        (folder / name).write_bytes(mutated(data, rng) if pixels_too else data)
        opened, layers = told(
            (name, "a.spad.json", folder.name), lambda: read(folder / "a.spad.json")
        )
        if opened:
            ((found, settings, kind),) = layers
            assert kind == "labels"
            layer = Labels(found, **settings)
            again = writers["seg.nrrd"] if layer.ndim < 4 else write_tiff
            told(("eye", "labels"), lambda: again(str(folder / "b.x"), found, layer._get_state()))
        done = measure_file(MeasureJob(), str(folder / "a.spad.json"))
        assert done.state == "done" or len(done.text) > 15, done
        return opened

    return case


def kept(folder: Path) -> Case:
    """Facts of images, lists of models, ledgers, measurements of a search, a server's messages."""
    from napari.components import ViewerModel

    from napari_spad.scale import Facts, scale_of
    from napari_spad.scale.image_facts import _key
    from napari_spad.scale.kept_facts import KeptFacts
    from spad.cohort.ledger import Rows
    from spad.measuring import Scale
    from spad.models.manifest import on_disk
    from spad.remote.messages import receive, send
    from spad.train.tune.measurements import read_measurements

    viewer = ViewerModel()
    image = viewer.add_image(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    scale = Scale.of((0.1, 0.004, 0.01), "typed").as_json()
    said = {"scale": scale, "eye": "OD", "first": "inferior", "date": "2026-01-31",
            "fovea": {"at": [1, 2], "origin": "by hand"}}  # fmt: skip
    facts = json.dumps({"format": 1, "images": {_key(image): said}})
    models = json.dumps({"format": 1, "models": [
        {"name": "m", "version": "1", "sha256": "0" * 64, "size": 9, "licence": "MIT",
         "classes": ["background", "SRF"], "urls": ["https://x.org/m"], "card": {"name": "m"}},
    ]})  # fmt: skip
    row = json.dumps({"file": "a", "key": "k", "rows": [{"x": 1}]})
    stream = io.BytesIO()
    send(stream, {"kind": "step"}, [np.arange(12, dtype=np.uint8)] * 2, compress=True)

    def facts_case(rng: Random) -> bool:
        _put(path := folder / "images.json", mutated_json(facts, rng))
        before = path.read_bytes()
        image.metadata.clear()
        heard: list[str] = []
        one = Facts(image, viewer, KeptFacts(path, heard.append), lambda: None)
        scale_of(image), one.eye, one.first, one.fovea, one.scale.words, str(one.date)
        one.choose_eye("OS")
        assert KeptFacts(path, heard.append).of(_key(image))["eye"] == "OS"
        aside = list(folder.glob("images.damaged*"))
        assert not heard or any(a.read_bytes() == before for a in aside), heard
        for each in aside:
            each.unlink()
        return not heard

    def models_case(rng: Random) -> bool:
        _put(path := folder / "manifest.json", mutated_json(models, rng))
        return told((path.name,), lambda: on_disk(path))[0]

    def ledger_case(rng: Random) -> bool:
        path = folder / "rows.jsonl"
        _put(path, "\n".join((row, mutated_json(row, rng), row.replace('"a"', '"b"'), "")))
        rows = Rows(path)
        assert isinstance(rows.of("a"), list) and rows.of("b") == [{"x": 1}]
        return True

    def search_case(rng: Random) -> bool:
        path = folder / "search.jsonl"
        about = {"seed": 1}
        _put(path, json.dumps(about) + "\n" + mutated_json(row, rng) + "\n")
        return told((path.name,), lambda: read_measurements(path, about))[0]

    def message_case(rng: Random) -> bool:
        return told(("message",), lambda: receive(io.BytesIO(mutated(stream.getvalue(), rng))))[0]

    cases = (facts_case, models_case, ledger_case, search_case, message_case)
    return lambda rng: rng.choice(cases)(rng)


KEPT_KINDS: dict[str, Callable[[Path], Case]] = {
    one.__name__: one for one in (autosaves, lines, sidecars, exports, kept)
}
