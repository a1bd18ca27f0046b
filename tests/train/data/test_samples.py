"""Training samples: sample n depends on (seed, n) alone, and image and labels move together."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spad.cases import CaseError, NewCase, open_folder
from spad.phantom import DISEASES
from spad.train.config import Augmentation, Config, Data, load_config
from spad.train.data import augmentation, class_table, write_folder
from spad.train.data.phantoms import ENDLESS_SEEDS, endless, phantom_cases, phantom_table
from spad.train.data.sample_order import case_of, generator
from spad.train.data.samples import Samples, batches, workers_of
from spad.train.method.scd import target_map

CPU = torch.device("cpu")
STILL = [f"augmentation.{name}={0.0 if name != 'flip' else 'false'}" for name in (
    "flip", "rotate_degrees", "zoom", "stretch", "shift", "gamma", "contrast", "brightness",
    "noise", "blur_px",
)]  # fmt: skip
"""Words that switch all augmentation off."""


def samples_of(config: Config) -> Samples:
    folder = open_folder(config.data.folders[0])
    table = class_table(folder.names)
    cases = [(case, table) for case in folder.splits["train"]]
    return Samples(config, cases, list(folder.names.values()))


def one_case(
    tmp_path: Path, image: NDArray[Any], labels: NDArray[np.uint8], *words: str
) -> Samples:
    """Samples of a set of one case with the classes background, left, right."""
    names = {0: "background", 1: "left", 2: "right"}
    write_folder(tmp_path / "set", [NewCase("a", image, labels, patient="A")], names)
    path = tmp_path / "run.toml"
    path.write_text('name = "m"\n[data]\nfolders = ["set"]\n[input]\nsize = [64, 96]\n')
    return samples_of(load_config(path, words))


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


# --- (seed, n) alone


def test_a_sample_is_the_same_whatever_came_before(tiny: Path) -> None:
    config = load_config(tiny)
    forward = samples_of(config)
    first = [forward[n] for n in range(10)]
    backward = samples_of(config)
    assert all(same(backward[n], first[n]) for n in reversed(range(10)))


def test_another_number_or_seed_gives_another_sample(tiny: Path) -> None:
    samples = samples_of(load_config(tiny))
    other = samples_of(load_config(tiny, ["seed=1"]))
    images = [samples[n]["image"].tobytes() for n in range(8)]
    assert len(set(images)) == 8
    assert not {other[n]["image"].tobytes() for n in range(8)} & set(images)


@pytest.mark.parametrize("step", [0, 2])
def test_workers_and_a_resume_change_nothing(tiny: Path, step: int) -> None:
    config = load_config(tiny)
    expected = list(batches(samples_of(config), config, 0, CPU))[step:]
    workers = load_config(tiny, ["data.workers=2"])
    for other in (config, workers):
        got = list(batches(samples_of(other), other, step, CPU))
        assert len(got) == len(expected) == config.optimiser.steps - step
        for a, b in zip(got, expected, strict=True):
            assert a.keys() == b.keys()
            assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    ("device", "cores", "beside", "count"),
    [
        ("cpu", 64, 1, 1),
        ("cuda", 64, 1, 8),
        ("cuda", 8, 2, 3),
        ("cuda", 2, 4, 1),
        ("cuda", 1, 1, 1),
    ],
)
def test_the_machine_decides_how_many_workers_there_are(
    device: str, cores: int, beside: int, count: int, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(beside))
    assert workers_of(load_config(tiny, ["data.workers=-1"]), torch.device(device)) == count
    assert workers_of(load_config(tiny, ["data.workers=0"]), torch.device(device)) == 0


def test_the_batch_size_does_not_change_the_samples(tiny: Path) -> None:
    images = []
    for batch in (1, 3):
        config = load_config(tiny, [f"optimiser.batch={batch}", f"optimiser.steps={6 // batch}"])
        got = list(batches(samples_of(config), config, 0, CPU))
        images.append(torch.cat([one["image"] for one in got]))
        assert torch.cat([one["number"] for one in got]).tolist() == list(range(6))
    assert torch.equal(*images)


# --- what a sample holds


def test_a_sample_has_the_shapes_and_types_that_the_trainer_expects(tiny: Path) -> None:
    sample = samples_of(load_config(tiny))[0]
    image = sample.pop("image")
    assert (image.shape, image.dtype) == ((1, 64, 96), np.float32)
    assert -1 <= image.min() < image.max() <= 1
    assert sample.pop("number") == 0
    assert set(sample) == {"labels", "targets", "decoy_labels", "decoy_targets"}
    assert {(x.shape, x.dtype) for x in sample.values()} == {((64, 96), np.dtype(np.uint8))}


@pytest.mark.parametrize(
    ("word", "keys"),
    [
        ("perturbation.decoys=false", {"labels", "targets"}),
        ("method=unet", {"labels"}),
    ],
)
def test_what_is_not_needed_is_not_made(tiny: Path, word: str, keys: set[str]) -> None:
    assert set(samples_of(load_config(tiny, [word]))[0]) == {"number", "image", *keys}


@pytest.mark.parametrize("kind", ["components", "structures"])
def test_targets_are_those_of_the_augmented_labels(tiny: Path, kind: str) -> None:
    samples = samples_of(load_config(tiny, [f"perturbation.targets={kind}"]))
    for n in range(4):
        one = samples[n]
        for prefix in ("", "decoy_"):
            expected = target_map(one[f"{prefix}labels"], kind)
            np.testing.assert_array_equal(one[f"{prefix}targets"], expected)


def test_decoys_are_labels_of_the_training_set_elsewhere(tiny: Path) -> None:
    samples = samples_of(load_config(tiny))
    some = [samples[n] for n in range(12)]
    assert all(not np.array_equal(one["labels"], one["decoy_labels"]) for one in some)
    assert all(set(np.unique(one["decoy_labels"])) <= {*range(6), 255} for one in some)
    assert np.mean([(one["decoy_labels"] % 255 > 0).any() for one in some]) > 0.9


def test_without_augmentation_a_sample_is_the_case_itself(tiny: Path) -> None:
    config = load_config(tiny, STILL)
    samples = samples_of(config)
    folder = open_folder(tiny.parent / "set")
    from spad.inference.letterbox import normalise
    from spad.train.data import read_image, read_labels

    for n in range(4):
        case = folder.splits["train"][case_of(0, n, 4)]
        image = normalise(read_image(case), config.input)
        np.testing.assert_allclose(samples[n]["image"][0], image, atol=1e-5)
        labels = read_labels(case, class_table(folder.names))
        np.testing.assert_array_equal(samples[n]["labels"], labels)


# --- augmentation


def blob(shape: tuple[int, int] = (96, 128)) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A bright ellipse, off the middle, whose label is the ellipse."""
    y, x = np.indices(shape)
    inside = ((y - 50) / 22) ** 2 + ((x - 52) / 30) ** 2 < 1
    return np.where(inside, 200, 40).astype(np.uint8), inside.astype(np.uint8)


def test_image_and_labels_move_together(tmp_path: Path) -> None:
    words = ["augmentation.noise=0", "augmentation.rotate_degrees=40", "augmentation.shift=0.2"]
    samples = one_case(tmp_path, *blob(), *words)
    seen = []
    for n in range(40):
        one = samples[n]
        known = one["labels"] != 255
        low, high = one["image"].min(), one["image"].max()
        bright = (one["image"][0] > (low + high) / 2) & known
        truth = (one["labels"] == 1) & known
        assert truth.any()
        seen.append(2 * (bright & truth).sum() / (bright.sum() + truth.sum()))
        assert (one["labels"] != 2).all()
    assert min(seen) > 0.9
    assert np.mean(seen) > 0.96
    places = {tuple(np.argwhere(samples[n]["labels"] == 1).mean(0).round()) for n in range(40)}
    assert len(places) > 20


def test_an_image_that_is_rescaled_stays_within_its_range(tmp_path: Path) -> None:
    """Interpolation may overshoot -1 by a rounding error, and gamma knows no negative base."""
    samples = one_case(tmp_path, *blob((99, 131)))
    for n in range(20):
        image = samples[n]["image"]
        assert np.isfinite(image).all()
        assert np.abs(image).max() <= 1


def test_outside_the_image_labels_are_ignored_and_the_image_continues(tmp_path: Path) -> None:
    image, labels = np.full((64, 96), 90, np.uint8), np.ones((64, 96), np.uint8)
    image[:, 48:] = 200
    words = [*STILL, "augmentation.shift=0.4"]
    samples = one_case(tmp_path, image, labels, *words)
    outside = np.stack([samples[n]["labels"] == 255 for n in range(20)])
    assert 0.05 < outside.mean() < 0.6
    for n in range(20):
        assert set(np.unique(samples[n]["labels"])) <= {1, 255}
        left, right = samples[n]["image"][0][:, [0, -1]].T  # the edges' values go on
        np.testing.assert_allclose(left, -1, atol=1e-5)
        np.testing.assert_allclose(right, 1, atol=1e-5)


def test_strokes_thinner_than_the_networks_pixels_train(tmp_path: Path) -> None:
    """Partly labelled: a line of a structure, and one of background, of an image 8 times larger."""
    labels = np.full((512, 768), 255, np.uint8)
    labels[96, 80:400] = 1
    labels[200:202, 80:400] = 0
    labels[300:400, 500:] = 2
    image = np.arange(512, dtype=np.uint16)[:, None].repeat(768, 1)
    small = one_case(tmp_path, image, labels, *STILL)[0]["labels"]
    expected = np.full((64, 96), 255, np.uint8)
    expected[12, 10:50] = 1
    expected[25, 10:50] = 0
    expected[37:50, 62:] = 2  # its first row and column begin within a pixel; nearest, as before
    np.testing.assert_array_equal(small, expected)


def test_a_mirrored_sample_is_the_mirrored_case_with_its_classes_swapped(tmp_path: Path) -> None:
    labels = np.zeros((64, 96), np.uint8)
    labels[10:20, 5:30] = 1  # left
    labels[30:50, 60:90] = 2  # right
    image = np.arange(64 * 96).reshape(64, 96).astype(np.uint16)
    words = [*STILL, "augmentation.flip=true", 'augmentation.flip_swaps=[["left", "right"]]']
    samples = one_case(tmp_path, image, labels, *words)
    swapped = np.array([0, 2, 1], np.uint8)[labels[:, ::-1]]
    mirrored = 0
    for n in range(40):
        one = samples[n]
        flipped = not np.array_equal(one["labels"], labels)
        mirrored += flipped
        np.testing.assert_array_equal(one["labels"], swapped if flipped else labels)
        falls = one["image"][0, 32, 10] > one["image"][0, 32, 80]
        assert falls == flipped
    assert 8 < mirrored < 32


def test_ignored_pixels_stay_ignored_when_mirrored() -> None:
    table = augmentation.swap_table(
        Augmentation(flip_swaps=(("a", "b"),)), ["background", "a", "b"]
    )
    assert table[[0, 1, 2, 3, 255]].tolist() == [0, 2, 1, 3, 255]


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (["left lung", "heart", "right lung"], "'left lung' and 'right lung'"),
        (["Lunge_Rechts", "lunge links"], "'Lunge_Rechts' and 'lunge links'"),
        (["clavicle (L)", "clavicle (R)"], "'clavicle (L)' and 'clavicle (R)'"),
        (["left lung", "right clavicle"], ""),
        (["IS/OS", "OS-RPE"], ""),
    ],
)
def test_left_and_right_that_do_not_change_places_are_told(names: list[str], pair: str) -> None:
    names = ["background", *names]
    still = Augmentation(flip=False)
    swapped = Augmentation(flip_swaps=((names[1], names[-1]),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        augmentation.swap_table(still, names)
        augmentation.swap_table(swapped, names)
        if not pair:
            augmentation.swap_table(Augmentation(), names)
    if pair:
        with pytest.warns(UserWarning, match=re.escape(f"{pair} look alike in mirrored images")):
            augmentation.swap_table(Augmentation(), names)


def test_a_class_changes_places_with_one_other() -> None:
    pairs = (("a", "b"), ("b", "c"))
    with pytest.raises(ValueError, match="names 'b' twice"):
        augmentation.swap_table(Augmentation(flip_swaps=pairs), ["background", "a", "b", "c"])


def test_flip_swaps_of_a_class_that_is_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="'lung'; the classes are background, SRF"):
        augmentation.swap_table(Augmentation(flip_swaps=(("SRF", "lung"),)), ["background", "SRF"])


# --- which case


@pytest.mark.parametrize("cases", [1, 2, 7])
def test_each_case_comes_once_an_epoch_in_an_order_of_its_own(cases: int) -> None:
    epochs = [[case_of(3, e * cases + i, cases) for i in range(cases)] for e in range(30)]
    assert all(sorted(order) == list(range(cases)) for order in epochs)
    assert len({tuple(order) for order in epochs}) > (cases > 1) * (cases - 1)
    assert [case_of(3, n, cases) for n in range(5)] == [c for e in epochs for c in e][:5]


def test_balance_draws_each_structure_as_often_as_the_others() -> None:
    # Ten cases; structure A in nine of them, the rare B in case 9 alone.
    holders: Sequence[NDArray[np.intp]] = [np.arange(9), np.array([9])]
    n = 4000
    counts = {
        share: Counter(case_of(0, i, 10, balance=share, holders=holders) for i in range(n))[9] / n
        for share in (0.0, 0.5, 1.0)
    }
    assert counts[0.0] == 0.1
    assert counts[0.5] == pytest.approx(0.5 * 0.1 + 0.5 * 0.5, abs=0.04)
    assert counts[1.0] == pytest.approx(0.5, abs=0.04)


def test_balance_shows_rare_structures_more_often(tiny: Path) -> None:
    """SHRM is in phantom 17 alone of the four (p2)."""
    rates = []
    for share in (0.0, 1.0):
        samples = samples_of(load_config(tiny, [*STILL, f"data.balance={share}"]))
        rates.append(np.mean([(samples[n]["labels"] == 4).any() for n in range(400)]))
    assert rates[0] == 0.25
    # A fifth of the samples are drawn for SHRM; of those for SRF, PED and IS/OS a quarter show it.
    assert rates[1] == pytest.approx(0.35, abs=4 * np.sqrt(0.35 * 0.65 / 400))


def test_generators_of_different_purposes_are_independent() -> None:
    draws = {generator(0, n, purpose).random() for n in range(3) for purpose in ("a", "b")}
    assert len(draws) == 6
    assert generator(0, 1, "a").random() in draws


# --- weights and endless phantoms


def weighted(tmp_path: Path, *weights: int) -> Samples:
    """Samples of two folders of 2 and 3 cases; the class of its pixels tells a case's folder."""
    names = {0: "background", 1: "left", 2: "right"}
    image = np.arange(64 * 96).reshape(64, 96).astype(np.uint16)
    for value, count in ((1, 2), (2, 3)):
        labels = np.full((64, 96), value, np.uint8)
        new = [NewCase(f"{value}{i}", image, labels) for i in range(count)]
        write_folder(tmp_path / f"set{value}", new, names)
    path = tmp_path / "run.toml"
    path.write_text('name = "m"\n[data]\nfolders = ["set1", "set2"]\n[input]\nsize = [64, 96]\n')
    config = load_config(path, [*STILL, f"data.weights={list(weights)}"])
    folders = [open_folder(folder) for folder in config.data.folders]
    table = class_table(names)
    cases = [(case, table) for folder in folders for case in folder.splits["train"]]
    return Samples(config, cases, list(names.values()))


def test_a_weight_says_how_often_an_epoch_shows_the_cases_of_a_folder(tmp_path: Path) -> None:
    samples = weighted(tmp_path, 1, 3)
    assert len(samples) == 2 + 3 * 3
    for epoch in range(3):
        drawn = Counter(samples._case(11 * epoch + i) for i in range(11))
        assert [drawn[case] for case in range(5)] == [1, 1, 3, 3, 3]
    assert Counter(samples[n]["labels"].max() for n in range(11)) == {1: 2, 2: 9}


@pytest.mark.parametrize("weights", [(), (1, 1), (7, 7)])
def test_equal_weights_draw_as_none_do(tmp_path: Path, weights: tuple[int, ...]) -> None:
    samples = weighted(tmp_path, *weights)
    assert len(samples) == 5
    assert [samples._case(n) for n in range(50)] == [case_of(0, n, 5) for n in range(50)]


@pytest.mark.parametrize("words", [["data.weights=[1]"], ["data.weights=[1, 2, 3]"]])
def test_as_many_weights_as_folders_are_asked_for(tmp_path: Path, words: list[str]) -> None:
    path = tmp_path / "run.toml"
    path.write_text('name = "m"\n[data]\nfolders = ["a", "b"]\n')
    with pytest.raises(ValueError, match=r"data\.weights has \d numbers for 2"):
        load_config(path, words)


def test_phantoms_are_the_share_asked_for_and_never_come_twice(tiny: Path) -> None:
    config = load_config(tiny, ["data.phantoms=0.5"])
    samples = samples_of(config)
    fresh = [samples._case(n) < 0 for n in range(400)]
    assert np.mean(fresh) == pytest.approx(0.5, abs=0.1)
    first = [n for n in range(400) if fresh[n]][:6]
    images = {samples._phantom(n)[0].tobytes() for n in first}
    other = samples_of(load_config(tiny, ["data.phantoms=0.5", "seed=1"]))
    images |= {other._phantom(n)[0].tobytes() for n in first}
    assert len(images) == 12
    again = samples_of(config)
    assert all(same(samples[n], again[n]) for n in first)


def test_phantoms_have_each_of_the_diseases_asked_for(tiny: Path) -> None:
    words = ["data.phantoms=1"]
    plain, mixed = (
        samples_of(load_config(tiny, [*words, f"data.diseases={x}"]))
        for x in ('["wet-amd"]', '["wet-amd", "oedema"]')
    )
    changed = [plain._phantom(n)[0].tobytes() != mixed._phantom(n)[0].tobytes() for n in range(24)]
    assert 6 <= sum(changed) <= 18


def test_a_configuration_may_ask_for_every_disease() -> None:
    assert Data(phantoms=1, diseases=DISEASES).diseases == DISEASES


def test_strips_of_other_cases_come_into_the_share_asked_for(tiny: Path) -> None:
    plain, mixed = (samples_of(load_config(tiny, [f"augmentation.strips={x}"])) for x in (0, 0.5))
    equal = [same(plain[n], mixed[n]) for n in range(40)]
    assert 10 <= sum(equal) <= 30
    assert all(same(mixed[n], mixed[n]) for n in range(4))


def test_the_other_samples_stay_what_they_are_without_phantoms(tiny: Path) -> None:
    plain, mixed = (
        samples_of(load_config(tiny)),
        samples_of(load_config(tiny, ["data.phantoms=0.5"])),
    )
    kept = [n for n in range(8) if mixed._case(n) >= 0]
    assert kept
    assert all(same(plain[n], mixed[n]) for n in kept)


def test_seeds_of_endless_phantoms_are_nobody_elses() -> None:
    longest = 10_000_000 * 4096  # steps and batch at their limits
    assert longest < ENDLESS_SEEDS // 2  # the upper half lends decoys
    seeds = [endless(run, n, (64, 96)).seed for run in (0, 1, 2**31) for n in (0, longest)]
    assert len(set(seeds)) == 6
    assert min(seeds) >= ENDLESS_SEEDS
    with pytest.raises(ValueError, match=r"data\.phantoms"):
        next(phantom_cases(1, 0, size=(64, 96), seed=ENDLESS_SEEDS // 2))


def test_a_phantom_structure_that_the_model_lacks_is_background() -> None:
    table, judged = phantom_table(["background", "drusen", "IRF", "SRF"])
    assert table[:7].tolist() == [0, 3, 2, 0, 0, 0, 255]
    assert judged.tolist() == [True, False, True, True]  # nobody drew drusen


# --- faulty cases


@pytest.mark.parametrize("workers", [0, 1])
def test_a_case_that_turns_out_faulty_is_told_by_name_alone(tiny: Path, workers: int) -> None:
    config = load_config(tiny, [f"data.workers={workers}"])
    samples = samples_of(config)
    mask = tiny.parent / "set" / "masks" / "p2.png"
    mask.write_bytes(b"no image")
    with pytest.raises(CaseError, match=r"p2\.png") as caught:
        list(batches(samples, config, 0, CPU))
    assert "Traceback" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_without_a_name_is_told_when_the_label_map_is_read(tiny: Path) -> None:
    config = load_config(tiny)
    folder = open_folder(tiny.parent / "set")
    case = folder.splits["train"][0]
    table = class_table(folder.names)
    samples = Samples(
        config, [(case, table)], list(folder.names.values()), values={folder.path: {0: "a"}}
    )
    with pytest.raises(CaseError, match=r"which labels\.json does not name"):
        next(batches(samples, config, 0, CPU))


@pytest.mark.skipif(not hasattr(os, "getpgid"), reason="no process groups here")
def test_a_worker_is_out_of_reach_of_the_groups_signals_but_ends_by_its_own(
    shared_tiny: Path,
) -> None:
    """Python ends what is left of its workers by SIGTERM and joins them: one must not ignore it."""
    config = load_config(shared_tiny, ["data.workers=1"])
    before = multiprocessing.active_children()
    arriving = batches(samples_of(config), config, 0, CPU)
    next(arriving)
    (worker,) = set(multiprocessing.active_children()) - set(before)
    assert os.getpgid(worker.pid or 0) != os.getpgrp()
    with contextlib.suppress(RuntimeError):  # torch watches its workers
        worker.terminate()
        worker.join(30)
    assert not worker.is_alive()
