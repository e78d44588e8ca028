# make fit    train the default recipe on synthetic pages
# make test   ruff, mypy and the tests
# make real   score RUN (a run's folder) on the real pages under DATA
# make notebook   run notebooks/quickstart.ipynb and keep what it shows
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DATA ?= ../shared/data
RUN ?= runs/detr/001

.PHONY: fit test real notebook clean

fit: $(VENV)/.installed
	$(BIN)/tablesense fit --config configs/detr.yaml

test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

real: $(VENV)/.installed
	for set in icdar2013 unlv; do \
	  $(BIN)/tablesense test --config $(RUN)/config.yaml --ckpt_path $(RUN)/checkpoints/best.ckpt \
	    --data.test_path $(DATA)/$$set || exit; done

notebook: $(VENV)/.installed-test
	$(BIN)/python notebooks/execute.py

# An environment is made again when the package's requirements change.
$(VENV)/.installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	# img2table asks for an OpenCV that needs a desktop; this one takes the place of camelot's, and has all of it
	$(BIN)/python -m pip install --quiet beautifulsoup4 xlsxwriter
	$(BIN)/python -m pip install --quiet --no-deps img2table
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall opencv-contrib-python-headless
	touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
