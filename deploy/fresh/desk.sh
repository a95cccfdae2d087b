#!/usr/bin/env bash
# On the fleet manager's machine: the runbook's blocks in one shell, from the fleet's side to a roll-out that is approved.
set -euo pipefail
# shellcheck source=within.sh
. /root/desk/fresh/within.sh
types() {
    echo "-- $1"
    # shellcheck disable=SC1090
    . "/root/blocks/$1.sh"
}
answers() { python3 -c "import urllib.request as u; assert b'broker_connected 1.0' in u.urlopen('http://$1/metrics').read()"; }

types fleet
for address in 127.0.0.1:9108 127.0.0.1:9109; do within 60 answers $address; done
types keys
types refresh
old=$(echo breast-*.tar)
# a board says what it runs, and the next release comes from a training site
sha=$(sha256sum "$old" | cut -d' ' -f1)
state='{"id":"x","source":"/sono/clinic/board-7","type":"org.sonoedge.state.v1","time":"'$(date -u +%FT%TZ)'","specversion":"1.0",
"datacontenttype":"application/json","data":{"online":true,"reason":"connected","bundle":"'${old%.tar}'","bundle_sha256":"'$sha'","profile":"bundle"}}'
mosquitto_pub -h 127.0.0.1 -q 1 -t sono/v1/clinic/board-7/state -m "$state"
devices() { sono fleet devices --json | grep -q board-7; }
within 30 devices
python - << 'END'
from pathlib import Path
from sono_fleet.publish.releases import repacked
Path("breast-0.4.1.tar").write_bytes(repacked(next(Path().glob("breast-*.tar")).read_bytes(), "0.4.1"))
END
for number in 1 2 3; do types release-$number; done
timeout 60 mosquitto_sub -h 127.0.0.1 -t sono/v1/clinic/board-7/desired -C 1 | grep -q payload
[ -s /srv/updates/metadata/timestamp.json ]
sono fleet audit verify
echo "== all of it"
