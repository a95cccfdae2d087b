#!/usr/bin/env bash
# `make images`: builds both images with buildah and runs them, without a registry of images and without a daemon: the
# base is a Debian 12 with Python that mmdebstrap makes (python:3.11-slim is one, too). In chroot isolation, so this works
# in a container; what a kernel would enforce on top (read-only root, dropped capabilities) is not tried here.
# Debian packages that must be installed on this machine: buildah, crun, mmdebstrap.
set -euo pipefail
folder=${1:?usage: try.sh FOLDER}
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

for command in buildah mmdebstrap; do
    command -v "$command" > /dev/null ||
        { echo "error: $command is not installed: apt-get install buildah crun mmdebstrap" >&2; exit 1; }
done
run() { buildah --storage-driver vfs --root "$folder/store" --runroot "$folder/run" "$@"; }
clean() { run rm --all > /dev/null 2>&1 || true; run rmi --all --force > /dev/null 2>&1 || true; rm -rf "$folder/store" "$folder/run"; }
trap clean EXIT
base=localhost/sono-base

[ -s "$folder/base.tar" ] || {
    echo "== a base"
    mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder/base.part"
    mv "$folder/base.part" "$folder/base.tar"
}
container=$(run from scratch)
run add "$container" "$folder/base.tar" / > /dev/null
run commit --quiet --rm "$container" "$base" > /dev/null

# how this machine reaches Python's packages is this machine's business
mounts=()
for file in /etc/pip.conf /etc/xdg/pip /etc/ssl/certs/ca-certificates.crt; do
    [ -e "$file" ] && mounts+=(--volume "$file:$file:ro")
done

for target in fleet device; do
    echo "== sonoedge-$target"
    run bud --quiet --isolation chroot --network host --layers --format docker --build-arg "BASE=$base" "${mounts[@]}" \
        --file "$root/deploy/container/Containerfile" --target "$target" --tag "localhost/sonoedge-$target" "$root" > /dev/null
    run inspect --type image "localhost/sonoedge-$target" > "$folder/$target.json"
    python3 - "$folder/$target.json" << 'END'
import json, sys
config = json.load(open(sys.argv[1]))["Docker"]["config"]
assert config["User"] == "10001", config
assert config["Entrypoint"] == ["sono"], config
assert config["Healthcheck"]["Test"][0] == "CMD", config
END
done

inside() { # TARGET COMMAND …: as its user, in a fresh container
    local container status=0
    container=$(run from "localhost/sonoedge-$1")
    run run --isolation chroot --user 10001 "$container" -- "${@:2}" || status=$?
    run rm "$container" > /dev/null
    return $status
}
refused() { if inside "$@" > /dev/null 2>&1; then echo "error: this should have failed: $*" >&2; exit 1; fi; }

echo "== what they can do"
inside fleet sono --version
inside fleet sono fleet --help > /dev/null
inside fleet sh -c 'sono fleet ingest --once-seconds 1 --metrics 127.0.0.1:0 && sono fleet devices --json'
inside device sono --version
inside device sono model verify
echo "== what they cannot"
refused fleet touch /opt/sonoedge/x
refused fleet touch /etc/x
refused fleet python -c 'import onnx'
refused device python -c 'import sqlalchemy'
refused device python -c 'import torch'
refused fleet /opt/sonoedge/bin/python /opt/sonoedge/healthy.py
echo "== both images are built and run"
