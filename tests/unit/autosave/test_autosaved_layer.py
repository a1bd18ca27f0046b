"""What autosave puts on the disk: small, whole or not at all, told from what a living window has.

Needs neither Qt nor a display.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spad.autosave import sessions
from spad.autosave.autosaved_layer import AutosavedLayer, ModelPart
from spad.autosave.packed_samples import Packed
from spad.autosave.sessions import CLOSED, Session, kept_layers, move, prune, throw_away
from spad.cases.atomic_files import replaced

SHAPE = (5, 24, 36)


def header(shape: tuple[int, ...] = SHAPE, **more) -> dict:
    return {"name": "eye – SPAD", "shape": list(shape), "dtype": "|u1"} | more


def some_labels(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, shape, np.uint8)


def save(saved: AutosavedLayer, labels: np.ndarray, by_hand: np.ndarray | None = None) -> None:
    saved.save_header(header(labels.shape))
    for index in np.ndindex(*labels.shape[:-2]):
        saved.save_bscan(index, labels[index], None if by_hand is None else by_hand[index])


def files(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}


@pytest.mark.parametrize("shape", [SHAPE, (24, 36), (2, 3, 7, 9)])
def test_what_was_saved_comes_back(tmp_path: Path, shape):
    labels, by_hand = some_labels(shape), some_labels(shape) // 2 % 2
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, labels, by_hand)
    part = ModelPart(
        labels.reshape(-1, *shape[-2:])[0],
        np.full(shape[-2:], 0.25, np.float16),
        Packed.of(np.ones((4, *shape[-2:]))),
        {"seed": 7, "image_sha256": "ab"},
    )
    last = tuple(n - 1 for n in shape[:-2])
    saved.save_model(last, part)
    back = AutosavedLayer(tmp_path / "a").load()
    np.testing.assert_array_equal(back.labels, labels)
    np.testing.assert_array_equal(back.by_hand, by_hand)
    assert back.header["name"] == "eye – SPAD"
    assert back.problems == []
    again = back.model[last]
    np.testing.assert_array_equal(again.written, part.written)
    np.testing.assert_array_equal(again.uncertainty, part.uncertainty)
    np.testing.assert_array_equal(again.packed.samples(), part.packed.samples())
    assert again.provenance == part.provenance


def test_a_stroke_writes_one_bscan_and_nothing_else(tmp_path: Path):
    labels = some_labels()
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, labels)
    before = files(saved.folder)
    labels[2, 3:6, 4:9] = 3
    save(saved, labels)
    after = files(saved.folder)
    assert {name for name in after if after[name] != before.get(name)} == {"b-0002.npz"}


def test_only_the_hand_changed_is_a_change_too(tmp_path: Path):
    labels, by_hand = some_labels(), np.zeros(SHAPE, np.uint8)
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, labels, by_hand)
    by_hand[1, 2, 3] = 1
    assert saved.save_bscan((1,), labels[1], by_hand[1])
    assert not saved.save_bscan((1,), labels[1], by_hand[1])


def test_an_empty_bscan_costs_no_file_but_one_made_empty_is_written(tmp_path: Path):
    labels = np.zeros(SHAPE, np.uint8)
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, labels)
    assert saved.places() == []
    labels[1] = 1
    save(saved, labels)
    labels[1] = 0
    save(saved, labels)
    assert saved.places() == [(1,)]
    assert not saved.load().labels.any()


def test_it_is_small(tmp_path: Path):
    labels = np.zeros((512, 512), np.uint8)
    labels[200:300, 100:400] = 2
    AutosavedLayer(tmp_path).save_bscan((), labels, labels)
    assert (tmp_path / "b.npz").stat().st_size < labels.size / 100


def test_a_damaged_file_costs_that_bscan_only_and_is_named_and_kept(tmp_path: Path):
    labels = some_labels()
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, labels)
    broken = saved.folder / "b-0001.npz"
    content = bytearray(broken.read_bytes())
    content[len(content) // 2] ^= 0xFF
    broken.write_bytes(content)
    (saved.folder / "b-0003.npz").write_bytes(b"")
    again = AutosavedLayer(saved.folder)
    back = again.load()
    for z in (0, 2, 4):
        np.testing.assert_array_equal(back.labels[z], labels[z])
    assert not back.labels[[1, 3]].any()
    assert [p.split(":")[0] for p in back.problems] == [
        "B-scan 2 of “eye – SPAD”",
        "B-scan 4 of “eye – SPAD”",
    ]
    as_napari_counts = again.load(first=0).problems
    assert [p.split(" of")[0] for p in as_napari_counts] == ["B-scan 1", "B-scan 3"]
    again.set_aside_damaged(back)
    assert (saved.folder / "b-0001.npz.damaged").read_bytes() == content
    assert again.places() == [(0,), (2,), (4,)]


HEADERS = {
    "cut": "{",
    "no object": "[1, 2]",
    "deep": "[" * 200_000,
    "gone": None,
    "empty": "{}",
    "no name": '{"format": 1, "shape": [5, 24, 36], "dtype": "|u1"}',
    "odd": '{"format": "x", "name": 7, "shape": [5, "24"], "dtype": "spam", "classes": [{}, 3], '
    '"locked": "no", "placement": 8, "model": null}',
    "other shape": '{"format": 1, "name": "eye", "shape": [5, 24, 37], "dtype": "|u1"}',
    "huge": '{"format": 1, "name": "eye", "shape": [9, 1000000, 1000000], "dtype": "|u1"}',
}


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_a_damaged_header_costs_no_bscan(tmp_path: Path, content):
    labels = some_labels()
    session = Session(tmp_path)
    session.begin()
    saved = session.new_layer()
    save(saved, labels)
    session.close(properly=False)
    if content is None:
        (saved.folder / "layer.json").unlink()
    else:
        (saved.folder / "layer.json").write_text(content)
    (kept,) = kept_layers(tmp_path)
    assert (kept.lost, kept.bscans) == (True, 5)
    back = AutosavedLayer(saved.folder).load()
    np.testing.assert_array_equal(back.labels, labels)
    assert back.labels.dtype == np.uint8
    assert {"name", "image", "classes", "placement", "locked", "annotator"} <= set(back.header)
    kept.saved.set_aside_damaged(back)
    assert len(AutosavedLayer(saved.folder).places()) == 5
    said = content is not None and bool(back.problems)
    assert (saved.folder / "layer.json.before").is_file() == said


@pytest.mark.parametrize("dtype", ["|b1", "<i8", "<f4", "|i1"])
def test_a_wrong_dtype_in_the_header_changes_no_label(tmp_path: Path, dtype):
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, some_labels())
    saved.save_header(header() | {"dtype": dtype})
    back = AutosavedLayer(tmp_path / "a").load()
    np.testing.assert_array_equal(back.labels, some_labels())
    assert back.labels.dtype == np.uint8


@pytest.mark.parametrize("value", [2**40, -3, 256])
def test_values_that_the_layer_cannot_hold_are_lost_aloud(tmp_path: Path, value):
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, some_labels())
    odd = np.full(SHAPE[1:], value)
    np.savez(tmp_path / "a" / "b-0002.npz", labels=odd, by_hand=np.zeros(108, np.uint8))
    back = AutosavedLayer(tmp_path / "a").load()
    assert back.problems[0].startswith(
        "B-scan 3 of “eye – SPAD”: the labels could not be read back (its values"
    )
    assert [path.name for path in back.damaged] == ["b-0002.npz"]
    np.testing.assert_array_equal(back.labels[[0, 1, 3, 4]], some_labels()[[0, 1, 3, 4]])


def test_a_shape_without_end_and_a_place_without_end_cost_no_bscan(tmp_path: Path):
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, some_labels())
    saved.save_header(header((2**31 - 1, *SHAPE[1:])))
    back = AutosavedLayer(tmp_path / "a").load()
    np.testing.assert_array_equal(back.labels, some_labels())
    assert "no layer has the shape (2147483647, 24, 36)" in back.problems[0]
    (tmp_path / "a" / "layer.json").unlink()
    stray = tmp_path / "a" / "b-999999999.npz"
    stray.write_bytes((tmp_path / "a" / "b-0001.npz").read_bytes())
    back = AutosavedLayer(tmp_path / "a").load()
    np.testing.assert_array_equal(back.labels, some_labels())
    assert back.damaged == [stray]


@pytest.mark.parametrize("form", ["utf-8-sig", "utf-16"])
def test_a_header_that_an_editor_saved_is_read(tmp_path: Path, form):
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, some_labels())
    file = tmp_path / "a" / "layer.json"
    file.write_text(file.read_text("utf-8"), form)
    back = AutosavedLayer(tmp_path / "a").load()
    assert (back.header["name"], back.problems) == ("eye – SPAD", [])


def test_a_folder_in_the_lock_s_place_hides_no_layer(tmp_path: Path):
    session = Session(tmp_path)
    session.begin()
    save(session.new_layer(), some_labels())
    session.close(properly=False)
    (session.folder / "lock").unlink()
    (session.folder / "lock").mkdir()
    assert [kept.lost for kept in kept_layers(tmp_path)] == [True]


def test_a_newer_header_is_said(tmp_path: Path):
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, some_labels())
    (saved.folder / "layer.json").write_text(json.dumps(header() | {"format": 99}))
    with pytest.raises(ValueError, match=r"format 99.*update"):
        saved.load()


@pytest.mark.parametrize(
    "name",
    ["b-0001-LAPTOP.npz", "b-0001 (1).npz", "b-١١١١.npz", "b.npz", "b-0001-0002.npz", "b-0099.npz",
     "b-x.npz", "m-0001 (1).npz", "m-0001-conflict.npz", "b-00001.npz", "bb.npz", "b-0001~.npz"],
)  # fmt: skip
def test_a_stray_file_hides_nothing_is_told_and_left(tmp_path: Path, name):
    labels = some_labels()
    (saved,) = crashed(tmp_path)
    stray = saved.folder / name
    stray.write_bytes((saved.folder / "b-0001.npz").read_bytes())
    (kept,) = kept_layers(tmp_path)
    assert kept.lost
    again = AutosavedLayer(saved.folder)
    back = again.load()
    np.testing.assert_array_equal(back.labels, labels)
    (said,) = back.problems
    assert name in said or "B-scan" in said or "could not be read back" in said
    again.set_aside_damaged(back)
    assert stray.is_file() or stray.with_suffix(".npz.damaged").is_file()


def test_what_a_killed_window_had_begun_to_write_is_no_stray_file(tmp_path: Path):
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, some_labels())

    def killed():
        with replaced(tmp_path / "a" / "b-0001.npz") as beside:
            beside.write_bytes(b"half of it")
            os.link(beside, tmp_path / beside.name)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    (left,) = tmp_path.glob("*.npz")
    left.rename(tmp_path / "a" / left.name)  # as SIGKILL leaves it
    assert AutosavedLayer(tmp_path / "a").load().problems == []


def test_no_flipped_bit_costs_more_than_its_bscan(tmp_path: Path):
    """And one that is not seen changes nothing."""
    labels = some_labels((3, 6, 7))
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, labels)
    saved.save_model((1,), ModelPart(labels[1], labels[1] * 0.1, None, {"seed": 7}))
    draw = np.random.default_rng(3)
    for name in ("b-0001.npz", "m-0001.npz"):
        whole = (saved.folder / name).read_bytes()
        for _ in range(300):
            content = bytearray(whole)
            content[draw.integers(len(whole))] ^= 1 << draw.integers(8)
            (saved.folder / name).write_bytes(content)
            back = AutosavedLayer(saved.folder).load()
            np.testing.assert_array_equal(back.labels[[0, 2]], labels[[0, 2]])
            one = back.labels[1]
            lost = [p for p in back.problems if p.startswith("B-scan 2 of")]
            assert np.array_equal(one, labels[1]) or (lost and not one.any())
            assert back.problems == lost
        (saved.folder / name).write_bytes(whole)


def test_a_lock_that_went_astray_hides_no_layer(tmp_path: Path):
    (saved,) = crashed(tmp_path)
    (saved.folder.parent / "lock").unlink()
    assert [k.lost for k in kept_layers(tmp_path)] == [True]
    np.testing.assert_array_equal(move(saved, Session(tmp_path)).load().labels, some_labels())


def test_a_session_that_holds_something_else_is_not_deleted(tmp_path: Path):
    (saved,) = crashed(tmp_path)
    other = saved.folder.parent / "notes.txt"
    other.write_text("not ours")
    move(saved, Session(tmp_path))
    assert other.is_file()


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch):
    labels = some_labels()
    saved = AutosavedLayer(tmp_path / "a")
    save(saved, labels)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("spad.cases.atomic_files.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            saved.save_bscan((2,), labels[2] * 0, None)
    np.testing.assert_array_equal(AutosavedLayer(saved.folder).load().labels, labels)
    assert not [p for p in saved.folder.iterdir() if p.name.startswith(".")]
    assert saved.save_bscan((2,), labels[2] * 0, None)  # it was not taken for done


def test_replaced_is_all_or_nothing(tmp_path: Path):
    path = tmp_path / "a.nii.gz"
    path.write_text("old")
    with pytest.raises(KeyError), replaced(path) as file:  # noqa: PT012
        file.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    with replaced(path) as file:
        assert file.name.endswith(".nii.gz")
        file.write_text("new")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["new"]


# ---------------------------------------------------------------------- sessions

WORKER = """
import sys, time
import numpy as np
from pathlib import Path
from spad.autosave.sessions import Session
session = Session(Path(sys.argv[1]))
session.begin()
saved = session.new_layer()
saved.save_header({"name": sys.argv[2], "shape": [4, 5], "dtype": "|u1"})
saved.save_bscan((), np.ones((4, 5), np.uint8), None)
print("saved", flush=True)
time.sleep(60)
"""


def start_window(root: Path, name: str) -> subprocess.Popen:
    window = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(root), name], stdout=subprocess.PIPE, text=True
    )
    assert window.stdout.readline() == "saved\n"
    return window


def kill(window: subprocess.Popen) -> None:
    window.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    window.wait(10)
    window.stdout.close()


def test_a_killed_window_is_told_from_a_living_one(tmp_path: Path):
    one, other = start_window(tmp_path, "one"), start_window(tmp_path, "other")
    try:
        assert kept_layers(tmp_path) == []
        kill(one)
        assert [(k.name, k.lost, k.bscans) for k in kept_layers(tmp_path)] == [("one", True, 1)]
    finally:
        for window in (one, other):
            if window.poll() is None:
                kill(window)
    assert {k.name for k in kept_layers(tmp_path)} == {"one", "other"}


def test_a_session_that_ended_properly_is_kept_but_not_lost(tmp_path: Path):
    session = Session(tmp_path)
    session.begin()
    save(session.new_layer(), some_labels())
    assert kept_layers(tmp_path) == []  # it is alive
    session.close(properly=True)
    (kept,) = kept_layers(tmp_path)
    assert not kept.lost
    np.testing.assert_array_equal(kept.saved.load().labels, some_labels())


def test_a_session_whose_folder_is_gone_is_closed_all_the_same(tmp_path: Path):
    session = Session(tmp_path)
    session.begin()
    session.folder.rename(tmp_path / "elsewhere")
    session.close(properly=True)
    session.close(properly=True)


@pytest.mark.parametrize("why", ["removed", "exported"])
def test_what_was_removed_or_exported_before_the_crash_is_not_lost(tmp_path: Path, why):
    session = Session(tmp_path)
    session.begin()
    saved = session.new_layer()
    saved.save_header(header(**{why: "2026-01-01T10:00:00"}))
    session.close(properly=False)
    assert [k.lost for k in kept_layers(tmp_path)] == [False]


def crashed(root: Path, layers: int = 1) -> list[AutosavedLayer]:
    session = Session(root)
    session.begin()
    made = [session.new_layer() for _ in range(layers)]
    for saved in made:
        save(saved, some_labels())
    session.close(properly=False)
    return made


def test_a_layer_that_is_taken_over_is_in_one_session_only(tmp_path: Path):
    first, second = crashed(tmp_path, 2)
    mine = Session(tmp_path)
    moved = move(first, mine)
    np.testing.assert_array_equal(moved.load().labels, some_labels())
    assert [k.saved.folder for k in kept_layers(tmp_path)] == [second.folder]
    with pytest.raises(OSError, match="another window"):
        move(first, mine)
    move(second, mine)
    assert [p.name for p in tmp_path.iterdir()] == [mine.folder.name]  # the empty one is gone


def test_a_living_windows_layers_can_be_neither_taken_nor_deleted(tmp_path: Path):
    living = Session(tmp_path)
    living.begin()
    saved = living.new_layer()
    save(saved, some_labels())
    for act in (throw_away, lambda one: move(one, Session(tmp_path))):
        with pytest.raises(OSError, match="another window"):
            act(AutosavedLayer(saved.folder))
    assert saved.places()


def test_thrown_away_is_gone(tmp_path: Path):
    (saved,) = crashed(tmp_path)
    throw_away(saved)
    assert list(tmp_path.iterdir()) == []


def closed_session(root: Path, days_ago: float) -> Path:
    session = Session(root)
    session.begin()
    save(session.new_layer(), some_labels())
    session.close(properly=True)
    when = time.time() - days_ago * 86400
    os.utime(session.folder / CLOSED, (when, when))
    return session.folder


def test_old_sessions_go_but_never_what_a_crash_left(tmp_path: Path):
    (lost,) = crashed(tmp_path)
    lock = lost.folder.parent / "lock"
    os.utime(lock, (0, 0))
    old, new = closed_session(tmp_path, 31), closed_session(tmp_path, 29)
    prune(tmp_path)
    assert not old.exists()
    assert new.exists()
    assert lost.folder.exists()


def test_the_oldest_go_first_where_they_are_too_much(tmp_path: Path):
    folders = [closed_session(tmp_path, days) for days in (3, 1, 2)]
    size = sum(f.stat().st_size for f in folders[0].rglob("*") if f.is_file())
    prune(tmp_path, most_bytes=int(size * 2.5))
    assert [f.exists() for f in folders] == [False, True, True]


def test_a_folder_that_does_not_exist_holds_nothing(tmp_path: Path):
    assert kept_layers(tmp_path / "none") == []
    prune(tmp_path / "none")


def test_a_window_that_looks_just_then_does_not_keep_a_new_session_from_its_lock(
    tmp_path: Path, monkeypatch
):
    session, looking = Session(tmp_path), iter([False, False])
    take = sessions.take_lock
    monkeypatch.setattr(sessions, "take_lock", lambda file: next(looking, True) and take(file))
    session.begin()
    save(session.new_layer(), some_labels())
    assert kept_layers(tmp_path) == []  # it lives


def test_a_session_whose_lock_is_never_free_is_not_begun(tmp_path: Path, monkeypatch):
    session = Session(tmp_path)
    with monkeypatch.context() as held:
        held.setattr(sessions, "take_lock", lambda _: False)
        with pytest.raises(OSError, match=r"another program holds .*lock: it is tried again"):
            session.begin()
    session.begin()
    session.close(properly=True)


def test_where_there_are_no_locks_only_what_nobody_wrote_to_for_long_is_offered(
    tmp_path: Path, monkeypatch
):
    def none(_file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(sessions, "take_lock", none)
    session = Session(tmp_path)
    session.begin()
    saved = session.new_layer()
    save(saved, some_labels())
    assert kept_layers(tmp_path) == []
    for file in saved.folder.iterdir():
        os.utime(file, (time.time() - 2 * sessions.UNHEARD_SECONDS,) * 2)
    assert [kept.lost for kept in kept_layers(tmp_path)] == [True]


def test_a_folder_that_was_taken_away_is_written_anew(tmp_path: Path):
    session, labels = Session(tmp_path / "a"), some_labels()
    session.begin()
    saved = session.new_layer()
    save(saved, labels)
    assert not saved.vanished()
    session.folder.rename(tmp_path / "elsewhere")
    assert saved.vanished()
    assert not saved.described
    session.begin()
    save(saved, labels)
    np.testing.assert_array_equal(AutosavedLayer(saved.folder).load().labels, labels)
    assert kept_layers(tmp_path / "a") == []  # with a lock again
