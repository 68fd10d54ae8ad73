#!/bin/bash
# `make stack-test`: the journey of journey.py on a Docker engine. One that answers is used as it is; else, as root on Debian,
# one is installed and started, with stand-ins for the images that no registry here has, and stopped again.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/stack

skip() { printf '\n*** STACK TEST SKIPPED: %s ***\n\n' "$1" >&2; exit 0; }
now() { date +%s; }

began=$(now)
if ! docker info >/dev/null 2>&1; then
  [ "$(id -u)" = 0 ] || skip "no Docker engine answers, and only root can start one"
  command -v apt-get >/dev/null || skip "no Docker engine answers, and one can be installed on Debian alone"
  bash $here/engine.sh install || skip "a Docker engine could not be installed; the lines above say why"
  trap 'bash $here/engine.sh stop' EXIT
  bash $here/engine.sh start || skip "a Docker engine does not start here; the lines above say why"
  eval "$(bash $here/engine.sh env)"
fi
printf 'engine: %s s\n' $(($(now) - began))
began=$(now)
bash $here/images.sh || skip "the images that docker/ begins with can neither be pulled nor made here"
printf 'base images: %s s\n' $(($(now) - began))
# What the fleet asks of an engine, stub devices among it, then the journey.
.venv/bin/pytest tests/producer/fleet/test_dockerhost.py $here/journey.py \
  -x --durations=12 --durations-min=1 "$@"
