#!/usr/bin/env bash
# The fits behind the headline table: train, quantize, pack a draft, and score each on what it has never seen.
# Resumes: what is there is not made again. About four hours on two cores.
# usage: protocols.sh BIN DATA PHANTOM RUNS SCORES
set -euo pipefail
bin=$1 data=$2 phantom=$3 runs=$4 scores=$5
recipes=$(dirname "$0")
qat=$recipes/../../quantize/recipes/qat.toml
roots=(--root "data=$data" --root "phantom=$phantom")
bus_bra=(--manifest "$data/bus_bra/manifest.csv")
busi=(--manifest "$data/busi/manifest.csv")
sono() { "$bin/python" -m sono_models.command "$@"; }

# protocol RUN RECIPE [--fold K] -- MANIFEST AND ITS ROWS
protocol() {
    local name=$1 run=$runs/$2 recipe=$recipes/$3 fold=()
    shift 3
    while [ "$1" != -- ]; do fold+=("$1"); shift; done
    shift
    [ -f "$run/run.json" ] || sono model train "$recipe" --out "$run" --cache "$runs/views" "${fold[@]}" "${roots[@]}"
    [ -f "$run/int8/quantize.json" ] ||
        sono model quantize --run "$run" --out "$run/int8" --recipe "$qat" "${roots[@]}"
    [ -d "$run/draft" ] ||
        sono model pack --run "$run" --quantized "$run/int8" "${roots[@]}" --version 0.0.0 --out "$run/draft"
    [ -f "$scores/$name.csv" ] ||
        sono model compare --bundle "$run/draft" --float "$run" "$@" --scores "$scores/$name.csv"
}

mkdir -p "$scores"
for fold in 1 2 3 4; do
    protocol "busbra-fold$fold" "folds-$fold" breast-folds.toml --fold "$fold" -- "${bus_bra[@]}" --where "fold=$fold"
done
protocol busbra-fold5 breast breast.toml -- "${bus_bra[@]}" --where fold=5
protocol busi-heldout breast breast.toml -- "${busi[@]}" --where label_conflict=0 --groups "$recipes/../splits/busi-heldout.txt"
protocol busbra-to-busi busbra breast-busbra.toml -- "${busi[@]}"
protocol busi-to-busbra busi breast-busi.toml -- "${bus_bra[@]}"
