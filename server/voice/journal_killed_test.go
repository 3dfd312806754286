package voice_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"kestrel.ai/server/voice"
)

// holdJournal is a process that records while Postgres is away, until it is killed. Its folder is its argument.
func holdJournal() {
	l := &ledger{closed: true}
	j, err := voice.OpenJournal(voice.JournalOptions{Dir: os.Getenv("KESTREL_VOICE_JOURNAL"), Apply: l.apply, Log: slog.New(slog.DiscardHandler), SegmentBytes: 300})
	if err != nil {
		panic(err)
	}
	go j.Run(context.Background())
	put(j, "a", "b", "c", "d")
	if err := j.Sync(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println("recorded")
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // its parent is gone
}

// TestJournalOfAKilledProcess: what a process had recorded when it was killed (-9) is another's, who does nothing to it while
// the first lives.
func TestJournalOfAKilledProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	holder := exec.Command(os.Args[0]) //nolint:gosec // this test itself
	holder.Env = append(os.Environ(), loadRole+"=journal", "KESTREL_VOICE_JOURNAL="+dir)
	holder.Stderr = os.Stderr
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "recorded\n" {
		t.Fatalf("%q %v", line, err)
	}

	l := &ledger{}
	second, closeSecond := journal(t, l, dir)
	if n := second.Waiting(); n != 0 {
		t.Errorf("took %d events from a process that lives", n)
	}
	put(second, "e")
	until(t, "its own event is applied", func() bool { return l.all() == "e" })

	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	third, closeThird := journal(t, l, dir)
	until(t, "the killed one's events are applied", func() bool { return third.Waiting() == 0 && l.all() == "e a b c d" })
	closeThird()
	closeSecond()
	fourth, closeFourth := journal(t, l, dir)
	if n := fourth.Waiting(); n != 0 || l.all() != "e a b c d" {
		t.Errorf("%d events wait, %s were applied", n, l.all())
	}
	closeFourth()
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left on the disk: %v", left)
	}
}
