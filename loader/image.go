package loader

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// image reads the memory of an ELF file as it will be when it is loaded, where
// the runtime's own tables say what a plugin exports.
type image struct {
	file      *elf.File
	relocated map[uint64]uint64 // words of .go.module that the dynamic loader sets
}

func newImage(file *elf.File) *image {
	im := &image{file, map[uint64]uint64{}}
	module, table := file.Section(".go.module"), file.Section(".rela.dyn")
	if module == nil || table == nil {
		return im
	}
	data, err := table.Data()
	if err != nil {
		return im // the words are then 0 and the search for them fails
	}
	const entry = 24 // bytes: offset, info, addend
	for ; len(data) >= entry; data = data[entry:] {
		at := binary.LittleEndian.Uint64(data)
		relative := elf.R_X86_64(binary.LittleEndian.Uint32(data[8:])) == elf.R_X86_64_RELATIVE
		if relative && at >= module.Addr && at-module.Addr < module.Size {
			im.relocated[at] = binary.LittleEndian.Uint64(data[16:])
		}
	}
	return im
}

func (im *image) bytes(addr, n uint64) ([]byte, error) {
	for _, p := range im.file.Progs {
		if p.Type == elf.PT_LOAD && addr >= p.Vaddr && addr-p.Vaddr <= p.Filesz && n <= p.Filesz-(addr-p.Vaddr) {
			b := make([]byte, n)
			_, err := p.ReadAt(b, int64(addr-p.Vaddr))
			return b, err
		}
	}
	return nil, fmt.Errorf("address %#x is in no segment", addr)
}

// module returns the plugin path and the exports from the runtime's description
// of the plugin, type moduledata of package runtime. Where that stands does not
// hang on one release: the table of packages is known by its length, and the
// others stand at a distance before it that has been the same since Go 1.21.
func (im *image) module(packages int, defined map[string]bool) (pluginPath string, exports []Export, err error) {
	section := im.file.Section(".go.module")
	if section == nil {
		return "", nil, errors.New("no module data")
	}
	data, err := section.Data()
	if err != nil {
		return "", nil, err
	}
	words := make([]uint64, len(data)/8)
	for i := range words {
		var moved bool
		if words[i], moved = im.relocated[section.Addr+uint64(i)*8]; !moved {
			words[i] = binary.LittleEndian.Uint64(data[i*8:])
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
	name, err := im.bytes(words[at+path], words[at+path+1])
	if err != nil {
		return "", nil, fmt.Errorf("plugin path: %w", err)
	}
	base, n := words[at+types], words[at+ptab+1]
	table, err := im.bytes(words[at+ptab], 8*n)
	if err != nil || n > 1<<20 {
		return "", nil, fmt.Errorf("the table of %d exports is not there", n)
	}
	for ; len(table) > 0; table = table[8:] {
		e, err := im.export(base, binary.LittleEndian.Uint32(table), binary.LittleEndian.Uint32(table[4:]))
		if err != nil {
			return "", nil, err
		}
		if !defined[string(name)+"."+e.Name] {
			return "", nil, fmt.Errorf("its table exports %q, its symbols do not", e.Name)
		}
		exports = append(exports, e)
	}
	slices.SortFunc(exports, func(a, b Export) int { return strings.Compare(a.Name, b.Name) })
	return string(name), exports, nil
}

// export reads an export whose name and type are at these distances from types.
func (im *image) export(types uint64, name, typ uint32) (e Export, err error) {
	if e.Name, err = im.name(types + uint64(name)); err != nil {
		return e, err
	}
	const size, tflag, kind, str = 48, 20, 23, 40 // in bytes, of abi.Type and its fields
	const extraStar, kindMask = 1 << 1, 1<<5 - 1
	t, err := im.bytes(types+uint64(typ), size)
	if err != nil {
		return e, err
	}
	if e.Type, err = im.name(types + uint64(binary.LittleEndian.Uint32(t[str:]))); err != nil {
		return e, err
	}
	if t[tflag]&extraStar != 0 {
		e.Type = strings.TrimPrefix(e.Type, "*")
	}
	e.Func = reflect.Kind(t[kind]&kindMask) == reflect.Func
	if !e.Func {
		e.Type = strings.TrimPrefix(e.Type, "*") // the table has pointers to variables
	}
	return e, nil
}

// name reads a name of package runtime: a byte of flags, the length, the text.
func (im *image) name(addr uint64) (string, error) {
	head, err := im.bytes(addr, 4)
	if err != nil {
		return "", err
	}
	n, k := binary.Uvarint(head[1:])
	if k <= 0 {
		return "", fmt.Errorf("no name at address %#x", addr)
	}
	text, err := im.bytes(addr+1+uint64(k), n)
	return string(text), err
}
