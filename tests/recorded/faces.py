"""What users, scripts and hosts call version 0.1 by: commands, options, names, and what they load.

``python tests/recorded/faces.py`` writes ``faces.json``, as was done once, with version 0.1.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import spad
from spad.commands.command_line import _parser

__all__ = [
    "HERE", "START_UPS", "command_words", "loaded_by", "manifest", "names",
    "scene_parameters",
]  # fmt: skip

HERE = Path(__file__).parent
SLICER = HERE.parents[1] / "slicer_module" / "SPAD"
HEAVY = (
    "PIL", "PySide6", "cv2", "dask", "eyepy", "matplotlib", "monai", "napari", "nibabel", "npe2",
    "nrrd", "numpy", "pandas", "psutil", "pydicom", "qtpy", "safetensors", "scipy", "skimage",
    "superqt", "tensorboard", "tifffile", "torch", "tqdm", "vispy", "vtk",
)  # fmt: skip
START_UPS = {
    "the engine": "import spad",
    "what a host uses": "import spad.inference.hosts",
    "the command": "from spad.__main__ import main",
    "spad info": "from spad.__main__ import main; main(['info', 'oct-phantom'])",
    "a model is opened": "import spad; spad.load('oct-phantom', device='cpu')",
    "the trainer": "import spad.train.loop.loop",
    "the plugin": "import napari_spad",
    "the plugin's readers": "import napari_spad.read.reader",
    "the plugin's writers": "import napari_spad.write.image_files, napari_spad.write.volume_files",
    "the plugin's dock": "import napari_spad.dock",
}


def manifest() -> dict[str, Any]:
    """Commands and entries of napari's manifest, without where their functions stand."""
    import yaml

    import napari_spad

    content = yaml.safe_load(Path(napari_spad.__file__).with_name("napari.yaml").read_text("utf-8"))
    for command in content["contributions"]["commands"]:
        del command["python_name"]
    return dict(content)


def command_words() -> dict[str, list[str]]:
    """Options of `spad` and of each of its commands."""
    parser = _parser()
    found: dict[str, list[str]] = {}
    _walk("spad", parser, found)
    return found


def _walk(name: str, parser: argparse.ArgumentParser, found: dict[str, list[str]]) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        parser.parse_known_args(["--help"])  # a command of another module gets its options by this
    found[name] = sorted(word for action in parser._actions for word in action.option_strings)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, one in action.choices.items():
                _walk(f"{name} {word}", one, found)


def names() -> list[str]:
    """The names at the face of `spad`."""
    return sorted(spad.__all__)


def scene_parameters() -> dict[str, str | None]:
    """Choices that Slicer's module keeps with a scene, and their defaults as written."""
    for file in SLICER.rglob("*.py"):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and any(
                isinstance(d, ast.Name) and d.id == "parameterNodeWrapper"
                for d in node.decorator_list
            ):
                fields = [line for line in node.body if isinstance(line, ast.AnnAssign)]
                return {
                    ast.unparse(one.target): None if one.value is None else ast.unparse(one.value)
                    for one in fields
                }
    raise AssertionError("no class of the module is a parameter node")


def loaded_by(code: str) -> list[str]:
    """Heavy modules that a fresh process has loaded after some code."""
    asked = f"import sys; {code}; print('loaded', *[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", asked], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].split()[1:]


if __name__ == "__main__":
    record = {
        "manifest": manifest(),
        "commands": command_words(),
        "names": names(),
        "scene parameters": scene_parameters(),
        "loaded": {name: loaded_by(code) for name, code in START_UPS.items()},
    }
    (HERE / "faces.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
