# Everything a developer does has a target here; `make` alone lists them. CI calls the same targets.
# The environment lives in .venv, built once from constraints/ and again only when those files change.

TEXT ?= Hello! I am the voice inside this server, and you hear me while I am still thinking.
VOICE_MODEL ?= ion
PYTEST_ARGS ?=
FIXTURES ?= tests/golden/qwen3_tts
CLUSTER_IMAGE ?= build/image.tar

BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

$(READY): constraints/dev.txt constraints/build.txt constraints/uv.txt pyproject.toml scripts/environment
	@scripts/environment
	@touch $@

.PHONY: env
env: $(READY) ## build the environment in .venv (the other targets do it when needed)

.PHONY: speak
speak: $(READY) ## start the server, stream TEXT="..." through the real client, write speech.wav
	@$(BIN)/python scripts/speak.py --model $(VOICE_MODEL) -- "$$TEXT"
# As it was written: Make would otherwise take "$5" in a text for a variable, and run a "$(shell ...)".
override TEXT := $(value TEXT)
export TEXT

.PHONY: test
test: $(READY) ## the whole test suite, without a GPU and without a model hub
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: test-slow
test-slow: $(READY) ## what takes minutes
	$(BIN)/python -m pytest -m slow -o faulthandler_timeout=7200 $(PYTEST_ARGS)

.PHONY: test-reliability
test-reliability: $(READY) ## what must hold when things go wrong (docs/reliability.md), at full size and with its times
	$(BIN)/python -m pytest tests/reliability -m "slow or not slow" -o faulthandler_timeout=1800 $(PYTEST_ARGS)

.PHONY: test-gpu
test-gpu: $(READY) ## what needs a CUDA device
	$(BIN)/python -m pytest -m gpu $(PYTEST_ARGS)

.PHONY: bench
bench: $(READY) ## first audio, throughput and under-runs beside other ways of serving (JSON=file, BENCH_ARGS="--help")
	$(BIN)/python -m bench $(if $(JSON),--json '$(JSON)') $(BENCH_ARGS)

.PHONY: bench-service
bench-service: $(READY) ## what listeners of a real server hear at 1 to 128 streams (JSON=file, PLOT=file.svg, BENCH_ARGS="--help")
	$(BIN)/python -m bench.service $(if $(JSON),--json '$(JSON)') $(if $(PLOT),--plot '$(PLOT)') $(BENCH_ARGS)

.PHONY: parity
parity: $(READY) ## compare every quantity with what a reference implementation recorded (FIXTURES=...)
	$(BIN)/python -m rhapsode_server.parity $(FIXTURES)

.PHONY: voice-report
voice-report: $(READY) ## word error rate and durations of the embedded voice beside its teacher's (needs flite)
	@PYTHONPATH=server $(BIN)/python voices/ion/report.py $(REPORT_ARGS)

.PHONY: test-chart
test-chart: $(READY) ## the Helm chart, without a cluster: renders, schemas, policies, alerts
	@scripts/chart-tools
	$(BIN)/python -m pytest tests/chart -m chart $(PYTEST_ARGS)

.PHONY: image
image: ## the server as an image, with Docker or buildah (TAG=, VARIANT=cuda, BASE_IMAGE=, ARCHIVE=file.tar)
	@scripts/image $(ARCHIVE)

.PHONY: test-cluster
test-cluster: $(READY) ## on the cluster that KUBECONFIG names; LOAD="kind load image-archive" takes the image there
	@scripts/chart-tools
	@if [ -n "$(LOAD)" ]; then TAG="$(IMAGE)" scripts/image "$(CLUSTER_IMAGE)" && $(LOAD) "$(CLUSTER_IMAGE)"; fi
	IMAGE=$(IMAGE) $(BIN)/python -m pytest tests/cluster -m cluster $(PYTEST_ARGS)

.PHONY: chart
chart: $(READY) ## generate the chart's schema, its table of values and its golden renderings anew
	@scripts/chart-tools
	@scripts/chart-generate

.PHONY: check
check: $(READY) ## ruff, mypy --strict, buf and the house rules, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	scripts/lint-protos
	$(BIN)/python scripts/generate_protos.py --setup --check
	$(BIN)/python -m pytest tests/house $(PYTEST_ARGS)

.PHONY: format
format: $(READY) ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: protos
protos: $(READY) ## generate the Python code of protos/ anew
	$(BIN)/python scripts/generate_protos.py --setup

.PHONY: constraints
constraints: $(READY) ## resolve the exact versions anew from pyproject.toml (UPGRADE=--upgrade takes newer ones)
	@scripts/constraints $(UPGRADE)

.PHONY: clean
clean: ## remove what was built, the environment too
	rm -rf .venv build dist speech.wav .mypy_cache .ruff_cache .pytest_cache .hypothesis .tools .venv-chart scripts/buf/node_modules
