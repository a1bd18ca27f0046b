"""The cache: the same samples with it as without, never an outdated one, and never in the way."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spad.cases import NewCase, open_folder
from spad.checkpoint import cache_folder
from spad.checkpoint.card import InputConfig
from spad.pictures import image_files
from spad.train.config import Config, load_config
from spad.train.data import cache as cache_module
from spad.train.data import class_table, write_folder
from spad.train.data.cache import Cache
from spad.train.data.decoding import Decoder
from spad.train.data.inspection import Inspector
from spad.train.data.samples import Samples


def samples_of(config: Config) -> Samples:
    folder = open_folder(config.data.folders[0])
    table = class_table(folder.names)
    cases = [(case, table) for case in folder.splits["train"]]
    return Samples(config, cases, list(folder.names.values()))


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path / "a"))
    assert cache_folder() == tmp_path / "a"
    monkeypatch.delenv("SPAD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert cache_folder() == tmp_path / "b" / "spad"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "spad"


def test_samples_are_the_same_with_and_without_a_cache(tiny: Path, fresh: Path) -> None:
    without = samples_of(load_config(tiny, ["data.cache=false"]))
    expected = [without[n] for n in range(4)]
    assert not fresh.exists()
    for _ in range(2):  # written, then read
        samples = samples_of(load_config(tiny))
        assert all(same(samples[n], expected[n]) for n in range(4))
    assert entries(fresh)


def test_a_second_run_decodes_nothing(
    tiny: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = samples_of(load_config(tiny))
    expected = [first[n] for n in range(8)]

    def refuse(*_: Any) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(image_files, "read_file", refuse)
    again = samples_of(load_config(tiny))
    assert all(same(again[n], expected[n]) for n in range(8))


def test_a_file_replaced_by_one_of_equal_size_and_date_is_read_again(
    tmp_path: Path, fresh: Path
) -> None:
    image = np.arange(64 * 96).reshape(64, 96).astype(np.uint16)
    labels = np.zeros((64, 96), np.uint8)
    labels[:32] = 1
    write_folder(tmp_path / "set", [NewCase("a", image, labels)], {0: "background", 1: "SRF"})
    case = open_folder(tmp_path / "set").splits["train"][0]
    config, table = InputConfig(size=(64, 96)), np.arange(256, dtype=np.uint8)
    read = Decoder(config, {}, Cache())
    assert (read(case, table)[1] == labels).all()
    mask = tmp_path / "set" / "masks" / "a.png"
    turned = image_files.png_bytes(labels[::-1])
    size = max(len(turned), mask.stat().st_size)
    mask.write_bytes(mask.read_bytes().ljust(size, b"\0"))  # what follows the end mark is not read
    read(case, table)
    before = mask.stat()
    mask.write_bytes(turned.ljust(size, b"\0"))
    os.utime(mask, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (mask.stat().st_size, mask.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert (read(case, table)[1] == labels[::-1]).all()


@pytest.mark.parametrize("word", ["input.size=[32, 64]", "input.low_percentile=5.0"])
def test_other_settings_ask_for_other_entries(tiny: Path, fresh: Path, word: str) -> None:
    one, other = samples_of(load_config(tiny)), samples_of(load_config(tiny, [word]))
    for n in range(4):
        one[n]
    before = len(entries(fresh))
    for n in range(4):
        other[n]
    assert len(entries(fresh)) > before


def test_another_mapping_asks_for_another_entry(tiny: Path, fresh: Path) -> None:
    config = load_config(tiny)
    case = open_folder(config.data.folders[0]).splits["train"][0]
    read = Decoder(config.input, {}, Cache())
    table = np.arange(256, dtype=np.uint8)
    labels = read(case, table)[1]
    np.testing.assert_array_equal(read(case, table[::-1].copy())[1], 255 - labels)


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:50], lambda b: b[:-1] + b"x"])
def test_a_damaged_entry_is_made_again(tiny: Path, fresh: Path, damage: Any) -> None:
    samples = samples_of(load_config(tiny))
    expected = [samples[n] for n in range(4)]
    whole = {path: path.read_bytes() for path in entries(fresh)}
    for path, content in whole.items():
        path.write_bytes(damage(content))
    again = samples_of(load_config(tiny))
    assert all(same(again[n], expected[n]) for n in range(4))
    assert {path: path.read_bytes() for path in entries(fresh)} == whole


def test_a_folder_that_cannot_be_written_is_said_once_and_stops_nothing(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path / "file" / "cache"))
    samples = samples_of(load_config(tiny))
    with pytest.warns(UserWarning, match=r"data\.cache=false") as caught:
        assert len([samples[n] for n in range(8)]) == 8
    assert len([w for w in caught if "cannot be written" in str(w.message)]) == 1


def test_a_disk_that_is_nearly_full_is_left_alone(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_KEPT_FREE", 1.0)
    cache = Cache()
    with pytest.warns(UserWarning, match="of the disk is free"):
        cache.put("ab" * 32, b"content")
    assert cache.get("ab" * 32) is None
    assert not entries(fresh)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put("ab" * 32, b"content")


# --- what a check found


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Label maps that are read from now on."""
    read: list[Path] = []
    original = image_files.read_label_file

    def spy(path: Path) -> Any:
        read.append(path)
        return original(path)

    monkeypatch.setattr(image_files, "read_label_file", spy)
    return read


def test_facts_are_remembered_for_files_that_did_not_change(
    tiny: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spad.train.data import inspection

    monkeypatch.setattr(inspection, "_YOUNG_NS", -1)  # as if the files were an hour old
    read = counted(monkeypatch)
    cases = open_folder(tiny.parent / "set").splits["train"]
    found = []
    for _ in range(2):
        inspector = Inspector(Cache())
        found.append([(inspector.image(case), inspector.labels(case)) for case in cases])
        inspector.save()
    assert found[0] == found[1]
    assert len(read) == len(cases)
    # Replaced by other content of equal size, and the date set back: the inode's time tells.
    file = cases[0].labels
    assert file is not None
    stat, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-1] + b"x")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    facts = Inspector(Cache()).labels(cases[0])
    assert facts is not None
    assert facts.digest != found[0][0][1].digest  # type: ignore[union-attr]


def test_young_files_are_not_remembered(
    tiny: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = counted(monkeypatch)
    case = open_folder(tiny.parent / "set").splits["train"][0]
    for _ in range(2):
        inspector = Inspector(Cache())
        inspector.labels(case)
        inspector.save()
    assert len(read) == 2
