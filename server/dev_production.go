//go:build production

package main

import (
	"context"
	"errors"
)

// runDev is left out of production builds, together with the embedded stack and the sandbox.
func runDev(context.Context, process) error {
	return errors.New("this is a production build: it has no dev command")
}
