package report

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// events writes a TensorBoard event file: TFRecords that hold Event messages of
// tensorflow/core/util/event.proto.
type events struct {
	appended
}

// openEvents begins an event file in dir. Where dir has earlier ones, it tells
// TensorBoard to forget what they say of the steps after step.
func openEvents(dir string, step int) (*events, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	earlier, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	e := &events{}
	for n := 0; e.file == nil; n++ {
		name := fmt.Sprintf("events.out.tfevents.%010d.%s.%d.%d", time.Now().Unix(), host, os.Getpid(), n)
		e.file, err = os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil && !os.IsExist(err) {
			return nil, err
		}
	}
	const fileVersion, sessionLog, status, start = 3, 7, 1, 1
	e.event(0, fileVersion, []byte("brain.Event:2"))
	if len(earlier) > 0 {
		session := protowire.AppendVarint(protowire.AppendTag(nil, status, protowire.VarintType), start)
		e.event(step+1, sessionLog, session)
	}
	return e, nil
}

// scalars writes values as one event, each under its tag.
func (e *events) scalars(step int, values map[string]float64) {
	const summary, value, name, simpleValue = 5, 1, 1, 2
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var all []byte
	for _, key := range keys {
		one := protowire.AppendString(protowire.AppendTag(nil, name, protowire.BytesType), strings.ToValidUTF8(tag(key), "?"))
		one = protowire.AppendTag(one, simpleValue, protowire.Fixed32Type)
		one = protowire.AppendFixed32(one, math.Float32bits(float32(values[key])))
		all = protowire.AppendBytes(protowire.AppendTag(all, value, protowire.BytesType), one)
	}
	e.event(step, summary, all)
}

// event appends an event of step, now, whose field what is content.
func (e *events) event(step int, what protowire.Number, content []byte) {
	const wallTime, stepField = 1, 2
	now := float64(time.Now().UnixNano()) / 1e9
	b := protowire.AppendFixed64(protowire.AppendTag(nil, wallTime, protowire.Fixed64Type), math.Float64bits(now))
	b = protowire.AppendVarint(protowire.AppendTag(b, stepField, protowire.VarintType), uint64(step))
	b = protowire.AppendBytes(protowire.AppendTag(b, what, protowire.BytesType), content)
	e.add(record(b))
}

// record frames data as a TFRecord: its length and the data, each followed by
// its masked CRC-32C.
func record(data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, maskedCRC(b))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, maskedCRC(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC returns the checksum of TFRecord, masked so that the checksum of
// data that holds checksums is still a good one.
func maskedCRC(data []byte) uint32 {
	crc := crc32.Checksum(data, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}

// tag returns the name that the transformers Trainer gives a logged value in TensorBoard.
func tag(key string) string {
	if rest, ok := strings.CutPrefix(key, "eval_"); ok {
		return "eval/" + rest
	}
	return "train/" + key
}
