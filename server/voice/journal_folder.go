package voice

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/uuid"
)

const (
	segmentSuffix = ".jsonl"
	refusedFile   = "refused.jsonl"
)

// settle makes this process's folder, and moves into it what the folders of processes that are gone hold. File names are
// ordered by time, so what was first is applied first.
func (j *Journal) settle() error {
	if err := os.MkdirAll(j.opts.Dir, 0o700); err != nil {
		return err
	}
	turn, err := os.OpenFile(filepath.Join(j.opts.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = turn.Close() }()
	if err := syscall.Flock(int(turn.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	j.dir = filepath.Join(j.opts.Dir, "process-"+uuid.Must(uuid.NewV7()).String())
	if err := os.Mkdir(j.dir, 0o700); err != nil {
		return err
	}
	if j.lock, err = os.OpenFile(filepath.Join(j.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(j.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return err
	}
	others, err := filepath.Glob(filepath.Join(j.opts.Dir, "process-*"))
	if err != nil {
		return err
	}
	for _, dir := range others {
		if dir != j.dir {
			j.inherit(dir)
		}
	}
	files, err := filepath.Glob(filepath.Join(j.dir, "*"+segmentSuffix))
	slices.Sort(files)
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil || strings.HasSuffix(path, refusedFile) {
			continue
		}
		left := &segment{path: path, size: info.Size(), done: true}
		left.waiting.Store(countLines(path))
		j.segments = append(j.segments, left)
	}
	return err
}

// inherit takes over a folder whose process is gone, which its lock tells.
func (j *Journal) inherit(dir string) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return
	}
	defer func() { _ = lock.Close() }()
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return // it lives
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	for _, path := range files {
		name := filepath.Base(path)
		if name == refusedFile {
			name = "refused-" + uuid.NewString() + ".old"
		}
		if err := os.Rename(path, filepath.Join(j.dir, name)); err != nil {
			j.log.Error("voice: what an earlier process recorded cannot be taken over", "file", path, "error", err)
			return
		}
	}
	_ = os.RemoveAll(dir)
	if len(files) > 0 {
		j.log.Info("voice: took over what an earlier process had recorded", "files", len(files))
	}
}

// Close writes what is still in memory. Events may no longer be recorded.
func (j *Journal) Close() {
	close(j.quit)
	j.wrote.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.active != nil {
		_ = j.active.Close()
		j.active = nil
	}
	_ = j.lock.Close()
	if j.waiting() == 0 {
		_ = os.Remove(filepath.Join(j.dir, "lock"))
		if len(j.segments) == 1 {
			_ = os.Remove(j.segments[0].path)
		}
		_ = os.Remove(j.dir) // unless something was refused and waits to be looked at
	}
}

func countLines(path string) int64 {
	body, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	return int64(bytes.Count(body, []byte{'\n'}))
}
