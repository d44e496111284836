package loader

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// image reads the memory of an ELF file as it will be when it is loaded, where
// the runtime's own tables say what a plugin exports.
type image struct {
	file      *elf.File
	relocated []relocation // words that the dynamic loader sets, sorted
}

type relocation struct{ at, value uint64 }

// newImage takes the addresses of symbols for the relocations that name one.
func newImage(file *elf.File, symbols []elf.Symbol) (*image, error) {
	im := &image{file: file}
	table := file.Section(".rela.dyn")
	if table == nil {
		return im, nil
	}
	data, err := table.Data()
	if err != nil {
		return nil, err
	}
	const entry = 24 // bytes: offset, info, addend
	im.relocated = make([]relocation, 0, len(data)/entry)
	for ; len(data) >= entry; data = data[entry:] {
		r := relocation{binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[16:])}
		info := binary.LittleEndian.Uint64(data[8:])
		switch kind, symbol := elf.R_X86_64(uint32(info)), info>>32; {
		case kind == elf.R_X86_64_RELATIVE:
		case kind == elf.R_X86_64_64 && symbol > 0 && symbol <= uint64(len(symbols)):
			r.value += symbols[symbol-1].Value // the same type or string may stand in several plugins
		default:
			continue
		}
		im.relocated = append(im.relocated, r)
	}
	byAddress := func(a, b relocation) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	}
	if !slices.IsSortedFunc(im.relocated, byAddress) {
		slices.SortFunc(im.relocated, byAddress)
	}
	return im, nil
}

func (im *image) bytes(addr, n uint64) ([]byte, error) {
	for _, p := range im.file.Progs {
		if p.Type != elf.PT_LOAD || addr < p.Vaddr || addr-p.Vaddr > p.Memsz || n > p.Memsz-(addr-p.Vaddr) {
			continue
		}
		b := make([]byte, n)
		at := addr - p.Vaddr
		if at < p.Filesz { // what is beyond is zero
			if _, err := p.ReadAt(b[:min(n, p.Filesz-at)], int64(at)); err != nil {
				return nil, err
			}
		}
		return b, nil
	}
	return nil, fmt.Errorf("address %#x is in no segment", addr)
}

// word returns the word at addr.
func (im *image) word(addr uint64) (uint64, error) {
	i, found := slices.BinarySearchFunc(im.relocated, addr, func(r relocation, addr uint64) int {
		switch {
		case r.at < addr:
			return -1
		case r.at > addr:
			return 1
		}
		return 0
	})
	if found {
		return im.relocated[i].value, nil
	}
	b, err := im.bytes(addr, 8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// text returns the Go string whose two words stand at addr.
func (im *image) text(addr uint64) (string, error) {
	const longest = 1 << 16
	data, err := im.word(addr)
	if err != nil {
		return "", err
	}
	n, err := im.word(addr + 8)
	if err != nil || n > longest {
		return "", errors.New("no string")
	}
	if n == 0 {
		return "", nil
	}
	b, err := im.bytes(data, n)
	return string(b), err
}

// module returns the plugin path and the exports from the runtime's description
// of the plugin, type moduledata of package runtime. Where that stands does not
// hang on one release: the table of packages is known by its length, and the
// others stand at a distance before it that has been the same since Go 1.21.
func (im *image) module(packages int, defined map[string]uint64) (pluginPath string, exports []Export, err error) {
	section := im.file.Section(".go.module")
	if section == nil || section.Size > largest {
		return "", nil, errors.New("no module data")
	}
	words := make([]uint64, section.Size/8)
	for i := range words {
		if words[i], err = im.word(section.Addr + uint64(i)*8); err != nil {
			return "", nil, err
		}
	}
	const (
		path  = -2  // pluginpath, a string
		ptab  = -5  // the exports, a slice
		types = -19 // where the types begin
	)
	at := -types
	for at+2 < len(words) && (words[at] == 0 || words[at+1] != uint64(packages) || words[at+2] != uint64(packages)) {
		at++
	}
	if at+2 >= len(words) {
		return "", nil, errors.New("no table of packages in its module data")
	}
	const longest, most = 1 << 16, 1 << 20
	base, n := words[at+types], words[at+ptab+1]
	if words[at+path+1] > longest || n > most {
		return "", nil, errors.New("absurd module data")
	}
	name, err := im.bytes(words[at+path], words[at+path+1])
	if err != nil {
		return "", nil, fmt.Errorf("plugin path: %w", err)
	}
	table, err := im.bytes(words[at+ptab], 8*n)
	if err != nil {
		return "", nil, fmt.Errorf("table of exports: %w", err)
	}
	for ; len(table) > 0; table = table[8:] {
		e := Export{}
		if e.Name, err = im.name(base + uint64(binary.LittleEndian.Uint32(table))); err != nil {
			return "", nil, err
		}
		e.Type, e.Func = im.typeOf(base, base+uint64(binary.LittleEndian.Uint32(table[4:])))
		if !e.Func {
			e.Type = strings.TrimPrefix(e.Type, "*") // the table has pointers to variables
		}
		if defined[string(name)+"."+e.Name] == 0 {
			return "", nil, fmt.Errorf("its table exports %q, its symbols do not: it was linked with -ldflags=-pluginpath, or is damaged", e.Name)
		}
		exports = append(exports, e)
	}
	slices.SortFunc(exports, func(a, b Export) int { return strings.Compare(a.Name, b.Name) })
	return string(name), exports, nil
}

// name reads a name of package runtime: a byte of flags, the length, the text.
func (im *image) name(addr uint64) (string, error) {
	const longest = 1 << 12
	head, err := im.bytes(addr, 4)
	if err != nil {
		return "", err
	}
	n, k := binary.Uvarint(head[1:])
	if k <= 0 || n > longest {
		return "", fmt.Errorf("no name at address %#x", addr)
	}
	text, err := im.bytes(addr+1+uint64(k), n)
	return string(text), err
}
