package api_test

import (
	"slices"
	"strings"
)

func sorted(list []string) string {
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ",")
}
