package main

import (
	"log/slog"
	"time"

	"kestrel.ai/jobs"
	"kestrel.ai/jobs/openai"
	"kestrel.ai/jobs/resend"
	"kestrel.ai/server/agent"
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
	model, err := newAnalyst(cfg)
	if err != nil {
		return nil, err
	}
	auth, err := supabase.NewAuth(cfg.SupabaseURL, cfg.SupabaseServiceKey.Reveal())
	if err != nil {
		return nil, err
	}
	return jobs.New(jobs.Deps{
		DB: db, Twilio: phone, Resend: mail, Auth: auth, Storage: supabase.NewStorage(cfg.SupabaseURL, cfg.SupabaseServiceKey.Reveal()), Log: log,
		OpenAI: model, Reception: agent.NewReception(db, time.Now),
		Config: jobs.Config{WebhookBase: cfg.BaseWebhookURL, Origin: cfg.Origin, AdminEmail: cfg.AdminEmail, IncomingMinute: cfg.CostIncomingMinute, TrialGrace: cfg.TrialGrace, SessionURL: cfg.ListenDatabaseURL.Reveal()},
	})
}

// newAnalyst is the model that reads transcripts and answers texts.
func newAnalyst(cfg Config) (*openai.Client, error) {
	return openai.New(openai.Config{
		APIKey: cfg.OpenAIAPIKey.Reveal(), BaseURL: cfg.OpenAIBaseURL, Model: cfg.OpenAIAnalysisModel,
		Prices: openai.Prices{Input: cfg.PriceAnalysisInput, Cached: cfg.PriceAnalysisCached, Output: cfg.PriceAnalysisOutput},
	})
}
