# make run [AUDIO=path]   write the example recordings (or yours) down into out/: notes, a drum chart; play a groove
# make test               everything that must hold: lint, types, layers, tests with coverage, end to end
# make setup              .venv with every extra, at the pinned versions
# make bench              the benchmarks
# make docs               write the generated documents anew
# PYTHON=python3.12 chooses the interpreter that makes .venv (3.11 or newer).

AUDIO ?=
OUT ?= out
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
EXTRAS := http,s3,onnx,jax,service,demucs,link,librosa,hdf5,lilypond,train,dev

.PHONY: run test setup bench docs

run: $(STAMP)
	$(BIN)/tutti transcribe "$(or $(AUDIO),examples/guitar_solo.flac)" -o "$(OUT)/" --format mid,json,png
	$(BIN)/tutti drums "$(or $(AUDIO),examples/drum_groove.flac)" -o "$(OUT)/drums/" --format pdf,json,mid,png
	$(BIN)/tutti groove --style "J Dilla" --tempo 88 --bars 4 -o "$(OUT)/groove/" --format mid,png,wav

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-fail-under=90

setup: $(STAMP)

bench: $(STAMP)
	$(BIN)/python -m benchmarks

docs: $(STAMP)
	$(BIN)/python scripts/write_docs.py

$(STAMP): pyproject.toml constraints.txt scripts/make_venv.sh
	PYTHON="$(PYTHON)" sh scripts/make_venv.sh $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable ".[$(EXTRAS)]"
	@touch $@
