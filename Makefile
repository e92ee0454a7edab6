# Every command that CI or a newcomer runs. `make setup` is implied by all of them.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.setup-done

.PHONY: setup demo test check study fuzz lint types accuracy gpu peers pictures clean

setup: $(STAMP)

# torchvision and timm serve as peers in tests only, and would pull another torch: without dependencies.
$(STAMP): pyproject.toml constraints.txt Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,torch,hub,images,loadgen,openvino-ep,study]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps torchvision timm
	touch $(STAMP)

demo: setup
	mkdir -p out
	$(BIN)/resnetx export -o out/resnet50.onnx --golden out/resnet50.golden.npz
	$(BIN)/resnetx inspect out/resnet50.onnx
	$(BIN)/resnetx verify out/resnet50.onnx

# A test file stays in one process, so that what its fixtures export is exported once.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

check: lint types test

# What each precision costs in accuracy, on a network that is trained here.
accuracy: setup
	$(BIN)/python benchmarks/accuracy.py --out out/accuracy

# Every case of the tests of which `make test` runs a sample: the corpus of faults, and the honest files.
study: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m sampled --every-case

# Hostile input for every command, and signals at many moments of the long ones; takes more than an hour on two cores.
fuzz: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --cases 5000 --seed 0
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.kills --moments 100 --seed 0

# What runs on an NVIDIA GPU, whether it is right, and how fast: an hour. Without our environment, with that of `python3`,
# where nothing can be installed: packages in PYTHONPATH are enough.
gpu:
	PYTHONPATH=.:$$PYTHONPATH $(if $(wildcard $(BIN)/python),$(BIN)/python,python3) benchmarks/gpu_check.py --out out/gpu

# The README's pictures. The page's needs Chromium, and some minutes of a quiet machine; PICTURES=blocks,study-depth makes
# these only.
pictures: setup
	PYTHONPATH=$(CURDIR) $(BIN)/python docs/make_pictures.py $(if $(PICTURES),--only $(PICTURES))

# Our speed beside that of others, in an environment that holds them; takes about half an hour of a quiet machine.
peers: $(VENV)-peers/.setup-done
	$(VENV)-peers/bin/python benchmarks/peers.py

$(VENV)-peers/.setup-done: benchmarks/peers.txt
	test -x $(VENV)-peers/bin/python || $(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip install --quiet --requirement benchmarks/peers.txt
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-peers out
