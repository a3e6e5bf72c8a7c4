# A thin face: each target calls one tool, and the logic stands in book/tools/, one small script a file.
# Start with `make book` and `make test`; `make` alone lists the targets.

PYTHON ?= python3
WORKERS ?= 2
PY := .venv/bin/python
READY := .venv/.installed

# Two processes with a team of threads each fight over the cores: one thread a process is far faster.
PYTEST := OMP_NUM_THREADS=1 L2S_PROGRESS=0 $(PY) -m pytest
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout 100

.DEFAULT_GOAL := help
.PHONY: help book pdf test test-chapters test-rest test-browser run refresh new exercises variant grade doctor bench bench-gpu serve screenshots measure version lint test-colab clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' Makefile | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) book/tools/install.py

book: $(READY)  ## build the site, and say where to open it
	$(PY) -m book.tools.build_site

pdf: book  ## print the whole book into _build/learning-to-select.pdf (needs Chromium)
	$(PY) -m book.tools.build_pdf

test: test-chapters test-rest  ## all tests, the chapters first [ARGS="-k words"]

# A chapter is timed, so it has the machine to itself. Status 5 says that no test was selected, which
# is right here where ARGS names a test of the rest.
test-chapters: $(READY)
	$(PYTEST) chapters -p tests.book.chapter_report $(NBVAL) $(ARGS) || [ $$? -eq 5 -a -n "$(ARGS)" ]

test-rest: $(READY)
	$(PYTEST) exercises/source tests lib/l2s --doctest-modules $(NBVAL) \
	  -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

run: $(READY)  ## run a chapter with other parameters: CHAPTER=labels/contrastive PROFILE=full SEED=3 [ARGS="-p name value"]
	$(PY) -m book.tools.run_chapter "$(CHAPTER)" --profile "$(PROFILE)" --seed "$(SEED)" $(ARGS)

refresh: $(READY)  ## execute a chapter and store its outputs: CHAPTER=labels/contrastive (or all)
	$(PY) -m book.tools.refresh "$(CHAPTER)"

new: $(READY)  ## start a chapter: CHAPTER=part/slug [ARGS="--title 'Its title' --caption 'Title of a new part'"]
	$(PY) -m book.tools.new_chapter "$(CHAPTER)" $(ARGS)

exercises: $(READY)  ## make the student copies of all exercises from their masters
	$(PY) -m book.tools.release_exercises $(SLUG)

variant: $(READY)  ## a student copy with other numbers, and its master: SLUG=contrastive SEED=17
	$(PY) -m book.tools.make_variant "$(SLUG)" "$(SEED)" $(ARGS)

grade: $(READY)  ## grade a flat folder of notebooks: SUBMISSIONS=folder SLUG=contrastive [ARGS="--timeout 60"]
	$(PY) -m book.tools.grade "$(SUBMISSIONS)" "$(SLUG)" --out "$(OUT)" --course "$(COURSE)" $(ARGS)

doctor:  ## say in plain words what is missing or mismatched on this machine
	@$(PYTHON) book/tools/doctor.py

bench: $(READY)  ## run the benchmarks side by side [CHAPTER=labels/contrastive]
	$(PY) -m book.tools.run_bench "$(CHAPTER)"

bench-gpu: $(READY)  ## on a machine with a GPU: the tests of the operators and their benchmark
	$(PY) -c "import sys, torch; torch.cuda.is_available() or sys.exit('PyTorch sees no GPU here.')"
	$(PYTEST) tests/kernels $(ARGS)
	$(PY) -m bench.kernels

serve: $(READY)  ## show the built site on this machine [ARGS="--port 8000"]
	$(PY) -m book.tools.serve $(ARGS)

screenshots: $(READY)  ## pictures of the built site in _build/screenshots/ [ARGS="book/setup ..."]
	$(PY) -m book.tools.screenshots $(ARGS)

measure: $(READY)  ## how fast the built site's pages are, on a slow processor [ARGS="book/setup ..."]
	$(PY) -m book.tools.measure_site $(ARGS)

test-browser: $(READY)  ## only the tests in a browser; installs Chromium where it may [ARGS="-k words"]
	$(PY) -m book.tools.chromium
	$(PYTEST) tests/book/browser -n $(WORKERS) --dist loadfile $(ARGS)

version: $(READY)  ## set the version, and with it what buttons and install cells name: VERSION=0.1.0
	$(PY) -m book.tools.set_version $(VERSION)

lint: $(READY)  ## style, types and import arrows
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports

test-colab: $(READY)  ## the chapters on Colab's own versions; downloads gigabytes
	$(PY) -m book.tools.try_colab

clean:  ## remove everything that make made, the environment included
	rm -rf .venv .venv-colab _build _runs build dist lib/*.egg-info .*_cache
