#!/usr/bin/env bash
# From nothing to a trained, scored and drawn segmentation of the embedded data set. `make demo` builds first and
# then calls this.
#
#   data/synth    the data set, made once
#   runs/demo     the run. Interrupted: the next call resumes it. Finished: the next call starts runs/demo-2, -3, ...
set -euo pipefail
cd "$(dirname "$0")/.."

smalti=target/release/smalti
config=configs/synth/upernet_nat_nano.toml
root=data # whatever SMALTI_DATA says
data=$root/synth

[[ -x $smalti && -x $smalti-torch ]] || { echo "demo: $smalti is not built: make demo" >&2; exit 2; }

step() { printf '\n== %s\n' "$1"; }

# The first of runs/demo, runs/demo-2, ... that is not finished.
run=runs/demo
for ((n = 2; ; n++)); do
    [[ -e $run/demo-finished ]] || break
    run=runs/demo-$n
done

if [[ -e $data/classes.json ]]; then
    step "data set: $data is there"
else
    step "data set: making $data"
    # Under another name until it is whole, so that an interrupted run leaves no half set.
    rm -rf "$data.partial"
    mkdir -p "$(dirname "$data")"
    "$smalti" data synth --out "$data.partial" --images 800 --val-images 100 --size 128x128 --seed 1
    rm -rf "$data"
    mv "$data.partial" "$data"
fi

if compgen -G "$run/checkpoints/step-*" >/dev/null; then
    step "training: resuming $run"
    "$smalti" train --config "$config" --data-root "$root" --out "$run" --resume
else
    step "training: a new run in $run"
    rm -rf "$run"
    "$smalti" train --config "$config" --data-root "$root" --out "$run"
fi

weights=$run/checkpoints/best.safetensors
step "evaluation: $weights on the validation images"
"$smalti" eval --config "$run/config.toml" --data-root "$root" --weights "$weights" --json "$run/eval.json"

step "pictures: what the model sees in eight validation images"
mapfile -t images < <(find "$data/val" -name '*.jpg' | sort | head -n 8)
"$smalti" predict --config "$run/config.toml" --weights "$weights" --out "$run/pictures" "${images[@]}"
touch "$run/demo-finished"

cat <<EOF

Done.
  report      $run/report.html   (open it in a browser)
  pictures    $run/pictures/
  figures     $run/eval.json
  weights     $weights

Next:
  $smalti predict --weights $weights --out out YOUR_IMAGES...     run it on other images
  $smalti train --help                                            options; --set path=value changes the recipe
  $smalti doctor                                                  what this machine and build can do
Your own data: copy $config, point [data] at your folders, check with \`$smalti data check --config FILE\`.
EOF
