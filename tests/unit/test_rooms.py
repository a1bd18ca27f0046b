"""The house: rooms, what they hand on, and how long a file and a function may be."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "spad": ROOT / "training" / "spad",
    "napari_spad": ROOT / "napari_spad",
    "SPADLib": ROOT / "slicer_module" / "SPAD" / "SPADLib",
}
FILES = {
    ".".join((package, *path.relative_to(folder).with_suffix("").parts)): path
    for package, folder in PACKAGES.items()
    for path in sorted(folder.rglob("*.py"))
    if path.name != "__init__.py"
}
# `spad.train` is a house of rooms, not a room.
ROOMS = sorted({name.rpartition(".")[0] for name in FILES} - {*PACKAGES, "spad.train"})
LONGEST_FILE = 400
LONGEST_FUNCTION = 60  # without its docstring; a longer one says why: `# Long: ...` above it
FEWEST, MOST = 3, 12


def room_of(module: str) -> str | None:
    room = module.rpartition(".")[0]
    return room if room in ROOMS else None


def folder_of(room: str) -> Path:
    package, *rest = room.split(".")
    return PACKAGES[package].joinpath(*rest)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imports(path: Path) -> list[ast.ImportFrom]:
    return [
        node
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_holds_a_few_files_and_says_what_they_are(room: str) -> None:
    files = [p for p in folder_of(room).glob("*.py") if p.name != "__init__.py"]
    assert FEWEST <= len(files) <= MOST, sorted(p.name for p in files)
    said = ast.get_docstring(parsed(folder_of(room) / "__init__.py")) or ""
    assert len(said) > 30


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_hands_on_names_that_are_there_and_hide_no_file(room: str) -> None:
    files = {p.stem for p in folder_of(room).glob("*.py")}
    for line in imports(folder_of(room) / "__init__.py"):
        if not str(line.module).startswith(room):
            continue
        for alias in line.names:
            if line.module == room:  # a file as such
                assert alias.name in files
                continue
            assert alias.name not in files, f"{alias.name} is a file of {room} too"
            there = defined(FILES[str(line.module)])
            assert alias.name in there, f"{line.module} has no {alias.name}"


@cache
def defined(path: Path) -> set[str]:
    names = set()
    for node in parsed(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in filter(None, targets):
            names |= {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}
    return names


@pytest.mark.parametrize("module", sorted(FILES))
def test_what_comes_from_another_room_was_handed_on(module: str) -> None:
    for line in imports(FILES[module]):
        other = room_of(str(line.module))
        assert other is None or other == room_of(module), (
            f"line {line.lineno}: take {', '.join(a.name for a in line.names)} from {other}, "
            "and let its __init__ hand it on"
        )


def test_names_are_lazy_and_known() -> None:
    metrics = importlib.import_module("spad.metrics")
    assert "hd95" in metrics.__all__
    assert callable(metrics.hd95)
    with pytest.raises(AttributeError, match=r"'spad\.metrics' has no attribute 'hd96'"):
        metrics.hd96  # noqa: B018


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_file_is_named_after_what_it_holds(module: str) -> None:
    *_, room, name = module.split(".")
    assert not name.startswith("_") or name == "__main__"
    assert not name.startswith(f"{room}_") or name.endswith("_panel")


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_file_is_one_idea_and_a_function_fits_on_a_screen(module: str) -> None:
    lines = FILES[module].read_text("utf-8").splitlines()
    assert len(lines) <= LONGEST_FILE
    for node in ast.walk(parsed(FILES[module])):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            long = node.end_lineno - node.lineno + 1 - docstring_lines(node)  # type: ignore[operator]
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            excused = lines[first - 2].strip().startswith("# Long: ")
            assert long <= LONGEST_FUNCTION or excused, f"{node.name}: {long} lines"


def test_json_that_anybody_may_have_written_is_parsed_in_one_place() -> None:
    """Where else `json.loads` stands, a file that is nested too deeply ends in RecursionError."""
    own = {
        "spad.cases.atomic_files",
        "spad.checkpoint.safetensors_header",  # strict, and below `cases`
        "spad.checkpoint.safetensors_file",  # what was read by that
        "spad.checkpoint.elsewhere",  # below `cases`, too
        "SPADLib.scene.terminology",  # a file of the module
        "SPADLib.install.slicer_host",  # before the engine is there
    }
    loads = re.compile(r"json\.loads\((?!json\.dumps)")  # a copy as plain values is no such thing
    assert {name for name, path in FILES.items() if loads.search(path.read_text("utf-8"))} == own


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node) is None:
        return 0
    said = node.body[0]
    return (said.end_lineno or said.lineno) - said.lineno + 1
