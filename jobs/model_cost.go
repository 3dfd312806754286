package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs/openai"
	"kestrel.ai/supabase/db"
)

// spending is the model, asked at the expense of one call, text or rehearsal. That it is asked is written down before, what
// it cost as soon as it has answered, each in a commit of its own: whatever becomes of the job, what it spent is known, or
// known to be unknown.
type spending struct {
	OpenAI
	q       *db.Queries
	subject uuid.UUID
}

func (d *Deps) spend(q *db.Queries, subject uuid.UUID) spending {
	return spending{d.OpenAI, q, subject}
}

// Respond is OpenAI's.
func (s spending) Respond(ctx context.Context, r openai.Request) (answer openai.Answer, err error) {
	err = s.paying(ctx, func() (int64, error) {
		answer, err = s.OpenAI.Respond(ctx, r)
		return answer.Micros, err
	})
	return answer, err
}

// Structured is OpenAI's.
func (s spending) Structured(ctx context.Context, r openai.Request, name string, schema json.RawMessage) (answer json.RawMessage, micros int64, err error) {
	err = s.paying(ctx, func() (int64, error) {
		answer, micros, err = s.OpenAI.Structured(ctx, r, name, schema)
		return micros, err
	})
	return answer, micros, err
}

func (s spending) paying(ctx context.Context, ask func() (micros int64, err error)) error {
	if err := s.q.ModelAsked(ctx, s.subject); err != nil {
		return err
	}
	micros, asked := ask()
	// A refusal costs nothing; a request that broke off may have cost something.
	var failed *openai.Error
	if errors.As(asked, &failed) && failed.Status == 0 && micros == 0 && errors.Is(asked, openai.ErrUnavailable) {
		return asked
	}
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(asked, s.q.ModelAnswered(short, s.subject, micros))
}
