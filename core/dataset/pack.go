package dataset

import (
	"cmp"
	"slices"
)

// pack puts sequences of these lengths into packs of at most room tokens: the
// longest first, each into the fullest pack that has room for it (best fit
// decreasing). The packs and their members are in the order of the sequences.
func pack(lengths []int32, room int) [][]int32 {
	byLength := make([]int32, len(lengths))
	for i := range byLength {
		byLength[i] = int32(i)
	}
	slices.SortStableFunc(byLength, func(a, b int32) int { return cmp.Compare(lengths[b], lengths[a]) })
	var packs [][]int32
	open := make([][]int32, room+1) // packs by the room they have left
	most := newTree(room + 1)       // which of them are not empty
	for _, i := range byLength {
		n := int(lengths[i])
		left := most.next(n)
		p := int32(len(packs))
		if left <= room {
			p = open[left][len(open[left])-1]
			if open[left] = open[left][:len(open[left])-1]; len(open[left]) == 0 {
				most.set(left, false)
			}
		} else {
			left, packs = room, append(packs, nil)
		}
		packs[p] = append(packs[p], i)
		open[left-n] = append(open[left-n], p)
		most.set(left-n, true)
	}
	for _, p := range packs {
		slices.Sort(p)
	}
	slices.SortFunc(packs, func(a, b []int32) int { return cmp.Compare(a[0], b[0]) })
	return packs
}

// tree is a set of small numbers that finds the next one in it at once.
type tree struct {
	size int
	any  []bool // of the numbers below a node; the leaves are the second half
}

func newTree(n int) *tree {
	size := 1
	for size < n {
		size *= 2
	}
	return &tree{size, make([]bool, 2*size)}
}

func (t *tree) set(i int, in bool) {
	i += t.size
	t.any[i] = in
	for i /= 2; i > 0; i /= 2 {
		t.any[i] = t.any[2*i] || t.any[2*i+1]
	}
}

// next returns the smallest number of the set that is at least i, or one beyond
// all numbers.
func (t *tree) next(i int) int {
	n := i + t.size
	for !t.any[n] {
		for n%2 == 1 { // to where there is more on the right
			if n /= 2; n <= 1 {
				return t.size
			}
		}
		n++
	}
	for n < t.size {
		if n *= 2; !t.any[n] {
			n++
		}
	}
	return n - t.size
}
