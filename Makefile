# Two commands on a fresh Debian 12 with Python 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
TRAIN := .venv-train/bin
PINS := deploy/constraints.txt
MODEL := models/bundles/breast
DATA ?= ../shared/data
RUNS ?= runs

.PHONY: demo test test-train test-peers check bench latency nightly fleet-cost arm fresh images train bundle bundle-lung protocols evidence schemas clean

demo: .venv/installed
	$(BIN)/sono demo

test: .venv/installed
	$(BIN)/python -m pytest -m "not train and not peer"

# training and quantization, on a handful of images; installs 2.3 GB of extras
test-train: .venv-train/installed
	$(TRAIN)/mypy -p sono_training -p sono_quantize
	$(TRAIN)/python -m pytest tests/training tests/quantize -m train

# real peers: Debian's mosquitto, chromium, chromium-driver, prometheus, rsync … must be installed (.ci/run does that)
test-peers: .venv/peers
	$(BIN)/python -m pytest -m peer

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/edge tests/fleet tests/models tests/system
	$(BIN)/lint-imports

bench: .venv/installed
	$(BIN)/sono bench frames
	$(BIN)/sono bench live
	$(BIN)/sono bench outbox

# how old the overlay is on a real screen, and how soon a page opened mid-scan is right: chromium and chromium-driver
# must be installed
latency: .venv/installed
	$(BIN)/python -m tests.support.screen_latency 20

# ten thousand simulated boards through a good and a bad model, 2,000 alerts a second; mosquitto must be installed
nightly: .venv/installed
	$(BIN)/python deploy/scale/cost.py nightly

# what a fleet costs as it grows from 100 to 10,000 boards: 25 minutes on a quiet machine
fleet-cost: .venv/installed .venv-train/installed
	$(BIN)/python deploy/scale/cost.py measure docs/images/fleet-cost.json
	$(TRAIN)/python deploy/scale/cost.py draw docs/images/fleet-cost.json docs/images/fleet-cost.png

# the committed bundle on an emulated 64-bit ARM board, bit for bit; Debian's mmdebstrap and qemu-user-static must be
# installed (.ci/run does that)
arm: .venv/installed .arm/installed
	$(BIN)/python deploy/arm/compare.py

# the runbook's first pages on fresh Debian 12 systems that boot in a container; Debian's mmdebstrap and
# systemd-container must be installed, and it is root who may
fresh:
	deploy/fresh/try.sh .fresh

# both container images, built and run without a registry of images; Debian's buildah, crun and mmdebstrap must be
# installed (.ci/run does that)
images:
	deploy/container/try.sh .images

# the committed bundle, from nothing but the data: phantom stills, training, int8, bundle
train: .venv-train/installed
	test -d $(RUNS)/phantom || $(TRAIN)/sono phantom --out $(RUNS)/phantom --count 240 --seed 1
	$(TRAIN)/sono model train models/recipes/breast.toml --out $(RUNS)/breast --cache $(RUNS)/views \
		--root data=$(DATA) --root phantom=$(RUNS)/phantom

# after a change of a message or of the manifest
schemas: .venv/installed
	$(BIN)/python -m sono_models.publish_schemas docs/asyncapi.json models/sono_models/schemas
	$(BIN)/python -m sono_fleet.web.publish_openapi docs/fleet-openapi.json

bundle: train
	$(TRAIN)/sono model quantize --run $(RUNS)/breast --recipe quantize/recipes/qat.toml --out $(RUNS)/breast/int8 \
		--root data=$(DATA) --root phantom=$(RUNS)/phantom
	models/recipes/pack-breast.sh $(TRAIN) $(DATA) $(RUNS)/phantom $(RUNS)/breast $(MODEL)

# the second bundle: stills of the lung clips, training, int8, bundle
bundle-lung: .venv-train/installed
	models/recipes/run-lung.sh $(TRAIN) $(DATA) $(RUNS) models/bundles/lung

# every fit behind the headline table, and their score tables: about four hours on two cores, resumable
protocols: train
	models/recipes/protocols.sh $(TRAIN) $(DATA) $(RUNS)/phantom $(RUNS) models/evidence/scores

# the headline table, plots and cards, from the score tables and results
evidence: .venv-train/installed
	$(TRAIN)/sono model evidence --data $(DATA)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "error: no venv module: apt-get install python3-venv"; exit 1; }

.venv/installed: .venv/bin/python pyproject.toml $(PINS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(PINS) -e '.[test,check,browser]'
	@# for the axe-core that it ships; what it depends on (playwright, 130 MB) is not needed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(PINS) --no-deps axe-playwright-python
	touch $@

.venv/peers: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(PINS) -e '.[peers]'
	touch $@

.venv-train/installed: .venv/bin/python pyproject.toml deploy/constraints-train.txt
	$(PYTHON) -m venv .venv-train
	$(TRAIN)/python -m pip install --quiet --disable-pip-version-check -c deploy/constraints-train.txt -e '.[test,train]' mypy
	touch $@

.arm/installed: .venv/bin/python deploy/arm/root.sh deploy/arm/cpuinfo pyproject.toml $(PINS)
	deploy/arm/root.sh .arm $(BIN)/python
	touch $@

clean:
	rm -rf .venv .venv-train .arm .images
