# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# What `latchkey --version` says of the sources, which come without their git.
ARG LATCHKEY_COMMIT=""
# Without the feature `demo`: no simulated clouds and no embedded broker in what users run. The crates, and what was
# compiled of them, stay in the builder's cache. Two of them (ring, SQLite) are C, which this image can compile.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin latchkey \
    && install -D --mode=0755 target/release/latchkey /out/latchkey \
    && mkdir /out/data

# No shell and no package manager: glibc, libgcc, the CA certificates and Latchkey.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/latchkey /usr/local/bin/latchkey
COPY --from=build --chown=65532:65532 --chmod=0700 /out/data /data
# The store makes a folder of its own, which nobody else may read, whatever the volume's own rights are.
ENV LATCHKEY__STORE__PATH=/data/store \
    LATCHKEY_CONFIG=/config/latchkey.toml
USER 65532:65532
WORKDIR /data
VOLUME /data
# It lives, whether the broker is there or not: a restart would mend no broker.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["/usr/local/bin/latchkey", "health"]
ENTRYPOINT ["/usr/local/bin/latchkey"]
CMD ["run"]
