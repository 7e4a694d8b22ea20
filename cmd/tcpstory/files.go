package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"tcpstory/internal/capture"
	"tcpstory/internal/record"
)

// files are those that a recording goes into, one after the other, with tcpdump's
// names: -C counts them, -G dates them, -W bounds their number.
type files struct {
	path   string
	size   int64         // -C: bytes after which the next event begins a file; 0: none
	every  time.Duration // -G: likewise; 0: none
	most   int           // -W; 0: no bound
	fresh  bool          // what is there already, a link that somebody has laid there too, is left alone
	stdout *os.File
	file   *os.File
	name   string
	count  int   // of the file, with -C
	dated  int   // files that -G has begun
	begun  int64 // when the last of these was, ns
}

// first opens the first file.
func (f *files) first(now int64) (*os.File, error) {
	f.begun = now
	return f.open()
}

// isDue reports whether an event at time now belongs into another file.
func (f *files) isDue(now, size int64) bool {
	return f.size > 0 && size > f.size || f.late(now)
}

func (f *files) late(now int64) bool { return f.every > 0 && now-f.begun >= int64(f.every) }

// next opens the next file; the one before has been closed. errEnough: there have
// been as many as were asked for.
func (f *files) next(now int64) (*os.File, error) {
	if !f.late(now) {
		if f.count++; f.most > 0 && f.every == 0 && f.count >= f.most {
			f.count = 0
		}
		return f.open()
	}
	f.begun, f.count = now, 0
	if f.dated++; f.most > 0 && f.size == 0 && f.dated >= f.most {
		return nil, errEnough
	}
	return f.open()
}

func (f *files) open() (*os.File, error) {
	if f.path == capture.Stdio {
		f.file, f.name = f.stdout, "to standard output"
		return f.file, nil
	}
	f.name = f.path
	if f.every > 0 {
		f.name = strftime(f.path, time.Unix(0, f.begun))
	}
	width := 0
	if f.most > 0 && f.size > 0 {
		width = len(fmt.Sprint(f.most - 1))
	}
	if f.count > 0 || width > 0 {
		f.name += fmt.Sprintf("%0*d", width, f.count)
	}
	var err error
	flags := os.O_RDWR | os.O_CREATE | os.O_TRUNC
	if f.fresh {
		flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
	}
	if f.file, err = os.OpenFile(f.name, flags, capture.FileMode); err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	return f.file, nil
}

// failed names the file in an error of writing, and cuts a file that is full back
// to its last whole block.
func (f *files) failed(err error, w *record.Writer) error {
	if err == nil || f.file == nil || err == errEnough {
		return err
	}
	if info, statErr := f.file.Stat(); statErr == nil && info.Mode().IsRegular() && f.path != capture.Stdio {
		if cutErr := f.file.Truncate(w.Written()); cutErr != nil {
			err = errors.Join(err, cutErr)
		}
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("write recording %s: %w", f.name, err)
}

// close closes the file, after an error or not.
func (f *files) close(err error) error {
	if f.file == nil || f.path == capture.Stdio {
		return err
	}
	closeErr := f.file.Close()
	f.file = nil
	return errors.Join(err, closeErr)
}

// bytesOf reads a flag's argument: millions of bytes, or with a letter KiB, MiB, GiB.
func bytesOf(flag, s string) (int64, error) {
	units := map[string]int64{"": 1e6, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
	number := strings.TrimRight(s, "kKmMgGbB")
	unit, ok := units[strings.TrimSuffix(strings.ToLower(s[len(number):]), "b")]
	var n int64
	if _, err := fmt.Sscanf(number+"\n", "%d\n", &n); err != nil || !ok || n <= 0 || n > 1<<40/unit*1024 {
		return 0, fmt.Errorf("%s %s: want millions of bytes, or a number with k, m or g", flag, s)
	}
	return n * unit, nil
}
