#!/usr/bin/env bash
# `make board`: the runbook's "The package" and "A board, from nothing", word for word, on a fresh Debian 12 that boots its
# own systemd in a container; then what the units do there. What a reader is told to set is set: the source is the phantom,
# the broker a mosquitto on the same machine. As root. Debian packages: mmdebstrap, systemd-container.
set -euo pipefail
folder=${1:?usage: try.sh FOLDER}
root=$(cd "$(dirname "$0")/../.." && pwd)
for command in mmdebstrap systemd-nspawn; do
    command -v "$command" > /dev/null ||
        { echo "error: $command is not installed: apt-get install mmdebstrap systemd-container" >&2; exit 1; }
done
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
board=$folder/root
clean() { rm -rf "$board" "$folder/source"; }
trap clean EXIT
clean

# block HEADING N: the runbook's Nth indented block beneath that heading
block() {
    awk -v heading="## $1" -v wanted="$2" '
        $0 == heading { here = 1; next } /^## / { here = 0 }
        here && /^    / { if (!inside) { count++; inside = 1 } if (count == wanted) print substr($0, 5); next }
        here && NF { inside = 0 }' "$root/deploy/README.md"
}

[ -s "$folder/base.tar" ] || {
    echo "== a fresh Debian 12"
    mmdebstrap --quiet --variant=minbase --include=systemd-sysv,dbus,python3,python3-venv,ca-certificates,mosquitto,mosquitto-clients \
        bookworm "$folder/base-part.tar"
    mv "$folder/base-part.tar" "$folder/base.tar"
}
mkdir "$board"
tar -xf "$folder/base.tar" -C "$board"

echo "== the package"
git clone --quiet "$root" "$folder/source"
(cd "$folder/source" && bash -euo pipefail -c "$(block "The package" 1)")
[ -s "$folder/source/dist/sonoedge-0.1.0-py3-none-any.whl" ]

echo "== the board boots"
install -d "$board/root/desk"
cp -r "$folder/source/deploy/." "$folder"/source/dist/*.whl "$board/root/desk/"
block "A board, from nothing" 1 > "$board/root/first.sh"
block "A board, from nothing" 2 > "$board/root/second.sh"
[ -s "$board/root/first.sh" ] && [ -s "$board/root/second.sh" ]
install -m 755 "$root/deploy/board/inside.sh" "$board/root/inside.sh"
# how this machine reaches Python's packages is this machine's business
mounts=()
for file in /etc/pip.conf /etc/xdg/pip /etc/ssl/certs/ca-certificates.crt; do
    [ -e "$file" ] && mounts+=("--bind-ro=$file")
done
cat > "$board/etc/systemd/system/runbook.service" << 'END'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
WorkingDirectory=/root/desk
ExecStart=/root/inside.sh
StandardOutput=file:/root/said
StandardError=file:/root/said
ExecStopPost=systemctl --no-block poweroff
END
ln -s ../runbook.service "$board/etc/systemd/system/multi-user.target.wants/runbook.service"
timeout 900 systemd-nspawn --quiet --boot --directory="$board" --machine=sono-board --register=no --keep-unit \
    --resolv-conf=copy-host "${mounts[@]}" > "$folder/console" 2>&1 || true
cat "$board/root/said" 2> /dev/null || { tail -50 "$folder/console"; exit 1; }
grep -qx "== all of it" "$board/root/said"
