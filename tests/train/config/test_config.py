"""Configurations: presets, overrides, and refusals that name the key and the remedy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import spad
from spad.checkpoint import Card, label_classes
from spad.checkpoint.card import InputConfig, NetworkConfig, SamplingConfig, ScheduleConfig
from spad.checkpoint.safetensors_file import save
from spad.network import build
from spad.train.config import Augmentation, Config, ConfigError, Perturbation, load_config

SHIPPED = sorted((Path(__file__).parents[3] / "training" / "configs").glob("*.toml"))
SMALLEST = 'name = "m"\n[data]\nfolders = ["set"]\n'


def load(tmp_path: Path, text: str = SMALLEST, *words: str) -> Config:
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, words)


def refused(tmp_path: Path, text: str, *words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, *words)
    return str(caught.value)


# --- presets


def test_a_name_and_a_folder_are_enough_and_all_else_is_the_default(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config == Config(
        name="m",
        data={"folders": [str(tmp_path / "set")]},  # type: ignore[arg-type]
    )
    assert (config.preset, config.method) == ("default", "spad")
    p = config.perturbation
    assert (p.semantic, p.boundary, p.progressive, p.decoys) == (True, True, True, True)
    assert (p.targets, p.curve, p.clean) == ("components", "default", 0.25)
    assert (config.loss.at_T, config.loss.cross_entropy) == (0.25, 0.1)


def test_the_paper_preset_is_the_papers(tmp_path: Path) -> None:
    config = load(tmp_path, 'preset = "paper"\n' + SMALLEST)
    p, loss, o = config.perturbation, config.loss, config.optimiser
    assert (p.semantic, p.boundary, p.progressive) == (True, True, True)
    assert (p.targets, p.curve, p.clean, p.decoys) == ("structures", "paper", 0.0, False)
    assert (p.targets_0, p.targets_min, p.gamma) == (3, 1, 0.05)
    assert (p.anchors, p.radius, p.sigma_0, p.alpha) == (0.3, 1, 1.0, 0.1)
    assert loss.kl == 1
    assert loss.cross_entropy == loss.dice == loss.at_T == 0  # the KL alone, t uniform
    assert loss.encoder_cross_entropy == loss.encoder_dice == 0
    assert (o.learning_rate, o.weight_decay, o.batch) == (1e-4, 1e-5, 8)
    assert (o.warmup, o.fall) == (0, False)
    assert config.schedule.steps == config.sampling.steps == 250
    assert (config.schedule.offset, config.schedule.beta_max) == (0.008, 0.999)
    assert config.input.size == (256, 256)


def test_a_method_and_a_network_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    assert "set method alone" in refused(tmp_path, SMALLEST, 'network.kind="unet"')


def test_sides_that_are_classes_forbid_the_mirrored_pass(tmp_path: Path) -> None:
    words = ["sampling.mirrored=true", 'augmentation.flip_swaps=[["left lung", "right lung"]]']
    assert load(tmp_path, SMALLEST, words[0]).sampling.mirrored
    with pytest.raises(ValueError, match=r"left lung and right lung change places.*mirrored out"):
        load(tmp_path, SMALLEST, *words)


def test_a_preset_that_is_no_text_is_refused(tmp_path: Path) -> None:
    assert "preset" in refused(tmp_path, SMALLEST, "preset=[1]")


def test_the_file_wins_over_the_preset_and_a_word_over_both(tmp_path: Path) -> None:
    text = 'preset = "paper"\n' + SMALLEST + "[perturbation]\nclean = 0.1\n[loss]\ndice = 0.2\n"
    config = load(tmp_path, text, "perturbation.clean=0.4")
    assert (config.perturbation.clean, config.perturbation.curve) == (0.4, "paper")
    assert (config.loss.dice, config.loss.cross_entropy) == (0.2, 0.0)


def test_a_word_can_choose_the_preset(tmp_path: Path) -> None:
    assert load(tmp_path, SMALLEST, "preset=paper").sampling.steps == 250
    message = refused(tmp_path, SMALLEST, "preset=papper")
    assert "papper" in message
    assert "default, paper" in message


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_configuration_can_be_used(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAD_DATA", str(tmp_path))  # where public data sets lie
    config = load_config(path)
    assert config.data.folders or config.data.phantoms == 1
    assert config.data.licence
    stride = config.network.stride
    assert not any(side % stride for side in config.input.size)


def test_there_are_shipped_configurations() -> None:
    assert {"phantom", "oct_lesions"} <= {path.stem for path in SHIPPED}


# --- words


@pytest.mark.parametrize(
    ("word", "where", "value"),
    [
        ("optimiser.steps=5", ("optimiser", "steps"), 5),
        ("optimiser.learning_rate=1e-3", ("optimiser", "learning_rate"), 0.001),
        ("perturbation.semantic=false", ("perturbation", "semantic"), False),
        ("perturbation.sigma_0=2", ("perturbation", "sigma_0"), 2.0),  # an int where floats go
        ("network.widths=[8, 16]", ("network", "widths"), (8, 16)),
        ("perturbation.targets=structures", ("perturbation", "targets"), "structures"),
        ('perturbation.targets="structures"', ("perturbation", "targets"), "structures"),
        ("data.licence=CC BY 4.0", ("data", "licence"), "CC BY 4.0"),
        ("data.source=a=b", ("data", "source"), "a=b"),
        ("data.source=", ("data", "source"), ""),
        ('augmentation.flip_swaps=[["a", "b"]]', ("augmentation", "flip_swaps"), (("a", "b"),)),
    ],
)
def test_words_replace_single_settings(
    tmp_path: Path, word: str, where: tuple[str, str], value: Any
) -> None:
    config = load(tmp_path, SMALLEST, "network.denoiser_widths=[8]", word)
    section, name = where
    given = getattr(getattr(config, section), name)
    assert given == value
    assert type(given) is type(value)
    assert config.data.folders == (str(tmp_path / "set"),)


def test_the_last_of_two_words_counts(tmp_path: Path) -> None:
    assert load(tmp_path, SMALLEST, "seed=1", "seed=2").seed == 2


@pytest.mark.parametrize("word", ["steps", "=5", "optimiser.steps"])
def test_a_word_that_is_no_key_and_value_is_refused(tmp_path: Path, word: str) -> None:
    assert "optimiser.steps=500" in refused(tmp_path, SMALLEST, word)


def test_a_word_into_what_is_no_section_is_refused(tmp_path: Path) -> None:
    assert "'name' is no section" in refused(tmp_path, SMALLEST, "name.x=1")


# --- refusals


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("optimizer.steps=5", "optimiser"),
        ("optimiser.step=5", "steps"),
        ("perturbation.anchor=0.1", "anchors"),
        ("metod=unet", "method"),
        ("data.folder=x", "folders"),
        ("network.width=[8]", "widths"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path, word: str, near: str) -> None:
    message = refused(tmp_path, SMALLEST, word)
    assert repr(word.split("=")[0].split(".")[-1 if near != "optimiser" else 0]) in message
    assert f"did you mean {near!r}" in message


@pytest.mark.parametrize(
    ("word", "needle"),
    [
        ("optimiser.steps=many", "optimiser.steps is 'many', not of type int"),
        ("optimiser.steps=1.5", "optimiser.steps is 1.5, not of type int"),
        ("optimiser.steps=0", "optimiser.steps is 0; allowed are 1 to"),
        ("optimiser.steps=true", "optimiser.steps is True, not of type int"),
        ("perturbation.semantic=1", "perturbation.semantic is 1, not of type bool"),
        ("perturbation.anchors=1.2", "perturbation.anchors is 1.2; allowed are 0 to 1"),
        ("perturbation.sigma_0=nan", "perturbation.sigma_0"),
        ("perturbation.curve=linear", "not one of default, paper"),
        ("data.folders=set", "data.folders is 'set', not a list"),
        ("network.widths=[7]", "network.widths[0] is 7; allowed are 8 to 1024 in multiples of 8"),
        ("loss=3", "loss is 3, not a JSON object"),
        ("input.size=[64]", "input.size has 1 items; give 2"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_limits_is_refused_by_name(
    tmp_path: Path, word: str, needle: str
) -> None:
    message = refused(tmp_path, SMALLEST, word)
    assert message.startswith("run.toml")
    assert needle in message


def test_a_validation_that_could_not_run_is_refused_at_once(tmp_path: Path) -> None:
    text = refused(tmp_path, SMALLEST, "validation.steps=251")
    assert "validation.steps is 251, and the schedule has only 250" in text
    assert load(tmp_path, SMALLEST, "validation.steps=250").validation.steps == 250


def test_a_folder_is_named_once_however_its_path_is_written(tmp_path: Path) -> None:
    text = refused(tmp_path, SMALLEST, 'data.folders=["set", "other/../set"]')
    assert f"data.folders names {tmp_path / 'set'} twice" in text
    assert "data.weights" in text


def test_cases_come_from_folders_or_from_phantoms_alone(tmp_path: Path) -> None:
    needle = "data.folders has length 0; name at least one case folder"
    assert needle in refused(tmp_path, SMALLEST, "data.folders=[]")
    assert needle in refused(tmp_path, SMALLEST.replace("folders", "#"), "data.phantoms=0.9")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert "lacks 'name'" in refused(tmp_path, '[data]\nfolders = ["x"]\n')
    assert "lacks 'data'" in refused(tmp_path, 'name = "m"\n')


def test_what_is_missing_is_not_put_down_to_a_card(tmp_path: Path) -> None:
    assert "card" not in refused(tmp_path, 'name = "m"\n')


@pytest.mark.parametrize("text", ["name = ", "[data\n", "a = 1\na = 2\n", "just words"])
def test_what_is_not_toml_is_refused_with_file_and_place(tmp_path: Path, text: str) -> None:
    message = refused(tmp_path, text)
    assert str(tmp_path / "run.toml") in message
    assert "not TOML" in message
    assert "(at " in message


def test_a_binary_file_is_refused_as_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\x80\xff\x00{}")
    with pytest.raises(ConfigError, match=r"model\.safetensors is not TOML"):
        load_config(path)


def test_a_file_that_is_not_there_is_an_oserror_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml")


# --- what follows from other settings


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "configs"
    inner.mkdir()
    monkeypatch.chdir(tmp_path.parent)
    text = 'name = "m"\ninit = "m.safetensors"\n[data]\nfolders = ["../set", "/abs/set"]\n'
    config = load(inner, text)
    assert config.data.folders == (str(tmp_path / "set"), "/abs/set")
    assert config.init == str(inner / "m.safetensors")


def test_the_unet_method_has_a_network_without_denoiser(tmp_path: Path) -> None:
    for config in (
        load(tmp_path, SMALLEST, "method=unet"),
        load(tmp_path, SMALLEST + "[network]\nwidths = [8, 16]\n", "method=unet"),
    ):
        assert config.network.kind == "unet"
    assert config.network.widths == (8, 16)
    assert load(tmp_path).network.kind == "cached"


@pytest.mark.parametrize("kind", ["concat", "dynunet"])
def test_a_kind_has_widths_of_its_own_unless_some_are_given(tmp_path: Path, kind: str) -> None:
    words = (f"network.kind={kind}", *(["method=unet"] if kind == "dynunet" else []))
    network = load(tmp_path, SMALLEST, *words).network
    assert network.kind == kind
    assert network.widths[:2] == ((32, 32) if kind == "concat" else (32, 64))
    assert network.stride == 32  # so that input sizes fit every kind
    assert load(tmp_path, SMALLEST, *words, "network.widths=[8, 8, 8]").network.stride == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("network.kind=dynunet",), "method 'spad' goes with network.kind cached or concat"),
        (("network.kind=transformer",), "not one of cached, unet, concat, dynunet, swin-unet"),
        (("network.kind=[1]",), "not one of"),
        (("network.kind=concat", "loss.kl=0", "loss.dice=0", "loss.cross_entropy=0"), "loss.kl"),
        (("method=unet", "loss.encoder_dice=0", "loss.encoder_cross_entropy=0"), "plain U-Net"),
        (("loss.encoder_dice=0", "loss.encoder_cross_entropy=0"), "sampling.first is 'encoder'"),
    ],
)
def test_a_kind_that_does_not_fit_the_method_or_loss_is_refused(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    assert said in refused(tmp_path, SMALLEST, *words)


def test_ccdm_is_a_configuration_spad_on_its_backbone_an_override_and_a_unet_another() -> None:
    path = next(path for path in SHIPPED if path.stem == "ccdm_phantom")
    ccdm = load_config(path)
    assert (ccdm.network.kind, ccdm.sampling.steps) == ("concat", 250)
    assert not ccdm.perturbation.semantic
    assert not ccdm.perturbation.boundary
    on = load_config(path, ["perturbation.semantic=true", "perturbation.boundary=true"])
    assert on.perturbation.semantic
    unet = load_config(path, ["method=unet"])
    assert unet.network == NetworkConfig(kind="unet")
    assert unet.loss.encoder_cross_entropy > 0


def test_fine_tuning_is_not_perturbed_unless_asked(tmp_path: Path) -> None:
    start = 'init = "m.safetensors"\n' + SMALLEST
    p = load(tmp_path, start).perturbation
    assert not p.semantic
    assert not p.boundary
    for words in (("perturbation.radius=2",), ("perturbation.semantic=true",)):
        p = load(tmp_path, start, *words).perturbation
        assert p.semantic
        assert p.boundary
    assert load(tmp_path, start + "[perturbation]\n").perturbation == Perturbation()


def test_fine_tuning_from_a_shipped_model_goes_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = {"oct-x": tmp_path / "elsewhere" / "oct-x.safetensors"}
    monkeypatch.setattr("spad.train.config.reading.installed", lambda: shipped)
    assert load(tmp_path, SMALLEST, "init=oct-x").init == "oct-x"
    assert load(tmp_path, SMALLEST, "init=oct-y").init == str(tmp_path / "oct-y")


@pytest.mark.parametrize(
    ("kind", "method", "needed"),
    [
        ("cached", "spad", "cached"),
        ("unet", "spad", "cached"),
        ("cached", "unet", "unet"),
        ("swin-unet", "unet", "swin-unet"),
    ],
)
def test_a_run_from_a_checkpoint_has_its_network(
    tmp_path: Path, kind: Any, method: str, needed: str
) -> None:
    network = NetworkConfig(kind=kind, widths=(8, 16, 24), blocks=1, denoiser_widths=(8, 16))
    weights = build(network, 2, None).state_dict()
    card = Card(
        name="before",
        classes=label_classes(["background", "SRF"]),
        network=network,
        schedule=ScheduleConfig(),
        input=InputConfig(),
        sampling=SamplingConfig(),
    )
    save(tmp_path / "before.safetensors", card, weights)
    text = f'method = "{method}"\ninit = "before.safetensors"\n' + SMALLEST
    assert load(tmp_path, text).network == replace(network, kind=needed)
    own = load(tmp_path, text, "network.widths=[8, 8, 8, 8, 8]").network
    assert own.widths == (8, 8, 8, 8, 8)
    assert own.blocks == NetworkConfig().blocks


def test_a_run_from_a_checkpoint_sees_images_and_samples_as_it(tmp_path: Path) -> None:
    text = 'init = "oct-lesions"\n' + SMALLEST
    card, config = spad.load("oct-lesions").card, load(tmp_path, text)
    assert config.input == replace(card.input, statistics={})
    assert config.sampling == card.sampling
    assert config.schedule == card.schedule
    # What is spoken of is as it is said, section by section; a preset speaks too.
    asked = load(tmp_path, text, "input.size=[64, 96]", "sampling.steps=5")
    assert asked.input == InputConfig(size=(64, 96))
    assert asked.sampling == SamplingConfig(steps=5)
    assert load(tmp_path, text, "preset=paper").sampling.steps == 250
    # Times of a chain of 250 steps are none of another.
    other = load(tmp_path, text, "schedule.steps=100")
    assert (other.sampling, other.input.size) == (SamplingConfig(), card.input.size)


def test_a_checkpoint_that_is_not_there_is_said_by_the_run(tmp_path: Path) -> None:
    text = 'init = "gone.safetensors"\n' + SMALLEST
    assert load(tmp_path, text).network == NetworkConfig()


def test_a_configuration_survives_json(tmp_path: Path) -> None:
    config = load(tmp_path, SMALLEST, 'augmentation.flip_swaps=[["a", "b"]]', "seed=4")
    assert Config(**config.as_json()) == config
    assert config.augmentation == Augmentation(flip_swaps=(("a", "b"),))


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 5000, "\udcff"])
def test_toml_that_no_parser_takes_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=r"c\.toml is not TOML"):
        load_config(path)


def test_a_word_nested_without_end_is_text(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('name = "x"\n[data]\nphantoms = 1.0\n')
    with pytest.raises(ConfigError, match="seed"):
        load_config(path, ["seed=" + "[" * 100_000])
