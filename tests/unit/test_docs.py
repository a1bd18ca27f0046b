"""The pages: places and links are there, equations stand where they say, the picture is true."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "training" / "spad"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "training/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
METHOD = (ROOT / "docs" / "method.md").read_text("utf-8")
CODE = {path: path.read_text("utf-8") for path in sorted(ENGINE.rglob("*.py"))}

FILE = r"[\w./-]+\.(?:py|toml|md|yaml|ui|txt)"
TOP = "training|napari_spad|slicer_module|tests|docs|benchmarks"
EQUATIONS = {
    int(number): text  # up to its formula
    for number, text in re.findall(r"^\*\*Eq\. (\d+)\*\*(.*?)^```math$", METHOD, re.M | re.S)
}
# Rows of method.md's table: | what | Eq. | `file: name`, ... |
ROWS = {
    int(number): re.findall(rf"`({FILE}): ([\w.]+)`", places)
    for number, places in re.findall(r"^\|.*\| (\d+) \|(.*)\|$", METHOD, re.M)
}


def names_in(path: Path) -> set[str]:
    """What a file defines: functions, classes, their methods, values."""
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{f.name}" for f in node.body if isinstance(f, ast.FunctionDef)}
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            if isinstance(target, ast.Name):
                names.add(target.id)
    return names


def slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_place_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    for file, name in re.findall(rf"`({FILE}): ([\w.]+)`", text):
        assert (ROOT / file).is_file(), file
        assert name in names_in(ROOT / file), f"{file} has no {name}"
    for path in re.findall(rf"`((?:{TOP})/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path
    # Elsewhere a path may begin at the house that the page is about.
    homes = [ROOT, ROOT / "training", ROOT / "slicer_module" / "SPAD" / "SPADLib"]
    for file in re.findall(rf"`([\w.-]+/{FILE})[`:]", text):
        assert any((home / file).is_file() for home in homes), file


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for target, anchor in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", text):
        file = (page.parent / target) if target else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.M)
            assert anchor in map(slug, headings), f"{target}#{anchor}"


def test_each_equation_is_cited_by_one_line_of_the_file_that_the_table_names() -> None:
    cited = [
        (int(number), path.relative_to(ROOT).as_posix())
        for path, text in CODE.items()
        for number in re.findall(r"method, Eq\. (\d+)", text)
    ]
    counts = Counter(number for number, _ in cited)
    assert list(EQUATIONS) == list(range(1, len(EQUATIONS) + 1))
    assert dict(counts) == dict.fromkeys(EQUATIONS, 1)
    assert set(ROWS) == set(EQUATIONS)
    for number, file in cited:
        assert file in [place for place, _ in ROWS[number]], f"Eq. {number} is cited in {file}"


def test_an_equation_s_function_is_the_table_s() -> None:
    for number, text in EQUATIONS.items():
        (_, first), *_ = ROWS[number]
        assert f"`{first}`" in text, f"Eq. {number}: {first}"


def test_what_the_code_cites_is_in_the_page() -> None:
    sections = set(re.findall(r"^## (\d+)\.", METHOD, re.M))
    for path, text in CODE.items():
        for whose, number in re.findall(r"(\w+), Eq\. (\d+)", text):
            known = {"method": EQUATIONS, "SPAD": {2}}  # of the paper's own we know one
            assert int(number) in known[whose], f"{path.name}: {whose}, Eq. {number}"
        for where, numbers in re.findall(r"(\S*method\S*), sections? (\d+(?: to \d+)?)", text):
            assert where.endswith("docs/method.md"), f"{path.name}: {where}"
            assert set(numbers.split(" to ")) <= sections, f"{path.name}: section {numbers}"


def test_the_picture_of_the_rooms_shows_what_the_code_imports() -> None:
    pytest.importorskip("grimp")
    spec = importlib.util.spec_from_file_location("draw_rooms", ROOT / "docs" / "draw_rooms.py")
    assert spec is not None
    assert spec.loader is not None
    draw_rooms = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw_rooms)
    _, shown, _ = draw_rooms.parts_of(draw_rooms.PAGE.read_text("utf-8"))
    assert shown == draw_rooms.drawn(), "run python docs/draw_rooms.py"
