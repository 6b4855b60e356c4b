#!/usr/bin/env bash
# The main job on the embedded data set: a shipped panoptic model is scored and drawn, then fine-tuned on scenes it has
# never seen, and scored and drawn again. `make demo` builds first and then calls this.
#
#   data/demo/synth   scenes like those that the model was trained on
#   data/demo/new     larger, newly generated scenes; SEED=N make demo chooses others
#   runs/demo         everything else. Interrupted: the next call goes on. Finished: the next call starts runs/demo-2, -3, ...
set -euo pipefail
cd "$(dirname "$0")/.."

smalti=target/release/smalti
model=models/mask2former_nat_nano_synth/model.safetensors
recipe=configs/synth/mask2former_nat_nano_tune.toml
root=data/demo # whatever SMALTI_DATA says
seed=${SEED:-7}

[[ -x $smalti && -x $smalti-torch ]] || { echo "demo: $smalti is not built: make demo" >&2; exit 2; }

step() { printf '\n== %s\n' "$1"; }

# scenes NAME ARGS...: a data set under another name until it is whole, so that an interrupted run leaves no half set.
scenes() {
    local place=$root/$1
    shift
    [[ -e $place/classes.json ]] && return
    rm -rf "$place.partial" "$place"
    mkdir -p "$root"
    "$smalti" data synth --out "$place.partial" "$@"
    mv "$place.partial" "$place"
}

# score NAME WEIGHTS ARGS...: scores as NAME.json, pictures as NAME.png.
score() {
    local name=$1 weights=$2
    shift 2
    "$smalti" eval --weights "$weights" --data-root "$root" --json "$run/$name.json" --pictures "$run/$name.png" "$@"
}

# The first of runs/demo, runs/demo-2, ... that is not finished.
run=runs/demo
for ((n = 2; ; n++)); do
    [[ -e $run/demo-finished ]] || break
    run=runs/demo-$n
done
mkdir -p "$run"

step "data: scenes of 128x128 for the shipped model, 192x192 from seed $seed to fine-tune it"
scenes synth --images 8 --val-images 200 --size 128x128 # the validation split depends on the seed alone
scenes "new-$seed" --images 600 --val-images 60 --size 192x192 --seed "$seed"

step "the shipped model: panoptic, instance and semantic scores of one network"
score shipped "$model"

step "the same model on the larger scenes, as it is"
new=(--set "data.root=new-$seed")
score before "$model" --config "$recipe" "${new[@]}"

if compgen -G "$run/tuned/checkpoints/step-*" >/dev/null; then
    step "fine-tuning: resuming $run/tuned"
    "$smalti" train --resume --out "$run/tuned" --data-root "$root"
else
    step "fine-tuning on 600 of these scenes"
    rm -rf "$run/tuned"
    "$smalti" train --config "$recipe" "${new[@]}" --weights "$model" --data-root "$root" --out "$run/tuned"
fi

tuned=$run/tuned/checkpoints/best.safetensors
step "and after fine-tuning"
score after "$tuned"
touch "$run/demo-finished"

step "before and after, on 60 of the larger scenes"
python3 - "$run" <<'PYTHON'
import json, sys
before, after = (json.load(open(f"{sys.argv[1]}/{name}.json")) for name in ("before", "after"))
numbers = {
    "PQ": ("metrics", "PQ"),
    "PQ of things": ("metrics", "PQ_th"),
    "PQ of stuff": ("metrics", "PQ_st"),
    "mask AP": ("instance", "metrics", "AP"),
    "mask AP50": ("instance", "metrics", "AP50"),
    "mIoU": ("semantic", "metrics", "mIoU"),
}
def number(scores, path):
    for key in path:
        scores = scores[key]
    return 100 * scores
print(f"{'':14}{'before':>8}{'after':>8}")
for name, path in numbers.items():
    print(f"{name:14}{number(before, path):8.1f}{number(after, path):8.1f}")
PYTHON

cat <<EOF

Done.
  pictures    $run/shipped.png, $run/before.png, $run/after.png: image, ground truth, and the three tasks side by side
  report      $run/tuned/report.html   (open it in a browser)
  figures     $run/shipped.json, before.json, after.json
  weights     $tuned

Next:
  $smalti predict --weights $tuned --out out YOUR_IMAGES...     run it on other images
  $smalti train --help                                          options; --set path=value changes the recipe
  $smalti doctor                                                what this machine and build can do
Your own data: copy $recipe, point [data] at your files, check with \`$smalti data check --config FILE\`.
EOF
