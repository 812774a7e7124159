# Everything is a target here; `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO    ?= go
TOOL  := $(GO) tool -modfile=tools/go.mod
NEED  := ./tools/need
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X easel.version=$(VERSION)

export GOFLAGS := -buildvcs=false

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## set up all that is missing, then run Easel (PORT, EASEL_DATA_DIR, DATABASE_URL, COMFYUI_URL are obeyed)
	@if [ -z "$${DATABASE_URL:-}$${DATABASE_URL_FILE:-}" ]; then $(NEED) postgres; fi
	@exec ./bin/easel

.PHONY: build
build: static/datastar.js ## build bin/easel
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/easel ./cmd/easel

# Datastar's bundle is other people's work: copied out of the module cache, checked, never committed.
static/datastar.js: tools/datastar
	@./tools/datastar static

.PHONY: generate
generate: static/datastar.js ## make the generated sources anew: templ, sqlc, expressions, configuration page
	$(TOOL) templ generate -path views -log-level error
	$(TOOL) sqlc generate
	$(GO) generate ./...
	$(GO) run ./cmd/easel config doc > docs/configuration.md

.PHONY: verify
verify: generate ## generate, and fail where the committed sources differ
	@git diff --exit-code --stat -- '*_templ.go' '*.sql.go' db/models.go db/db.go static/expressions.js docs/configuration.md \
		|| { echo 'generated sources have drifted: commit what make generate made'; exit 1; }

.PHONY: fmt
fmt: ## format Go and templ
	$(TOOL) golangci-lint fmt
	$(TOOL) templ fmt -log-level error views

.PHONY: lint
lint: static/datastar.js ## vet, staticcheck and the import table, all in golangci-lint
	$(TOOL) golangci-lint run ./...

.PHONY: check
check: verify lint ## what a commit should pass: no drift, format, lint, unit tests
	@test -z "$$($(TOOL) golangci-lint fmt --diff)" || { echo 'not formatted: run make fmt'; exit 1; }
	$(TOOL) templ fmt -fail -log-level error views
	$(GO) test -short ./...

.PHONY: test
test: ## set up all that is missing, then run every test: unit, transcript, database, browser, all with -race
	@$(NEED) gcc postgres redis chromium axe
	@$(MAKE) --no-print-directory verify lint
	CGO_ENABLED=1 $(GO) test -race -shuffle=on -timeout 30m ./...

# Other people's work again: it stays out of the tree.
.PHONY: test-templates
test-templates: ## convert every stock template of ComfyUI; pip installs them into a folder that is removed again (needs network)
	@$(NEED) pip
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	python3 -m pip install --quiet --no-compile --disable-pip-version-check --root-user-action ignore \
		--target "$$dir" comfyui-workflow-templates==0.1.95; \
	$(GO) test -count=1 -v -tags templates -run '^TestTemplates$$' ./comfy/workflow \
		-args -templates "$$dir/comfyui_workflow_templates/templates" | grep -v '^=== \|^    --- PASS'

CRASH ?= -instances 3 -servers 4 -generations 1000 -kills 200
.PHONY: test-crash
test-crash: static/datastar.js ## kill every part at random, 200 times, under 1,000 generations; figures belong in docs/reliability.md
	@$(NEED) gcc postgres redis
	CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 3h -v -run '^TestCrash$$' ./test/faults -args $(CRASH)

SOAK ?= -instances 3 -servers 4 -soak 1h
.PHONY: soak
soak: static/datastar.js ## the same for an hour, with parts that are stopped, frozen, cut off and slowed down as well
	@$(NEED) gcc postgres redis
	CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 3h -v -run '^TestCrash$$' ./test/faults -args $(SOAK)

.PHONY: bench
bench: static/datastar.js ## measure; figures belong in docs/performance.md with machine and date
	@$(NEED) postgres
	$(GO) test -run '^$$' -bench . -benchmem ./comfy/... ./handlers/... ./static/...
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m ./bench/...

.PHONY: bench-fanout
bench-fanout: static/datastar.js ## the fan-out beside three others, against its goals: twenty minutes on a machine that does nothing else
	@$(NEED) postgres
	$(GO) test -run '^$$' -bench 'Fanout|Idle' -benchtime 1x -timeout 40m ./bench

.PHONY: recording
recording: static/datastar.js ## film one generation in Chromium for the README: docs/images/generation.gif
	@$(NEED) postgres chromium
	$(GO) test -count=1 -v -tags recording -run '^TestRecording$$' ./test/browser -args -into $(CURDIR)/docs/images/generation.gif

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME each
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package 2>/dev/null | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

.PHONY: db-reset
db-reset: ## move the private database of EASEL_DATA_DIR aside (never deletes it)
	@dir=$$(./bin/easel config --value EASEL_DATA_DIR)/pg; \
	if [ -d "$$dir" ]; then mv "$$dir" "$$dir.$$(date +%Y%m%d-%H%M%S)"; echo "moved $$dir aside"; fi

.PHONY: vuln
vuln: ## look the dependencies up in Go's vulnerability database (needs network)
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest ./...

.PHONY: clean
clean: ## remove what was built
	rm -rf bin static/datastar.js test/.cache
