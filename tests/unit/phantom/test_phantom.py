"""What a phantom promises: the same bits for a seed, an eye's anatomy, and raters who differ."""

from __future__ import annotations

import hashlib
from itertools import combinations, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from spad import phantom
from spad.phantom.bscans import bscan, stack
from spad.phantom.readings import IRF, ISOS, PED, SHRM, SRF, Reading, annotate
from spad.phantom.scene import Scene
from spad.phantom.serous import SerousScene

SEEDS = range(60)
SMALL = (128, 192)


@pytest.fixture(scope="module")
def many() -> list[phantom.Phantom]:
    return [bscan(seed, shape=SMALL) for seed in SEEDS]


def share(cases: list[phantom.Phantom], value: int) -> float:
    return float(np.mean([(case.labels == value).mean() for case in cases]))


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / max(one.sum() + other.sum(), 1))


def test_a_seed_and_a_shape_give_the_same_bits() -> None:
    for randomise in (False, True):
        one, again = (bscan(7, shape=SMALL, raters=2, randomise=randomise) for _ in range(2))
        np.testing.assert_array_equal(one.image, again.image)
        np.testing.assert_array_equal(one.labels, again.labels)
        np.testing.assert_array_equal(one.raters, again.raters)
        assert (bscan(8, shape=SMALL, randomise=randomise).image != one.image).any()


def test_version_1_is_frozen() -> None:
    """Published numbers rest on these labels: a change of anatomy needs another version."""
    digest = hashlib.sha256()
    for seed in (0, 24, 36):
        digest.update(bscan(seed).labels.tobytes())
    assert phantom.PHANTOM_VERSION == 1
    assert digest.hexdigest() == "d4b1810bb93bae014b0bc60e4e860d72c0e7ebcb17a8057a6d7334e23c197877"


def test_raters_change_neither_image_nor_labels() -> None:
    alone, read = bscan(3, shape=SMALL), bscan(3, shape=SMALL, raters=3)
    np.testing.assert_array_equal(alone.image, read.image)
    np.testing.assert_array_equal(alone.labels, read.labels)
    assert alone.raters.shape == (0, *SMALL)
    np.testing.assert_array_equal(read.raters[:2], bscan(3, shape=SMALL, raters=2).raters)


def test_an_image_spans_the_grey_scale_as_oct_does(many: list[phantom.Phantom]) -> None:
    medians = [np.median(case.image) for case in many]
    brightest = [np.percentile(case.image, 99) for case in many]
    assert 20 < np.mean(medians) < 80
    assert min(brightest) > 90
    assert np.mean(brightest) > 160
    for case in many:
        line = case.image[case.labels == ISOS].mean()
        assert line > np.percentile(case.image, 40)
        if (case.labels == SRF).sum() > 100:
            assert case.image[case.labels == SRF].mean() < line


def test_tissue_is_grainier_than_the_vitreous() -> None:
    """Speckle multiplies the signal; without signal only the device's noise is left."""
    case = bscan(1)
    grain = case.image[1:].astype(float) - case.image[:-1]
    assert grain[case.labels[1:] == ISOS].std() > grain[:3].std()


def test_every_structure_lies_where_it_does_in_an_eye(many: list[phantom.Phantom]) -> None:
    """Column by column: IRF over IS/OS over SRF over SHRM over PED."""
    for case in many:
        rows = np.arange(SMALL[0])[:, None]
        first, last = {}, {}
        for value in (IRF, ISOS, SRF, SHRM, PED):
            here = case.labels == value
            first[value] = np.where(here, rows, 10_000).min(axis=0)
            last[value] = np.where(here, rows, -1).max(axis=0)
        for upper, lower in combinations((IRF, ISOS, SRF, SHRM, PED), 2):
            assert (last[upper] < first[lower]).all()


def test_the_line_is_absent_where_material_lies_below_and_mostly_there_in_health(
    many: list[phantom.Phantom],
) -> None:
    over = [
        (case.labels == ISOS).any(axis=0)[(case.labels == SHRM).sum(axis=0) > 8] for case in many
    ]
    assert np.concatenate(over).mean() < 0.15
    healthy = [
        case.labels for case in many if not np.isin(case.labels, (SRF, IRF, PED, SHRM)).any()
    ]
    assert np.mean([(labels == ISOS).any(axis=0).mean() for labels in healthy]) > 0.8


def test_structures_are_common_but_not_everywhere(many: list[phantom.Phantom]) -> None:
    for value in (SRF, IRF, PED, SHRM):
        share = np.mean([(case.labels == value).any() for case in many])
        assert 0.3 <= share <= 0.65, (phantom.CLASS_NAMES[value], share)
    assert np.mean([(case.labels == ISOS).any() for case in many]) > 0.97
    healthy = np.mean([not np.isin(case.labels, (SRF, IRF, PED, SHRM)).any() for case in many])
    assert 0.05 < healthy < 0.35


def test_raters_differ_as_people_do_and_yet_agree() -> None:
    scores: dict[int, list[float]] = {value: [] for value in range(1, 6)}
    for seed in range(20):
        case = bscan(seed, shape=SMALL, raters=3)
        for value, found in scores.items():
            if (case.labels == value).sum() > 60:
                readings = case.raters == value
                found += [dice(one, other) for one, other in combinations(readings, 2)]
    for value, found in scores.items():
        assert 0.6 < np.mean(found) < 0.97, (phantom.CLASS_NAMES[value], np.mean(found))
        assert min(found) < 0.99


def test_a_rater_invents_next_to_nothing() -> None:
    for seed in range(20):
        case = bscan(seed, shape=SMALL, raters=2)
        for value in {SRF, IRF, PED, SHRM} - set(np.unique(case.labels)):
            assert (case.raters == value).mean() < 0.002


def test_a_rater_has_habits_over_all_images() -> None:
    sizes = np.zeros((12, 3))
    for seed in range(12):
        readings = bscan(seed, shape=SMALL, raters=3).raters
        sizes[seed] = (readings == ISOS).sum(axis=(1, 2))
    order = np.argsort(sizes.mean(axis=0))
    assert (sizes[:, order[0]] < sizes[:, order[2]]).mean() > 0.9


def test_neighbouring_slices_are_more_alike_than_strangers() -> None:
    near, far = [], []
    for seed in (2, 3, 7):
        labels = stack(seed, shape=(9, 64, 96)).labels
        stranger = bscan(seed + 100, shape=(64, 96)).labels
        near += [dice(one > 0, other > 0) for one, other in pairwise(labels)]
        far += [dice(one > 0, stranger > 0) for one in labels]
    assert np.mean(near) > 0.75
    assert np.mean(near) > np.mean(far) + 0.3


def test_speckle_is_independent_between_slices() -> None:
    image = stack(1, shape=(2, 64, 96)).image[:, :8].astype(float).reshape(2, -1)
    assert abs(np.corrcoef(image)[0, 1]) < 0.2


def test_a_bscan_is_a_stack_of_one() -> None:
    alone, pile = bscan(5, shape=SMALL, raters=1), stack(5, shape=(1, *SMALL), raters=1)
    np.testing.assert_array_equal(alone.image, pile.image[0])
    np.testing.assert_array_equal(alone.labels, pile.labels[0])
    np.testing.assert_array_equal(alone.raters, pile.raters[:, 0])
    assert alone.spacing_mm == pile.spacing_mm[1:]


@pytest.mark.parametrize("shape", [(32, 32), (33, 297), (101, 77), (61, 549)])
def test_any_size_shows_the_same_anatomy(shape: tuple[int, int]) -> None:
    for randomise in (False, True):
        case = bscan(0, shape=shape, raters=1, randomise=randomise)
        assert case.image.shape == case.labels.shape == case.raters.shape[1:] == shape
        assert case.image.dtype == case.labels.dtype == case.raters.dtype == np.uint8
        large = bscan(0, randomise=randomise)
        assert np.multiply(case.spacing_mm, shape) == pytest.approx(
            np.multiply(large.spacing_mm, large.labels.shape)
        )
        for value in (SRF, SHRM, PED):
            small, full = (labels == value for labels in (case.labels, large.labels))
            assert small.mean() == pytest.approx(full.mean(), abs=0.006)


def test_random_looks_vary_more_than_the_plain_ones() -> None:
    spread = [
        np.std([bscan(s, shape=(64, 96), randomise=wide).image.mean() for s in range(30)])
        for wide in (False, True)
    ]
    assert spread[1] > 1.3 * spread[0]


def test_padding_is_labelled_by_nobody() -> None:
    cases = [bscan(s, shape=(64, 96), raters=1, randomise=True) for s in range(40)]
    padded = [case for case in cases if (case.image == 255).mean() > 0.03]
    assert padded
    for case in padded:
        for labels in (case.labels, case.raters[0]):
            assert not labels[0][case.image[0] == 255].any()


@pytest.mark.parametrize(
    ("seed", "options", "error", "words"),
    [
        (-1, {}, ValueError, "seed is -1, at least 0 is needed"),
        (1.5, {}, TypeError, "seed holds 1.5, only whole numbers"),
        (True, {}, TypeError, "seed holds True"),
        (1, {"raters": -2}, ValueError, "raters is -2"),
        (1, {"raters": "two"}, TypeError, "raters holds 'two'"),
        (1, {"shape": (31, 64)}, ValueError, "rows is 31, at least 32 is needed: ask for 32"),
        (1, {"shape": (64, 9)}, ValueError, "columns is 9"),
        (1, {"shape": (2, 64, 64)}, ValueError, "shape has 3 numbers, 2 are needed"),
        (1, {"shape": 64}, TypeError, r"shape is 64, \(rows, columns\) is needed"),
        (1, {"shape": (64.0, 64)}, TypeError, "shape holds 64.0"),
    ],
)
def test_errors_name_value_limit_and_remedy(
    seed: int, options: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        bscan(seed, **options)  # type: ignore[arg-type]


def test_a_stack_needs_a_slice() -> None:
    with pytest.raises(ValueError, match="slices is 0, at least 1"):
        stack(1, shape=(0, 64, 64))


def test_an_eye_with_oedema_has_more_fluid_within_the_retina_and_less_of_wet_amd(
    many: list[phantom.Phantom],
) -> None:
    swollen = [bscan(seed, shape=SMALL, disease="oedema") for seed in SEEDS]
    again = bscan(0, shape=SMALL, disease="oedema")
    np.testing.assert_array_equal(again.image, swollen[0].image)
    assert share(swollen, IRF) > 3 * share(many, IRF)
    assert share(swollen, PED) < share(many, PED) / 2
    assert share(swollen, SHRM) < share(many, SHRM) / 2

    def darker(cases: list[phantom.Phantom]) -> float:
        """How far fluid is darker than the rest of the retina, grey values; median."""
        found = []
        for case in cases:
            inside = case.labels == IRF
            if inside.sum() > 40:
                rows = np.flatnonzero(inside.any(1))
                band = np.zeros_like(inside)
                band[rows[0] : rows[-1] + 1, inside.any(0)] = True
                found.append(
                    np.median(case.image[band & (case.labels == 0)]) - np.median(case.image[inside])
                )
        return float(np.median(found))

    assert 0 < darker(swollen) < darker(many)


def test_a_serous_eye_has_more_clear_fluid_and_no_scar(many: list[phantom.Phantom]) -> None:
    serous = [bscan(seed, shape=SMALL, disease="serous") for seed in SEEDS]
    assert share(serous, SRF) > 2 * share(many, SRF)
    assert share(serous, SHRM) < share(many, SHRM) / 4


def test_where_a_serous_eye_is_lifted_its_isos_line_is_shown_but_not_outlined() -> None:
    x = np.linspace(-3, 3, 600)
    z = (np.arange(600) + 0.5) * 0.004
    seen = 0
    for seed in range(30):
        cut = SerousScene(np.random.default_rng(seed), randomise=False).cut(x, 0.0)
        lifted = np.maximum(cut.ped, cut.shrm - cut.retina) > 0.01
        seen += int((lifted & (cut.seen > 0.5)).sum())
        line = (annotate(cut, z, Reading()) == ISOS).any(axis=0)
        assert not line[lifted].any(), seed
        np.testing.assert_array_equal(cut.drawn[~lifted], cut.seen[~lifted])
    assert seen > 500


def test_a_wet_eye_is_outlined_wherever_its_isos_line_is_seen() -> None:
    x = np.linspace(-3, 3, 600)
    cut = Scene(np.random.default_rng(5), randomise=False).cut(x, 0.0)
    np.testing.assert_array_equal(cut.drawn, cut.seen)


def test_at_the_optic_disc_the_layers_end_in_order_and_nothing_is_labelled() -> None:
    x = np.linspace(-4.5, 4.5, 900)
    z = (np.arange(600) + 0.5) * 0.004
    found = 0
    for seed in range(40):
        scene = SerousScene(np.random.default_rng(seed), randomise=False)
        disc = scene.disc
        cut = scene.cut(x, 0.0)
        order = ["ilm", "rnfl", "gcl", "inl", "opl", "elm", "isos_top", "isos", "retina", "srf",
                 "shrm", "rpe", "bruch", "choroid"]  # fmt: skip
        for upper, lower in pairwise(order):
            assert (getattr(cut, lower) - getattr(cut, upper) > -1e-9).all(), (seed, upper, lower)
        if disc is None:
            continue
        within = np.abs(x - disc.x) < np.sqrt(disc.radius**2 - disc.y**2) - 0.15
        found += bool(within.any())
        assert not annotate(cut, z, Reading())[:, within].any()
        assert (cut.bruch - cut.rnfl)[within].max(initial=0) < 0.03
    assert found >= 8


def test_another_disease_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="one of wet-amd, oedema, serous is needed"):
        bscan(1, shape=SMALL, disease="drusen")  # type: ignore[arg-type]
