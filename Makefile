SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -euc
MAKEFLAGS += --warn-undefined-variables
.DEFAULT_GOAL := help

golangci_lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
deadcode := golang.org/x/tools/cmd/deadcode@v0.52.0

ROUNDS ?= 25
HOURS ?= 1
FUZZTIME ?= 10s
BENCH ?=
CELLS ?= 10000
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
# The packages with goroutines of their own run under the race detector in make test.
RACE := ./api/... ./capbroker/... ./cellagent ./cellagent/binding ./cluster/... ./fsm/... ./placement/...

.PHONY: help
help: ## Print this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/grafos and its second name, bin/grafos-cell-agent.
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/grafos ./cmd/grafos
	ln -sf grafos bin/grafos-cell-agent

.PHONY: demo
demo: build ## A cluster, a real program, a killed leader: the whole story in two minutes.
	./bin/grafos version
	go run ./integration/demo -grafos bin/grafos

.PHONY: test
test: build ## Every test; the race detector where it matters; 25 leader kills.
	go vet ./...
	@if command -v gcc >/dev/null; then go test -race -timeout 10m $(RACE); \
	else echo "gcc is missing: the race detector is skipped (install gcc to run it)"; go test -timeout 10m $(RACE); fi
	go test -timeout 10m $$(go list ./... | grep -v -F -x -f <(go list $(RACE) ./integration/chaos ./integration/sim))
	go test -timeout 10m -tags nextlevel -run PastLevel ./cluster
	go test -timeout 25m -v ./integration/sim | grep -v -E '^ *(=== |--- PASS)'

.PHONY: race
race: ## Every package but the process tests under the race detector.
	go test -race -timeout 20m $$(go list ./... | grep -v /integration)

.PHONY: lint
lint: ## The lint set, go.mod, the modernisers, unreachable functions.
	go run $(golangci_lint) run ./...
	@go mod tidy -diff || { echo "go.mod is not what the imports say: run go mod tidy"; exit 1; }
	@diff=$$(go fix -diff ./... || true); if [ -n "$$diff" ]; then echo "$$diff"; echo "go fix has something to say: run go fix ./..."; exit 1; fi
	@out=$$(go run $(deadcode) -test ./...); if [ -n "$$out" ]; then echo "$$out"; exit 1; fi

.PHONY: fmt
fmt: ## Format the code as the lint set wants it.
	go run $(golangci_lint) fmt ./...

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME each.
	@for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' $$pkg/*_test.go | awk '{print $$2}'); do \
	    echo "== $$pkg $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$pkg; done; done

.PHONY: bench
bench: build ## The numbers, beside a 3-member etcd's: 20 minutes, or BENCH=commit,reads for some of them.
	cd integration/bench/peers && CGO_ENABLED=0 go build -trimpath -o ../../../bin/bench-peers .
	go build -o bin/bench ./integration/bench
	go build -o bin/bench-state ./integration/bench/state
	bin/bench -grafos bin/grafos -peers bin/bench-peers -state bin/bench-state -only '$(BENCH)'

.PHONY: bench-cells
bench-cells: build ## 10,000 simulated cells against 3 schedulers, with every assertion: 5 minutes; CELLS= is another number.
	go build -o bin/bench-cells ./integration/bench/cells
	bin/bench-cells -grafos bin/grafos -cells $(CELLS)

.PHONY: chaos
chaos: build ## Kill the leader ROUNDS times under load and check every promise.
	GRAFOS_CHAOS_ROUNDS=$(ROUNDS) go test -count=1 -timeout 120m -run 'TestChaos' -v ./integration

SEED ?= 1
SIMFLAGS ?=
.PHONY: sim
sim: bin/sim.wasm ## Replay the simulated world SEED, byte for byte.
	@go run ./integration/sim/replay -seed $(SEED) $(SIMFLAGS)

# The simulation is built for wasip1: there a seed decides everything, the scheduler of goroutines too.
.PHONY: bin/sim.wasm
bin/sim.wasm:
	@GOOS=wasip1 GOARCH=wasm go test -c -o bin/sim.wasm ./integration/sim

.PHONY: sim-soak
sim-soak: ## 100,000 leader kills and a simulated year, in worlds of an hour; goes on where it was interrupted.
	GRAFOS_SIM_WORLDS=8800 GRAFOS_SIM_FILE=$(CURDIR)/sim-soak.json go test -count=1 -timeout 0 -run TestSoak -v ./integration/sim

.PHONY: mutants
mutants: ## Put each deliberate fault in and demand that a test finds it.
	go run ./integration/mutants

.PHONY: faults
faults: build ## Real faults in network namespaces, in 5 minutes; SEED= repeats a schedule, KINDS= is a regular expression. Needs root.
	go test -count=1 -timeout 20m -run 'TestFaults|TestPlan|TestKinds' -v ./integration/chaos

.PHONY: soak
soak: build ## The same at random for HOURS; the result stands in soak-result.txt. Needs root.
	GRAFOS_SOAK_HOURS=$(HOURS) GRAFOS_SOAK_FILE=$(CURDIR)/soak-result.txt go test -count=1 -timeout 0 -run TestSoak -v ./integration/chaos

.PHONY: console
console: ## Rebuild the console bundle (needs Node 20).
	cd api/console/web && npm ci --no-audit --no-fund && npm run build

.PHONY: clean
clean: ## Remove what the build made.
	rm -rf bin
