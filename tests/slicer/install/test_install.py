"""Getting the engine into Slicer's Python: what is asked of pip, and what each failure says."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
from pathlib import Path

import pytest

from SPADLib.install.install import InstallError, install
from SPADLib.install.requirements import (
    missing,
    offline_command,
    plan,
    version_refusal,
    wheel_argument,
)
from SPADLib.install.slicer_host import SlicerHost

SHIPPED = {"numpy": "2.0.2", "scipy": "1.13.1", "SimpleITK": "2.4.0", "vtk": "9.4.0"}


class FakeHost:
    """A Slicer with some packages; what pip is asked for is installed, and recorded."""

    def __init__(self, folder: Path, **have: str) -> None:
        self.wheel_folder = folder / "Wheel"
        self.wheel_folder.mkdir()
        self.wheel = self.wheel_folder / "napari_spad-0.1.0-py3-none-any.whl"
        self.wheel.write_bytes(b"")
        self.have = {**SHIPPED, **{name.replace("_", "-"): v for name, v in have.items()}}
        self.asked: list[list[str]] = []
        self.held: list[str] = []
        self.says = ""
        self.torch = types.SimpleNamespace(installTorch=self._install_torch)
        self.self_test = False
        self.hash: str | None = None

    def _install_torch(self, askConfirmation, torchVersionRequirement):
        assert not askConfirmation  # the module has asked
        self.have["torch"] = "2.6.0+cpu"
        return object()

    def version(self, name):
        return self.have.get(name)

    def pip(self, arguments):
        self.asked.append(arguments)
        if "--constraint" in arguments:
            at = arguments.index("--constraint") + 1
            self.held = Path(arguments[at]).read_text().split()
        if self.says:
            raise subprocess.CalledProcessError(1, "pip", self.says)
        yield "Collecting…"
        for argument in arguments:
            if argument.startswith("safetensors"):
                self.have["safetensors"] = "0.4.5"
            if argument.startswith("torch"):
                self.have["torch"] = "2.6.0"
            if argument == wheel_argument(self.wheel):
                self.have["napari-spad"] = "0.1.0"
                self.hash = argument.partition("sha256=")[2]

    def wheel_sha256(self, name):
        return self.hash

    def torch_installer(self):
        return self.torch

    def testing(self):
        return self.self_test


@pytest.fixture
def host(tmp_path):
    return FakeHost(tmp_path)


def test_a_fresh_slicer_lacks_all_three_and_an_up_to_date_one_nothing(tmp_path):
    host = FakeHost(tmp_path)
    assert missing(host) == ["torch", "safetensors", "napari-spad"]
    host.have |= {"torch": "2.6.0+cu124", "safetensors": "0.5.0", "napari-spad": "0.1.0"}
    assert missing(host) == []
    host.have["napari-spad"] = "0.0.9"  # the extension was updated
    assert missing(host) == ["napari-spad"]
    host.have["torch"] = "2.5.1"
    assert missing(host) == ["torch", "napari-spad"]


def test_an_updated_extension_brings_its_engine_though_the_version_is_the_same(host):
    list(install(host))
    assert missing(host) == []
    host.wheel.write_bytes(b"another build")
    assert missing(host) == ["napari-spad"]
    host.hash = None  # installed otherwise, as developers do: theirs stays
    assert missing(host) == []


def test_everything_is_installed_and_nothing_that_slicer_ships_may_change(host):
    said = list(install(host))
    assert missing(host) == []
    safetensors, engine = host.asked
    assert safetensors[0] == "install"
    assert safetensors[-1].startswith("safetensors")
    assert "numpy==2.0.2" in host.held
    assert "vtk==9.4.0" in host.held
    assert "torch==2.6.0" in host.held  # without "+cpu", which no index has
    assert {"--no-deps", "--no-index"} < set(engine)
    assert engine[-1] == wheel_argument(host.wheel)
    assert any("PyTorch" in s for s in said)
    assert not Path(safetensors[safetensors.index("--constraint") + 1]).exists()


def test_without_a_network_all_comes_from_a_folder(host, tmp_path):
    host.torch = None  # nor is the PyTorch extension needed
    list(install(host, tmp_path))
    assert missing(host) == []
    for asked in host.asked[:2]:
        at = asked.index("--find-links")
        assert asked[at + 1] == str(tmp_path)
        assert "--no-index" in asked
    assert host.asked[0][-1] == "torch>=2.6"


def failure(host, *arguments):
    with pytest.raises(InstallError) as caught:
        list(install(host, *arguments))
    return str(caught.value)


def test_nothing_is_ever_installed_in_a_self_test(host):
    host.self_test = True
    assert "self-test" in failure(host)
    assert host.asked == []


def test_a_missing_pytorch_extension_is_named(host):
    host.torch = None
    assert "Install “PyTorch” in the Extensions Manager, restart Slicer" in failure(host)
    assert host.asked == []


def test_an_extension_without_its_wheel_says_how_it_is_built(host):
    host.wheel.unlink()
    assert "make slicer" in failure(host)


def test_a_pytorch_extension_that_gives_up_or_raises_is_told(host):
    host.torch.installTorch = lambda **_: None
    assert "PyTorch Utils" in failure(host)

    def broken(**_):
        raise subprocess.CalledProcessError(1, "ltt", "OSError: [Errno 28] No space left on device")

    host.torch.installTorch = broken
    assert failure(host).startswith("The disk is full.")


def test_what_pytorchs_installer_printed_before_it_failed_is_understood(host, capsys):
    """Slicer prints each line, and raises with the stream, which is read out by then."""
    command = "print('ERROR: No space left on device'); raise SystemExit(1)"

    def as_slicer_does(**_):
        ran = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, text=True)
        for line in ran.stdout:
            print(line.rstrip())
        raise subprocess.CalledProcessError(ran.wait(), "ltt", output=ran.stdout)

    def without_python(**_):
        print("Installing…")
        raise RuntimeError("PythonSlicer executable not found")

    host.torch.installTorch = without_python
    assert "PythonSlicer executable not found" in failure(host)
    host.torch.installTorch = as_slicer_does
    assert failure(host).startswith("The disk is full.")
    assert "No space left" in capsys.readouterr().out  # Slicer's console shows it all the same


def test_a_pytorch_that_is_too_old_is_replaced_from_a_folder(host, tmp_path):
    host.have["torch"] = "2.5.1"
    held = []
    run = host.pip

    def pip(arguments):
        yield from run(arguments)
        held.append(list(host.held))

    host.pip = pip
    list(install(host, tmp_path))
    assert host.have["torch"] == "2.6.0"
    assert not [h for h in held[0] if h.startswith("torch")]
    assert "numpy==2.0.2" in held[0]
    assert "torch==2.6.0" in held[1]  # safetensors may not change it again


def test_what_was_installed_can_be_imported_without_a_restart(host, monkeypatch):
    asked = []
    monkeypatch.setattr(importlib, "invalidate_caches", lambda: asked.append(list(host.asked)))
    list(install(host))
    assert asked == [host.asked]  # once, after the last package


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("NewConnectionError: getaddrinfo failed\nNo matching distribution found", "The network"),
        ("ProxyError('Cannot connect to proxy.')", "The network cannot be reached"),
        ("<urlopen error [Errno -2] Name or service not known>", "The network"),
        ("<urlopen error [Errno 8] nodename nor servname provided>", "The network"),
        ("error: dns error: failed to lookup address information", "The network"),
        ("ConnectionResetError(104, 'Connection reset by peer')", "The network"),
        ("[WinError 10060] A connection attempt failed", "The network"),
        ("ERROR: [Errno 13] Permission denied: 'site-packages'", "cannot be written to"),
        ("PermissionError: [WinError 5] Access is denied", "cannot be written to"),
        ("ERROR: Ignored versions that require a different python: Requires-Python", "too old"),
        ("ERROR: ResolutionImpossible: conflicting dependencies", "change what Slicer ships"),
        ("x.whl is not a supported wheel on this platform.", "not for this Python"),
        ("ERROR: No matching distribution found for safetensors", "was not found"),
        ("WinError 32: The file is being used by another process", "in use"),
        ("something new\n", "The installation failed: something new"),
        ("", "no message"),
    ],
)
def test_every_failure_of_pip_says_what_is_wrong_and_what_helps(host, output, problem):
    host.have["torch"] = "2.6.0"
    host.says = output or " "
    said = failure(host)
    assert problem in said
    assert said.count(". ") >= 1  # problem, then remedy


def test_a_folder_that_is_not_there_is_told(host, tmp_path):
    assert "There is no folder" in failure(host, tmp_path / "nowhere")


def test_what_could_not_be_replaced_is_told(host):
    host.have["torch"] = "2.6.0"
    host.pip = lambda arguments: iter(())
    assert "safetensors and napari-spad are still not found. Restart Slicer" in failure(host)


def test_the_question_lists_what_is_missing_and_how_large_it_is(host, tmp_path):
    asked = plan(host)
    assert "PyTorch extension" in asked
    assert "no download" in asked
    assert "without a network" in plan(host, tmp_path)
    host.have["torch"] = "2.6.0"
    assert "PyTorch" not in plan(host)


def test_the_offline_line_is_for_this_python(host):
    line = offline_command(host)
    assert f"--python-version {sys.version_info[0]}.{sys.version_info[1]}" in line
    assert '"numpy==2.0.2"' in line


@pytest.mark.parametrize(
    ("slicer", "python", "refused"),
    [((5, 8), (3, 9), True), ((5, 9), (3, 12), True), ((5, 10), (3, 12), False)],
)
def test_slicers_before_5_10_are_refused_in_words(slicer, python, refused):
    said = version_refusal(slicer, python)
    assert bool(said) == refused
    assert not refused or f"this is Slicer {slicer[0]}.{slicer[1]}" in said


def test_the_host_of_this_process_finds_what_is_installed_and_runs_pip():
    host = SlicerHost()
    assert host.version("numpy")
    assert host.version("no-such-distribution") is None
    assert host.torch_installer() is None
    list(host.pip(["--version"]))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        list(host.pip(["no-such-command"]))
    assert "no-such-command" in caught.value.output


def test_slicer_itself_is_never_started_in_place_of_its_python(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", "/opt/Slicer/bin/SlicerApp-real")
    with pytest.raises(OSError, match="PythonSlicer was not found"):
        list(SlicerHost().pip(["--version"]))
