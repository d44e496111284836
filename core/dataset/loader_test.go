package dataset

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"swiftgo/api"
)

func TestMix(t *testing.T) {
	a, b := write(t, "a.jsonl", numbered(200)), write(t, "b.jsonl", strings.ReplaceAll(numbered(100), `"i"`, `"b": true, "i"`))
	first := open(t, Options{Seed: 1, Mix: []float64{0.7, 0.3}}, a, b)
	all := open(t, Options{Seed: 1, Mix: []float64{0.7, 0.3}, Exhaust: true}, a, b)
	share := func(d *Dataset) (ofB float64) {
		for i := range d.Len() {
			if row(t, d, i).Columns["b"] == true {
				ofB++
			}
		}
		return ofB / float64(d.Len())
	}
	if n := share(first); n < 0.22 || n > 0.38 {
		t.Errorf("%g of the mix is b, want 0.3", n)
	}
	seen := map[string]bool{}
	for i := range all.Len() {
		seen[row(t, all, i).Source] = true
	}
	if first.Len() >= all.Len() || len(seen) != 300 {
		t.Errorf("%d rows until one is used up, %d until both are; %d different ones", first.Len(), all.Len(), len(seen))
	}
	if again := open(t, Options{Seed: 1, Mix: []float64{0.7, 0.3}}, a, b); !slices.Equal(answers(t, first), answers(t, again)) {
		t.Error("two mixes of one seed")
	}
	for _, c := range []struct {
		mix  []float64
		want string
	}{{[]float64{1}, "1 numbers, and there are 2"}, {[]float64{0.5, 0.6}, "adds up to 1.1"}, {[]float64{1.5, -0.5}, "above 0"}} {
		if _, err := Open([]string{a, b}, Options{Mix: c.mix}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.mix, err)
		}
	}
}

// TestPack compares packs with those of a plain best fit.
func TestPack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		lengths, room := make([]int32, 1+r.IntN(60)), 1+r.IntN(50)
		for i := range lengths {
			lengths[i] = int32(1 + r.IntN(room))
		}
		packs := pack(lengths, room)
		used := make([]int, len(packs))
		seen := map[int32]bool{}
		for p, members := range packs {
			for _, i := range members {
				used[p] += int(lengths[i])
				seen[i] = true
			}
			if used[p] > room || !slices.IsSorted(members) {
				t.Fatalf("a pack of %v has %d tokens, want at most %d", members, used[p], room)
			}
		}
		var naive []int // room left
		sorted := slices.SortedFunc(slices.Values(lengths), func(a, b int32) int { return int(b - a) })
		for _, n := range sorted {
			best := -1
			for p, left := range naive {
				if left >= int(n) && (best < 0 || left < naive[best]) {
					best = p
				}
			}
			if best < 0 {
				naive, best = append(naive, room), len(naive)
			}
			naive[best] -= int(n)
		}
		if len(seen) != len(lengths) || len(packs) != len(naive) {
			t.Fatalf("lengths %v in %d: %d packs with %d sequences, want %d", lengths, room, len(packs), len(seen), len(naive))
		}
	}
}

// steps returns what the first n optimizer steps are made of.
func steps(t *testing.T, l *Loader, n int) [][]*api.Batch {
	t.Helper()
	var all [][]*api.Batch
	for i := range n {
		b, err := l.Step(i/l.StepsPerEpoch(), i%l.StepsPerEpoch())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// TestResume checks that the next batch of a run is that of one which was not
// interrupted, with shuffling, packing and mixing, from memory and lazily.
func TestResume(t *testing.T) {
	a, b := write(t, "a.jsonl", numbered(31)), write(t, "b.jsonl", numbered(17))
	for _, lazy := range []bool{false, true} {
		for _, room := range []int{0, 80} {
			d := open(t, Options{Seed: 3, Mix: []float64{0.5, 0.5}, Lazy: lazy}, a, b)
			batching := Batching{Batch: 2, Accumulate: 2, Shuffle: true, Seed: 5, Pack: room}
			whole := steps(t, loader(t, d, batching), 40)
			for _, at := range []int{0, 3, 17, 29, 39} {
				l := loader(t, d, batching)
				per := l.StepsPerEpoch()
				got, err := l.Step(at/per, at%per)
				if err != nil || !reflect.DeepEqual(got, whole[at]) {
					t.Errorf("lazy %v, packs of %d: step %d from the start differs; %v", lazy, room, at, err)
				}
				if sources, err := l.Sources(at/per, at%per); err != nil || len(sources) == 0 {
					t.Errorf("sources %v, %v", sources, err)
				}
			}
			if reflect.DeepEqual(whole[0], whole[20]) {
				t.Error("every step is the same")
			}
		}
	}
}

// TestPackedBatches checks that packs hold all rows once an epoch, as sequences
// of their own.
func TestPackedBatches(t *testing.T) {
	d := open(t, Options{}, write(t, "a.jsonl", numbered(20)))
	l := loader(t, d, Batching{Batch: 1, Accumulate: 1, Shuffle: true, Seed: 1, Pack: 40})
	if got := slices.Sorted(slices.Values(epoch(t, l, 2))); len(got) != 20 || len(slices.Compact(got)) != 20 {
		t.Errorf("rows %v", got)
	}
	for _, batches := range steps(t, l, l.StepsPerEpoch()) {
		b := batches[0]
		if len(b.IDs) > 40 || len(b.Starts) != len(b.Rows) || len(b.Starts) < 1 {
			t.Errorf("a pack of %d tokens, %d starts and %d rows", len(b.IDs), len(b.Starts), len(b.Rows))
		}
		for i, start := range b.Starts {
			if b.IDs[start] != 'q' || i > 0 && b.Labels[start-1] != api.Ignore {
				t.Errorf("sequence %d begins at %d of %q", i, start, string(b.IDs))
			}
		}
	}
	if !strings.Contains(l.Summary(), "packs of at most 40 tokens") {
		t.Error(l.Summary())
	}
	for _, lazy := range []bool{false, true} {
		d := open(t, Options{Lazy: lazy}, write(t, "a.jsonl", numbered(20)))
		_, err := NewLoader(d, encoder(0), Batching{Batch: 30, Accumulate: 1, Pack: 10})
		if err == nil {
			l := loader(t, d, Batching{Batch: 20, Accumulate: 1, Pack: 10})
			_, err = l.Step(0, 0)
		}
		if err == nil || !strings.Contains(err.Error(), "--packing_length is 10") {
			t.Errorf("packs that are too small: %v", err)
		}
	}
}

// TestLazy checks that a lazy loader hands out what one does that reads ahead,
// and meets what is wrong with rows when it comes to them.
func TestLazy(t *testing.T) {
	path := write(t, "a.jsonl", numbered(23))
	b := Batching{Batch: 2, Accumulate: 1}
	ahead := steps(t, loader(t, open(t, Options{}, path), b), 11)
	if got := steps(t, loader(t, open(t, Options{Lazy: true}, path), b), 11); !reflect.DeepEqual(got, ahead) {
		t.Error("a lazy loader has other batches")
	}
	bad := write(t, "a.jsonl", "{\n"+numbered(4)+"[]\n")
	l := loader(t, open(t, Options{Lazy: true}, bad), Batching{Batch: 4, Accumulate: 1})
	if got := numbers(t, l, 0, 0); !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("rows %v", got)
	}
	if got := numbers(t, l, 0, 1); !slices.Equal(got, []int{0, 1, 2, 3}) || l.Stats().Dropped["not JSON"] != 2 {
		t.Errorf("rows %v of the second epoch; left out %v", got, l.Stats().Dropped)
	}
	strict := loader(t, open(t, Options{Lazy: true, Strict: true}, write(t, "a.jsonl", numbered(2)+"{\n")), b)
	if _, err := strict.Step(0, 1); err == nil || !strings.Contains(err.Error(), "a.jsonl:3: not JSON") {
		t.Errorf("strict: %v", err)
	}
	if _, err := NewLoader(open(t, Options{Lazy: true}, write(t, "a.jsonl", "{\n{")), encoder(0), b); err == nil || !strings.Contains(err.Error(), "none of 2 rows") {
		t.Errorf("no good row: %v", err)
	}
}

func TestCache(t *testing.T) {
	path := write(t, "a.jsonl", numbered(9)+"{\n")
	cache := filepath.Join(t.TempDir(), "tokens")
	b := Batching{Batch: 2, Accumulate: 1, Cache: cache}
	made := loader(t, open(t, Options{}, path), b)
	want, stats := steps(t, made, 5), made.Stats()
	data, err := os.ReadFile(cache)
	if err != nil {
		t.Fatal(err)
	}
	used := encoder(0)
	used.Tokenizer = nil // is not asked
	l, err := NewLoader(open(t, Options{}, path), used, b)
	if err != nil || !reflect.DeepEqual(steps(t, l, 5), want) || !reflect.DeepEqual(l.Stats(), stats) {
		t.Errorf("the cached tokens differ: %v", err)
	}
	for _, n := range []int{0, 7, len(data) / 2, len(data) - 1} { // half a file is made again
		if err := os.WriteFile(cache, data[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if got := steps(t, loader(t, open(t, Options{}, path), b), 5); !reflect.DeepEqual(got, want) {
			t.Errorf("after %d bytes of the cached file the tokens differ", n)
		}
		if again, err := os.ReadFile(cache); err != nil || !slices.Equal(again, data) {
			t.Errorf("the cached file is not made again: %v", err)
		}
	}
	one, err := open(t, Options{}, path).Fingerprint()
	other, err2 := open(t, Options{}, write(t, "a.jsonl", numbered(9)+"[\n")).Fingerprint()
	if err != nil || err2 != nil || one == other {
		t.Errorf("fingerprints %s and %s, %v, %v", one, other, err, err2)
	}
}

// TestByLength sees every row once an epoch, in an order that follows from the
// seed and the epoch, with less difference of lengths in a step than without, and
// the longest row in the first.
func TestByLength(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var rows strings.Builder
	const n, longest = 120, 77
	for i := range n {
		size := 1 + r.IntN(60)
		if i == longest {
			size = 100
		}
		rows.WriteString(`{"query": "q", "response": "` + strings.Repeat("x", size) + `", "i": ` + strconv.Itoa(i) + "}\n")
	}
	d := open(t, Options{}, write(t, "a.jsonl", rows.String()))
	spread := func(byLength bool, epoch int) (sum int, seen []float64) {
		l := loader(t, d, Batching{Batch: 2, Accumulate: 2, Shuffle: true, Seed: 3, ByLength: byLength})
		for i := range l.StepsPerEpoch() {
			batches, err := l.Step(epoch, i)
			if err != nil {
				t.Fatal(err)
			}
			shortest, most := 1000, 0
			for _, b := range batches {
				for k, row := range b.Rows {
					end := len(b.IDs)
					if k+1 < len(b.Starts) {
						end = int(b.Starts[k+1])
					}
					shortest, most = min(shortest, end-int(b.Starts[k])), max(most, end-int(b.Starts[k]))
					seen = append(seen, row["i"].(float64))
				}
			}
			sum += most - shortest
		}
		return sum, seen
	}
	plain, _ := spread(false, 0)
	grouped, order := spread(true, 0)
	_, again := spread(true, 0)
	_, other := spread(true, 1)
	if !(grouped < plain/2) {
		t.Errorf("the lengths in a step differ by %d in all, and without grouping by %d", grouped, plain)
	}
	if !slices.Equal(order, again) || slices.Equal(order, other) {
		t.Error("the order does not follow from the seed and the epoch")
	}
	if order[0] != longest {
		t.Errorf("the first row is %v, want the longest, %d", order[0], longest)
	}
	if slices.Sort(order); len(order) != n || len(slices.Compact(order)) != n {
		t.Errorf("%d rows in an epoch, want %d different ones", len(order), n)
	}
}
