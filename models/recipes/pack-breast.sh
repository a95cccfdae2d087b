#!/usr/bin/env bash
# From a finished run and its int8 models to the bundle: a draft, its evidence on the test sets, the bundle that meets its bounds.
# usage: pack-breast.sh BIN DATA PHANTOM RUN INT8 OUT
set -euo pipefail
bin=$1 data=$2 phantom=$3 run=$4 int8=$5 out=$6
version=0.1.0
held_out=$(dirname "$0")/../splits/busi-heldout.txt
card=$out/card.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sono() { "$bin/python" -m sono_models.command "$@"; }
roots=(--root "data=$data" --root "phantom=$phantom")

sono model pack --run "$run" --quantized "$int8" "${roots[@]}" --version "$version" --out "$work/draft"
fold5=(--manifest "$data/bus_bra/manifest.csv" --where fold=5)
busi=(--manifest "$data/busi/manifest.csv" --where label_conflict=0 --groups "$held_out")
sono model evaluate --bundle "$work/draft" "${fold5[@]}" --json > "$work/bus_bra_fold5.json"
sono model evaluate --bundle "$work/draft" "${busi[@]}" --json > "$work/busi_heldout.json"
sono model compare --bundle "$work/draft" "${fold5[@]}" --float "$run" --json > "$work/compare_fold5.json"
sono model compare --bundle "$work/draft" "${busi[@]}" --float "$run" --json > "$work/compare_busi.json"

sono model pack --run "$run" --quantized "$int8" "${roots[@]}" --version "$version" --out "$out" --card "$card" \
    --evidence "$work/bus_bra_fold5.json" --evidence "$work/busi_heldout.json" \
    --evidence "$work/compare_fold5.json" --evidence "$work/compare_busi.json" \
    --bound 'bus_bra_fold5.auroc.value>=0.87' --bound 'busi_heldout.auroc.value>=0.89' \
    --bound 'compare_fold5.delta_auroc.value>=-0.02' --bound 'compare_busi.delta_auroc.value>=-0.02' \
    --bound 'compare_fold5.runtimes_max_diff<=0.00392' --bound 'compare_busi.runtimes_max_diff<=0.00392'
mkdir -p "$out/evidence"
cp "$work"/*.json "$out/evidence/"
