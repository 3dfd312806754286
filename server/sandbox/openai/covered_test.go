package openai_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(everyEvent{m}) }

// held are the events, as "server response.done", that a test has held to their published schema.
var held sync.Map

// everyEvent fails the run if the package knows an event that no test has held to its schema.
type everyEvent struct{ *testing.M }

func (m everyEvent) Run() int {
	code := m.M.Run()
	if code != 0 || flag.Lookup("test.run").Value.String() != "" {
		return code
	}
	left, err := unheld()
	if len(left) > 0 || err != nil {
		fmt.Printf("no test holds these events to their schemas: %q %v\n", left, err)
		return 1
	}
	return 0
}

// unheld lists the published events that the package's sources name and no test has held.
func unheld() ([]string, error) {
	published, err := schemas()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		return nil, err
	}
	var left []string
	quoted := regexp.MustCompile(`"[a-z_.]+"`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, name := range quoted.FindAllString(string(source), -1) {
			for _, side := range []string{"client ", "server "} {
				event := side + strings.Trim(name, `"`)
				if _, was := held.Load(event); published[event] != nil && !was && !slices.Contains(left, event) {
					left = append(left, event)
				}
			}
		}
	}
	return left, nil
}
