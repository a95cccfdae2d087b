#!/usr/bin/env bash
# On the board, as root: the runbook's two blocks, and whether what they started does its work.
set -euo pipefail
# shellcheck source=within.sh
. /root/desk/fresh/within.sh
echo "== A board, from nothing"
bash -euo pipefail /root/blocks/first.sh
sed -i -e 's|^site = .*|site = "clinic"|' -e 's|^id = .*|id = "board-7"|' \
    -e 's|^folder = "state"|folder = "/var/lib/sonoedge/state"|' /etc/sonoedge/agent.toml
grep -E '^(site|id|folder) = ' /etc/sonoedge/agent.toml
bash -euo pipefail /root/blocks/second.sh

as_board() { setpriv --reuid=sonoedge --regid=sonoedge --init-groups "$@"; }

echo "== it works"
within 120 systemctl is-active --quiet sono-agent
within 60 systemctl is-active --quiet sono-uplink
for timer in sono-updater.timer sono-updater.path sono-renew.timer; do systemctl is-active "$timer"; done
within 60 bash -c 'python3 -c "import urllib.request as u; u.urlopen(\"http://127.0.0.1:8780/\", timeout=5)"'
timeout 180 mosquitto_sub -h 127.0.0.1 -t 'sono/v1/clinic/board-7/health' -C 1 | grep -q '"fps_scored"'
timeout 300 mosquitto_sub -h 127.0.0.1 -t 'sono/v1/clinic/board-7/alert' -C 1 | grep -q '"kind":"raised"'
as_board /opt/sonoedge/bin/sono slots show --config /etc/sonoedge/agent.toml
echo "== killed, and back"
before=$(systemctl show --value -p MainPID sono-agent)
kill -9 "$before"
within 60 bash -c "[ \"\$(systemctl show --value -p MainPID sono-agent)\" -gt 0 ] && [ \"\$(systemctl show --value -p MainPID sono-agent)\" != $before ]"
within 60 systemctl is-active --quiet sono-agent
systemctl restart sono-agent sono-uplink
within 60 systemctl is-active --quiet sono-agent
failed=$(systemctl list-units --failed --no-legend --plain 'sono-*')
[ -z "$failed" ] || { echo "error: $failed"; journalctl --no-pager -n 60 -u 'sono-*'; exit 1; }
echo "== all of it"
