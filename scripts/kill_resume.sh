#!/usr/bin/env bash
# Kills a run on `shapes` with SIGKILL at random moments, resumes it each time, and checks that the
# weights, and every logged loss, end up the same bit for bit as those of an unbroken run.
#
# usage: scripts/kill_resume.sh [KILLS] [AET]      (default: 20 kills, target/release/aet)
set -euo pipefail
kills=${1:-20}
aet=$(realpath "${2:-target/release/aet}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

place=(--runs runs)
options=(--preset smoke
  --set data.shapes.train=1500 --set data.shapes.test=200 --set training.epochs=3
  --set training.batch_size=64 --set training.checkpoint_every=7 --set training.log_every=3
  --set backbone.width=0.1 --set evaluation.probes=[])

losses() { # the logged steps without their timings
  grep '"event":"step"' "$1/metrics.jsonl" |
    sed -E 's/"(pairs_per_second|seconds)":[^,}]*,?//g'
}

start=$(date +%s%N)
"$aet" pretrain "${place[@]}" "${options[@]}" --name unbroken >/dev/null 2>&1
span=$((($(date +%s%N) - start) / 1000000))
echo "unbroken run: $span ms"

done_kills=0
round=0
while ((done_kills < kills)); do
  round=$((round + 1))
  name="broken-$round"
  how=("${options[@]}")
  # Two kills to a run: one anywhere in it, one anywhere in what is left or in its start-up.
  for _ in 1 2; do
    ((done_kills < kills)) || break
    "$aet" pretrain "${place[@]}" --name "$name" "${how[@]}" >/dev/null 2>&1 &
    process=$!
    sleep "$(awk -v span="$span" -v seed="$RANDOM" 'BEGIN { srand(seed); print 0.02 + rand() * span / 1100 }')"
    if kill -9 "$process" 2>/dev/null; then
      done_kills=$((done_kills + 1))
      newest=$(ls "runs/$name/checkpoints" 2>/dev/null | tail -n 1 || true)
      echo "kill $done_kills: run $round, newest checkpoint at step ${newest:-none}"
    fi
    wait "$process" 2>/dev/null || true
    if [[ -e runs/$name/run.toml ]]; then how=(--resume); fi
  done
  "$aet" pretrain "${place[@]}" --name "$name" "${how[@]}" >/dev/null 2>last.log || { cat last.log; exit 1; }
  cmp "runs/unbroken/encoder.safetensors" "runs/$name/encoder.safetensors"
  newest=$(ls "runs/$name/checkpoints" | tail -n 1)
  cmp "runs/unbroken/checkpoints/$newest/model.safetensors" "runs/$name/checkpoints/$newest/model.safetensors"
  diff <(losses runs/unbroken) <(losses "runs/$name")
  echo "run $round: weights and losses equal to the unbroken run's, bit for bit"
done
echo "$done_kills kills, $round runs, all equal"
