package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestRunDispatches(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{nil, 2, "", "Usage: kestrel"},
		{[]string{"fly"}, 2, "", `unknown command "fly"`},
		{[]string{"help"}, 0, "Usage: kestrel", ""},
		{[]string{"help", "env"}, 0, "`SUPABASE_URL`", ""},
		{[]string{"version"}, 0, version, ""},
		{[]string{"serve", "-h"}, 0, "", "Usage of serve"},
		{[]string{"serve", "--nope"}, 2, "", "-nope"},
		{[]string{"serve"}, 1, "", "BASE_DOMAIN is not set"},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), process{test.args, nil, &stdout, &stderr})
			if code != test.code || !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) {
				t.Errorf("status %d, stdout %q, stderr %q", code, &stdout, &stderr)
			}
		})
	}
}
