.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
V := .venv/bin
BASE ?= $(shell git rev-parse --verify --quiet origin/main >/dev/null && echo origin/main || echo main)
STACK ?= sandbox
SHELL_FILES = $(shell git ls-files '*.sh' infra/toolchain/shim activate infra/hosttools/pollex-host '*/pulumi-resource-*')

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(V)/.ready: requirements/dev.txt pyproject.toml service/pyproject.toml
	@sh infra/toolchain/venv.sh '$(PYTHON)'

.PHONY: toolchain
toolchain: $(V)/.ready ## prepare pulumi and its plugins, from PATH or from Go modules
	@$(V)/python -m infra.toolchain

.PHONY: sandbox
sandbox: $(V)/.ready ## boot a stand-in board, declare it, polish a sentence on it
	@$(V)/python -m sandbox up

.PHONY: sandbox-down
sandbox-down: $(V)/.ready ## take the stand-in board away again, without a trace
	@$(V)/python -m sandbox down

.PHONY: board
board: toolchain ## prepare a host for pulumi up: HOST=jetson.local (STACK=jetson, UNDO=1, ARGS='--yes …')
	@[ -n '$(HOST)' ] || { echo 'pollex: say which: make board HOST=jetson.local' >&2; exit 2; }
	@$(V)/python -m infra.board '$(HOST)' --stack '$(if $(filter command%,$(firstword $(origin STACK))),$(STACK),jetson)' $(if $(UNDO),--undo) $(ARGS)

.PHONY: preview
preview: toolchain ## what a change means: plans, generated files and keys against BASE (main)
	@PATH="$(CURDIR)/.toolchain/bin:$$PATH" $(V)/python -m infra.review plan
	@$(V)/python -m infra.review diff $(BASE)

.PHONY: sandbox-fleet
sandbox-fleet: $(V)/.ready ## boot three stand-in boards and a gateway, kill a board in mid-sentence, change all of them under load
	@$(V)/python -m sandbox.fleet up

.PHONY: sandbox-fleet-down
sandbox-fleet-down: $(V)/.ready ## take them away again, without a trace
	@$(V)/python -m sandbox.fleet down

.PHONY: sandbox-aarch64
sandbox-aarch64: $(V)/.ready ## the same on a board of the Nano's architecture, which QEMU imitates (half an hour, once)
	@$(V)/python -m sandbox.aarch64 up

.PHONY: sandbox-aarch64-down
sandbox-aarch64-down: $(V)/.ready ## take it away again, without a trace
	@$(V)/python -m sandbox.aarch64 down

.PHONY: status
status: $(V)/.ready ## what every machine of STACK (sandbox) is doing now (ARGS='--json', ARGS=--watch)
	@$(V)/python -m infra.status $(STACK) $(ARGS)

.PHONY: cache-key
cache-key: toolchain ## the key that signs what STACK puts into a cache: made once, its public half printed (GIVEN=key.pem: yours)
	@$(V)/python -m infra.sign $(STACK) $(if $(GIVEN),--given '$(GIVEN)')

.PHONY: sign
sign: toolchain ## sign FILE with that key, into FILE.sig
	@$(V)/python -m infra.sign $(STACK) '$(FILE)'

.PHONY: unlock
unlock: toolchain ## mend the state of STACK (sandbox) after a killed run
	@$(V)/python -m infra.toolchain.unlock $(STACK)

.PHONY: lint
lint: $(V)/.ready ## ruff, mypy, import-linter, zizmor, shellcheck, shfmt
	@$(V)/ruff check --quiet . && $(V)/ruff format --check --quiet . && $(V)/mypy --no-error-summary
	@said=$$($(V)/lint-imports --no-cache --no-logo) || { echo "$$said"; exit 1; }
	@$(V)/zizmor --quiet --offline .github
	@$(V)/shellcheck -s sh $(SHELL_FILES) && $(V)/shfmt -d -i 4 -ln posix $(SHELL_FILES)

.PHONY: test
test: test-quick test-root test-boards test-browser ## everything: lint, types, unit, snapshot and end-to-end tests

.PHONY: test-quick
test-quick: lint ## lint, and the tests that need neither root nor a board: two minutes
	@$(V)/pytest --quiet --numprocesses=2 -m unit tests

.PHONY: test-root
test-root: toolchain ## the tests that need root, Debian packages, the engine or a long build, but no board and no browser
	@$(V)/pytest --quiet --numprocesses=3 --dist=loadfile -m 'not (unit or board or browser)' tests

.PHONY: test-boards
test-boards: toolchain ## the tests on stand-in boards
	@$(V)/pytest --quiet --numprocesses=3 --dist=loadfile -m board --ignore=tests/sandbox --ignore=tests/e2e/test_life_cycles.py --ignore=tests/e2e/test_from_the_box.py --ignore=tests/e2e/test_aarch64.py tests
	@$(V)/pytest --quiet -m board tests/sandbox # alone: it looks at what a board leaves on the machine

.PHONY: test-life-cycles
test-life-cycles: toolchain ## what may happen to a stack, its state and its board (half an hour; CI's last stage)
	@$(V)/pytest --quiet tests/e2e/test_life_cycles.py tests/e2e/test_from_the_box.py

.PHONY: test-aarch64
test-aarch64: toolchain ## a board of the Nano's architecture under QEMU (a stage of CI of its own; apart from make test)
	@$(V)/pytest --quiet tests/e2e/test_aarch64.py

.PHONY: faults
faults: toolchain ## what survives which fault, at length, into docs/reference/faults.md (root, most of an hour; FAULTS="tests/service …" for some)
	@FAULTS=long $(V)/python -m pytest --quiet --numprocesses=3 --dist=loadfile -p tests.faults -m fault $(or $(FAULTS),tests)

.PHONY: test-browser
test-browser: $(V)/.ready ## the tests in a real Chromium
	@$(V)/pytest --quiet --numprocesses=2 --dist=loadfile -m browser tests # its driver keeps an event loop running

.PHONY: image
image: $(V)/.ready ## build the image for arm64 and amd64, push it to a registry on loopback, run it, say what it is
	@$(V)/python -m sandbox.images

.PHONY: polish-image
polish-image: $(V)/.ready ## build the polish service's image into this machine's Docker
	@$(V)/python -m infra.buildpolish stacks/Pulumi.image.yaml --load

.PHONY: dev-files
dev-files: $(V)/.ready ## write compose.yaml, Mimir's files and the others of the dev stack into build/dev
	@$(V)/python -m infra.review render stacks/Pulumi.dev.yaml build/dev

.PHONY: image-packages
image-packages: $(V)/.ready ## write image/packages anew: the compilers' versions, which are part of the image's key
	@$(V)/python -m sandbox.images.packages

.PHONY: mutate-words
mutate-words: $(V)/.ready ## put small errors into the verdicts on changes, one at a time, and list those that no test notices
	@$(V)/python -m tests.service.mutate

.PHONY: bench-service
bench-service: $(V)/.ready ## the polish service beside a plain reverse proxy: latency, throughput, memory, start
	@$(V)/python -m bench.service

.PHONY: bench-polish
bench-polish: $(V)/.ready ## what a user waits for, beside the original arrangement and Ollama (ten minutes)
	@$(V)/python -m bench.polish

.PHONY: bench-words
bench-words: $(V)/.ready ## what becomes of texts: GLEU of JFLEG's sentences, which POLLEX_JFLEG names the folder of
	@$(V)/python -m bench.words

.PHONY: bench-embeddings
bench-embeddings: $(V)/.ready ## the image's embeddings, beside Ollama with the same file (root)
	@$(V)/python -m bench.embeddings

.PHONY: bench-load
bench-load: $(V)/.ready ## 1 to 64 clients of the image's server and of Ollama: errors, waits, memory (root, a quarter of an hour)
	@$(V)/python -m bench.load

.PHONY: bench-busy
bench-busy: $(V)/.ready ## ways in which threads wait for each other, alone and beside others (root, half an hour)
	@$(V)/python -m bench.busy

.PHONY: bench-image
bench-image: $(V)/.ready ## the image: sizes, a rebuild from nothing, start, embeddings a second, memory
	@$(V)/python -m bench.image --build

.PHONY: bench-fleet
bench-fleet: $(V)/.ready ## one to three boards: polishes a second, kills, drains and a roll under load, what up takes (root, half an hour)
	@$(V)/python -m bench.fleet

.PHONY: bench-fleet-size
bench-fleet-size: $(V)/.ready ## how many boards for PER_HOUR polishes of SECONDS each, or of those that the service at PAGE did
	@$(V)/python -m bench.fleet_size $(if $(PER_HOUR),--per-hour $(PER_HOUR)) $(if $(PAGE),--page $(PAGE)) $(if $(SECONDS),--seconds $(SECONDS))

.PHONY: bench-sass
bench-sass: $(V)/.ready ## what the Nano can decode, predicted from machine code (MODELS="a.gguf …")
	@$(V)/python -m bench.sass $(MODELS)

.PHONY: bench-compile
bench-compile: $(V)/.ready ## what the Nano has to compile, beside the original recipe, with one nvcc (root, a quarter of an hour)
	@$(V)/python -m bench.compile

.PHONY: check-cuda
check-cuda: $(V)/.ready ## compile and link the Nano's whole server with nvcc 11.2 in a chroot, the host's part for aarch64
	@$(V)/python -m sandbox.cuda

.PHONY: bench-up
bench-up: toolchain ## what the tool itself costs, beside pyinfra and Ansible on the same boards
	@$(V)/python -m bench.up

.PHONY: benchmarks
benchmarks: $(V)/.ready ## write docs/benchmarks.md anew from docs/benchmarks/*.json (TAKE="up service" takes new ones in)
	@$(V)/python -m bench.report $(if $(TAKE),--take $(TAKE))

.PHONY: bench-quality
bench-quality: $(V)/.ready ## what a model made for the board loses: perplexity, and 50 polished texts
	@$(V)/python -m bench.quality

.PHONY: golden
golden: $(V)/.ready ## write the golden files anew; review what git shows
	@$(V)/pytest --quiet --snapshot-update tests/infra
	@$(V)/pytest --quiet --snapshot-update tests/dev --ignore=tests/dev/test_compose_up.py

.PHONY: extension
extension: $(V)/.ready ## put the browser extension together: build/extension to load as it is, and a zip of the same bytes
	@$(V)/python extension/pack.py build

.PHONY: screenshots
screenshots: $(V)/.ready ## take the README's pictures of page, extension and LibreOffice anew, with the real small model
	@$(V)/pytest --quiet tests/browser/test_service.py tests/browser/test_extension.py -k real_model
	@cp build/screenshots/page.png build/screenshots/extension.png docs/images/
	@$(V)/python -m tests.languagetool.picture docs/images/libreoffice.png

.PHONY: docs
docs: $(V)/.ready ## write docs/reference anew
	@$(V)/python -m infra.reference
	@$(V)/python -m infra.kinds.host.reference
	@$(V)/python -m infra.jetpack > docs/reference/jetpack.md
	@$(V)/python -m pollex.clidoc > docs/reference/cli.md
	@$(V)/python -m pollex.reference > docs/reference/service.md

.PHONY: sbom
sbom: $(V)/.ready ## what STACK (sandbox) consists of, as SPDX: build/sbom/STACK
	@$(V)/python -m infra.review sbom $(STACK) build/sbom/$(STACK)

.PHONY: audit
audit: $(V)/.ready ## known vulnerabilities of what the lock files pin, asked of OSV and of Go's database
	@$(V)/python -m infra.toolchain.audit

.PHONY: lock
lock: $(V)/.ready ## write requirements/*.txt anew: versions and hashes, no addresses
	@$(V)/uv pip compile --quiet --group pyproject.toml:dev pyproject.toml service/pyproject.toml --generate-hashes --universal \
	  --python-version 3.11 --no-header --no-annotate -o requirements/dev.txt
	@$(V)/uv pip compile --quiet service/pyproject.toml -c requirements/dev.txt --generate-hashes --universal \
	  --python-version 3.11 --no-header --no-annotate -o requirements/service.txt
	@$(V)/uv pip compile --quiet tests/image/clients/requirements.in --generate-hashes --universal \
	  --python-version 3.11 --no-header --no-annotate -o tests/image/clients/requirements.txt
	@npm install --package-lock-only --silent --omit-lockfile-registry-resolved --prefix tests/image/clients
	@$(V)/uv pip compile --quiet requirements/audit.in --generate-hashes --universal \
	  --python-version 3.11 --no-header --no-annotate -o requirements/audit.txt
	@echo torch | $(V)/uv pip compile --quiet requirements/reference.in --excludes /dev/stdin --generate-hashes --universal \
	  --python-version 3.11 --no-header --no-annotate -o requirements/reference.txt # PyTorch is the distribution's

.PHONY: dist
dist: $(V)/.ready ## what a release carries, in build/dist: wheels, the service's archive, their hashes
	@rm -rf build/dist
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) && export SOURCE_DATE_EPOCH && \
	  $(V)/uv build --quiet --no-build-isolation --python $(V)/python --wheel --out-dir build/dist . && \
	  $(V)/uv build --quiet --no-build-isolation --python $(V)/python --out-dir build/dist service
	@cd build/dist && rm -f .gitignore && sha256sum * > SHA256SUMS && cat SHA256SUMS

.PHONY: clean
clean: ## take away what make made here, apart from the caches in ~/.cache/pollex
	@[ ! -d .sandbox ] || [ ! -x $(V)/python ] || { $(V)/python -m sandbox.aarch64 down; $(V)/python -m sandbox.fleet down; $(V)/python -m sandbox down; }
	@rm -rf .venv .toolchain .sandbox build
