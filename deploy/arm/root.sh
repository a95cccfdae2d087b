#!/usr/bin/env bash
# Set-up of `make arm`: FOLDER/root becomes an arm64 Debian 12 with Python 3.11 and the device's wheels,
# to be run under user-mode emulation: no chroot, no binfmt, no root. About 0.5 GB.
# Debian packages that must be installed on this machine: mmdebstrap, qemu-user-static.
set -euo pipefail
folder=${1:?usage: root.sh FOLDER PYTHON}
python=${2:?usage: root.sh FOLDER PYTHON}
here=$(cd "$(dirname "$0")" && pwd)
root=$folder/root

for command in mmdebstrap qemu-aarch64-static; do
    command -v "$command" > /dev/null ||
        { echo "error: $command is not installed: apt-get install mmdebstrap qemu-user-static" >&2; exit 1; }
done

rm -rf "$root"
mkdir -p "$folder"
# Packages of another architecture are only extracted, which a user without rights can do as well.
mode=auto
[ "$(id -u)" = 0 ] || mode=chrootless
mmdebstrap --quiet --mode=$mode --variant=extract --architectures=arm64 \
    --include=python3,libstdc++6,libgomp1,zlib1g bookworm "$root"

# What the libraries ask about the processor. The emulator passes the host's own answers through: without an ARM
# answer XNNPACK switches itself off in silence (other kernels, other numbers), and ONNX Runtime crashes.
mkdir -p "$root/proc" "$root/sys/devices/system/cpu"
cp "$here/cpuinfo" "$root/proc/cpuinfo"
echo 0-3 | tee "$root/sys/devices/system/cpu/possible" > "$root/sys/devices/system/cpu/present"

# The device's requirements with the LiteRT extra, pinned as everywhere, as ARM wheels; our own code is not among
# them: it runs from the checkout.
"$python" - "$here/../../pyproject.toml" > "$folder/requirements.txt" << 'END'
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
print(*project["dependencies"], *project["optional-dependencies"]["litert"], sep="\n")
END
"$python" -m pip install --quiet --disable-pip-version-check --target "$root/wheels" \
    --only-binary=:all: --implementation cp --python-version 3.11 \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 \
    --constraint "$here/../constraints.txt" --requirement "$folder/requirements.txt"
