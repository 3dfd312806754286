package agent

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/jobs/openai"
	"kestrel.ai/supabase"
)

// Reception is the receptionist as jobs know it: its settings, and its answers to texts.
type Reception struct {
	db   *supabase.DB
	desk *Desk
	now  func() time.Time
}

// NewReception reads published versions from db.
func NewReception(db *supabase.DB, now func() time.Time) *Reception {
	return &Reception{db: db, desk: NewDesk(db, now), now: now}
}

func (r *Reception) profile(ctx context.Context, tenant uuid.UUID) (*Profile, error) {
	return Load(ctx, r.db.As(supabase.AsService("job:reception").At(tenant)), tenant, Published)
}

// Policy implements jobs.Reception. A tenant without a receptionist has none.
func (r *Reception) Policy(ctx context.Context, tenant uuid.UUID) (jobs.Policy, error) {
	p, err := r.profile(ctx, tenant)
	if errors.Is(err, ErrNoVersion) {
		return jobs.Policy{}, nil
	}
	if err != nil {
		return jobs.Policy{}, err
	}
	s := p.Settings
	return jobs.Policy{
		BusinessName: s.BusinessName, KeepDays: s.Recording.KeepDays, DeleteAtTwilio: s.Recording.DeleteAtTwilio,
		NotifyEmail: s.Notify.Email, NotifySMS: s.Notify.SMS, NotifyWhen: s.Notify.When, AnswerTexts: s.SMS.Answer, ForwardTexts: s.SMS.ForwardToOwner,
	}, nil
}

// Texting implements jobs.Reception.
func (r *Reception) Texting(ctx context.Context, tenant uuid.UUID, t jobs.Texting) (jobs.Texter, error) {
	p, err := r.profile(ctx, tenant)
	if err != nil {
		return jobs.Texter{}, err
	}
	c := Call{ID: t.ID, From: t.From, To: t.To, Channel: ChannelSMS, StartedAt: t.At}
	out := jobs.Texter{Instructions: p.Instructions(c, r.now()), Use: func(ctx context.Context, toolCallID, name string, arguments json.RawMessage) string {
		return r.desk.Use(ctx, p, c, toolCallID, name, arguments).Output
	}}
	for _, tool := range p.Tools(c) {
		out.Tools = append(out.Tools, openai.Tool{Name: tool.Name, Description: tool.Description, Parameters: tool.Parameters})
	}
	return out, nil
}
