"""The arms of an ablation and the values of a sweep: what each one sets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from spad.train.config import ConfigError, load_config
from spad.train.experiments.arms import ADDED, ARMS, GROUPS, choose_arms, slug, sweep_arms


def test_the_rows_of_table_3_switch_what_their_names_say(shared_tiny: Path) -> None:
    def switched(arm: str) -> tuple[bool, bool, bool]:
        p = load_config(shared_tiny, ARMS[arm]).perturbation
        return p.semantic, p.boundary, p.progressive

    assert [switched(arm) for arm in GROUPS["table3"]] == [
        (False, False, False),
        (True, False, True),
        (False, True, True),
        (True, True, False),
        (True, True, True),
    ]
    assert load_config(shared_tiny, ARMS["unet"]).method == "unet"


def test_each_measure_against_leakage_stands_alone_then_all_together(shared_tiny: Path) -> None:
    names = [name for name in GROUPS["leakage"] if name != "baseline"]
    configs = [load_config(shared_tiny, ARMS[name]).perturbation for name in names]
    got = [(p.curve == "default", p.clean > 0, p.decoys) for p in configs]
    assert got == [
        (False, False, False),
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (True, True, True),
    ]


def test_table_1_has_every_system_on_the_papers_widths_and_on_narrow_ones(
    shared_tiny: Path,
) -> None:
    kinds = [
        "unet", "swin-unet", "trans-unet", "msa", "d-lka", "dsc-amp", "concat", "concat",
        "cached", "cached", "dynunet",
    ]  # fmt: skip
    for group in ("table1", "table1-narrow"):
        networks = [load_config(shared_tiny, ARMS[name]).network for name in GROUPS[group]]
        assert [network.kind for network in networks] == kinds
    swin = load_config(shared_tiny, ARMS["Swin-Unet"]).network  # whatever the file's own widths
    assert (swin.widths, swin.blocks) == ((96, 192, 384, 768), 2)
    assert load_config(shared_tiny, ARMS["SPAD-cached"]).perturbation.semantic
    assert {"DynUNet", "cached-narrow", "+all"} < ADDED
    assert not ADDED & {*GROUPS["table3"], "unet", "CCDM", "SPAD+CCDM", "MSA-narrow"}


def test_every_arm_is_a_configuration_with_a_folder_of_its_own(shared_tiny: Path) -> None:
    for words in choose_arms(list(ARMS)).values():
        load_config(shared_tiny, words)
    assert {slug(name) for name in ARMS} == set(ARMS)


def test_own_arms_are_added() -> None:
    arms = choose_arms(["unet", "unet"], ["strong: loss.dice=0.5 network.widths=[8,16]"])
    assert arms == {"unet": ("method=unet",), "strong": ("loss.dice=0.5", "network.widths=[8,16]")}


@pytest.mark.parametrize(
    ("names", "own", "said"),
    [
        (["spda"], [], "did you mean SPAD"),
        (["tabel3"], [], "did you mean table3"),
        ([], [], "no arm is chosen"),
        (["SPAD"], ["SPAD: seed=1"], "an arm 'SPAD' already"),
        ([], ["strong loss.dice=1"], "NAME: key=value"),
        ([], ["strong:"], "NAME: key=value"),
        ([], ['strong: name="x'], "No closing quotation"),
        (["SPAD"], ["spad: loss.dice=1"], "would share a folder"),
        ([], ["??: loss.dice=1"], "no letter or digit"),
    ],
)
def test_arms_are_refused(names: list[str], own: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        choose_arms(names, own)


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("a.b=0.05,0.1", ["0.05", "0.1"]),
        ("a.b=[8,16],[8, 16, 32]", ["[8,16]", "[8, 16, 32]"]),
        ("a.b=[[1,2],[3,4]],[]", ["[[1,2],[3,4]]", "[]"]),
        ('a.b="x, y",z', ['"x, y"', "z"]),
        ("a.b=true,false", ["true", "false"]),
        ("a.b=paper,default", ["paper", "default"]),
    ],
)
def test_values_are_separated_by_the_commas_between_them(word: str, values: list[str]) -> None:
    fixed, arms = sweep_arms([word, "seed=3"])
    assert fixed == ("seed=3",)
    assert list(arms) == [f"a.b={value}" for value in values]


def test_a_word_without_a_value_empties_a_setting_of_every_trial() -> None:
    assert sweep_arms(["init=", "a=1,2"])[0] == ("init=",)


def test_a_sweep_goes_along_each_key_and_a_grid_through_all() -> None:
    words = ["a=1,2", "b=3,4,5"]
    assert list(sweep_arms(words)[1]) == ["a=1", "a=2", "b=3", "b=4", "b=5"]
    arms = sweep_arms(words, grid=True)[1]
    assert len(arms) == 6
    assert arms["a=2 b=4"] == ("a=2", "b=4")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a=1"], "nothing to sweep"),
        (["a=1,,2"], "not of the form"),
        (["a=1,2,"], "not of the form"),
        (["a"], "not of the form"),
        (["=1,2"], "not of the form"),
        (["a=1,2", "a=3"], "given twice"),
        (["a=1,1"], "a value is given twice"),
        (["a=[1,2"], "nothing to sweep"),
    ],
)
@pytest.mark.parametrize("grid", [False, True])
def test_sweeps_are_refused(words: list[str], said: str, grid: bool) -> None:
    with pytest.raises(ConfigError, match=said):
        sweep_arms(words, grid=grid)
