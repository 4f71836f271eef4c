# `make demo` and `make test` need nothing but Python 3.11 or later, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# One for each processor, and one for scikit-learn's own tests, which take what the others leave.
WORKERS := 3
DEMO := AUTOTRACK_STORE=sqlite:///.demo/runs.db AUTOTRACK_EXPERIMENT=demo

.PHONY: demo test lint bench docs clean

demo: $(INSTALLED)  ## train on real data, then show what was recorded
	@for script in digits breast_cancer diabetes torch_loop lightning_digits; do \
		echo "--- examples/$$script.py"; \
		$(DEMO) $(BIN)/python examples/$$script.py || exit 1; \
	done
	@echo
	@$(DEMO) $(BIN)/autotrack runs

test: $(INSTALLED)  ## every test, the slow ones too
	@$(BIN)/python -m compileall -q src  # a thousand processes import it, and may be told to keep no bytecode
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

types:  ## the types of the page's JavaScript; needs npm, as nothing else does
	npm install --silent --no-save --prefix $(VENV)/page typescript@7 preact@11 htm@3 @preact/signals@2 uplot@1
	$(VENV)/page/node_modules/.bin/tsc -p tests/server/jsconfig.json

bench: $(INSTALLED)  ## the figures of the README, one JSON line each
	$(BIN)/python bench/all.py

docs: $(INSTALLED)  ## docs/semconv.md and docs/registry from src/autotrack/semconv.py
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .demo

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
