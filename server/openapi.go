package main

import (
	"flag"

	"kestrel.ai/server/api"
)

// runOpenAPI prints the document that /openapi.json serves.
func runOpenAPI(p process) error {
	if err := p.parse(flag.NewFlagSet("openapi", flag.ContinueOnError), 0); err != nil {
		return err
	}
	_, err := p.stdout.Write(append(api.Document(api.Config{Version: version}), '\n'))
	return err
}
