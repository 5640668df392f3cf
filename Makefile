# make demo [PHOTO=path] [BACKEND=torch]   colorize real photos, or your own: under a minute
# make test                                lint and every test, on both backends
# make quick                               the tests that take seconds, both backends: about 2 minutes
# make matrix                              every test on other Pythons, frameworks and versions: hours
# make gpu-check                           whether training works on this GPU, minutes a backend; exit 2 without one
# make lint | format | bench | clean

PYTHON ?= python3
# One backend is enough for the demo. ONNX Runtime trains nothing, and is a tenth of a framework.
BACKEND ?= onnx
PHOTO ?=
export PHOTO

# Pinned here alone; setup.cfg has the ranges that are supported.
torch = torch==2.13.0
paddle = paddlepaddle==3.3.1
# Not pinned: each Python has its own newest.
onnx = onnxruntime>=1.19,<2

has_python = command -v $(PYTHON) >/dev/null 2>&1 || { \
	echo "error: there is no $(PYTHON): sudo apt-get install python3 python3-venv" >&2; exit 1; }

# A test run starts hundreds of processes: compile the sources once, whatever the shell says.
# One process more than there are cores: a fifth of the time tests wait for what they have started.
workers = $$(.venv/bin/python -c 'import os; print(min(4, 1 + os.cpu_count()))')
pytest = PYTHONDONTWRITEBYTECODE= .venv/bin/python -m pytest -n $(workers) --dist worksteal

.PHONY: demo test quick matrix lint format bench gpu-check clean

demo: .venv-demo/$(BACKEND)
	@.venv-demo/bin/python tools/demo.py --backend $(BACKEND) $${PHOTO:+"--photo=$$PHOTO"}

test: lint
	$(pytest)

quick: .venv/ready
	$(pytest) -m "not slow"

matrix: .venv/ready
	.venv/bin/nox

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: .venv/ready
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: .venv/ready
	.venv/bin/python tools/bench.py

# With the Python of the environment that has the framework's build for the GPU.
gpu-check:
	$(PYTHON) tools/gpu_check.py --output gpu-check.json

.venv/ready: setup.cfg Makefile
	@$(has_python)
	@echo "installs both frameworks and the tools for tests into .venv, once: several GB and minutes"
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	.venv/bin/python -m pip install --quiet $(torch) $(paddle)
	.venv/bin/python -m pip install --quiet --editable ".[dev]"
	touch $@

.venv-demo/$(BACKEND): setup.cfg Makefile
	$(if $($(BACKEND)),,$(error BACKEND is onnx, torch or paddle, not $(BACKEND)))
	@$(has_python)
	@$(PYTHON) tools/environment.py .venv-demo "$($(BACKEND))"
	@touch $@

clean:
	rm -rf .venv .venv-demo build dist *.egg-info
