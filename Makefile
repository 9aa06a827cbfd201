# make demo   the main job on the shipped sample; make test   everything that must pass.
# Both set up all they need on Debian or Ubuntu: system libraries, a virtual environment, torch for the processor.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SMOKE := .venv-wheel
PIP_FLAGS := --quiet --disable-pip-version-check
# Of "make fuzz": damaged files of each kind, and which ones; others each day.
CASES ?= 20000
SEED ?= $(shell date +%Y%m%d)
XVFB := xvfb-run -a -s "-screen 0 1600x1000x24"
SYSTEM := xvfb xauth libgl1 libegl1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 \
	libxcb-image0 libxcb-render-util0 libxcb-xinerama0 libdbus-1-3 libfontconfig1 libglib2.0-0

.PHONY: demo test setup system lint types core gui examples wheel fuzz benchmark screenshots clean

demo: setup
	$(BIN)/cellrestore demo

test: setup lint types core gui examples wheel
	@echo "all checks passed"

setup: system $(VENV)/.ready

system:
	@PYTHON=$(PYTHON) sh .ci/system $(SYSTEM)

$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP_FLAGS) -c constraints.txt -e ".[test,openvino]"
	touch $@

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

core:
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not gui" -q -n 2 --dist worksteal

gui:
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m gui -q -n 2 --dist worksteal tests/gui tests/test_house.py

examples:
	$(BIN)/python -m pytest -q tests/run_examples.py

# The wheel installs and imports where there is no Qt, and brings its models and manifest along.
wheel:
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist . > dist.log 2>&1 || { cat dist.log; rm -f dist.log; exit 1; }
	rm -f dist.log
	test -x $(SMOKE)/bin/python || $(PYTHON) -m venv $(SMOKE)
	$(SMOKE)/bin/pip install $(PIP_FLAGS) -c constraints.txt dist/*.whl
	$(SMOKE)/bin/pip install $(PIP_FLAGS) --no-deps --force-reinstall dist/*.whl
	cd $(SMOKE) && bin/python ../tests/smoke_wheel.py

# For the night: "make test" opens a few hundred damaged files, this CASES of each kind.
fuzz: setup
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz.py --cases $(CASES) --seed $(SEED)

benchmark: setup
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/measuring.py

screenshots: setup
	$(XVFB) $(BIN)/python docs/make_screenshots.py

clean:
	rm -rf $(VENV) $(SMOKE) dist build cellrestore-demo
