"""What Slicer's sources let the module call: names, parameters, defaults. Facts only, no source.

    python tests/slicer/record_signatures.py SLICER_SOURCE...

Each SLICER_SOURCE is a checkout of github.com/Slicer/Slicer at a release tag; `signatures.json`
beside this file then has its version anew. `test_signatures.py` holds the module to the table.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("signatures.json")
MODULE = Path(__file__).parents[2] / "slicer_module" / "SPAD"
PYTHON = "Base/Python/slicer"
FUNCTIONS = {
    "translate": f"{PYTHON}/i18n.py",
    "ScriptedLoadableModuleWidget.__init__": f"{PYTHON}/ScriptedLoadableModule.py",
    "ScriptedLoadableModuleWidget.onReload": f"{PYTHON}/ScriptedLoadableModule.py",
    "ScriptedLoadableModuleTest.delayDisplay": f"{PYTHON}/ScriptedLoadableModule.py",
    "ScriptedLoadableModuleTest.runTest": f"{PYTHON}/ScriptedLoadableModule.py",
    "_connectParametersToGui": f"{PYTHON}/parameterNodeWrapper/wrapper.py",
    "_disconnectGui": f"{PYTHON}/parameterNodeWrapper/wrapper.py",
    "Choice.__init__": f"{PYTHON}/parameterNodeWrapper/validators.py",
    "WithinRange.__init__": f"{PYTHON}/parameterNodeWrapper/validators.py",
    "SampleDataLogic.registerCustomSampleDataSource": "Modules/Scripted/SampleData/SampleData.py",
}
WIDGETS = {
    "qMRMLWidget": "Libs/MRML/Widgets/qMRMLWidget.h",
    "qMRMLNodeComboBox": "Libs/MRML/Widgets/qMRMLNodeComboBox.h",
    "qMRMLSegmentEditorWidget": (
        "Modules/Loadable/Segmentations/Widgets/qMRMLSegmentEditorWidget.h"
    ),
}


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """Calls of a file, by the dotted name of what is called."""
    tree = ast.parse(path.read_text("utf-8"))
    return [(ast.unparse(n.func), n) for n in ast.walk(tree) if isinstance(n, ast.Call)]


def module_files() -> list[Path]:
    """Files of the module."""
    return [MODULE / "SPAD.py", *sorted((MODULE / "SPADLib").rglob("*.py"))]


def util_functions() -> list[str]:
    """Functions of ``slicer.util`` that the module calls."""
    prefix = "slicer.util."
    names = (name for path in module_files() for name, _ in calls(path))
    return sorted({n.removeprefix(prefix) for n in names if n.startswith(prefix)})


def parameters(path: Path, name: str) -> list[list[Any]] | None:
    """Name, default (None: there is none) of each parameter; None where there is no such thing."""
    body: Any = ast.parse(path.read_text("utf-8")).body
    for part in name.split("."):
        kinds = (ast.FunctionDef, ast.ClassDef)
        found = [n for n in body if isinstance(n, kinds) and n.name == part]
        if not found:
            return None
        body = found[-1].body
    given = found[-1].args  # type: ignore[union-attr]
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + [
        ast.unparse(d) for d in given.defaults
    ]
    out: list[list[Any]] = [[a.arg, d] for a, d in zip(plain, defaults, strict=True)]
    if given.vararg:
        out.append([f"*{given.vararg.arg}", None])
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        out.append([argument.arg, default and ast.unparse(default)])
    if given.kwarg:
        out.append([f"**{given.kwarg.arg}", None])
    return out


def reached(header: str) -> list[str]:
    """Names that PythonQt reaches of a C++ class: properties, invokables, public slots."""
    found = set(re.findall(r"Q_PROPERTY\(\s*\S+\s+(\w+)", header))
    found |= set(re.findall(r"Q_INVOKABLE[^;{(]*?(\w+)\s*\(", header))
    for block in re.split(
        r"^\s*(?:public|protected|private|signals|Q_SIGNALS)\b", header, flags=re.M
    ):
        if re.match(r"\s+(?:slots|Q_SLOTS)\s*:", block):
            found |= set(re.findall(r"^\s+(?:virtual\s+)?[\w:*<>&]+[\s*&]+(\w+)\s*\(", block, re.M))
    return sorted(found)


def version_of(source: Path) -> str:
    """Such as "5.10.0"."""
    text = (source / "CMakeLists.txt").read_text("utf-8")
    parts = [
        re.search(rf"Slicer_VERSION_{p}\s+\"?(\d+)", text) for p in ("MAJOR", "MINOR", "PATCH")
    ]
    return ".".join(p.group(1) for p in parts if p is not None)


def record(source: Path) -> dict[str, Any]:
    """The facts of one checkout."""
    util = source / PYTHON / "util.py"
    functions = {f"slicer.util.{n}": parameters(util, n) for n in util_functions()}
    functions |= {n: parameters(source / file, n) for n, file in FUNCTIONS.items()}
    widgets = {n: reached((source / file).read_text("utf-8")) for n, file in WIDGETS.items()}
    return {"functions": functions, "widgets": widgets}


def main() -> None:
    """Record the checkouts that are given, and keep the other versions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="+", type=Path, metavar="SLICER_SOURCE")
    table = json.loads(TABLE.read_text("utf-8")) if TABLE.exists() else {}
    for source in parser.parse_args().sources:
        table[version_of(source)] = record(source)
        print(version_of(source))
    TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
