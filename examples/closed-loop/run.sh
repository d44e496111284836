#!/usr/bin/env bash
# run.sh [DIR]   a closed loop: a model gets better by what it has said itself
#
# A small model learns a little of two things, to add and to judge whether an
# answer is complete. Then it is served; its own answers to further questions are
# judged, by contrib's ORM boxed_math (is the result right?) and by contrib's PRM
# remote, which asks the same server (is every step there?); and what passes both
# is trained on. It takes about two minutes, and ends with an error unless
# accuracy on 500 sums went up by five points, more than twice the error of the
# difference. (More of the first lesson would teach the model more; what is shown
# is that it can learn from what is kept of its own.)
#
# Wants bin/swiftgo and plugins/ (./build.sh) and nothing else. STEPS and
# QUESTIONS make it smaller or larger.
set -euo pipefail
swiftgo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/bin/swiftgo
dir=${1:-output/closed-loop}
steps=${STEPS:-300} questions=${QUESTIONS:-1500}
rm -rf "$dir"
mkdir -p "$dir"
cd "$dir"

# 1. A model with random weights; sums to learn from, sums to be asked, and sums
# to examine it with, all of them different.
"$swiftgo" quickstart --output_dir start --max_steps 1 >/dev/null
sed -n 1,1200p start/train.jsonl >sums.jsonl
cp start/heldout.jsonl exam.jsonl
# The questions are without the answers; the results are for the ORM alone.
sed -n "2001,$((2000 + questions))p" start/train.jsonl | awk -F'"' '{
	result = $14; gsub(/.*{|}/, "", result)
	printf "{\"query\": \"%s\", \"solution\": \"%s\"}\n", $6, result
}' >questions.jsonl

# What the judge is asked is what the plugin remote asks. An answer of which a
# step is missing deserves -1.
prompt="system"
judgements() { # SUMS
	awk -F'"' -v prompt="$prompt" '{
		n = split($14, step, ", "); text = $14; reward = 1
		if (NR % 2) { text = ""; drop = NR % 3 + 1; reward = -1
			for (i = 1; i <= n; i++) if (i != drop) text = text (text == "" ? "" : ", ") step[i] }
		printf "{\"messages\": [{\"role\": \"system\", \"content\": \"%s\"}, {\"role\": \"user\", \"content\": \"user: %s\\n\\nThe answer to judge:\\n%s\"}, {\"role\": \"assistant\", \"content\": \"Reward: %d\"}]}\n", prompt, $6, text, reward
	}' "$1"
}
judgements <(sed -n 1,400p sums.jsonl) >judge.jsonl
judgements exam.jsonl >judge-exam.jsonl

learn() { # MODEL OUTPUT LEARNING_RATE DATASET...
	local model=$1 out=$2 rate=$3
	shift 3
	"$swiftgo" sft --model "$model" --tuner_type full --learning_rate "$rate" --max_steps "$steps" --output_dir "$out" --add_version=false \
		--per_device_train_batch_size 32 --gradient_accumulation_steps 1 --save_steps "$steps" --logging_steps 50 --split_dataset_ratio 0 \
		--loss_scale last_round --save_only_model --dataset "$@" >"$out.log" 2>&1 || { cat "$out.log"; exit 1; }
}
examine() { # CHECKPOINT
	"$swiftgo" infer --model "$1/checkpoint-$steps" --val_dataset exam.jsonl --orm_model boxed_math --temperature 0 --max_new_tokens 40 --result_path "$1.jsonl" >"$1-exam.log" 2>&1 || { cat "$1-exam.log"; exit 1; }
	awk '/"reward": ?1[,}]/ { right++ } END { printf "%.1f", 100 * right / NR }' "$1.jsonl"
}

# 2. A little learning.
learn start/model first 1e-3 sums.jsonl judge.jsonl
before=$(examine first)
echo "accuracy before the loop: $before %"
"$swiftgo" infer --model "first/checkpoint-$steps" --val_dataset judge-exam.jsonl --metric acc --temperature 0 --max_new_tokens 10 2>/dev/null | sed 's/^/the judge: /'

# 3. The loop: serve, sample, judge, keep.
"$swiftgo" deploy --model "first/checkpoint-$steps" --served_model_name pupil --port 0 >deploy.log 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 100); do
	url=$(grep -oE 'http://[0-9.:]+' deploy.log | head -1) && break
	sleep 0.2
done
"$swiftgo" sample --sampler_engine client --base_url "$url/v1" --model pupil --dataset questions.jsonl --num_return_sequences 2 \
	--max_new_tokens 40 --temperature 0.3 --orm_model boxed_math --prm_model remote --remote.url "$url/v1" --remote.model pupil --remote.prompt "$prompt" \
	--remote.parallel 16 --n_best_to_keep 1 --output_dir . --output_file kept.jsonl 2>&1 | tail -5
kill $server
wait $server || true

# 4. Training on what was kept, and on nothing else.
learn "first/checkpoint-$steps" second 3e-4 kept.jsonl
after=$(examine second)
echo "accuracy after the loop: $after %, trained on $(wc -l <kept.jsonl) answers of its own"
awk -v a="$before" -v b="$after" 'BEGIN { exit !(b >= a + 5) }' || { echo "the loop did not help"; exit 1; }
