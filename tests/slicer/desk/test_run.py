"""Opening a volume, running the engine on it step by step, and what stops a run."""

from __future__ import annotations

import types
from dataclasses import replace

import numpy as np
import pytest
import slicer
from fakes import FakeEngine
from scene import add_volume, phantom_volume

from spad.annotation.run_steps import RunProgress, duration
from spad.cases import Layout
from spad.checkpoint import read_card, shipped
from spad.checkpoint.labels import label_classes
from spad.inference.hosts import Engine
from SPADLib.desk.pace import Pace, device_line
from SPADLib.desk.preflight import warnings_of
from SPADLib.desk.run import Done, Request, carried, drain, events
from SPADLib.host.guard import Guard
from SPADLib.scene.image_source import guessed_layout, open_source
from SPADLib.scene.result import Result
from SPADLib.scene.volumes import spacing_is_default

SHIPPED = shipped()["oct-phantom"]


@pytest.fixture
def engine(tmp_path):
    return FakeEngine(tmp_path)


def request(engine, bscans=range(1), **changes):
    return Request(engine.checkpoint, "cpu", bscans, **changes)


# ---------------------------------------------------------------------- what may be segmented


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_a_volume_of_any_real_type_is_a_stack_of_bscans(scene, dtype):
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(dtype)
    volume = add_volume(array, spacing=(0.2, 0.01, 0.02))
    source = open_source(volume, Layout())
    assert np.array_equal(source.stack, array)
    assert source.spacing_mm == pytest.approx((0.2, 0.01, 0.02))
    assert not source.rgb
    assert not source.inverted
    assert not source.said


def test_a_colour_volume_is_taken_with_a_word(scene):
    array = np.zeros((1, 8, 8, 3), np.uint8)
    source = open_source(add_volume(array, kind="vtkMRMLVectorVolumeNode"), Layout())
    assert source.rgb
    assert source.stack.shape == (1, 8, 8, 3)
    assert "luminance" in source.said


def test_a_colour_volume_is_pictured_in_its_luminance(scene):
    from SPADLib.desk.png import thumbnail

    array = np.zeros((1, 8, 8, 3), np.uint8)
    array[..., :4, 0] = array[..., 4:, 1] = 200  # red, and a green that is brighter
    picture = thumbnail(open_source(add_volume(array, kind="vtkMRMLVectorVolumeNode"), Layout()))
    assert (picture[:, 4:] > picture[:, :4]).all()


def sequence_of(scene, volume):
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    sequence.SetDataNodeAtValue(volume, "0")
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "player")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    return sequence, browser


def test_sequences_their_browsers_and_their_frames_are_refused_kindly(scene):
    sequence, browser = sequence_of(scene, add_volume(np.zeros((1, 4, 4))))
    proxy = browser.AddProxyNode(add_volume(np.zeros((1, 4, 4)), name="frame"), sequence, False)
    for node in (sequence, browser, proxy):
        with pytest.raises(ValueError, match=r"clone it in the Data module"):
            open_source(node, Layout())


@pytest.mark.parametrize(
    ("kind", "shape", "words"),
    [
        ("vtkMRMLLabelMapVolumeNode", (1, 4, 4), "is a label map, not an image"),
        ("vtkMRMLVectorVolumeNode", (1, 4, 4, 2), "has 2 values a pixel"),
        ("vtkMRMLVectorVolumeNode", (1, 4, 4, 6), "has 6 values a pixel"),
    ],
)
def test_what_is_no_image_is_refused_with_the_remedy(scene, kind, shape, words):
    with pytest.raises(ValueError, match=words):
        open_source(add_volume(np.zeros(shape, np.uint8), kind=kind), Layout())


def test_no_volume_and_other_nodes_are_refused(scene):
    with pytest.raises(ValueError, match="No volume is chosen"):
        open_source(None, Layout())
    with pytest.raises(ValueError, match="choose a volume"):
        open_source(scene.AddNewNodeByClass("vtkMRMLTableNode", "t"), Layout())


def test_a_volume_shown_in_inverted_grey_is_turned(scene):
    volume = add_volume(np.zeros((1, 4, 4), np.uint8))
    color = slicer.vtkMRMLColorTableNode()
    color.SetTypeToInvGrey()
    volume.GetDisplayNode().SetAndObserveColorNodeID(scene.AddNode(color).GetID())
    assert open_source(volume, Layout()).inverted
    assert not open_source(volume, Layout(), inverted=False).inverted


@pytest.mark.parametrize(
    ("photometric", "inverted"), [("MONOCHROME1", True), ("MONOCHROME2 ", False), ("", False)]
)
def test_dicom_says_whether_high_values_are_dark(scene, monkeypatch, photometric, inverted):
    class Database:
        def instanceValue(self, uid, tag):
            assert (uid, tag) == ("1.2.3", "0028,0004")
            return photometric

    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    volume = add_volume(np.zeros((1, 4, 4), np.uint8))
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    assert open_source(volume, Layout()).inverted == inverted


# ---------------------------------------------------------------------- before a run


def test_what_makes_an_image_doubtful_is_told_before_the_run(scene):
    card = read_card(SHIPPED)
    good, _ = phantom_volume(shape=(3, 256, 384))
    assert warnings_of(open_source(good, guessed_layout(good)[0]), card) == []
    noise = np.random.default_rng(0).integers(0, 255, (3, 300, 300)).astype(np.uint8)
    odd = add_volume(noise)
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "tilt")
    odd.SetAndObserveTransformNodeID(transform.GetID())
    said = " ".join(warnings_of(open_source(odd, Layout()), card))
    for words in ("unlike the training images of oct-phantom", "2 more of 3", "1 mm", "“tilt”"):
        assert words in said
    assert spacing_is_default(odd)
    assert not spacing_is_default(good)


@pytest.mark.parametrize(
    ("modality", "classes", "words"),
    [
        ("CT", ["background", "SRF"], "DICOM says CT; fake looks for SRF in retinal OCT."),
        ("OPT", ["background", "ONL-ISM", "RPE"], ""),
        (
            "OPT",
            ["background", "heart"],
            "DICOM says OPT, an image of the eye; fake looks for heart",
        ),
        ("OPT", ["background", "SRF"], ""),
        ("DX", ["background", "heart"], ""),
        ("", ["background", "SRF"], ""),
    ],
)
def test_another_modality_than_the_models_is_told(
    scene, engine, monkeypatch, modality, classes, words
):
    database = types.SimpleNamespace(
        instanceValue=lambda uid, tag: {"0008,0060": modality}.get(tag, "")
    )
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    volume, _ = phantom_volume(shape=(1, 64, 96))
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    card = replace(engine.card, classes=label_classes(classes))
    said = [s for s in warnings_of(open_source(volume, Layout()), card) if s.startswith("DICOM")]
    assert words in "".join(said)
    assert bool(said) == bool(words)


def test_the_time_is_told_from_the_last_run_and_not_invented_before_it(scene):
    kept: dict[str, str] = {}
    pace = Pace(kept)
    assert pace.seconds("m", "cpu", 19, 8, 10) is None
    assert "after a first run" in device_line("cpu", None, 19)
    pace.note("m", "cpu", 1, 8, 10, 2.0)
    again = Pace(kept)
    assert again.seconds("m", "cpu", 19, 8, 10) == pytest.approx(38)
    assert again.seconds("m", "cuda:0", 19, 8, 10) is None
    assert device_line("cpu", 38.0, 19) == "CPU: about 40 s for these 19 B-scans"
    kept[Pace.KEY] = "nonsense"
    assert again.seconds("m", "cpu", 1, 1, 1) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (8, "8 s"), (42, "40 s"), (400, "7 min"), (9000, "2.5 h")]
)
def test_times_are_told_in_round_words(seconds, words):
    assert duration(seconds) == words


# ---------------------------------------------------------------------- the run


def test_a_run_tells_its_progress_and_ends_with_the_result(scene, engine):
    volume = add_volume(np.zeros((5, 8, 9), np.uint8))
    source = open_source(volume, Layout())
    told = list(events(engine, request(engine, range(1, 4), samples=2, current=2), source))
    assert isinstance(told[-1], Done)
    done = told[-1]
    assert done.first == 1
    assert done.segmentation.labels.shape == (3, 8, 9)
    progress = [e for e in told if isinstance(e, RunProgress)]
    assert [p.done for p in progress] == sorted(p.done for p in progress)
    assert progress[-1].done == progress[-1].total
    assert engine.asked[-1]["first_slice"] == 1
    assert engine.asked[-1]["current"] == 2
    assert any("opening fake" in e for e in told if isinstance(e, str))
    assert done.segmentation.provenance["inverted"] is False


def test_what_the_engine_says_reaches_the_person(scene, engine):
    engine.says = "less memory: tiles"
    source = open_source(add_volume(np.zeros((1, 8, 9), np.uint8)), Layout())
    assert "less memory: tiles" in list(events(engine, request(engine), source))


def test_bscans_that_the_volume_lacks_are_refused(scene, engine):
    source = open_source(add_volume(np.zeros((5, 8, 9), np.uint8)), Layout())
    with pytest.raises(ValueError, match="B-scans 3 to 9 were asked for; “volume” has 1 to 5"):
        drain(events(engine, request(engine, range(2, 9)), source))


def test_edits_are_of_one_bscan_and_come_back_as_a_stack_of_one(scene, engine):
    source = open_source(add_volume(np.zeros((5, 8, 9), np.uint8)), Layout())
    clamp = np.full((8, 9), 255, np.uint8)
    done = drain(events(engine, request(engine, range(3, 4), edits={"clamp": clamp}), source))
    assert engine.asked[-1]["image"].shape == (8, 9)
    assert done.segmentation.labels.shape == (1, 8, 9)
    assert done.segmentation.samples.shape[1:] == (1, 8, 9)


def test_carrying_on_starts_each_bscan_from_the_one_before(scene, engine):
    source = open_source(add_volume(np.zeros((5, 8, 9), np.uint8)), Layout())
    start = np.full((8, 9), 2, np.uint8)
    run = carried(engine, request(engine, range(3, 0, -1)), source, start, lambda z: {"t0": 10 + z})
    told = list(run)
    done = [e for e in told if isinstance(e, Done)]
    assert [d.first for d in done] == [3, 2, 1]
    assert [a["t0"] for a in engine.asked] == [13, 12, 11]
    assert (engine.asked[0]["start"] == 2).all()
    for before, asked in zip(done, engine.asked[1:], strict=False):
        assert np.array_equal(asked["start"], before.segmentation.labels[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("code", ["k", "kTU", "iM"])
def test_the_shipped_model_runs_on_any_type_and_layout_and_gives_the_same(scene, dtype, code):
    """A volume stored otherwise is the same image, so it has the same segmentation."""
    volume, _ = phantom_volume(shape=(2, 64, 96))
    plain = np.array(slicer.util.arrayFromVolume(volume))
    layout = Layout.of(code)
    other = add_volume(layout.volume(plain.astype(dtype)), name="other")
    ask = Request(SHIPPED, "cpu", range(2), samples=2, steps=2)
    wanted = drain(events(Engine.spad(), ask, open_source(volume, Layout()))).segmentation
    found = drain(events(Engine.spad(), ask, open_source(other, layout))).segmentation
    assert np.array_equal(found.labels, wanted.labels)
    result = Result.create(other, layout, found)
    assert np.array_equal(result.labels(), wanted.labels)


# ---------------------------------------------------------------------- what stops it


def test_the_guard_tells_once_when_a_node_goes_or_the_scene_closes(scene):
    kept, other = add_volume(np.zeros((1, 4, 4))), add_volume(np.zeros((1, 4, 4)), name="other")
    told: list[str] = []
    Guard([kept], told.append)
    scene.RemoveNode(other)
    assert told == []
    scene.RemoveNode(kept)
    assert told == ["“volume” was removed from the scene"]
    scene.Clear(0)
    assert len(told) == 1
    Guard([add_volume(np.zeros((1, 4, 4)))], told.append)
    scene.Clear(0)
    assert told[1:] == ["the scene was closed"]
    guard = Guard([add_volume(np.zeros((1, 4, 4)))], told.append)
    guard.stop()
    scene.Clear(0)
    assert len(told) == 2


def test_a_bscan_that_holds_nan_costs_no_other(scene):
    volume, _ = phantom_volume(shape=(3, 64, 96))
    pixels = slicer.util.arrayFromVolume(volume).astype(np.float32)
    whole = _labels_of(pixels)
    pixels[1, 5, 6] = np.nan
    told = []
    labels = _labels_of(pixels, told)
    assert [text for text in told if "NaN" in text] == [
        "B-scan 2 of the image holds NaN or infinity; replace them first. It is left empty; the "
        "others are not touched by this"
    ]
    np.testing.assert_array_equal(labels[[0, 2]], whole[[0, 2]])
    assert not labels[1].any()
    pixels[:] = np.inf
    with pytest.raises(ValueError, match="B-scan 1 of the image holds NaN or infinity"):
        _labels_of(pixels)


def _labels_of(pixels, told=None):
    source = open_source(add_volume(pixels.copy()), Layout())
    ask = Request(SHIPPED, "cpu", range(3), samples=1, steps=1)
    run = events(Engine.spad(), ask, source)
    return drain(run, None if told is None else told.append).segmentation.labels
