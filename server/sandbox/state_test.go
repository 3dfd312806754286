package sandbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kestrel.ai/server/sandbox"
)

func TestStateSurvivesRestart(t *testing.T) {
	t.Parallel()
	now, _ := clock()
	o := sandbox.Options{StateFile: filepath.Join(t.TempDir(), "sandbox.jsonl"), Now: now}
	before := start(t, o)
	kept := before.buy(haiec)
	gone := before.buy(*before.searchLocal(search().SetAreaCode(617))[0].PhoneNumber)
	if err := before.twilio.DeleteIncomingPhoneNumber(*gone.Sid, nil); err != nil {
		t.Fatal(err)
	}
	id, err := before.send(welcome(), "k")
	if err != nil {
		t.Fatal(err)
	}
	before.call("POST", "/_sandbox/messages", `{"to":"`+haiec+`","from":"+16175550123","body":"Hi"}`, 201, nil)
	before.call("POST", "/_sandbox/calls", `{"to":"`+haiec+`","from":"+16175550123"}`, 201, nil)

	// As after a kill: the first one is not closed, and a write was cut short.
	f, err := os.OpenFile(o.StateFile, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"serial":99,"number":{"sid":"PN`); err != nil {
		t.Fatal(err)
	}
	f.Close()

	for range 2 {
		after := start(t, o)
		if numbers := after.sandbox.Numbers(); len(numbers) != 1 || numbers[0].SID != *kept.Sid || !numbers[0].CreatedAt.Equal(now()) {
			t.Errorf("numbers: %+v", numbers)
		}
		if again, err := after.send(welcome(), "k"); err != nil || again != id || len(after.sandbox.Emails()) != 1 {
			t.Errorf("the key is forgotten: %s %v", again, err)
		}
		if len(after.sandbox.Messages()) != 1 || len(after.sandbox.Calls()) != 1 || after.sandbox.Calls()[0].Webhook == nil {
			t.Error("messages or calls are lost")
		}
		if added, err := after.send(welcome(), ""); err != nil || added == id {
			t.Errorf("a SID came twice: %s %v", added, err)
		}
		if err := after.sandbox.Reset(); err != nil {
			t.Fatal(err)
		}
		kept = after.buy(haiec)
		if id, err = after.send(welcome(), "k"); err != nil {
			t.Fatal(err)
		}
		after.call("POST", "/_sandbox/messages", `{"to":"`+haiec+`","from":"+16175550123","body":"Hi"}`, 201, nil)
		after.call("POST", "/_sandbox/calls", `{"to":"`+haiec+`","from":"+16175550123"}`, 201, nil)
	}
}

func TestStateFileRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"foreign": "PRIVATE KEY\n", "broken": "{\"kestrel_sandbox\":1}\n{\"serial\":\n{\"serial\":1}\n"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sandbox.Open(sandbox.Options{StateFile: path}); err == nil || !strings.Contains(err.Error(), "sandbox state") {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadFile(path); err != nil || string(left) != content {
			t.Errorf("%s was changed to %q", name, left)
		}
	}
	if _, err := sandbox.Open(sandbox.Options{StateFile: filepath.Join(dir, "no", "such", "folder")}); err == nil {
		t.Error("a state file in no folder was opened")
	}
}
