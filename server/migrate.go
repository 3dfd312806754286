package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase"
)

// runMigrate brings DATABASE_URL's schema up to date. When APP_DATABASE_URL names a password too, kestrel_app gets it.
func runMigrate(ctx context.Context, p process) error {
	if err := p.parse(flag.NewFlagSet("migrate", flag.ContinueOnError), 0); err != nil {
		return err
	}
	cfg, err := LoadConfig("migrate", p.environ)
	if err != nil {
		return err
	}
	applied, err := supabase.Migrate(ctx, cfg.DatabaseURL.Reveal())
	for _, version := range applied {
		_, _ = fmt.Fprintln(p.stdout, "applied", version)
	}
	if err != nil {
		return err
	}
	if len(applied) == 0 {
		_, _ = fmt.Fprintln(p.stdout, "the schema is up to date")
	}
	return setAppPassword(ctx, cfg)
}

func setAppPassword(ctx context.Context, cfg Config) error {
	app, err := url.Parse(cfg.AppDatabaseURL.Reveal())
	if err != nil || app.User == nil {
		return nil
	}
	password, named := app.User.Password()
	if !named {
		return nil
	}
	conn, err := pgx.Connect(ctx, cfg.DatabaseURL.Reveal())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return supabase.SetAppPassword(ctx, conn, password)
}
