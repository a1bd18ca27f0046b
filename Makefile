#: SPAD: segmentation of retinal OCT B-scans by categorical diffusion. For research use only.
#:
#:   make demo         set up, open napari with a phantom stack, the model run on it, the scores
#:     IMAGES=folder     your own B-scans instead; MASKS=folder their reference label maps,
#:     CHECKPOINT=model  another one, by file or shipped name. Without a display: screenshots in demo-output/
#:   make test         set up, then the linters and all tests (coverage: ARGS=--cov)
#:   make test-fast    the tests that need neither a display nor more than seconds
#:   make fuzz         N=10000 changed files of each kind into every reader (KINDS="images slicer")
#:   make gpu          what a GPU does, in under six minutes: a page in gpu.md (without one: skips)
#:   make lint         ruff, mypy, import-linter        make format   sort imports, format
#:   make pictures     the film and the pictures of the pages anew, with today's models (look at them)
#:   make docs         the site in site/ (docs/index.md is its first page)
#:   make wheel        wheel and sdist in dist/
#:   make slicer       the wheel that the 3D Slicer extension carries (docs/slicer.md)
#:   make clean        remove what was built            make distclean   .venv as well
#:
#: Set-up happens once, in .venv. Settings, each as in `make demo PYTHON=python3.12`:
#:   PYTHON   the Python (>= 3.11) to make .venv with        VENV   another folder for it
#:   TORCH    what pip installs as PyTorch, options allowed; a PyTorch already in .venv is kept
#:   SYSTEM   skip: leave Debian's packages alone            ARGS   further words for pytest

VENV  ?= .venv
TORCH ?= torch==2.13.0
PY    := $(VENV)/bin/python
# Python compiles a module when it is first imported, also where PYTHONDONTWRITEBYTECODE (as images
# of Docker have it) would keep it from writing that down; all of them take four fifths of pip's time.
export PYTHONDONTWRITEBYTECODE :=
INSTALL := $(PY) -m pip --disable-pip-version-check install --no-compile

# What Qt and OpenGL load when they start, by Debian's names; and a display where there is none.
DEBS_QT := libgl1 libegl1 libopengl0 libfontconfig1 libdbus-1-3 libglib2.0-0 libxkbcommon-x11-0 \
  libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 \
  libxcb-shape0 libxcb-sync1 libxcb-xfixes0 libxcb-xkb1
DEBS_XVFB := xvfb xauth libgl1-mesa-dri libglx-mesa0

XVFB := xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX"
NO_DISPLAY := [ "$$(uname)" = Linux ] && [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ]

.PHONY: help demo test test-fast fuzz gpu lint format docs pictures wheel slicer clean distclean system
.NOTPARALLEL:

help:
	@sed -n 's/^#: \{0,1\}//p' Makefile

DEMO_ARGS = $(if $(IMAGES),--images "$(IMAGES:~/%=$(HOME)/%)") \
  $(if $(MASKS),--masks "$(MASKS:~/%=$(HOME)/%)") \
  $(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT:~/%=$(HOME)/%)")

demo: system $(VENV)/.demo
	@if $(NO_DISPLAY); then \
	  echo "No display: the demo runs on a virtual one and leaves screenshots in demo-output/."; \
	  $(XVFB) $(PY) -m napari_spad.demo $(DEMO_ARGS) --screenshots demo-output; \
	else \
	  $(PY) -m napari_spad.demo $(DEMO_ARGS); \
	fi

# pytest comes last: its closing line is the run's. Each of its processes has a virtual display of
# its own, so that windows do not take the keyboard from one another; more threads would only wait.
PYTEST := $(PY) -m pytest

test: system $(VENV)/.dev lint
	OMP_NUM_THREADS=1 $(PYTEST) -n 3 --dist worksteal --durations 20 $(ARGS)

test-fast: $(VENV)/.dev
	$(PYTEST) -m "not slow and not gui" $(ARGS)

N ?= 1000
fuzz: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(PY) tests/fuzz/runner.py $(N) $(if $(KINDS),--kinds $(KINDS)) \
	  $(if $(SEED),--seed $(SEED))

gpu: $(VENV)/.dev
	$(PY) benchmarks/gpu.py --out gpu.md $(ARGS)

lint: $(VENV)/.dev
	@bad=; for tool in "ruff check" "ruff format --check" mypy lint-imports; do \
	  echo "$(VENV)/bin/$$tool"; "$(VENV)/bin/"$$tool || bad="$$bad, $$tool"; \
	done; [ -z "$$bad" ] || { echo "lint failed: $${bad#, }" >&2; exit 1; }

format: $(VENV)/.dev
	$(PY) -m ruff check --select I --fix .
	$(PY) -m ruff format .

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

wheel: $(VENV)/.dev
	$(PY) -m build --no-isolation --outdir dist .

# On a quiet machine: the pictures say how long things took.
pictures: system $(VENV)/.dev
	$(XVFB) $(PY) docs/record.py --film docs/images/napari.gif --stills docs/images
	$(XVFB) $(PY) docs/record_slicer.py docs/images
	$(PY) docs/record_page.py docs/images

WHEELS := slicer_module/SPAD/Resources/Wheel

slicer: $(VENV)/.dev
	rm -f $(WHEELS)/*.whl
	$(PY) -m build --no-isolation --wheel --outdir $(WHEELS) .

clean:
	rm -f $(WHEELS)/*.whl
	rm -rf build dist site demo-output htmlcov .coverage .coverage.* .hypothesis
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf "$(VENV)"

# Set-up. The stamps in $(VENV) say what is done; sources are linked, so only a changed
# pyproject.toml asks for more.

$(PY):
	@for p in $(PYTHON) $(if $(PYTHON),,python3 python3.13 python3.12 python3.11 python3.14); do \
	  if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$p; break; fi; \
	done; \
	[ -n "$$found" ] || { echo "SPAD needs Python 3.11 or newer: make ... PYTHON=/path/to/python3" >&2; exit 1; }; \
	echo "$(VENV): $$("$$found" --version)"; \
	"$$found" -m venv "$(VENV)" || { rm -rf "$(VENV)"; \
	  echo "On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.torch: | $(PY)
	@if $(PY) -c 'import torch; print("PyTorch", torch.__version__, "is there")' 2>/dev/null; then :; \
	elif [ -n "$(strip $(TORCH))" ]; then set -x; $(INSTALL) $(TORCH); fi
	@touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.torch
	$(INSTALL) -e ".[napari,train,qt]"
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.torch
	$(INSTALL) -e ".[dev]"
	@touch $(VENV)/.demo $@

$(VENV)/.docs: pyproject.toml $(VENV)/.torch
	$(INSTALL) -e ".[docs]"
	@touch $@

system:
	@[ "$$(uname)" = Linux ] && [ "$(SYSTEM)" != skip ] || exit 0; \
	want="$(DEBS_QT)"; if $(NO_DISPLAY); then want="$$want $(DEBS_XVFB)"; fi; \
	if ! command -v dpkg-query >/dev/null; then \
	  if $(NO_DISPLAY) && ! command -v xvfb-run >/dev/null; then \
	    echo "There is no display: install xvfb-run and Mesa's OpenGL, then make again." >&2; exit 1; \
	  fi; \
	  exit 0; \
	fi; \
	missing=; for p in $$want; do \
	  dpkg-query -W -f '$${Status}\n' $$p $${p}t64 2>/dev/null | grep -q '^install ok installed' \
	    || missing="$$missing $$p"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing$$missing"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "Qt needs libraries of the system. Type this, then make again (or SYSTEM=skip):" >&2; \
	  echo "  sudo apt-get install$$missing" >&2; exit 1; \
	fi
