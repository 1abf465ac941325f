# The daily commands. Each recipe is one line that works without just, too.

# List them.
default:
    @just --list

# Everything at work on this machine alone: simulated clouds, a broker, the page.
demo *arguments:
    cargo demo {{ arguments }}

# All tests; installs Mosquitto where it is missing.
test *arguments:
    ./test {{ arguments }}

# One file of tests, or a part of it: just one keeper storms
one file *filter:
    cargo test --locked --all-features --test {{ file }} -- {{ filter }}

# The tests beside the code.
unit *filter:
    cargo test --locked --all-features --lib -- {{ filter }}

# What the compiler says, fast.
check:
    cargo check --locked --all-features --all-targets

# Form.
fmt:
    cargo fmt

# Complaints, with everything and as it is shipped.
lint:
    cargo fmt --check && cargo clippy --locked --all-features --all-targets -- -D warnings && cargo clippy --locked -- -D warnings

# The code's documentation.
doc:
    cargo doc --locked --no-deps --all-features --open

# Rewrite golden files, to be read in the diff.
golden:
    UPDATE_GOLDEN=1 cargo test --locked --all-features --test discovery --test command_line

# The binary that is shipped.
build:
    cargo build --locked --release

# What is published of a version, in dist/: just release amd64
release *machines:
    packaging/release {{ machines }}

# Clouds that can be made to misbehave; GET /_sim/ on them says how.
simulate *arguments:
    cargo run --locked --features demo -- simulate {{ arguments }}

# Have form and complaints checked before each commit.
hooks:
    git config core.hooksPath .githooks

# What a change has to pass.
ci:
    .ci/run
