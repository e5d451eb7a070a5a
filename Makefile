# Everything a newcomer types. Each target is one script in dev/, which explains itself: dev/NAME help.
# Downloads, builds and data go to LAKEHOUSE_CACHE (default ~/.cache/lakehouse-mirror), never into this folder.

LAKEHOUSE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lakehouse-mirror
CARGO_TARGET_DIR ?= $(LAKEHOUSE_CACHE)/target
export LAKEHOUSE_CACHE CARGO_TARGET_DIR

.DEFAULT_GOAL := help
.PHONY: help build demo demo-kafka demo-trino test bench lint services-up services-down services-status clean rust

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: rust ## build the programs `lakehouse`, `cdc-source` and `iceberg-sink`
	cargo build --release --locked -p lakehouse -p cdc-source -p iceberg-sink
	@echo "built: $(CARGO_TARGET_DIR)/release/"{lakehouse,cdc-source,iceberg-sink}

demo: rust ## a live MySQL shop mirrored into Iceberg: starts, changes, verifies; Ctrl-C ends it
	cargo build --release --locked -p lakehouse
	@dev/demo

demo-kafka: rust ## the same through a real Kafka of three brokers: cdc-source and iceberg-sink, exactly once
	cargo build --release --locked -p lakehouse -p cdc-source -p iceberg-sink
	@dev/demo --kafka

demo-trino: rust ## the same, its tables read by a real Trino, which joins them with the live MySQL in one statement
	@dev/demo --trino --install
	cargo build --release --locked -p lakehouse -p cdc-source -p iceberg-sink
	@dev/demo --trino

test: rust ## set up what the tests need and run all of them
	@dev/test

bench: rust ## measure: each stage of the mirror; then all of it beside Debezium and the Apache Iceberg sink
	@dev/bench/stages
	@dev/bench/run

lint: rust ## formatting, clippy, documentation, dependencies, scripts
	@dev/lint

services-up: ## start a MySQL and a MariaDB with the shop, to try things on
	@dev/services up

services-down: ## stop every server that was started from here
	@dev/services down

services-status: ## list them
	@dev/services status

clean: ## stop the servers, delete their data and what cargo built (downloads stay)
	@dev/services rm
	rm -rf "$(CARGO_TARGET_DIR)"

rust:
	@command -v cargo >/dev/null || { \
	    echo "error: Rust is not installed (cargo is not on the PATH)" >&2; \
	    echo "  → install it with rustup: https://rustup.rs" >&2; \
	    echo "  → is it installed already? then: . \"\$$HOME/.cargo/env\"" >&2; exit 2; }
	@command -v cc >/dev/null || { \
	    echo "error: there is no C compiler, which SQLite and zstd are built with" >&2; \
	    echo "  → sudo apt-get install gcc" >&2; exit 2; }
