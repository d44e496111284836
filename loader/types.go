package loader

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// Distances in bytes in the runtime's descriptions of types, package
// internal/abi: those of Type are in all of them, the others come after it.
const (
	tflagAt, kindAt, nameAt = 20, 23, 40
	typeSize                = 48
	elemAt                  = 48 // of pointers, slices and arrays; the key of maps
	mapElemAt               = 56
	arrayLenAt              = 64
	inAt, outAt             = 48, 50 // how many parameters and results
	funcSize                = 56     // without parameters
)

const (
	flagUncommon, flagExtraStar, flagNamed = 1 << 0, 1 << 1, 1 << 2
	kindMask                               = 1<<5 - 1
	uncommonSize                           = 16
)

// sizes are those of the descriptions after which the path of a named type's
// package stands, for the kinds that variables of plugins have.
var sizes = map[reflect.Kind]uint64{
	reflect.Struct: 80, reflect.Interface: 80, reflect.Func: funcSize, reflect.Pointer: 56, reflect.Slice: 56, reflect.Array: 72, reflect.Chan: 64,
}

// typeOf returns the type that is described at addr, with the import paths of
// its packages, and whether it is a function. What it cannot read it writes as
// the type's own short name.
func (im *image) typeOf(types, addr uint64) (text string, function bool) {
	t := typeReader{im, types, 0}
	text = t.read(addr)
	head, err := im.bytes(addr, typeSize)
	return text, err == nil && reflect.Kind(head[kindAt]&kindMask) == reflect.Func
}

type typeReader struct {
	*image
	types uint64 // where they begin
	count int    // of the types read, since descriptions may lead in a circle
}

func (t *typeReader) read(addr uint64) string {
	const most = 256
	t.count++
	head, err := t.bytes(addr, typeSize)
	if err != nil || t.count > most {
		return "?"
	}
	short, err := t.name(t.types + uint64(binary.LittleEndian.Uint32(head[nameAt:])))
	if err != nil {
		return "?"
	}
	if head[tflagAt]&flagExtraStar != 0 {
		short = strings.TrimPrefix(short, "*")
	}
	kind := reflect.Kind(head[kindAt] & kindMask)
	if head[tflagAt]&flagNamed != 0 {
		return t.named(addr, head[tflagAt], kind, short)
	}
	elem := func(at uint64) string {
		p, err := t.word(addr + at)
		if err != nil {
			return "?"
		}
		return t.read(p)
	}
	switch kind {
	case reflect.Pointer:
		return "*" + elem(elemAt)
	case reflect.Slice:
		return "[]" + elem(elemAt)
	case reflect.Array:
		n, _ := t.word(addr + arrayLenAt)
		return fmt.Sprintf("[%d]%s", n, elem(elemAt))
	case reflect.Map:
		return "map[" + elem(elemAt) + "]" + elem(mapElemAt)
	case reflect.Func:
		return t.signature(addr, head[tflagAt], elem)
	}
	return short
}

// signature returns the type of a function.
func (t *typeReader) signature(addr uint64, flags byte, elem func(at uint64) string) string {
	counts, err := t.bytes(addr+inAt, 4)
	if err != nil {
		return "?"
	}
	const variadic = 1 << 15
	ins, outs := int(binary.LittleEndian.Uint16(counts)), int(binary.LittleEndian.Uint16(counts[outAt-inAt:]))
	at := uint64(funcSize)
	if flags&flagUncommon != 0 {
		at += uncommonSize
	}
	var list []string
	for i := range ins + outs&^variadic {
		list = append(list, elem(at+8*uint64(i)))
		if t.count > 1<<10 {
			return "?"
		}
	}
	if outs&variadic != 0 && ins > 0 {
		list[ins-1] = "..." + strings.TrimPrefix(list[ins-1], "[]")
	}
	text := "func(" + strings.Join(list[:ins], ", ") + ")"
	switch results := strings.Join(list[ins:], ", "); len(list) - ins {
	case 0:
		return text
	case 1:
		return text + " " + results
	default:
		return text + " (" + results + ")"
	}
}

// named returns the name of a type with the path of its package.
func (t *typeReader) named(addr uint64, flags byte, kind reflect.Kind, short string) string {
	size, ok := sizes[kind]
	if !ok && kind <= reflect.Complex128 || kind == reflect.String || kind == reflect.UnsafePointer {
		size, ok = typeSize, true
	}
	if flags&flagUncommon == 0 || !ok {
		return short
	}
	at, err := t.bytes(addr+size, 4)
	if err != nil {
		return short
	}
	path, err := t.name(t.types + uint64(binary.LittleEndian.Uint32(at)))
	_, name, qualified := strings.Cut(short, ".")
	if err != nil || path == "" || !qualified {
		return short
	}
	return path + "." + name
}

// fullType returns a type as typeOf would.
func fullType(t reflect.Type) string {
	switch {
	case t.Name() != "" && t.PkgPath() != "":
		return t.PkgPath() + "." + t.Name()
	case t.Name() != "":
		return t.Name()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + fullType(t.Elem())
	case reflect.Slice:
		return "[]" + fullType(t.Elem())
	case reflect.Map:
		return "map[" + fullType(t.Key()) + "]" + fullType(t.Elem())
	case reflect.Func:
		var in, out []string
		for i := range t.NumIn() {
			in = append(in, fullType(t.In(i)))
		}
		for i := range t.NumOut() {
			out = append(out, fullType(t.Out(i)))
		}
		text := "func(" + strings.Join(in, ", ") + ") " + strings.Join(out, ", ")
		if len(out) > 1 {
			text = "func(" + strings.Join(in, ", ") + ") (" + strings.Join(out, ", ") + ")"
		}
		return strings.TrimSuffix(text, " ")
	}
	return t.String()
}

var folders = regexp.MustCompile(`[\w~%-][\w.~%-]*(/[\w.~%-]+)*/`)

// written returns a type as the author of a plugin writes it: packages by their
// names, and any.
func written(fullType string) string {
	return strings.ReplaceAll(folders.ReplaceAllString(fullType, ""), "interface {}", "any")
}
