"""What is tried, kind by kind: files made, changed and opened, and what may come of it.

A kind is a function of a folder, which makes the whole files once and returns a case: a function of
a random generator that says whether there was a result (True) or an error in words (False), and
raises on anything else.
"""

from __future__ import annotations

import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from kept_kinds import KEPT_KINDS, told
from mutators import mutated, mutated_json
from scan_kinds import SCAN_KINDS

__all__ = ["KINDS"]

Case = Callable[[Random], bool]


def picture_files() -> dict[str, bytes]:
    """A small picture in every form, by name."""
    import tifffile
    from PIL import Image

    grey = np.random.default_rng(0).integers(0, 256, (12, 17), np.uint8)
    colour = np.stack([grey, grey[::-1], grey[:, ::-1]], -1)
    exif = Image.Exif()
    exif[274] = 6
    palette = Image.fromarray(grey % 4).convert("P")
    out: dict[str, bytes] = {}

    def save(name: str, image: Any, **options: Any) -> None:
        stream = io.BytesIO()
        form = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "tif": "TIFF"}[name[-3:]]
        image.save(stream, form, **options)
        out[name] = stream.getvalue()

    def tiff(name: str, array: Any, **options: Any) -> None:
        stream = io.BytesIO()
        tifffile.imwrite(stream, array, **options)
        out[name] = stream.getvalue()

    g, c = Image.fromarray(grey), Image.fromarray(colour)
    save("grey.png", g, exif=exif)
    save("deep.png", Image.fromarray(grey.astype(np.uint16) * 257))
    save("palette.png", palette)
    save("colour.png", c)
    save("grey.jpg", g, exif=exif)
    save("colour.jpg", c)
    save("cmyk.jpg", c.convert("CMYK"))
    save("grey.bmp", g)
    save("turned.tif", g, exif=exif)
    save("lzw.tif", g, compression="tiff_lzw")
    save("palette.tif", palette)
    save("cmyk.tif", c.convert("CMYK"), compression="tiff_adobe_deflate")
    save("pages.tif", g, save_all=True, append_images=[g, g])
    tiff("deflate.tif", np.stack([grey] * 3), photometric="minisblack", compression="zlib")
    tiff("float.tif", grey.astype(np.float32))
    tiff("double.tif", grey * 1e300)
    tiff("wide.tif", grey.astype(np.uint32) + 2**31, byteorder=">")
    tiff("big.tif", grey, bigtiff=True)
    tiff("imagej.tif", np.stack([grey] * 5), imagej=True, metadata={"axes": "ZYX"})
    return out


def images(folder: Path) -> Case:
    """Pictures through every reader; a file that is cut is the whole one, or refused."""
    from spad.pictures import image_files

    whole = picture_files()
    for name, data in whole.items():
        (folder / name).write_bytes(data)
    truth = {name: image_files.decoded(folder / name)[0] for name in whole}

    def case(rng: Random) -> bool:
        name = rng.choice(list(whole))
        path, data = folder / f"x{name}", whole[name]
        cut = rng.random() < 0.3
        new = data[: rng.randrange(len(data))] if cut else mutated(data, rng, list(whole.values()))
        path.write_bytes(new)
        done, pixels = told((path.name,), lambda: image_files.decoded(path)[0])
        if done and cut:
            np.testing.assert_array_equal(pixels, truth[name])
        read, image = told((path.name,), lambda: image_files.read_file(path))
        seen, header = told((path.name,), lambda: image_files.header(path))
        if read:
            assert image.ndim in (2, 3) and image.dtype in (np.uint8, np.uint16, "f4", "f8")
            assert seen and header[0] == image.shape, (header, image.shape)
        for one in (image_files.image_size, image_files.read_rgb, image_files.read_label_file):
            told((path.name,), partial(one, path))
        return done

    return case


def checkpoints(folder: Path) -> Case:
    """Checkpoints whose bytes or card were changed."""
    from safetensors.torch import save as to_bytes

    from spad import checkpoint
    from spad.network import build

    card, tensors = checkpoint.load(checkpoint.shipped()["oct-phantom"])
    plain = json.dumps(card.as_json())
    path = folder / "m.safetensors"
    raw = to_bytes(tensors, {"spad": plain})

    def case(rng: Random) -> bool:
        if rng.random() < 0.5:
            path.write_bytes(mutated(raw, rng))
        else:
            path.write_bytes(to_bytes(tensors, {"spad": mutated_json(plain, rng)}))

        def act() -> None:
            found, weights = checkpoint.load(path)
            checkpoint.read_card(path)
            build(found.network, len(found.classes), weights)

        return told((path.name, "checkpoint", "tensor", "network", "card"), act)[0]

    return case


def case_folders(folder: Path) -> Case:
    """Case folders of which one file was changed, in the trainer and in napari's folder reader."""
    from napari_spad.read.folder import folder_stack
    from spad.cases import open_folder
    from spad.train.data import check

    source = folder / "whole"
    shutil.rmtree(source, ignore_errors=True)  # of a process that ended
    made = case_folder(source)

    def case(rng: Random) -> bool:
        root = folder / "case"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(source, root)
        name = rng.choice([n for n in made if n.endswith(".json")] if rng.random() < 0.7 else made)
        file = root / name
        if name.endswith(".json"):
            file.write_text(mutated_json(file.read_text(), rng), errors="surrogatepass")
        elif rng.random() < 0.1:
            file.unlink()
        else:
            file.write_bytes(mutated(file.read_bytes(), rng))
        names = (root.name, *(Path(n).name for n in made))
        opened = open_folder(root)
        trained, _ = told(names, lambda: check([opened], None, ["train", *opened.splits]))
        if trained:
            folder_stack(root)
        shown, layers = told(names, lambda: folder_stack(root))
        if shown:
            for data, _, _ in layers:
                np.asarray(data)
        return trained

    return case


def case_folder(root: Path) -> list[str]:
    """Write a whole case folder; its files."""
    from spad.cases import NewCase
    from spad.train.data import write_folder

    rng = np.random.default_rng(0)
    cases = [
        NewCase(
            f"P{n}",
            rng.integers(0, 256, (12, 17), np.uint8),
            rng.integers(0, 3, (12, 17)).astype(np.uint8),
            split="train" if n < 3 else "val", patient=f"P{n}", spacing_mm=(0.004, 0.01),
        )
        for n in range(4)
    ]  # fmt: skip
    write_folder(root, cases, {0: "background", 1: "SRF", 2: "PED"})
    return [str(p.relative_to(root)) for p in sorted(root.rglob("*")) if p.is_file()]


_TOML = """name = "m"
seed = 3
[classes]
background = [0, 5]
SRF = [1]
[data]
phantoms = 0.5
folders = ["x"]
[network]
widths = [32, 64, 96, 160, 192]
[optimiser]
steps = 500
learning_rate = 1e-4
"""


def configs(folder: Path) -> Case:
    """Configurations, and words of the command line."""
    from spad.train.config import load_config

    path = folder / "c.toml"
    words = ("seed=", "network.widths=", "a.b=", "optimiser.steps=", "classes=", "=", "x", "name=")

    def case(rng: Random) -> bool:
        text = _TOML.encode()
        if rng.random() < 0.7:
            text = mutated(text, rng)
        odd = ("[" * 100_000, "9" * 5000, "nan", "{}", "-1", "1e400", '"', "\0", "[[1]]", "'a'")
        path.write_bytes(text)
        given = [rng.choice(words) + rng.choice(odd)] if rng.random() < 0.5 else []
        try:
            load_config(path, given)
        except ValueError as error:
            assert len(str(error)) > 15, repr(error)
            return False
        return True

    return case


def readers(folder: Path) -> Case:
    """napari's readers: .vol, XML of HEYEX, DICOM, NIfTI, Topcon, Bioptigen, Optovue."""
    from napari_spad.read import opened_layers
    from napari_spad.read.reader import read

    (folder / "user").mkdir(exist_ok=True)
    opened_layers._data_folder = lambda: folder / "user"
    whole = volume_files(folder)
    size = (folder / "optovue.txt").read_bytes()
    (folder / "xoptovue.txt").write_bytes(size)

    def case(rng: Random) -> bool:
        name = rng.choice(list(whole))
        path = folder / f"x{name}"
        path.write_bytes(mutated(whole[name], rng, list(whole.values())))
        if name == "optovue.OCT" and rng.random() < 0.5:  # the size that is told beside it
            path.write_bytes(whole[name])
            path.with_suffix(".txt").write_bytes(mutated(size, rng))
        done, layers = told((path.name, "B0.png", "xoptovue.txt"), lambda: read(path))
        path.with_suffix(".txt").write_bytes(size)
        if done:
            for data, settings, kind in layers:
                assert np.asarray(data).ndim in (2, 3, 4) and kind in ("image", "labels")
                assert all(np.isfinite(s) and s > 0 for s in settings["scale"])
        return done

    return case


def volume_files(folder: Path) -> dict[str, bytes]:
    """A small file of each format for volumes."""
    import nibabel
    from makers import bioptigen, optovue, topcon
    from PIL import Image

    rng = np.random.default_rng(0)
    stack = rng.integers(1, 255, (3, 12, 17), np.uint8)
    out = {"a.vol": heyex_vol(stack)}
    for suffix in (".nii", ".nii.gz"):
        nibabel.save(
            nibabel.Nifti1Image(stack.T, np.diag([0.01, 0.004, 0.1, 1])), folder / f"a{suffix}"
        )
        out[f"a{suffix}"] = (folder / f"a{suffix}").read_bytes()
    Image.fromarray(stack[0]).save(folder / "B0.png")
    scan = """<Image><ImageType><Type>OCT</Type></ImageType><OphthalmicAcquisitionContext>
      <ScaleX>0.011</ScaleX><ScaleY>0.004</ScaleY><Start><Coord><X>1</X><Y>2</Y></Coord></Start>
      <End><Coord><X>7</X><Y>2</Y></Coord></End></OphthalmicAcquisitionContext>
      <ImageData><ExamURL>C:\\x\\B0.png</ExamURL></ImageData><Segmentation><SegLine><Name>ILM</Name>
      <Array>2 2</Array></SegLine></Segmentation></Image>"""
    out["a.xml"] = (
        f"<HEDX><BODY><Patient><PatientID>7</PatientID>{scan * 2}</Patient></BODY></HEDX>".encode()
    )
    out["a.dcm"] = dicom(stack)
    topcon(folder / "a.fda")
    topcon(folder / "a.fds", jpeg=False)
    bioptigen(folder / "bioptigen.OCT")
    optovue(folder / "optovue.OCT")
    for name in ("a.fda", "a.fds", "bioptigen.OCT", "optovue.OCT"):
        out[name] = (folder / name).read_bytes()
    return out


def heyex_vol(stack: np.ndarray) -> bytes:
    bscans, height, width = stack.shape
    raw = bytearray(2048)
    raw[:11] = b"HSF-OCT-103"
    struct.pack_into("<3i3d2i", raw, 12, width, bscans, height, 0.011, 0.12, 0.004, 6, 5)
    struct.pack_into("<2i", raw, 96, 3, 256 + 4 * width)
    content = bytes(raw) + bytes(30)
    for one in stack:
        head = bytearray(256)
        head[:11] = b"HSF-BS-103\0"
        struct.pack_into("<i", head, 12, 256 + 4 * width)
        struct.pack_into("<2i", head, 48, 1, 256)
        content += (
            bytes(head) + np.full(width, 5, "<f4").tobytes() + (one / 255).astype("<f4").tobytes()
        )
    return content


def dicom(stack: np.ndarray) -> bytes:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        "1.2.840.10008.5.1.4.1.1.77.1.5.4",
        generate_uid(),
    )
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    data.Modality, data.PatientID, data.PhotometricInterpretation = "OPT", "7", "MONOCHROME2"
    data.NumberOfFrames, data.Rows, data.Columns = stack.shape
    data.SamplesPerPixel, data.PixelRepresentation, data.PixelSpacing = 1, 0, [0.004, 0.011]
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.RescaleSlope, data.RescaleIntercept, data.PixelPaddingValue = 2, 1, 3
    data.PixelData = stack.tobytes() + bytes(stack.size % 2)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, data)
    return stream.getvalue()


def states(folder: Path) -> Case:
    """What runs and desks leave: a run's state and progress, the log, the record of reviews."""
    import torch

    from napari_spad.keep.log_lines import export_log
    from spad.annotation.fine_tuning import PROGRESS, read_progress
    from spad.annotation.review_book import ReviewBook
    from spad.train.config import load_config
    from spad.train.loop.state import read_state

    (folder / "c.toml").write_text('name = "m"\n[data]\nphantoms = 1.0\n')
    config = load_config(folder / "c.toml")
    stream = io.BytesIO()
    weights = {"w": torch.zeros(3)}
    torch.save(
        {"config": config.as_json(), "data": "", "step": 1, "best": 0.1, "network": weights}, stream
    )
    line = json.dumps(
        {"annotator": "Å", "bscan": [1], "pixels": {"SRF": 3}, "dice_after": {"SRF": 0.5}},
        ensure_ascii=False,
    )
    book = json.dumps(
        {"format": 1, "annotators": {"A": {"0" * 64: {"state": "accepted", "accepted": 3}}}}
    )
    step = '{"step": 1, "seconds": 2.5, "loss": 0.5}\n{"step": 2, "seconds": 3, "validation": {}}\n'

    def case(rng: Random) -> bool:
        which = rng.randrange(4)
        if which == 0:
            path = folder / "latest.pt"
            path.write_bytes(mutated(stream.getvalue(), rng))
            return told((path.name, folder.name), lambda: read_state(path, config, ""))[0]
        if which == 1:
            log = folder / "log"
            log.mkdir(exist_ok=True)
            changed = mutated_json(line, rng).encode(errors="surrogatepass")
            (log / "2026-01.jsonl").write_bytes(line.encode() + b"\n" + mutated(changed, rng))
            try:
                export_log(log, folder / "log.csv")
            except ValueError as error:
                assert "log is empty" in str(error)  # its only line was damaged
            return True
        if which == 2:
            path = folder / "reviews.json"
            path.write_bytes(mutated_json(book, rng).encode(errors="surrogatepass"))
            ReviewBook(path, "A").load()
            for aside in folder.glob("reviews.damaged-*"):
                aside.unlink()
            return True
        (folder / PROGRESS).write_bytes(mutated(step.encode(), rng))
        read_progress(folder)
        return True

    return case


_DTYPES = ("u1", "i1", "u2", ">u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", ">f4", "f8", "?")


def arrays(folder: Path) -> Case:
    """Arrays of every dtype and range: normalised to [-1, 1] with their order, or refused."""
    from spad.cases import as_grey
    from spad.checkpoint import InputConfig
    from spad.inference import normalise
    from spad.inference.stack import Stack

    config = InputConfig(low_percentile=0, high_percentile=100)

    def case(rng: Random) -> bool:
        kind = np.dtype(rng.choice(_DTYPES))
        random = np.random.default_rng(rng.randrange(2**32))
        shape = rng.choice(((7, 9), (1, 1), (1, 50), (3, 8, 8), (0, 4), (2, 2, 3, 3)))
        span = rng.choice((1, 2, 255, 1e-300, 1e9, 3e38, 1.7e308))
        base = rng.choice((0, 0, 1, -1, 1e9, 2**31)) * rng.choice((1, span))
        with np.errstate(all="ignore"):
            image = (base + (random.random(shape) - 0.5) * span).astype(kind)
        if rng.random() < 0.2 and image.size and kind.kind == "f":
            image.flat[0] = rng.choice((np.nan, np.inf, -np.inf, 3.4028235e38))
        try:
            stack = Stack(image, False)
        except ValueError as error:
            assert len(str(error)) > 40, repr(error)
            return False
        plane = stack.read(0)
        out = normalise(plane, config)
        assert np.isfinite(out).all() and np.abs(out).max() <= 1
        known = plane.astype(np.float64)
        known = known[np.abs(np.abs(known) - 3.4e38) > 1e36]
        if len(known) and known.max() > known.min():
            assert (out.min(), out.max()) == (-1, 1), (plane.dtype, known.min(), known.max())
        grey, _ = as_grey(plane)
        assert grey.dtype in (np.uint8, np.uint16)
        return True

    return case


def imports(folder: Path) -> Case:
    """Other people's data sets with one file changed."""
    from PIL import Image

    from spad.train.imports import amd_sd, cxrs
    from spad.train.imports.amd_sd import COLOURS

    rng = np.random.default_rng(0)
    amd, chest = folder / "amd", folder / "cxr"
    amd.mkdir()
    table = np.array([*COLOURS.values()], np.uint8)
    for n in range(3):
        grey = np.repeat(rng.integers(0, 255, (8, 10, 1), np.uint8), 3, 2)
        mask = table[rng.integers(0, len(table), (8, 10))]
        Image.fromarray(np.hstack([grey, mask])).save(amd / f"{n}_1.png")
    for part in ("images", "masks"):
        (chest / part).mkdir(parents=True)
        for n in range(3):
            top = 255 if part == "images" else 2
            Image.fromarray((rng.random((8, 10)) * top).astype(np.uint8)).save(
                chest / part / f"{n}.png"
            )
    (chest / "labels.json").write_text('{"0": "background", "1": "lung"}')
    quiet = lambda *_: None  # noqa: E731

    def case(rng: Random) -> bool:
        first = rng.random() < 0.5
        source = amd if first else chest
        root, target = folder / "src", folder / "dst"
        for old in (root, target):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(source, root)
        files = sorted(p for p in root.rglob("*") if p.is_file())
        file = rng.choice(files)
        file.write_bytes(
            mutated_json(file.read_text(), rng).encode(errors="surrogatepass")
            if file.suffix == ".json" else mutated(file.read_bytes(), rng)
        )  # fmt: skip
        names = (root.name, target.name, *(p.name for p in files))
        if first:
            act = partial(amd_sd.import_amd_sd, root, target, split=None, seed=0, progress=quiet)
        else:
            act = partial(cxrs.import_cxrs, root, target, priority=(), patient_from=None,
                          unannotated=False, seed=0, progress=quiet)  # fmt: skip
        return told(names, act)[0]

    return case


def writers(folder: Path) -> Case:
    """Label maps written and read back: the same values, whatever their shape and names."""
    import nibabel
    import nrrd

    from napari_spad.write import write_png, write_tiff
    from napari_spad.write.volume_files import write_nifti, write_nrrd, write_seg_nrrd
    from spad.pictures import image_files

    def stack_of(path: Path) -> Any:
        return image_files.read_label_file(path, stack=True)

    forms: dict[str, tuple[Any, Callable[[Path], Any]]] = {
        ".png": (write_png, stack_of),
        ".tif": (write_tiff, stack_of),
        ".nii.gz": (write_nifti, lambda p: np.asarray(nibabel.load(p).dataobj).T),
        ".nrrd": (write_nrrd, lambda p: nrrd.read(str(p), index_order="C")[0]),
        ".seg.nrrd": (write_seg_nrrd, lambda p: nrrd.read(str(p), index_order="C")[0]),
    }

    def case(rng: Random) -> bool:
        suffix = rng.choice(list(forms))
        write, read = forms[suffix]
        sides = [rng.choice((1, 2, 3, 17, 40)) for _ in range(2)]
        depth = [] if suffix == ".png" or rng.random() < 0.3 else [rng.choice((1, 2, 3, 4, 9))]
        top = rng.choice((1, 2, 3, 63, 255))
        random = np.random.default_rng(rng.randrange(2**32))
        labels = random.integers(0, top, [*depth, *sides]).astype(np.uint8)
        path = folder / f"{rng.choice(('a', 'ä ö', 'x.y', 'l' * 100))}{suffix}"
        scale = [rng.choice((1, 0.004, 1e-6, 100)) for _ in labels.shape]
        meta = {"name": "n", "scale": scale, "units": [rng.choice(("mm", "pixel"))] * labels.ndim}
        done, _ = told((path.name, *path.name.split(".")), lambda: write(str(path), labels, meta))
        if done:
            np.testing.assert_array_equal(np.squeeze(read(path)), np.squeeze(labels))
            path.unlink()
        return done

    return case


def slicer(folder: Path) -> Case:
    """Slicer's loader: volumes and label maps of every format."""
    from scene import new_scene

    new_scene()
    import slicer as app

    from SPADLib.read import load_segmentation, load_volume

    whole = {n: d for n, d in picture_files().items() if n[-3:] in ("png", "tif", "jpg")}
    stack = np.random.default_rng(0).integers(1, 255, (3, 12, 17), np.uint8)
    node = app.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "v")
    app.util.updateVolumeFromArray(node, stack)
    for suffix in (".nrrd", ".nii", ".nii.gz", ".mha"):
        storage = app.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(folder / f"a{suffix}"))
        assert storage.WriteData(node)
        whole[f"a{suffix}"] = (folder / f"a{suffix}").read_bytes()
    packed = zlib.compress(stack.tobytes())
    whole["ap.mha"] = b"%s%d%s%s" % (
        b"ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = True\n"
        b"CompressedDataSize = ", len(packed), b"\nDimSize = 17 12 3\nElementType = MET_UCHAR\n"
        b"ElementDataFile = LOCAL\n", packed,
    )  # fmt: skip

    def case(rng: Random) -> bool:
        name = rng.choice(list(whole))
        path = folder / f"x{name}"
        cut = rng.random() < 0.3 and name[0] == "a"
        data = whole[name]
        path.write_bytes(data[: rng.randrange(len(data))] if cut else mutated(data, rng))
        load = rng.choice((load_volume, load_segmentation))
        try:
            done, made = told((path.name,), lambda: load(path))
            if done and cut:
                np.testing.assert_array_equal(app.util.arrayFromVolume(made), stack)
            return done
        finally:
            app.mrmlScene.Clear(0)

    return case


KINDS: dict[str, Callable[[Path], Case]] = (
    {
        one.__name__: one
        for one in (
            images,
            checkpoints,
            case_folders,
            configs,
            readers,
            states,
            arrays,
            imports,
            writers,
            slicer,
        )
    }
    | KEPT_KINDS
    | SCAN_KINDS
)
