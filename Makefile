# saba: make up (see this machine), make test (all tests), make bench (figures).
GO      ?= go
REV     := $(shell git rev-parse --short=7 HEAD 2>/dev/null || echo unknown)
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.revision=$(REV)"
TOOL    := $(GO) tool -modfile=tools/go.mod
ARGS    ?=
ARCHES  ?= $(shell $(GO) env GOARCH)

.PHONY: help up build packages image test unit judges bench fmt clean

help: ## Say what there is.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

up: bin/saba ## Build saba and run server and agent of this machine; ARGS="--listen … --data …".
	@exec bin/saba up $(ARGS)

build: bin/saba bin/saba-agent bin/saba-agent-s3 ## Build the binaries into bin/.

bin/saba bin/saba-agent bin/saba-agent-s3: FORCE
	@scripts/need.sh build
	@$(BUILD) -o $@ ./cmd/$(@F)

packages: ## Build deb and rpm packages into bin/packages/; ARCHES="amd64 arm64".
	@scripts/need.sh build
	GO="$(GO)" REV="$(REV)" packaging/build.sh bin/packages $(ARCHES)

image: ARCHES = amd64 arm64
image: ## Build and check images of containers, OCI archives, into bin/images/; ARCHES="amd64".
	@scripts/need.sh build
	@$(GO) -C packaging run ./image -root .. -out ../bin/images -go "$(GO)" -revision "$(REV)" -created "$$(git log -1 --format=%ct 2>/dev/null || echo 0)" -arch "$(ARCHES)"

# vet and staticcheck with -race share what the tests compile: on a new machine that is most of the time.
test: ## Install what the tests need, then vet, staticcheck and all tests with -race.
	@scripts/need.sh test
	$(GO) mod verify
	test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) vet -race ./...
	$(GO) vet -race -tags judges ./e2e
	GOFLAGS="$$GOFLAGS -race" $$($(TOOL) -n staticcheck) ./...
	GOOS=darwin $(GO) vet ./cmd/saba-agent ./internal/cli ./internal/agent ./internal/collect
	$(GO) test -race -timeout 15m $$($(GO) list ./... | grep -v /e2e)
	cd packaging && $(GO) mod verify && $(GO) vet -race ./... && GOFLAGS="$$GOFLAGS -race" $$($(GO) tool -modfile=../tools/go.mod -n staticcheck) ./...
	$(GO) -C packaging test -race -timeout 30m -count=1 ./... # never from the cache, which does not see what is outside of its module
	$(GO) test -race -timeout 15m -count=1 ./e2e # never from the cache, which does not see the binaries

unit: ## All tests that need no browser, for every day.
	$(GO) test $$($(GO) list ./... | grep -v /e2e)

judges: ## Let programs of others use the API; needs node and npm, which fetches them.
	$(GO) test -tags judges -count=1 -run TestAClient ./e2e

bench: build ## Print figures: speed, memory, size (bench/README.md says how to read them).
	$(GO) test -run '^$$' -bench . -benchmem ./...
	bench/run.sh

fmt: ## Format the code.
	gofmt -w .

clean: ## Remove what was built.
	rm -rf bin

FORCE:
