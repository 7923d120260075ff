# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# The caches live only while building, so the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --profile dist --locked --bin trunkline \
    && ! grep -qE 'CRASH_AT|CLOCK_AHEAD' target/dist/trunkline \
    && cp target/dist/trunkline /usr/local/bin/trunkline

FROM debian:bookworm-slim
# The provider's certificate is checked against the system's roots.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
# A volume mounted on /data takes over this owner when it is first used.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin trunkline \
    && install -d -o trunkline -g trunkline /data /data/media
COPY --from=build /usr/local/bin/trunkline /usr/local/bin/trunkline
USER trunkline
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["trunkline"]
CMD ["serve"]
