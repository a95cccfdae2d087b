#!/usr/bin/env bash
# From a finished run and its int8 models to the bundle: heads, a draft, what it does on the test sets, the card, and
# the bundle that meets its bounds. Score tables and results that are there are not made again.
# usage: pack-breast.sh BIN DATA PHANTOM RUN OUT
set -euo pipefail
bin=$1 data=$2 phantom=$3 run=$4 out=$5
version=0.4.0
models=$(cd "$(dirname "$0")/.." && pwd)
scores=$models/evidence/scores results=$models/evidence/results
held_out=$models/splits/busi-heldout.txt
int8=$run/int8 draft=$run/draft card=$out/card.md
sono() { "$bin/python" -m sono_models.command "$@"; }
roots=(--root "data=$data" --root "phantom=$phantom")
# Another run's net needs another law: alert-law.sh chooses it on this script's draft, and packs what ships from this
# script's bundle, with the evidence of the sweeps.
pack=(sono model pack --run "$run" --quantized "$int8" "${roots[@]}" --version "$version" --heads "$run/heads.json"
    --law "$models/recipes/alert-law.json")
fold5=(--manifest "$data/bus_bra/manifest.csv" --where fold=5)
busi=(--manifest "$data/busi/manifest.csv" --where label_conflict=0 --groups "$held_out")
mkdir -p "$scores" "$results"

[ -f "$run/heads.json" ] || sono model heads --run "$run" --quantized "$int8" "${roots[@]}" \
    --negatives "$data/lung/manifest.csv" --held-out "$data/cine" --out "$run/heads.json"
[ -d "$draft" ] || "${pack[@]}" --out "$draft"
[ -f "$scores/busbra-fold5.csv" ] ||
    sono model compare --bundle "$draft" "${fold5[@]}" --float "$run" --scores "$scores/busbra-fold5.csv"
[ -f "$scores/busi-heldout.csv" ] ||
    sono model compare --bundle "$draft" "${busi[@]}" --float "$run" --scores "$scores/busi-heldout.csv"
[ -f "$results/robustness.json" ] ||
    sono model robustness --bundle "$draft" "${fold5[@]}" --json > "$results/robustness.json"
[ -f "$results/gates.json" ] ||
    sono bench gates --bundle "$draft" --images "$data/busi/manifest.csv" --where label_conflict=0 \
        --groups "$held_out" --cine "$data/cine" --lung "$data/lung/manifest.csv" --json > "$results/gates.json"
[ -f "$results/repeat.json" ] || sono bench repeat --bundle "$draft" --repeats 10000 --json > "$results/repeat.json"
sono model profile reference --bundle "$draft" --manifest "$run/dev.csv" "${roots[@]}" --out "$run/dev_scores.json"

sono model evidence --bundle "$draft" --card "$card" --data "$data"
"${pack[@]}" --out "$out" --card "$card" \
    --evidence "$scores/busbra-fold5.json" --evidence "$scores/busi-heldout.json" \
    --evidence "$results/robustness.json" --evidence "$results/gates.json" --evidence "$run/dev_scores.json" \
    --bound 'busbra-fold5.auroc.onnx.value>=0.87' --bound 'busi-heldout.auroc.onnx.value>=0.89' \
    --bound 'busbra-fold5.delta_auroc.lo>=-0.01' --bound 'busi-heldout.delta_auroc.lo>=-0.01' \
    --bound 'busbra-fold5.decision_agreement>=0.975' --bound 'busi-heldout.decision_agreement>=0.975' \
    --bound 'busbra-fold5.runtimes_max_diff<=0.00392' --bound 'busi-heldout.runtimes_max_diff<=0.00392'
sono model evidence --check --data "$data"
