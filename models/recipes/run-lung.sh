#!/usr/bin/env bash
# The second bundle, from the clips: stills, training, int8, a draft measured on the held-out patients, the bundle.
# usage: run-lung.sh BIN DATA RUNS OUT
set -euo pipefail
bin=$1 data=$2 runs=$3 out=$4
version=0.1.0
recipes=$(dirname "$0")
stills=$runs/lung-stills run=$runs/lung
held_out=(--manifest "$stills/manifest.csv" --groups "$recipes/../splits/lung-heldout.txt")
root=(--root "stills=$stills")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sono() { "$bin/python" -m sono_models.command "$@"; }

[ -f "$stills/manifest.csv" ] ||
    sono model stills "$data/lung/manifest.csv" --out "$stills" --rename covid-19=pneumonia \
        --rename "viral pneumonia=pneumonia" --rename "bacterial pneumonia=pneumonia"
[ -f "$run/run.json" ] || sono model train "$recipes/lung.toml" --out "$run" --cache "$runs/views" "${root[@]}"
[ -f "$run/int8/quantize.json" ] ||
    sono model quantize --run "$run" --out "$run/int8" --recipe "$recipes/../../quantize/recipes/qat.toml" "${root[@]}"
sono model pack --run "$run" --quantized "$run/int8" "${root[@]}" --version "$version" --out "$work/draft"
sono model evaluate --bundle "$work/draft" "${held_out[@]}" --target pneumonia --json > "$work/lung_heldout.json"
sono model compare --bundle "$work/draft" "${held_out[@]}" --float "$run" --json > "$work/compare_lung.json"
sono model pack --run "$run" --quantized "$run/int8" "${root[@]}" --version "$version" --out "$out" \
    --card "$out/card.md" --evidence "$work/lung_heldout.json" --evidence "$work/compare_lung.json" \
    --bound 'compare_lung.runtimes_max_diff<=0.01' --bound 'compare_lung.decision_agreement>=0.95'
mkdir -p "$out/evidence"
cp "$work"/*.json "$out/evidence/"
