"""What a server offers is a choice here by name, by files that stand for its models."""

from __future__ import annotations

import json

import pytest

from spad.checkpoint import at_server, load, model_path, read_card, save_with_card, sha256, shipped
from spad.inference import ServerError
from spad.models import licence_of, listed, share
from spad.remote import Address, greeting, model_on, offered
from spad.remote.http_line import Line

SERVER = Address("https://gpu.clinic:8750")
CARD = read_card(model_path("oct-phantom"))
HASH = "ab" * 32


@pytest.fixture
def says(monkeypatch, tmp_path):
    """Let the server offer models: says("a", "b"); each has the card of the phantoms' model."""
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path / "cache"))
    said = {"engine": "1", "devices": ["cuda:0"], "models": []}
    monkeypatch.setattr(Line, "hello", lambda _: said)

    def offer(*names, **more):
        one = {"sha256": HASH, "size": 5, "card": CARD.as_json(), **more}
        said["models"] = [{"name": name, **one} for name in names]
        assert "gpu.clinic:8750 is there" in greeting(SERVER)
        return offered(SERVER, shipped())

    return offer


def test_a_model_of_a_server_has_its_card_its_hash_and_its_licence_here(says):
    ((name, path),) = says("clinic").items()
    assert name == path.stem == "clinic (server)"
    assert read_card(path) == CARD
    assert sha256(path) == HASH
    row = listed([path])[0][-1]
    assert (row.name, row.where, row.size, row.path) == ("clinic", "on the server", 5, path)
    assert row.licence == licence_of(CARD)
    assert HASH in row.about
    assert "https://gpu.clinic:8750" in row.about


def test_what_needs_the_weights_says_where_they_are(says, tmp_path):
    path = says("clinic")["clinic (server)"]
    words = "the model “clinic” is on the server https://gpu.clinic:8750 alone"
    for act in (
        lambda: load(path),
        lambda: share(path, tmp_path / "out", licence="MIT"),
        lambda: save_with_card(path, CARD, tmp_path / "new.safetensors"),
    ):
        with pytest.raises(ValueError, match=words):
            act()
    assert not (tmp_path / "out").exists()


def test_the_choice_follows_the_server_and_a_file_that_is_true_stays_as_it_is(says):
    first = says("a", "b")
    when = first["a (server)"].stat().st_mtime_ns
    assert list(says("a", "c")) == ["a (server)", "c (server)"]
    assert first["a (server)"].stat().st_mtime_ns == when  # results know their model by it
    with pytest.raises(FileNotFoundError, match="offers this model no more; choose another"):
        read_card(first["b (server)"])
    says("a", sha256="cd" * 32)
    assert sha256(first["a (server)"]) == "cd" * 32
    assert offered(Address("https://other:8750"), {}) == {}
    assert offered(None, {}) == {}


def test_a_model_that_is_here_too_is_offered_once(says):
    ours = model_path("oct-phantom")
    assert says("oct-phantom", size=ours.stat().st_size, sha256=sha256(ours)) == {}
    assert list(says("oct-phantom", size=ours.stat().st_size)) == ["oct-phantom (server)"]


def test_a_server_chooses_no_place_and_a_card_that_is_too_new_is_left_out(says):
    found = says("../../etc/x", "", "a:b")
    folder = {path.parent for path in found.values()}
    assert [path.name for path in folder] == ["gpu.clinic_8750"]
    assert len(found) == 3
    assert says("new", card={**CARD.as_json(), "format": 99}) == {}


def test_names_that_a_disk_cannot_tell_apart_stay_two_models(says):
    names = ("a:b", "a/b", "a_b", "A_b")
    found = says(*names)
    assert sorted(at_server(path).name for path in found.values()) == sorted(names)
    assert len({path.name.lower() for path in found.values()}) == 4
    assert "a_b (server)" in found
    assert says(*names) == found
    for name in names:
        assert at_server(model_on(name, SERVER.url)).name == name


def test_a_file_that_was_damaged_says_what_to_do_and_is_made_anew(says):
    path = says("a")["a (server)"]
    for damage in (b"", b"[]", json.dumps({"name": "a"}).encode()):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match="connect to the server again"):
            at_server(path)
        assert offered(SERVER, {}) == {}
        assert listed([path])[0][-1].about.count("connect to the server again") == 1
    assert read_card(says("a")["a (server)"]) == CARD


def test_a_name_is_looked_for_here_and_then_there(says):
    found = says("clinic")
    assert model_on("clinic", SERVER.url) == found["clinic (server)"]
    assert model_on("oct-phantom", SERVER.url) == model_path("oct-phantom")
    with pytest.raises(
        ValueError, match=r"no such model, here or on https://gpu.clinic:8750, which has clinic"
    ):
        model_on("clinik", SERVER.url)
    with pytest.raises(ValueError, match="no such model"):
        model_on("clinic", "cpu")


def test_a_model_that_a_server_has_no_more_is_told_before_the_run(says):
    import spad

    path = says("clinic")["clinic (server)"]
    says_now = {"engine": "1", "devices": [], "models": [{"name": "b", "sha256": "0"}]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Line, "hello", lambda _: says_now)
        with pytest.raises(ServerError, match="it has “b”"):
            spad.load(path, device="https://other:8750")
    with pytest.raises(ValueError, match="alone: run it with that server as the device"):
        spad.load(path, device="cpu")
    with pytest.raises(ValueError, match="is the server's: ask there for its file"):
        spad.load(path, device=SERVER.url).save(path.with_name("x.safetensors"))
