"""The distribution as users get it: wheel, sdist and editable, and what an import costs."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "qtpy", "PySide6", "napari", "vtk", "cv2", "tensorboard", "PIL", "scipy")
MODELS = sorted(p.name for p in ROOT.glob("training/spad/checkpoint/models/*.safetensors"))


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command that must succeed; its output."""
    # What is installed must be found, not what an environment variable points to.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True, text=True, check=False, cwd=cwd, env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def loaded_by(package: str) -> str:
    """Code that prints which heavy modules an import brings."""
    return f"import sys, {package}; print([m for m in {HEAVY!r} if m in sys.modules])"


@pytest.mark.parametrize("package", ["spad", "napari_spad"])
def test_an_import_loads_nothing_heavy(package: str) -> None:
    code = loaded_by(package)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_manifest_at_the_top_is_the_package_s() -> None:
    top = ROOT / "napari.yaml"
    if not top.is_symlink():
        pytest.skip("this checkout has no symlinks")
    assert top.readlink() == Path("napari_spad", "napari.yaml")
    assert top.is_file()


def test_imports_go_one_way() -> None:
    importlinter = pytest.importorskip("importlinter.cli")
    command = [
        sys.executable,
        "-c",
        f"import {importlinter.__name__} as c; c.lint_imports_command()",
    ]
    done = subprocess.run(
        [*command, "--no-cache"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted(ROOT.glob("benchmarks/*.py")), ids=lambda p: p.stem)
def test_what_a_benchmark_takes_from_the_engine_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "spad":
            room = importlib.import_module(str(node.module))
            for name in (one.name for one in node.names):
                assert hasattr(room, name) or importlib.import_module(f"{room.__name__}.{name}")


def test_the_recipe_of_conda_asks_for_what_the_wheel_and_the_plugin_ask_for() -> None:
    yaml = pytest.importorskip("yaml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text("utf-8"))
    extras = project["optional-dependencies"]
    asked = {*project["dependencies"], *extras["napari"], *extras["report"]}
    theirs = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    wanted = {
        f"{theirs.get(name, name)} >={least}"
        for name, least in (one.split(">=") for one in asked if not one.startswith("napari-spad"))
    }
    assert {one for one in recipe["requirements"]["run"] if "python_min" not in one} == wanted
    assert recipe["context"]["version"] == project["version"]
    assert f">={recipe['context']['python_min']}" == project["requires-python"]


# --- wheel, editable, sdist


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheel and sdist of this tree, and the wheel that the sdist makes."""
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", out, cwd=ROOT)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    unpacked = tmp_path_factory.mktemp("sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (tree,) = unpacked.iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", unpacked, cwd=tree)
    (second,) = unpacked.glob("*.whl")
    return {"wheel": wheel, "sdist": sdist, "sdist wheel": second}


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {n for n in archive.namelist() if not n.endswith("/RECORD")}


@pytest.mark.slow
def test_the_wheel_holds_the_two_packages_with_manifest_types_and_models(built) -> None:
    names = names_in(built["wheel"])
    tops = {n.split("/")[0] for n in names}
    assert tops == {"spad", "napari_spad", "napari_spad-0.1.0.dist-info"}
    assert {"napari_spad/napari.yaml", "napari_spad/py.typed", "spad/py.typed"} <= names
    assert {f"spad/checkpoint/models/{name}" for name in MODELS} <= names
    assert "napari_spad-0.1.0.dist-info/licenses/LICENSE.txt" in names
    sources = {p.relative_to(ROOT / "training").as_posix()
               for p in (ROOT / "training" / "spad").rglob("*.py")}  # fmt: skip
    assert {n for n in names if n.startswith("spad/") and n.endswith(".py")} == sources


@pytest.mark.slow
def test_the_sdist_makes_the_same_wheel(built) -> None:
    assert names_in(built["sdist wheel"]) == names_in(built["wheel"])


@pytest.mark.slow
def test_the_sdist_holds_the_sources_and_nothing_of_the_workshop(built) -> None:
    with tarfile.open(built["sdist"]) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    assert {"napari.yaml", "training/spad/__init__.py", "tests/unit/test_package.py"} <= names
    assert {"README.md", "LICENSE.txt", "CITATION.cff", "Makefile", "pyproject.toml"} <= names
    tops = {n.split("/")[0] for n in names}
    assert not tops & {".venv", "runs", "demo-output", "dist", ".git", ".hypothesis"}


PROBE = """
import json, sys
import spad, napari_spad
from importlib import metadata
from pathlib import Path
from npe2 import PluginManager, PluginManifest
from spad.checkpoint import shipped

distribution = metadata.distribution("napari-spad")
manager = PluginManager()
manager.discover()
manifest = manager.get_manifest("napari-spad")
print(json.dumps({
    "spad": spad.__file__,
    "napari_spad": napari_spad.__file__,
    "version": [distribution.version, napari_spad.__version__],
    "entry points": sorted((e.group, e.name, e.value) for e in distribution.entry_points),
    "requires": distribution.requires,
    "manifest": [manifest.name, len(manifest.contributions.commands)],
    "from distribution": PluginManifest.from_distribution("napari-spad").name,
    "models": sorted(p.name for p in shipped().values()),
    "typed": [Path(m.__file__).with_name("py.typed").is_file() for m in (spad, napari_spad)],
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable"])
def test_installed(kind: str, built: dict[str, Path], tmp_path: Path) -> None:
    """Manifest, entry points, models and light imports, whichever way it was installed."""
    pytest.importorskip("npe2")
    folder = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # What is installed here serves there (torch again would take minutes). As a .pth inside a .pth
    # counts for nothing, this tree's own editable install does not come along.
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "outer.pth").write_text(sysconfig.get_path("purelib"))
    target = {"wheel": [built["wheel"]], "sdist": [built["sdist"]], "editable": ["-e", ROOT]}[kind]
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index",
        "--no-build-isolation", "--ignore-installed", *target,
    )  # fmt: skip

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for package in ("spad", "napari_spad"):
        assert run(python, "-c", loaded_by(package), cwd=elsewhere).strip() == "[]"
    found = json.loads(run(python, "-c", PROBE, cwd=elsewhere))
    home = {"spad": ROOT / "training", "napari_spad": ROOT}
    for package in ("spad", "napari_spad"):
        where = home[package] if kind == "editable" else site
        assert Path(found[package]).resolve() == (where / package / "__init__.py").resolve()
    assert found["version"] == ["0.1.0", "0.1.0"]
    assert found["entry points"] == [
        ["console_scripts", "spad", "spad.__main__:main"],
        ["napari.manifest", "napari-spad", "napari_spad:napari.yaml"],
    ]
    base = sorted(r for r in found["requires"] if "extra ==" not in r)
    assert [r.split(">")[0] for r in base] == ["numpy", "safetensors", "scipy", "torch"]
    assert found["manifest"][0] == found["from distribution"] == "napari-spad"
    assert found["manifest"][1] > 0
    assert found["models"] == MODELS
    assert found["typed"] == [True, True]
    script = python.with_name("spad.exe" if os.name == "nt" else "spad")
    assert "segment" in run(script, "--help", cwd=elsewhere)


@pytest.mark.slow
def test_the_napari_extra_brings_no_qt_and_none_the_opencv_with_its_own(built) -> None:
    with zipfile.ZipFile(built["wheel"]) as archive:
        lines = archive.read("napari_spad-0.1.0.dist-info/METADATA").decode().splitlines()
    required = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    assert not [r for r in required if r.startswith("opencv-python") and "headless" not in r]
    qt = [r for r in required if r.lower().startswith(("pyside", "pyqt"))]
    extras = {r.partition("extra == ")[2].strip("'\"") for r in qt}
    assert extras == {"all", "dev", "qt"}  # hatchling writes an extra within an extra out
    assert "Classifier: Framework :: napari" in lines


def test_a_model_is_opened_and_run_without_the_compiler_of_torch() -> None:
    """Which brings Triton, whose LLVM ends a napari that draws with Mesa's."""
    code = """
import sys, numpy, spad
image = numpy.arange(64 * 96, dtype=numpy.uint16).reshape(64, 96)
spad.load("oct-lesions", device="cpu").segment(image, samples=1, steps=1)
print([m for m in ("torch._dynamo", "triton") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
