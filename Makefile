# tcpstory: `make demo` shows a connection, `make test` proves the rest.

GO        ?= go
STATIC    := -trimpath -tags netgo,osusergo -ldflags '-s -w -linkmode external -extldflags "-static"'
SUDO      := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
export CGO_ENABLED = 1

# What Debian has to bring: to build, to regenerate the BPF object, to test.
BUILD_PACKAGES := gcc libc6-dev libpcap-dev
BPF_PACKAGES   := clang llvm libbpf-dev
TEST_PACKAGES  := $(BPF_PACKAGES) tcpdump iproute2 nftables netbase nginx-light bpftrace libbpf-tools \
                  bpftool ethtool procps qemu-system-x86 zstd xz-utils podman runc tshark curl

# Tools that are no part of the program: run by version, kept out of go.mod.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOTESTSUM   := gotest.tools/gotestsum@v1.13.0

# The tests watch a real kernel, and some machines hide an event from every tracer
# (internal/kernel/blindspot) or take the CPU away. So where no more than two tests
# failed, however many of their cases, those are run once more, whole, and both runs are
# printed. What no test is to blame for (TestMain, a binary that died) is not made good by that.
AGAIN  := --rerun-fails=1 --rerun-fails-max-failures=2 --rerun-fails-run-root-test
EVENTS := bin/test.json

define install
@missing=; for p in $(1); do \
  [ "$$(dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null)" = installed ] || missing="$$missing $$p"; done; \
if [ -n "$$missing" ]; then echo "installing Debian packages:$$missing"; \
  $(SUDO) apt-get update -q >/dev/null && \
  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing >/dev/null; fi
endef

.PHONY: help build demo test test-long bench recordings generate check-generated lint fuzz setup-build setup-test clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup-build:
	$(call install,$(BUILD_PACKAGES))

setup-test: setup-build
	$(call install,$(TEST_PACKAGES))

build: setup-build ## one static binary, bin/tcpstory, and the laboratory, bin/tcplab
	$(GO) build $(STATIC) -o bin/ ./cmd/...

demo: build ## a real handshake and four-way close, kernel next to wire
	$(SUDO) bin/tcplab demo --tracer bin/tcpstory

test: setup-test build check-generated lint ## every test that fits in 20 minutes; needs root
	$(SUDO) env "PATH=$$PATH" $(GO) run $(GOTESTSUM) --format pkgname --jsonfile $(EVENTS) $(AGAIN) --packages ./... -- -p 1 -count=1 -timeout 19m
	@awk -f .ci/blame.awk $(EVENTS)

test-long: setup-test build ## the long ones too: soak, order over many connections, every Debian kernel, fuzzing
	$(SUDO) env "PATH=$$PATH" TCPSTORY_LONG=1 $(GO) test -p 1 -count=1 -timeout 120m ./...
	$(MAKE) fuzz FUZZTIME=2m

bench: setup-test build ## what tracing costs, beside tcpstates and tcpdump; needs root
	$(SUDO) bin/tcplab bench --tracer bin/tcpstory

# Stories of the laboratory that tests of the core read; -update writes what they show.
RECORDINGS := close-client-first syn-sent syn-recv fin-wait2 closing refused abort dnat-server
recordings: build ## record the stories that tests of the core read anew; needs root
	for s in $(RECORDINGS); do \
	  $(SUDO) bin/tcplab demo $$s --tracer bin/tcpstory -- --json | sed -n '/^{/{s/"os":"[^"]*",//;p}' > internal/record/testdata/$$s.json || exit 1; done
	$(GO) test ./internal/render -run TestRecordings -update

generate: ## compile bpf/ again; needs clang
	$(call install,$(BPF_PACKAGES))
	$(GO) generate ./internal/kernel

# Another major version of clang compiles other bytes: then there is nothing to compare.
CLANG_MAJOR := 14
check-generated: ## the committed BPF object is what bpf/ compiles to (clang 14, Debian 12)
	@major=$$(clang -dumpversion | cut -d. -f1); \
	if [ "$$major" != $(CLANG_MAJOR) ]; then echo "NOT CHECKED: the committed BPF object was compiled by clang $(CLANG_MAJOR), this is clang $$major"; exit 0; fi; \
	before=$$(cat internal/kernel/trace_bpfel.* | sha256sum); $(GO) generate ./internal/kernel; \
	after=$$(cat internal/kernel/trace_bpfel.* | sha256sum); \
	[ "$$before" = "$$after" ] || { echo "internal/kernel/trace_bpfel.*: not what bpf/ compiles to; run 'make generate' and commit"; exit 1; }

lint: ## gofmt, vet, staticcheck (the import law is a test: cmd/tcpstory/imports_test.go)
	@test -z "$$(gofmt -l cmd internal)" || { echo "gofmt would change:"; gofmt -l cmd internal; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

FUZZTIME ?= 20s
fuzz: setup-test ## every fuzz target for FUZZTIME
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
	  echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

clean: ## remove what was built
	rm -rf bin
