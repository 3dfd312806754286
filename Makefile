# What CI runs is what you run: .ci/run is `make test` after installing what a bare machine lacks.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
GOBUILD := go build -buildvcs=false -ldflags "-X main.version=$(VERSION)"
NPM_CI  := PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --loglevel=error
UI      := $(filter-out admin-ui/node_modules admin-ui/dist admin-ui/e2e admin-ui/%.go,$(wildcard admin-ui/*)) $(shell find admin-ui/src -type f)

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' Makefile

##@ Build

.PHONY: deps
deps: admin-ui/node_modules/.installed supabase/node_modules/.installed ## Install npm packages (Postgres among them) where the lock file changed

%/node_modules/.installed: %/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node 20 or newer" >&2; exit 1; }
	cd $* && $(NPM_CI)
	@touch $@

admin-ui/dist/.built: admin-ui/node_modules/.installed $(UI)
	cd admin-ui && npm run --silent build
	@touch $@

.PHONY: build
build: deps admin-ui/dist/.built ## Build bin/kestrel with the UI inside
	$(GOBUILD) -o bin/kestrel ./server

.PHONY: production
production: admin-ui/dist/.built ## Build bin/kestrel-production, and prove that no stand-in is inside
	$(GOBUILD) -tags production -o bin/kestrel-production ./server
	@inside=$$(go list -deps -tags production ./server | grep -E '^kestrel.ai/(server/sandbox|supabase/local|supabase/supabasetest)' || true); \
	if [ -n "$$inside" ]; then echo "the production build contains development code:" $$inside >&2; exit 1; fi

.PHONY: dev
dev: build ## Run everything locally: make dev ARGS='--addr 127.0.0.1:8080'
	bin/kestrel dev $(ARGS)

.PHONY: migrate
migrate: build ## Bring the schema of DATABASE_URL up to date
	bin/kestrel migrate

.PHONY: generate
generate: bin/tools/sqlc readme ## Regenerate supabase/db from the queries, and the README's environment table
	cd supabase && ../bin/tools/sqlc generate

.PHONY: readme
readme:
	@mkdir -p bin
	go run ./server help env >bin/environment.md
	sed -i -e '/^<!-- kestrel help env -->$$/,/^<!-- end -->$$/{/^<!--/!d}' -e '/^<!-- kestrel help env -->$$/r bin/environment.md' README.md

##@ Check

.PHONY: test
test: lint drift production test-ui build test-e2e test-go ## Run every check; what CI runs

.PHONY: test-go
test-go: deps admin-ui/dist/.built ## Run the Go tests with the race detector
	trap 'go run ./supabase/supabasetest/stop' EXIT; go test -race -p 2 -timeout 20m $(GOTESTFLAGS) ./...

.PHONY: test-ui
test-ui: admin-ui/node_modules/.installed ## Check, type and test the UI
	cd admin-ui && npm run --silent check && npm run --silent test

.PHONY: test-e2e
test-e2e: build admin-ui/e2e/node_modules/.installed ## Run the browser tests against bin/kestrel dev: make test-e2e ARGS='journeys --headed'
	cd admin-ui && node_modules/.bin/tsc -p e2e --noEmit
	cd admin-ui/e2e && node_modules/.bin/playwright test --project=browser $(ARGS)

.PHONY: lighthouse
lighthouse: build admin-ui/e2e/node_modules/.installed admin-ui/e2e/lighthouse/node_modules/.installed ## Score the entries by Lighthouse, on a phone and a desktop
	cd admin-ui/e2e && node_modules/.bin/playwright test --project=lighthouse $(ARGS)

.PHONY: lint
lint: bin/tools/golangci-lint ## Run gofmt, vet and the linters
	bin/tools/golangci-lint run
	go vet -tags production ./server

.PHONY: drift
drift: bin/tools/sqlc ## Fail where generated code differs from its source
	cd supabase && ../bin/tools/sqlc diff

.PHONY: bench
bench: deps ## Run the benchmarks: make bench BENCH=Newest
	go test -p 1 -run '^$$' -bench '$(or $(BENCH),.)' -benchmem ./...

.PHONY: chaos
chaos: build ## Kill and fault number purchases 500 times, then a whole deployment's processes for two minutes
	go test ./jobs -run Chaos -count 1 -v -timeout 60m -args -chaos.kills=$(or $(KILLS),500)
	go test ./server -run ManyProcesses -count 1 -v -timeout 30m -args -many.for=$(or $(FOR),2m) -many.seed=$(or $(SEED),1)

.PHONY: vuln
vuln: bin/tools/govulncheck ## Look the dependencies up in the Go vulnerability database
	bin/tools/govulncheck ./...

##@ Tools, each a Go module of its own in .ci/tools

sqlc          := github.com/sqlc-dev/sqlc/cmd/sqlc
golangci-lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
govulncheck   := golang.org/x/vuln/cmd/govulncheck

# Without cgo sqlc parses with Postgres' own parser as WebAssembly, which spares compiling it from C.
bin/tools/%: .ci/tools/%/go.mod .ci/tools/%/go.sum
	cd .ci/tools/$* && CGO_ENABLED=0 go build -buildvcs=false -o $(CURDIR)/$@ $($*)

.PHONY: clean
clean: ## Remove what was built; the data of `make dev` in .kestrel stays
	rm -rf bin admin-ui/node_modules admin-ui/e2e/node_modules admin-ui/e2e/lighthouse/node_modules supabase/node_modules
	find admin-ui/dist -mindepth 1 ! -name .gitkeep -delete
