package main

import (
	"github.com/google/uuid"

	"kestrel.ai/server/api"
	"kestrel.ai/server/edge"
)

// apiConfig is what the API knows of the deployment.
func apiConfig(cfg Config) api.Config {
	var signUps api.SignUps
	if !cfg.Production() {
		signUps = api.SignUps{PerAddress: 1000, PerEmail: 1000, Drafts: 1000}
	}
	return api.Config{
		SignUps: signUps, TrialGrace: cfg.TrialGrace,
		Rates: api.Rates{NumberMonth: cfg.CostNumberMonth, TollFreeMonth: cfg.CostTollFreeMonth, IncomingMinute: cfg.CostIncomingMinute,
			OutgoingMinute: cfg.CostOutgoingMinute, SMS: cfg.CostSMS},
		Origin: cfg.Origin, WebhookBase: cfg.BaseWebhookURL, Version: version,
		FallbackURL: func(tenant uuid.UUID) string {
			return cfg.SupabaseURL + "/storage/v1/object/public/public-twiml/fallback/" + tenant.String() + ".xml"
		},
	}
}

func limits(cfg Config) edge.Limits {
	return edge.Limits{
		edge.ClassIP: edge.PerMinute(cfg.RateLimitIP), edge.ClassAuth: edge.PerMinute(cfg.RateLimitAuth),
		edge.ClassOnboarding: edge.PerMinute(cfg.RateLimitOnboarding), edge.ClassPerson: edge.PerMinute(cfg.RateLimitUser),
		edge.ClassKey: edge.PerMinute(cfg.RateLimitKey),
	}
}
