package main

import (
	"log/slog"

	"kestrel.ai/jobs"
	"kestrel.ai/jobs/resend"
	"kestrel.ai/supabase"
)

// newWorker wires the jobs to the vendors. Nothing is connected yet.
func newWorker(cfg Config, db *supabase.DB, log *slog.Logger) (*jobs.Client, error) {
	phone, err := newTwilio(cfg)
	if err != nil {
		return nil, err
	}
	mail, err := resend.New(resend.Config{APIKey: cfg.ResendAPIKey.Reveal(), From: cfg.ResendFromEmail, BaseURL: cfg.ResendBaseURL})
	if err != nil {
		return nil, err
	}
	auth, err := supabase.NewAuth(cfg.SupabaseURL, cfg.SupabaseServiceKey.Reveal())
	if err != nil {
		return nil, err
	}
	return jobs.New(jobs.Deps{
		DB: db, Twilio: phone, Resend: mail, Auth: auth, Storage: supabase.NewStorage(cfg.SupabaseURL, cfg.SupabaseServiceKey.Reveal()), Log: log,
		Config: jobs.Config{WebhookBase: cfg.BaseWebhookURL, Origin: cfg.Origin, AdminEmail: cfg.AdminEmail, IncomingMinute: cfg.CostIncomingMinute, TrialGrace: cfg.TrialGrace, SessionURL: cfg.ListenDatabaseURL.Reveal()},
	})
}
