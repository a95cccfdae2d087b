#!/usr/bin/env bash
# From a bundle to the same models under a chosen alert law: sweeps over the dev split, the choice, a draft, the sweeps
# over held-out stills (once), real clips, the evidence, the bundle. Resumes: what is there is not made again; a
# recording that was cut off goes on where it ended.
# usage: alert-law.sh BIN DATA SOURCE WORK OUT
set -euo pipefail
bin=$1 data=$2 source=$3 work=$4 out=$5
version=0.4.0
models=$(cd "$(dirname "$0")/.." && pwd)
results=$models/evidence/results law=$models/recipes/alert-law.json card=$out/card.md draft=$work/draft
sono() { "$bin/python" -m sono_models.command "$@"; }
stills=(--images "$data/bus_bra/manifest.csv" --images "$data/busi/manifest.csv")
mkdir -p "$work" "$results"

[ -f "$work/dev.npz" ] ||
    sono bench alerts --bundle "$source" "${stills[@]}" --groups "$models/splits/dev.txt" \
        --sweeps 63 --minutes 24 --seed 11 --workers 2 --observations "$work/dev.npz" --json > /dev/null
[ -f "$law" ] ||
    sono bench alerts --bundle "$source" --again "$work/dev.npz" --choose "$law" --json > "$results/alert-law.json"
[ -d "$draft" ] || sono model pack --from "$source" --law "$law" --version "$version" --out "$draft"
[ -f "$work/heldout.npz" ] ||
    sono bench alerts --bundle "$draft" "${stills[@]}" --groups "$models/splits/heldout.txt" \
        --sweeps 100 --minutes 60 --seed 7 --workers 2 --observations "$work/heldout.npz" --json > /dev/null
[ -f "$results/alerts.json" ] ||
    sono bench alerts --bundle "$draft" --again "$work/heldout.npz" --outcomes "$results/alerts-outcomes.csv" --json \
        > "$results/alerts.json"
[ -f "$results/clips.json" ] ||
    sono bench clips --bundle "$draft" --table "$data/lung/manifest.csv" --json > "$results/clips.json"
[ -f "$results/clips-lung.json" ] ||
    sono bench clips --bundle "$models/bundles/lung" --table "$data/lung/manifest.csv" \
        --groups "$models/splits/lung-heldout.txt" --json > "$results/clips-lung.json"

sono model evidence --bundle "$draft" --card "$card" --data "$data"
sono model pack --from "$source" --law "$law" --version "$version" --out "$out" --card "$card" \
    --evidence "$results/alerts.json" --evidence "$results/alert-law.json" --evidence "$results/clips.json"
sono model evidence --check --data "$data"
