#!/usr/bin/env bash
# run.sh [DIR]   a closed loop: a model gets better by what it has said itself
#
# A small model learns a little of two things, to add and to judge answers. Then
# it is served; its own answers to further questions are judged, by contrib's ORM
# boxed_math (is the result right?) and by contrib's PRM remote, which asks the
# same server (are all steps there?); and what passes both is trained on. It
# takes about two minutes, and ends with an error unless accuracy went up.
#
# Wants bin/swiftgo and plugins/ (./build.sh) and nothing else. STEPS, QUESTIONS
# and TRIES make it smaller or larger.
set -euo pipefail
swiftgo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/bin/swiftgo
dir=${1:-output/closed-loop}
steps=${STEPS:-250} questions=${QUESTIONS:-400} tries=${TRIES:-6}
rm -rf "$dir"
mkdir -p "$dir"
cd "$dir"

# 1. A model with random weights, sums to learn from, sums to be asked.
"$swiftgo" quickstart --output_dir start --max_steps 1 >/dev/null
awk -F'[ +?]' '$3 < 30 && $4 < 30' start/train.jsonl start/heldout.jsonl >small.jsonl
sed -n 1,400p small.jsonl >sums.jsonl
sed -n '401,$p' small.jsonl | tail -100 >exam.jsonl
# The questions are without the answers; the results are for the ORM alone.
sed -n 401,800p small.jsonl | head -"$questions" | awk -F'"' '{
	result = $14; gsub(/.*{|}/, "", result)
	printf "{\"query\": \"%s\", \"solution\": \"%s\"}\n", $6, result
}' >questions.jsonl

# What the judge is asked is what the plugin remote asks. An answer of which a
# step is missing deserves -1.
prompt="system"
awk -F'"' -v prompt="$prompt" '{
	n = split($14, step, ", "); text = $14; reward = 1
	if (NR % 2) { text = ""; drop = NR % 3 + 1; reward = -1
		for (i = 1; i <= n; i++) if (i != drop) text = text (text == "" ? "" : ", ") step[i] }
	printf "{\"messages\": [{\"role\": \"system\", \"content\": \"%s\"}, {\"role\": \"user\", \"content\": \"user: %s\\n\\nThe right result is: %s\\n\\nThe answer to judge:\\n%s\"}, {\"role\": \"assistant\", \"content\": \"Reward: %d\"}]}\n", prompt, $6, $14, text, reward
}' <(head -400 sums.jsonl) >judge.jsonl

learn() { # MODEL OUTPUT LEARNING_RATE DATASET...
	local model=$1 out=$2 rate=$3 n=$steps
	shift 3
	"$swiftgo" sft --model "$model" --tuner_type full --learning_rate "$rate" --max_steps "$n" --output_dir "$out" --add_version=false \
		--per_device_train_batch_size 32 --gradient_accumulation_steps 1 --save_steps "$n" --logging_steps 50 --split_dataset_ratio 0 \
		--loss_scale last_round --save_only_model --dataset "$@" >"$out.log" 2>&1 || { cat "$out.log"; exit 1; }
}
examine() { # CHECKPOINT
	"$swiftgo" infer --model "$1" --val_dataset exam.jsonl --orm_model boxed_math --temperature 0 --max_new_tokens 40 --result_path "$2" >"$2.log" 2>&1 || { cat "$2.log"; exit 1; }
	awk '/"reward": ?1[,}]/ { right++ } END { printf "%.1f", 100 * right / NR }' "$2"
}

# 2. A little learning.
learn start/model first 6e-4 sums.jsonl judge.jsonl
before=$(examine "first/checkpoint-$steps" before.jsonl)
echo "accuracy before the loop: $before %"

# 3. The loop: serve, sample, judge, keep.
"$swiftgo" deploy --model "first/checkpoint-$steps" --served_model_name pupil --port 0 >deploy.log 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 100); do
	url=$(grep -oE 'http://[0-9.:]+' deploy.log | head -1) && break
	sleep 0.2
done
"$swiftgo" sample --sampler_engine client --base_url "$url/v1" --model pupil --dataset questions.jsonl --num_return_sequences "$tries" \
	--max_new_tokens 40 --temperature 0.7 --orm_model boxed_math --prm_model remote --remote.url "$url/v1" --remote.model pupil --remote.prompt "$prompt" \
	--n_best_to_keep 2 --output_dir . --output_file kept.jsonl 2>&1 | tail -5
kill $server
wait $server || true

# 4. Training on what was kept, and on nothing else.
learn "first/checkpoint-$steps" second 1e-4 kept.jsonl
after=$(examine "second/checkpoint-$steps" after.jsonl)
echo "accuracy after the loop: $after %, trained on $(wc -l <kept.jsonl) answers of its own"
awk -v a="$before" -v b="$after" 'BEGIN { exit !(b > a) }' || { echo "the loop did not help"; exit 1; }
