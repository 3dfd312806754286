package main

import "flag"

func runOpenAPI(p process) error {
	return p.parse(flag.NewFlagSet("openapi", flag.ContinueOnError), 0)
}
