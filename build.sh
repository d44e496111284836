#!/usr/bin/env bash
# build.sh                  builds bin/swiftgo and plugins/*.so from contrib, with one set of flags
# build.sh DIR...           builds the plugins in these folders, of any module or of none, into plugins/
# build.sh check DIR...     vets and tests them first
# build.sh test [ARG...]    builds all of it and runs every test; ARGs go to go test
# build.sh quickstart       builds all of it, trains a small model and shows what it learned
# build.sh bench            builds swiftgo, measures it (a quarter of an hour) and writes BENCHMARKS.md anew
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
caller=$PWD
cd "$root"
umask 022 # a plugin that others can write to is refused

# Plugins load only into a host that was built with the same flags: -trimpath on
# both sides makes them independent of where the sources lie.
flags=(-trimpath -ldflags=-s\ -w)
export CGO_ENABLED=1 GOFLAGS="${GOFLAGS-}"

want() { # the tools without which nothing can be built
	command -v go >/dev/null || { echo "build.sh: go is missing; want Go 1.26 (https://go.dev/dl)" >&2; exit 1; }
	command -v gcc >/dev/null || command -v cc >/dev/null || {
		install gcc libc6-dev || { echo "build.sh: a C compiler is missing; want gcc (apt-get install gcc)" >&2; exit 1; }
	}
}

# The matrix library is opened when swiftgo runs. Without one it computes in
# pure Go, many times slower.
library() {
	if ldconfig -p 2>/dev/null | grep -qE 'libdnnl\.so|libopenblas\.so\.0'; then return; fi
	install libdnnl2 || install libdnnl3 || install libopenblas0-pthread ||
		echo "build.sh: no matrix library found; swiftgo will run many times slower until one is installed (apt-get install libdnnl2, libdnnl3 or libopenblas0)" >&2
}

install() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
	echo "build.sh: installing $*"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 && return
	apt-get update -q >/dev/null 2>&1
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1
}

host() {
	mkdir -p bin
	# A plugin is built in a workspace, for which Go wants the go.mod of every
	# module there is a word of. Once they are here, plugins build offline.
	go mod graph >/dev/null 2>&1 || true
	go build "${flags[@]}" -o bin/swiftgo ./cmd/swiftgo
}

contrib() {
	mkdir -p plugins
	local dir
	for dir in contrib/*/; do
		go build "${flags[@]}" -buildmode=plugin -o "plugins/$(basename "$dir").so" "./$dir"
	done
}

# plugins builds the plugins in these folders, which may belong to any module or
# to none. Nothing is written to them.
plugins() {
	host
	(cd "$caller" && "$root/bin/swiftgo" plugin build --output_dir "$root/plugins" "$@")
}

# try vets and tests the plugin in a folder as its author does.
try() { (cd "$caller" && cd "$1" && go vet . && go test -trimpath .); }

# bench measures training steps and answers, one shape after another, each in a
# process of its own.
bench() {
	local commit table
	commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
	git diff --quiet HEAD 2>/dev/null || commit="$commit with changes"
	table=$(mktemp)
	cat >"$table" <<-END
		# Benchmarks

		Written by \`./build.sh bench\`, which runs \`swiftgo bench train SHAPE --row\` with the options that the rows show.
		Weights are random; a step is the whole of one: forward, backward, clipping, AdamW; LoRA has rank 8 on all
		linear layers. The time is the median of the steps measured. The limit is what the step's matrix products
		take at the larger rate of two measured in the same process, before and after the steps: 4·N·T floating-point
		operations for LoRA, 6·N·T for full fine-tuning, N being the parameters in products and T the tokens of a step.
		CPU time is that of all threads; where it is far from the time of a step times the cores, others computed on the
		machine too, and the share of the limit means little.

		- commit: $commit
		- machine: $(lscpu | sed -n 's/^Model name: *//p'), $(nproc) cores, $(free -g | awk '/^Mem/ {print $2}') GiB of memory
		- load before: $(cut -d' ' -f1-3 /proc/loadavg)
		- $(bin/swiftgo env | sed -n 's/^row kernels */row kernels: /p'); $(bin/swiftgo env | sed -n 's/^matrix products */matrix products: /p')

		| shape | tokens | weights | tokens/s | ms a step | CPU ms | GFLOP/s | of the limit | GB at most | predicted | growth MB | heap KB a step | GC |
		|---|---|---|---|---|---|---|---|---|---|---|---|---|
	END
	while read -r args; do
		# shellcheck disable=SC2086
		bin/swiftgo bench train $args --row | tee -a "$table"
	done <<-END
		stories260k-lora --steps 500
		stories260k-lora --steps 200 --ragged
		stories15m-full
		gpt2-full
		qwen2.5-0.5b-lora
		qwen2.5-0.5b-lora --lora_dropout 0.05
		qwen2.5-0.5b-lora --torch_dtype bfloat16
		qwen2.5-0.5b-lora --gradient_checkpointing
		qwen2.5-0.5b-lora --threads 1 --warmup 1 --steps 3
		qwen2.5-0.5b-lora --seq 4096 --gradient_checkpointing --warmup 0 --steps 1
	END
	cat >>"$table" <<-END

		## Answers

		By \`swiftgo bench generate SHAPE --row\`: prompts are read, then 64 tokens written after each. Reading is compared with its matrix
		products at the library's rate (2·N·T), writing a token of every sequence with reading all weights once at the memory's rate.

		| shape | weights | sequences x prompt | prefill tokens/s | GFLOP/s | of the limit | ms a token | decoding tokens/s | GB/s | of the limit | GB at most |
		|---|---|---|---|---|---|---|---|---|---|---|
	END
	while read -r args; do
		# shellcheck disable=SC2086
		bin/swiftgo bench generate $args --row | tee -a "$table"
	done <<-END
		stories15m-full --prompt 256
		qwen2.5-0.5b-lora
		qwen2.5-0.5b-lora --torch_dtype bfloat16
		qwen2.5-0.5b-lora --sequences 8 --prompt 128
	END
	beside "$table"
	echo >>"$table"
	echo "load after: $(cut -d' ' -f1-3 /proc/loadavg)" >>"$table"
	mv "$table" BENCHMARKS.md
	chmod 644 BENCHMARKS.md
}

# beside TABLE measures PyTorch in turn with swiftgo, where it is installed and
# the script for it lies beside the repository.
beside() {
	local script=$root/../shared/tools/speed.py python ours theirs
	for python in python3 /usr/bin/python3 ""; do
		if [ -n "$python" ] && "$python" -c 'import torch' 2>/dev/null; then break; fi
	done
	[ -n "$python" ] && [ -f "$script" ] || return 0
	cat >>"$1" <<-END

		## Beside PyTorch

		The same steps by PyTorch $("$python" -c 'import torch; print(torch.__version__)') in float32, the two in turn: tokens/s at the median of five steps, and GB at most.

		| shape | tokens | swiftgo | PyTorch | ratio | swiftgo GB | PyTorch GB |
		|---|---|---|---|---|---|---|
	END
	while read -r shape mode batch seq name; do
		ours=$(bin/swiftgo bench train "$shape" --json | awk -F'[:,]' '/"tokens_per_s"/ { t = $2 } /"peak_rss"/ { m = $2 / 1e9 } END { print t, m }')
		theirs=$(cd "$(dirname "$script")" && env -u OPENBLAS_CORETYPE PYTHONDONTWRITEBYTECODE=1 "$python" speed.py "$mode" f32 "$batch" "$seq" "$name" | sed 's/.*s.step .\(.*\)\] tok.* peakGB/\1/; s/,//g' |
			awk -v n="$((batch * seq))" '{ for (i = 1; i < NF; i++) t[i] = $i; for (i = 1; i < NF; i++) for (j = i + 1; j < NF; j++) if (t[j] < t[i]) { x = t[i]; t[i] = t[j]; t[j] = x } print n / t[int(NF / 2)], $NF }')
		echo "$shape $batch $seq $ours $theirs" | awk '{ printf "| %s | %d x %d | %.1f | %.1f | %.2f | %.2f | %.2f |\n", $1, $2, $3, $4, $6, $4 / $6, $5, $7 }' | tee -a "$1"
	done <<-END
		qwen2.5-0.5b-lora lora 1 512 qwen0.5b
		gpt2-full full 4 64 gpt2ish
		stories15m-full full 4 256 stories15m
	END
}

want
case "${1-}" in
test)
	shift
	library
	host
	contrib
	go test -trimpath -timeout 30m ./... "$@" # on a machine that has compiled nothing yet it takes ten minutes
	;;
quickstart)
	shift
	library
	host
	contrib
	exec bin/swiftgo quickstart "$@"
	;;
bench)
	library
	host
	bench
	;;
"")
	library
	host
	contrib
	;;
check)
	shift
	for dir; do try "$dir"; done
	plugins "$@"
	;;
-*)
	sed -n '2,7s/^# //p' "$0"
	[ "$1" = -h ] || [ "$1" = --help ]
	;;
*)
	plugins "$@"
	;;
esac
