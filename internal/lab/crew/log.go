package crew

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"unsafe"

	"tcpstory/internal/lab/crew/jury"
)

// logRecords bounds what a crew can write down. The file is sparse.
const logRecords = 1 << 21

// logRecord is struct record of src/crew.h, in the machine's own byte order.
type logRecord struct {
	From, To, Cookie uint64
	PID, TID         uint32
	Result           int32
	Local, Remote    uint16
	Act, Server      uint8
	_                [6]byte
	Comm             [16]byte
}

func newLog(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("make the crew's log: %w", err)
	}
	defer f.Close()
	if err := f.Truncate(logRecords * int64(unsafe.Sizeof(logRecord{}))); err != nil {
		return fmt.Errorf("make the crew's log: %w", err)
	}
	return nil
}

// readLog reads the records written so far. The first one's place holds their
// number.
func readLog(path string) ([]jury.Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the crew's log: %w", err)
	}
	defer f.Close()
	var head struct {
		Used uint64
		_    [unsafe.Sizeof(logRecord{}) - 8]byte
	}
	if err := binary.Read(f, binary.NativeEndian, &head); err != nil {
		return nil, fmt.Errorf("read the crew's log: %w", err)
	}
	raw := make([]byte, head.Used*uint64(unsafe.Sizeof(logRecord{})))
	if _, err := io.ReadFull(f, raw); err != nil {
		return nil, fmt.Errorf("read the crew's log: %w", err)
	}
	lines := make([]logRecord, head.Used)
	if _, err := binary.Decode(raw, binary.NativeEndian, lines); err != nil {
		return nil, fmt.Errorf("read the crew's log: %w", err)
	}
	records := make([]jury.Record, len(lines))
	for i := range lines {
		records[i] = lines[i].record()
	}
	return records, nil
}

func (l *logRecord) record() jury.Record {
	comm, _, _ := bytes.Cut(l.Comm[:], []byte{0})
	return jury.Record{
		Act: jury.Act(l.Act), From: int64(l.From), To: int64(l.To), Cookie: l.Cookie, PID: l.PID, TID: l.TID,
		Result: l.Result, Local: l.Local, Remote: l.Remote, Server: l.Server != 0, Comm: string(comm),
	}
}
