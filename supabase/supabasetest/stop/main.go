// Command stop ends the Postgres that the tests share and removes its data, unless tests are running;
// `make test` calls it at its end.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"kestrel.ai/supabase/supabasetest"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := supabasetest.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
