# The orchestrator with rclone, the databases' own tools, and their servers for drills, for a user
# that is not root.
#
# BUILDER is any image with `cargo`. Binaries built outside are packaged by docker/prebuilt.
# DRILL_PACKAGES are the servers that drills start for themselves: empty where none is wanted.
ARG BUILDER=rust:1-bookworm
ARG BASE=debian:trixie-slim

FROM ${BUILDER} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package orchestrator

FROM ${BASE}
ARG DRILL_PACKAGES="mariadb-server-core postgresql redis-server valkey-server"
# Installing a server must neither start it nor make data for it: drills make their own.
RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d \
    && chmod 0755 /usr/sbin/policy-rc.d \
    && mkdir -p /etc/postgresql-common \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates git mariadb-client openssh-client postgresql-client rclone rsync tzdata \
        ${DRILL_PACKAGES} \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 orchestrator \
    && useradd --uid 10001 --gid orchestrator --no-create-home --home-dir /app \
        --shell /usr/sbin/nologin orchestrator \
    && install -d -m 0755 /app \
    && install -d -m 0700 -o orchestrator -g orchestrator /app/data /backups /config/rclone
COPY --from=build /src/target/release/backup-orchestrator /usr/local/bin/
COPY docker/backup.sh /backup.sh
# rclone writes where it may: its configuration in the volume, its cache in memory. Threads share two
# heaps: with one for each, glibc keeps a third more memory than is in use (docs/performance.md).
ENV BACKUP_DATA_DIR=/app/data \
    MALLOC_ARENA_MAX=2 \
    RCLONE_CONFIG=/config/rclone/rclone.conf \
    XDG_CACHE_HOME=/tmp/cache
WORKDIR /app
USER 10001:10001
VOLUME ["/app/data", "/backups", "/config/rclone"]
EXPOSE 5550
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["backup-orchestrator", "healthcheck"]
ENTRYPOINT ["backup-orchestrator"]
CMD ["serve"]
