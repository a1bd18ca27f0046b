"""The rooms in docs/architecture.md, drawn from the import contracts, docstrings and imports.

    python docs/draw_rooms.py        # puts them between the page's two markers

Which rooms there are, and their floors, say the contracts in pyproject.toml; what is in each, its
docstring; who imports whom, grimp, with which import-linter checks the contracts.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- drawn by docs/draw_rooms.py -->", "<!-- end of what is drawn -->"
UNDRAWN = {"__main__", "lazy"}  # the door of `spad`, and what every room's __init__ imports
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
FOLDERS = [ROOT / folder for folder in PROJECT["hatch"]["build"]["dev-mode-dirs"]]
sys.path[:0] = map(str, FOLDERS)  # this tree, whatever is installed

Rooms = dict[str, str]
"""Full name of each room, and the first paragraph of its docstring."""
Arrows = dict[str, set[str]]
"""The rooms that each room imports."""


def houses() -> dict[str, Rooms]:
    """Rooms of each house, from the top floor down; a house is a contract of layers."""
    found: dict[str, Rooms] = {}
    layered = [c for c in PROJECT["importlinter"]["contracts"] if c["type"] == "layers"]
    containers = {container for contract in layered for container in contract["containers"]}
    for contract in layered:
        (container,) = contract["containers"]
        names = [name for layer in contract["layers"] for name in layer.split(" | ")]
        rooms = [f"{container}.{name}" for name in names if name not in UNDRAWN]
        title = f"{contract['name'].partition(':')[0]}, {container}"
        found[title] = {room: said_of(room) for room in rooms if room not in containers}
    return found


def said_of(room: str) -> str:
    """First paragraph of a room's docstring, on one line."""
    stem = Path(*room.split("."))
    files = [f / end for f in FOLDERS for end in (stem / "__init__.py", stem.with_suffix(".py"))]
    text = next(file for file in files if file.is_file()).read_text("utf-8")
    said = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
    return " ".join(said.replace("``", "`").split())


def arrows_between(rooms: list[str]) -> Arrows:
    """Which room imports which."""

    def room_of(module: str) -> str | None:
        if module == "spad":  # hands on names of a room
            return "spad.inference"
        return next((room for room in rooms if f"{module}.".startswith(f"{room}.")), None)

    roots = PROJECT["importlinter"]["root_packages"]
    graph = grimp.build_graph(*roots, cache_dir=None)
    found: Arrows = {room: set() for room in rooms}
    for module in graph.modules - {"spad"}:  # its face belongs to no room
        others = map(room_of, graph.find_modules_directly_imported_by(module))
        if room := room_of(module):
            found[room] |= {other for other in others if other and other != room}
    return found


def without_short_cuts(arrows: Arrows) -> Arrows:
    """Arrows that do not follow from others on the way: A to C goes where A to B to C stands."""

    def below(room: str) -> set[str]:
        return arrows[room].union(*map(below, arrows[room]))

    return {room: others.difference(*map(below, others)) for room, others in arrows.items()}


def picture(titles: dict[str, Rooms], arrows: Arrows) -> list[str]:
    """Mermaid's lines: a frame a house, a box a room."""

    def box(room: str) -> str:
        return room.replace(".", "_")

    lines = ["```mermaid", "flowchart TD"]
    for title, rooms in titles.items():
        lines.append(f'  subgraph {box(title.split(", ")[-1])}_house["{title}"]')
        lines += [f'    {box(room)}["{room.rpartition(".")[2]}"]' for room in rooms]
        lines.append("  end")
    for room, others in without_short_cuts(arrows).items():
        lines += [f"  {box(room)} --> {box(other)}" for other in sorted(others)]
    return [*lines, "```"]


def drawn() -> str:
    """All that stands between the markers."""
    titles = houses()
    every = {room: said for rooms in titles.values() for room, said in rooms.items()}
    arrows = arrows_between(list(every))
    rows = [f"| `{room}` | {said} |" for room, said in every.items()]
    return "\n".join([*picture(titles, arrows), "", "| room | what is in it |", "|---|---|", *rows])


def parts_of(page: str) -> tuple[str, str, str]:
    """What stands before, between and after the page's markers."""
    before, rest = page.split(START)
    between, after = rest.split(END)
    return before, between.strip("\n"), after


if __name__ == "__main__":
    before, _, after = parts_of(PAGE.read_text("utf-8"))
    PAGE.write_text(f"{before}{START}\n{drawn()}\n{END}{after}", "utf-8")
