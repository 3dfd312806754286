package sandbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
)

// state is everything that survives a restart, oldest first. It changes only through apply.
type state struct {
	Serial     uint64 // counts everything ever made, so that no SID is given twice, not even after a reset
	Numbers    []Number
	Emails     []Email
	Messages   []Message
	Calls      []Call
	Recordings []Recording
	OptOuts    []optOut
	Keys       []idempotencyKey
}

// entry is one change: a line of the state file. What it holds happens together or not at all.
type entry struct {
	Serial    uint64          `json:"serial"`
	Number    *Number         `json:"number,omitempty"`
	Released  string          `json:"released,omitempty"` // SID of a number given back
	Emails    []Email         `json:"emails,omitempty"`
	Key       *idempotencyKey `json:"key,omitempty"`
	Message   *Message        `json:"message,omitempty"`
	Call      *Call           `json:"call,omitempty"`
	Recording *Recording      `json:"recording,omitempty"`
	OptOut    *optOut         `json:"opt_out,omitempty"`
	Reset     bool            `json:"reset,omitempty"`
}

func (st *state) apply(e entry) {
	st.Serial = max(st.Serial, e.Serial)
	if e.Reset {
		*st = state{Serial: st.Serial}
	}
	if e.Number != nil {
		st.Numbers = put(st.Numbers, *e.Number, func(n Number) bool { return n.SID == e.Number.SID })
	}
	if e.Released != "" {
		st.Numbers = slices.DeleteFunc(st.Numbers, func(n Number) bool { return n.SID == e.Released })
	}
	st.Emails = capped(append(st.Emails, e.Emails...))
	if e.Key != nil {
		st.Keys = put(st.Keys, *e.Key, func(k idempotencyKey) bool { return k.Key == e.Key.Key && k.Endpoint == e.Key.Endpoint })
	}
	if e.Message != nil {
		st.Messages = put(st.Messages, *e.Message, func(m Message) bool { return m.SID == e.Message.SID })
	}
	if e.Call != nil {
		st.Calls = put(st.Calls, *e.Call, func(c Call) bool { return c.SID == e.Call.SID })
	}
	if e.OptOut != nil {
		st.OptOuts = put(st.OptOuts, *e.OptOut, func(o optOut) bool { return o.Customer == e.OptOut.Customer && o.Number == e.OptOut.Number })
	}
	if e.Recording != nil {
		st.Recordings = put(st.Recordings, *e.Recording, func(r Recording) bool { return r.SID == e.Recording.SID })
	}
}

// put replaces the item that same finds, searching from the newest, or appends it.
func put[T any](items []T, item T, same func(T) bool) []T {
	for i := len(items) - 1; i >= 0; i-- {
		if same(items[i]) {
			items[i] = item
			return items
		}
	}
	return capped(append(items, item))
}

func capped[T any](items []T) []T {
	if len(items) <= maxKept {
		return items
	}
	return slices.Delete(items, 0, len(items)-maxKept)
}

func newestFirst[T any](items []T) []T {
	out := slices.Clone(items)
	slices.Reverse(out)
	if out == nil {
		out = []T{}
	}
	return out
}

// commit writes e to the state file, then applies it; on an error nothing has changed. s.mu must be held.
func (s *Sandbox) commit(e entry) error {
	e.Serial = s.state.Serial
	if err := s.file.append(e, &s.state); err != nil {
		return fmt.Errorf("sandbox state: %w", err)
	}
	s.state.apply(e)
	return nil
}

// save is commit for those who have nobody to tell of an error. s.mu must be held.
func (s *Sandbox) save(e entry) {
	if err := s.commit(e); err != nil && s.life.Err() == nil {
		slog.Error("sandbox", "error", err)
	}
}

const stateHeader = `{"kestrel_sandbox":1}`

// stateFile is an append-only log of entries. A line is written with one call, so a killed process leaves at most
// one torn line at the end, which the next open drops. A nil *stateFile keeps nothing.
type stateFile struct {
	path  string
	f     *os.File
	lines int
}

func openStateFile(path string) (*stateFile, state, error) {
	var st state
	raw, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, st, fmt.Errorf("sandbox state: %w", err)
	}
	if len(raw) > 0 {
		lines := bytes.Split(raw, []byte("\n"))
		if string(lines[0]) != stateHeader {
			return nil, st, fmt.Errorf("sandbox state: %s is not a sandbox state file", path)
		}
		for i, line := range lines[1:] {
			var e entry
			if len(line) == 0 {
				continue
			}
			if err := json.Unmarshal(line, &e); err != nil {
				if i == len(lines)-2 {
					break // torn by a kill; its request was never answered
				}
				return nil, st, fmt.Errorf("sandbox state: %s line %d: %w", path, i+2, err)
			}
			st.apply(e)
		}
	}
	file := &stateFile{path: path}
	if err := file.rewrite(&st); err != nil {
		return nil, st, fmt.Errorf("sandbox state: %w", err)
	}
	return file, st, nil
}

func (f *stateFile) append(e entry, st *state) error {
	if f == nil {
		return nil
	}
	if f.f == nil {
		return os.ErrClosed
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if f.lines > 5*maxKept {
		if err := f.rewrite(st); err != nil {
			return err
		}
	}
	f.lines++
	_, err = f.f.Write(append(line, '\n'))
	return err
}

// rewrite replaces the log by one that holds the present state, by rename.
func (f *stateFile) rewrite(st *state) error {
	temp, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	w := bufio.NewWriter(temp)
	enc := json.NewEncoder(w)
	fmt.Fprintln(w, stateHeader)
	write := func(e entry) { // the encoder's and writer's errors stick until Flush
		e.Serial = st.Serial
		_ = enc.Encode(e)
	}
	write(entry{})
	for i := range st.Numbers {
		write(entry{Number: &st.Numbers[i]})
	}
	for i := range st.Emails {
		write(entry{Emails: st.Emails[i : i+1]})
	}
	for i := range st.Keys {
		write(entry{Key: &st.Keys[i]})
	}
	for i := range st.Messages {
		write(entry{Message: &st.Messages[i]})
	}
	for i := range st.Calls {
		write(entry{Call: &st.Calls[i]})
	}
	for i := range st.OptOuts {
		write(entry{OptOut: &st.OptOuts[i]})
	}
	for i := range st.Recordings {
		write(entry{Recording: &st.Recordings[i]})
	}
	if err := w.Flush(); err != nil {
		temp.Close()
		return err
	}
	if err := os.Rename(temp.Name(), f.path); err != nil {
		temp.Close()
		return err
	}
	_ = f.close()
	f.f, f.lines = temp, 0
	return nil
}

func (f *stateFile) close() error {
	if f == nil || f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}
