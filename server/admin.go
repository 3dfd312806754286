package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// runAdmin is how the first platform admin comes to be: kestrel admin grant EMAIL | revoke EMAIL | list.
func runAdmin(ctx context.Context, p process) error {
	flags := flag.NewFlagSet("admin", flag.ContinueOnError)
	flags.Usage = func() {
		_, _ = fmt.Fprintln(flags.Output(), "Usage: kestrel admin grant EMAIL | revoke EMAIL | list")
	}
	operands := 2
	if len(p.args) > 0 && p.args[0] == "list" {
		operands = 1
	}
	if err := p.parse(flags, operands); err != nil {
		return err
	}
	cfg, err := LoadConfig("admin", p.environ)
	if err != nil {
		return err
	}
	database, err := supabase.Open(ctx, cfg.AppDatabaseURL.Reveal())
	if err != nil {
		return err
	}
	defer database.Close()
	q := db.New(database.As(supabase.AsService("command line")))
	switch verb := flags.Arg(0); verb {
	case "list":
		admins, err := q.ListStaff(ctx)
		for _, a := range admins {
			_, _ = fmt.Fprintln(p.stdout, a.Email)
		}
		return err
	case "grant":
		err := q.EnsureStaff(ctx, flags.Arg(1), "command line")
		if err == nil {
			_, err = fmt.Fprintf(p.stdout, "%s is a platform admin\n", flags.Arg(1))
		}
		return said(err)
	case "revoke":
		n, err := q.RemoveStaffByEmail(ctx, flags.Arg(1))
		if err == nil && n == 0 {
			return fmt.Errorf("%s is not a platform admin", flags.Arg(1))
		}
		return said(err)
	default:
		_, _ = fmt.Fprintf(p.stderr, "kestrel admin: unknown verb %q\n", verb)
		flags.Usage()
		return errUsage
	}
}

// said turns a refusal of the database into the line a person can act on.
func said(err error) error {
	if err == nil {
		return nil
	}
	if problem := edge.FromError(err); problem.Status < 500 {
		return errors.New(problem.Detail)
	}
	return err
}
