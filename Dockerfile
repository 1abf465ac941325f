FROM rust:1.92-bookworm AS build
WORKDIR /src
COPY . .
# Without the feature `demo`: no simulated clouds and no embedded broker in what users run.
RUN cargo build --release --locked --bin latchkey && mkdir --mode=0700 /empty

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/latchkey /usr/local/bin/latchkey
# A new volume takes over owner and mode from here; the store refuses a folder that others may read.
COPY --from=build --chown=65532:65532 --chmod=0700 /empty /data
ENV LATCHKEY__STORE__PATH=/data LATCHKEY_CONFIG=/config/latchkey.toml
USER 65532:65532
WORKDIR /data
VOLUME /data
ENTRYPOINT ["/usr/local/bin/latchkey"]
CMD ["run", "--config", "/config/latchkey.toml"]
