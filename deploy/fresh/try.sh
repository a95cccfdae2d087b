#!/usr/bin/env bash
# `make fresh`: the runbook's first pages, word for word, on fresh Debian 12 systems that boot a systemd of their own in a
# container: a board (board.sh), then the fleet manager's machine up to a roll-out that is approved (desk.sh). What a reader
# is told to set is set; the broker is a mosquitto on the same machine. As root. Debian packages: mmdebstrap,
# systemd-container.
set -euo pipefail
folder=${1:?usage: try.sh FOLDER}
root=$(cd "$(dirname "$0")/../.." && pwd)
for command in mmdebstrap systemd-nspawn; do
    command -v "$command" > /dev/null ||
        { echo "error: $command is not installed: apt-get install mmdebstrap systemd-container" >&2; exit 1; }
done
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
system=$folder/root source=$folder/source
clean() { rm -rf "$system" "$source"; }
trap clean EXIT
clean

# block HEADING N: the runbook's Nth indented block beneath that heading; fails where there is none
block() { (cd "$root" && python3 -m tests.support.runbook "$1" "$2"); }

# written NAME HEADING N: that block as a script of the system's
written() { block "$2" "$3" > "$system/root/blocks/$1.sh"; }

# boot SCRIPT: what the script says on the system once it has booted; fails unless it came to its end
boot() {
    install -m 755 "$root/deploy/fresh/$1" "$system/root/script"
    cat > "$system/etc/systemd/system/fresh.service" << 'END'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
WorkingDirectory=/root/desk
Environment=HOME=/root LANG=C.UTF-8
ExecStart=/root/script
StandardOutput=file:/root/said
StandardError=file:/root/said
ExecStopPost=systemctl --no-block poweroff
END
    ln -sf ../fresh.service "$system/etc/systemd/system/multi-user.target.wants/fresh.service"
    timeout 900 systemd-nspawn --quiet --boot --directory="$system" --machine=sono-fresh --register=no --keep-unit \
        --resolv-conf=copy-host "${mounts[@]}" > "$folder/console" 2>&1 || true
    cat "$system/root/said" 2> /dev/null || tail -50 "$folder/console"
    grep -qx "== all of it" "$system/root/said"
}

fresh() {
    rm -rf "$system"
    mkdir "$system"
    tar -xf "$folder/base.tar" -C "$system"
    mkdir -p "$system/root/desk" "$system/root/blocks"
    cp -r "$source/deploy/." "$source"/dist/*.whl "$system/root/desk/"
}

[ -s "$folder/base.tar" ] || {
    echo "== a fresh Debian 12"
    packages=systemd-sysv,dbus,python3,python3-venv,ca-certificates,mosquitto,mosquitto-clients,rsync
    mmdebstrap --quiet --variant=minbase --include=$packages bookworm "$folder/base-part.tar"
    mv "$folder/base-part.tar" "$folder/base.tar"
}
# how this machine reaches Python's packages is this machine's business
mounts=()
for file in /etc/pip.conf /etc/xdg/pip /etc/ssl/certs/ca-certificates.crt; do
    [ -e "$file" ] && mounts+=("--bind-ro=$file")
done

echo "== The package"
git clone --quiet "$root" "$source"
package=$(block "The package" 1)
(cd "$source" && bash -euo pipefail -c "$package")

echo "== a board"
fresh
written first "A board, from nothing" 1
written second "A board, from nothing" 2
boot board.sh

echo "== the fleet manager's machine"
fresh
cp "$source"/models/bundles/breast/*.tar "$system/root/desk/"
written fleet "The fleet's side" 1
written keys "Once: the repository and its keys" 1
written refresh "Every day, by a timer, on the server" 1
for number in 1 2 3; do written "release-$number" "A release" $number; done
boot desk.sh
