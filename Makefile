# Every target runs plain go commands; CI calls the same ones.
GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.7.0
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.2.0
FUZZTIME ?= 3s

# All that a change must pass: about a quarter of an hour on two cores.
.PHONY: test
test: interop/node_modules check vuln cross
	$(GO) test ./...
	$(GO) test -tags failpoints ./internal/failpoint
	$(GO) test -race -short ./...
	$(MAKE) fuzz

# The npm packages that the tests meet, at the versions of the lock file.
interop/node_modules: interop/package-lock.json
	cd interop && npm ci --no-audit --no-fund
	touch $@

.PHONY: check
check:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "run gofmt on:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	cd bench && $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

# Known vulnerabilities in what the module uses. A finding fails; that the database
# cannot be reached does not, but is said. A copy: make vuln VULNDB=file:///path
VULNDB ?=
.PHONY: vuln
vuln:
	@bin=$$(mktemp -d) && trap 'rm -rf "$$bin"' EXIT && GOBIN=$$bin $(GO) install $(GOVULNCHECK) || exit 1; \
	$$bin/govulncheck $(if $(VULNDB),-db $(VULNDB)) ./... >$$bin/log 2>&1; code=$$?; cat $$bin/log; \
	case $$code in \
	0) echo "vuln: nothing found" ;; \
	3) echo "vuln: FOUND, see above"; exit 1 ;; \
	*) if [ -z "$(VULNDB)" ] && grep -q '^govulncheck: fetching vulnerabilities:' $$bin/log; then \
		echo "vuln: NOT CHECKED, the database cannot be reached"; \
	else \
		echo "vuln: failed"; exit 1; \
	fi ;; \
	esac

# Systems that are built and vetted, though not run.
.PHONY: cross
cross:
	for os in darwin windows freebsd; do GOOS=$$os $(GO) vet ./... || exit 1; done

.PHONY: race
race:
	$(GO) test -race ./...

# Every fuzz target for FUZZTIME. The fuzzer can take its own deadline for a
# failure, when an input is under way as the time ends.
.PHONY: fuzz
fuzz:
	@$(GO) list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | while read pkg; do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg </dev/null >fuzz.log 2>&1; code=$$?; \
			tail -n 3 fuzz.log; \
			if [ $$code -ne 0 ] && ! { grep -q '^    context deadline exceeded$$' fuzz.log && ! grep -q 'Failing input' fuzz.log; }; then \
				cat fuzz.log; exit 1; \
			fi; \
		done; \
	done; code=$$?; rm -f fuzz.log; exit $$code

# New tests, many times over: make stress PKG=./tests/multiproc RUN=Killed
PKG ?= ./...
RUN ?= .
.PHONY: stress
stress:
	$(GO) test -race -count=50 -run '$(RUN)' $(PKG)

# For a time: is every operation of every process linearizable, whoever is killed?
# make linear FOR=8h SEED=7
FOR ?= 10m
SEED ?= $(PARTY_SEED)
.PHONY: linear
linear:
	cd tests/linear && $(GO) test -c -o linear.test && PARTY_SEED=$(SEED) ./linear.test -test.run TestLinear -test.timeout 0 -for $(FOR)

# For a time: are the answers those of a map, in every configuration?
.PHONY: metamorphic
metamorphic:
	cd tests/metamorphic && $(GO) test -c -o metamorphic.test && PARTY_SEED=$(SEED) ./metamorphic.test -test.run TestMetamorphic -test.timeout 0 -for $(FOR)

# For a time: does death at any step leave everything right?
# make crash FOR=8h SEED=7
.PHONY: crash
crash: interop/node_modules
	cd tests/crash && $(GO) test -c -o crash.test && PARTY_SEED=$(SEED) ./crash.test -test.run TestEveryStep -test.timeout 0 -for $(FOR)

# For a time: everything at once on one directory, with a line a minute. The first
# lie ends it; so does an interrupt, with a summary.
# make soak FOR=8h SEED=7
.PHONY: soak
soak: interop/node_modules
	cd tests/soak && $(GO) test -c -o soak.test && PARTY_SEED=$(SEED) ./soak.test -test.run TestSoak -test.timeout 0 -for $(FOR)

.PHONY: bench
bench: interop/node_modules
	cd bench && $(GO) run .
