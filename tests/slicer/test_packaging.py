"""The extension as it is packaged: what CMake lists, what the Extensions Index asks, the wheel."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from SPADLib.install.requirements import sha256_of, wheel_argument

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "slicer_module" / "SPAD"
STUB = """
set(Slicer_USE_FILE "{folder}/nothing.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "{folder}/nothing.cmake")
set(Slicer_EXTENSION_CPACK "{folder}/package.cmake")
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(M "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${{ARGN}})
  foreach(file ${{M_SCRIPTS}} ${{M_RESOURCES}})
    get_filename_component(folder "${{file}}" DIRECTORY)
    install(FILES "${{CMAKE_CURRENT_SOURCE_DIR}}/${{file}}" DESTINATION "./${{folder}}")
  endforeach()
endmacro()
macro(slicer_add_python_unittest)
  cmake_parse_arguments(T "" "SCRIPT" "" ${{ARGN}})
  if(NOT EXISTS "${{CMAKE_CURRENT_SOURCE_DIR}}/${{T_SCRIPT}}")
    message(FATAL_ERROR "no ${{T_SCRIPT}}")
  endif()
endmacro()
"""

# The two lines of Slicer's CMake/SlicerExtensionCPack.cmake that take these files.
PACKAGE = """
set(CPACK_GENERATOR TGZ)
set(CPACK_PACKAGE_DESCRIPTION_FILE "${EXTENSION_README_FILE}")
set(CPACK_RESOURCE_FILE_LICENSE "${EXTENSION_LICENSE_FILE}")
include(CPack)
"""


def listed(variable):
    text = (MODULE / "CMakeLists.txt").read_text()
    return set(re.search(rf"set\({variable}\s(.*?)\)", text, re.DOTALL).group(1).split())


def test_every_file_of_the_module_is_packaged():
    scripts = {str(p.relative_to(MODULE)) for p in MODULE.glob("SPADLib/**/*.py")} | {"SPAD.py"}
    assert listed("MODULE_PYTHON_SCRIPTS") == scripts
    resources = {
        str(p.relative_to(MODULE))
        for p in MODULE.glob("Resources/**/*")
        if p.is_file() and p.parent.name != "Wheel"
    }
    assert listed("MODULE_PYTHON_RESOURCES") == resources


def test_slicer_takes_only_one_file_for_a_module():
    assert [p.name for p in MODULE.glob("*.py")] == ["SPAD.py"]


OLD = (
    "SPAD.py",
    "SPADLib/lazy.py",
    "SPADLib/host/__init__.py",
    "SPADLib/host/commands.py",
    "SPADLib/install/__init__.py",
    "SPADLib/install/install.py",
    "SPADLib/install/pip_errors.py",
    "SPADLib/install/requirements.py",
    "SPADLib/install/slicer_host.py",
    "SPADLib/read/phantom_sample.py",
)


@pytest.mark.parametrize("name", OLD)
def test_what_an_old_slicer_loads_parses_there(name):
    ast.parse((MODULE / name).read_text("utf-8"), feature_version=(3, 9))


def test_both_packages_hand_names_on_in_the_same_way():
    engine = ROOT / "training" / "spad" / "lazy.py"
    assert engine.read_text("utf-8") == (MODULE / "SPADLib" / "lazy.py").read_text("utf-8")


def test_loading_the_module_loads_no_engine_and_installs_nothing():
    """Slicer imports every module at its start."""
    tree = ast.parse((MODULE / "SPAD.py").read_text("utf-8"))
    top = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {getattr(n, "module", None) or n.names[0].name for n in top}
    assert not {n for n in names if n.split(".")[0] in ("spad", "torch", "SPADLib", "numpy")}


def test_the_description_is_as_the_extensions_index_wants_it():
    entry = json.loads((ROOT / "slicer_module" / "SPAD.json").read_text())
    known = {
        *("$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies"),
        *("build_subdirectory", "enabled", "tier"),
    }
    assert set(entry) <= known
    assert entry["category"] == "Segmentation"
    assert entry["build_dependencies"] == ["PyTorch"]
    assert entry["tier"] == 1  # 3 and 5 are for what the community and the core team support
    assert "slicer" in entry["scm_url"].rpartition("/")[2].lower()
    text = (ROOT / "CMakeLists.txt").read_text()
    assert re.search(r"project\(SPAD\)", text)
    assert f'EXTENSION_HOMEPAGE "{entry["scm_url"]}"' in text
    assert 'EXTENSION_DEPENDS "PyTorch"' in text
    (icon,) = re.findall(r'set\(EXTENSION_ICONURL "([^"]+)"\)', text)
    (shots,) = re.findall(r'set\(EXTENSION_SCREENSHOTURLS "([^"]+)"\)', text)
    for url in (icon, *shots.split()):
        assert url.startswith("https://")
        assert (ROOT / url.partition("/main/")[2]).is_file(), url
    assert "EXTENSION_CONTRIBUTORS" in text
    assert re.search(r'CONTRIBUTORS "[^"(]+ \([^"()]+\)"', text)  # with the affiliation
    for name in ("LICENSE", "README"):
        (file,) = re.findall(
            rf'EXTENSION_{name}_FILE "\$\{{CMAKE_CURRENT_SOURCE_DIR\}}/([^"]+)"', text
        )
        assert (ROOT / file).is_file()
    page = (ROOT / file).read_text("utf-8")
    assert page.index("![") < page.index("## ")  # description and picture come first
    assert text.count("LICENSE.txt") == 1  # installers take no licence without a suffix


def test_the_ui_file_names_the_choices_that_are_kept():
    text = (MODULE / "Resources" / "UI" / "SPAD.ui").read_text("utf-8")
    bound = re.findall(r'"SlicerParameterName"[^>]*>\s*<string>(\w+)<', text)
    tree = ast.parse((MODULE / "SPAD.py").read_text("utf-8"))
    (node,) = [
        n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "SPADParameterNode"
    ]
    kept = {n.target.id for n in node.body if isinstance(n, ast.AnnAssign)}
    assert len(bound) == len(set(bound))
    assert set(bound) < kept


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(out)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (found,) = out.glob("napari_spad-*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_the_engine_and_its_models(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "spad/__init__.py",
        "spad/checkpoint/models/oct-lesions.safetensors",
        "spad/inference/hosts.py",
    ):
        assert wanted in names
    assert wheel.stat().st_size < 40e6  # an extension's package should stay small


@pytest.mark.slow
def test_the_engine_runs_from_the_wheel_that_the_module_would_install(wheel, tmp_path):
    """`pip install --no-deps --no-index`, as the module asks for it, into a folder of its own."""
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target),
         wheel_argument(wheel)],
        check=True, capture_output=True,
    )  # fmt: skip
    (origin,) = target.glob("napari_spad-*.dist-info/direct_url.json")
    assert sha256_of(wheel) in origin.read_text()  # by which an update is noticed
    code = (
        "import spad, numpy as np\n"
        f"assert spad.__file__.startswith({str(target)!r}), spad.__file__\n"
        "s = spad.load('oct-phantom', device='cpu')\n"
        "print(s.segment(np.zeros((32, 32), np.uint8) + np.eye(32, dtype=np.uint8) * 9,"
        " samples=1, steps=1).labels.shape)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300,
        env={"PYTHONPATH": str(target), "PATH": "", "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert ran.stdout.strip() == "(32, 32)", ran.stderr[-2000:]


def cmake() -> str | None:
    beside = Path(sys.executable).parent / "cmake"
    return str(beside) if beside.is_file() else shutil.which("cmake")


@pytest.mark.slow
@pytest.mark.skipif(
    cmake() is None or shutil.which("cc") is None,
    reason="needs CMake and, as CMake's project() does, a C compiler",
)
def test_cmake_packages_all_of_it(wheel, tmp_path):
    """The genuine CMake files against a stand-in for Slicer's macros."""
    folder = tmp_path / "slicer"
    folder.mkdir()
    (folder / "nothing.cmake").write_text("")
    (folder / "package.cmake").write_text(PACKAGE)
    (folder / "SlicerConfig.cmake").write_text(STUB.format(folder=folder.as_posix()))
    source = tmp_path / "source"
    shutil.copytree(MODULE, source / "slicer_module" / "SPAD",
                    ignore=shutil.ignore_patterns("*.whl", "__pycache__"))  # fmt: skip
    (source / "docs").mkdir()
    for name in ("CMakeLists.txt", "LICENSE.txt", "docs/slicer.md"):
        shutil.copy(ROOT / name, source / name)
    stale = source / "slicer_module" / "SPAD" / "Resources" / "Wheel" / "napari_spad-0.0-stale.whl"
    stale.write_bytes(b"")
    build, target = tmp_path / "build", tmp_path / "target"
    for arguments in (
        ["-S", str(source), "-B", str(build), f"-DSlicer_DIR={folder}", "-DBUILD_TESTING=ON",
         f"-DCMAKE_INSTALL_PREFIX={target}", "-DCMAKE_C_COMPILER_WORKS=1",
         "-DCMAKE_CXX_COMPILER_WORKS=1", f"-DSPAD_WHEEL={wheel}"],
        ["--install", str(build)],
        ["--build", str(build), "--target", "package"],
    ):  # fmt: skip
        ran = subprocess.run([cmake(), *arguments], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout[-1500:] + ran.stderr[-1500:]
    found = {str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()}
    wanted = listed("MODULE_PYTHON_SCRIPTS") | listed("MODULE_PYTHON_RESOURCES")
    assert found == wanted | {f"Resources/Wheel/{wheel.name}"}
    (package,) = build.glob("SPAD-*.tar.gz")
    with tarfile.open(package) as packed:
        files = {m.name.partition("/")[2] for m in packed.getmembers() if m.isfile()}
    assert files == found
