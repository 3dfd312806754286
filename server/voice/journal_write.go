package voice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

// write is the only one who writes files.
func (j *Journal) write() {
	defer j.wrote.Done()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	dirty := false
	for {
		select {
		case in := <-j.queue:
			if in.done != nil {
				in.done <- j.sync()
				dirty = false
				continue
			}
			j.append(in.event)
			dirty = true
		case <-tick.C:
			if dirty {
				if err := j.sync(); err != nil {
					j.log.Error("voice: the journal cannot be synced", "error", err)
				}
				dirty = false
			}
		case <-j.quit:
			for {
				select {
				case in := <-j.queue:
					if in.done != nil {
						in.done <- nil
					} else {
						j.append(in.event)
					}
				default:
					_ = j.sync()
					return
				}
			}
		}
	}
}

func (j *Journal) append(e Event) {
	line, err := encodeLine(e)
	if err != nil || len(line) > maxEventSize {
		j.outside.Add(-1)
		j.lose(1, "too_large")
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.wake()
	if err = j.rotate(int64(len(line))); err == nil {
		// One write: a reader sees the whole line or none of it.
		if _, err = j.active.Write(line); err == nil {
			last := j.segments[len(j.segments)-1]
			last.size += int64(len(line))
			last.waiting.Add(1)
			j.outside.Add(-1)
			return
		}
		_ = j.active.Close()
		j.active = nil
	}
	j.log.Error("voice: the journal cannot be written; events are kept in memory", "error", err)
	if len(j.homeless) >= maxHomeless {
		j.outside.Add(-1)
		j.lose(1, "disk")
		return
	}
	j.homeless = append(j.homeless, e)
}

// rotate sees to it that there is a file with room for n bytes. j.mu must be held.
func (j *Journal) rotate(n int64) error {
	if j.active != nil {
		last := j.segments[len(j.segments)-1]
		if last.size+n <= j.opts.SegmentBytes {
			return nil
		}
		_ = j.active.Sync()
		_ = j.active.Close()
		j.active = nil
	}
	for _, s := range j.segments {
		s.done = true
	}
	path := filepath.Join(j.dir, uuid.Must(uuid.NewV7()).String()+segmentSuffix)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	j.active = f
	j.segments = append(j.segments, &segment{path: path})
	j.bound()
	return nil
}

// bound drops the oldest files beyond the allowance, never the one that is written to. j.mu must be held.
func (j *Journal) bound() {
	total := j.opts.SegmentBytes
	for _, s := range j.segments {
		total += s.size
	}
	for len(j.segments) > 1 && total > j.opts.MaxBytes {
		oldest := j.segments[0]
		j.segments = j.segments[1:]
		total -= oldest.size
		_ = os.Remove(oldest.path)
		j.lose(oldest.waiting.Load(), "disk_full")
	}
}

func (j *Journal) sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.active == nil {
		return nil
	}
	return j.active.Sync()
}

func (j *Journal) wake() {
	select {
	case j.woken <- struct{}{}:
	default:
	}
}

// encodeLine is an event with its checksum: "crc json\n".
func encodeLine(e Event) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	line := fmt.Appendf(make([]byte, 0, len(body)+10), "%08x ", crc32.ChecksumIEEE(body))
	return append(append(line, body...), '\n'), nil
}

// decodeLine is false for a line that is torn or changed.
func decodeLine(line []byte) (e Event, ok bool) {
	sum, body, found := bytes.Cut(bytes.TrimSuffix(line, []byte{'\n'}), []byte{' '})
	if !found || fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) != string(sum) {
		return e, false
	}
	return e, json.Unmarshal(body, &e) == nil
}
