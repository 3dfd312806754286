package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/openai"
	"kestrel.ai/supabase/db"
)

// SMSAnswer answers one text that came in, as the receptionist does on the phone: once, and never an endless talk between
// machines. The owner gets it too, where they wish so, or where nobody else can answer.
type SMSAnswer struct{ Args }

// Kind implements river.JobArgs.
func (SMSAnswer) Kind() string { return "sms_answer" }

type smsAnswerWorker struct {
	river.WorkerDefaults[SMSAnswer]
	Deps
}

// Bounds of a conversation by text.
const (
	maxAnswersAnHour = 15 // to one customer
	maxToolsPerText  = 8
	maxTextAnswer    = 600 // characters
	earlierTexts     = 30
	conversationLife = 7 * 24 * time.Hour
)

func (w *smsAnswerWorker) Work(ctx context.Context, job *river.Job[SMSAnswer]) error {
	q := w.queries(job.Kind)
	m, err := q.TextToAnswer(ctx, w.Now().Add(-time.Hour), job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && m.IsAnswered {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	live := m.DeletedAt == nil && slices.Contains([]string{"trial", "active"}, m.SubscriptionStatus)
	if !live || m.IsBlocked || m.OptOutType != nil || m.IsOurs || m.FromNumber == m.ToNumber || !e164.MatchString(m.FromNumber) {
		return finishSaying(ctx, &w.Deps, job, "Not answered: it is none that wants an answer, or the tenant is suspended.", nil)
	}
	policy, err := w.Reception.Policy(ctx, m.TenantID)
	if err != nil {
		return err
	}
	why := ""
	var body string
	switch {
	case !policy.AnswerTexts:
		return w.leave(ctx, job, m, policy, "The receptionist does not answer texts.", policy.ForwardTexts)
	case m.Answers >= maxAnswersAnHour:
		return w.leave(ctx, job, m, policy, "Not answered: the receptionist has answered this number too often within the hour.", policy.ForwardTexts)
	case m.Problem != "":
		why = "Not answered: " + textProblem(m.Problem)
	case !w.OpenAI.Configured():
		why = "Not answered: OpenAI is not configured. Set OPENAI_API_KEY."
	default:
		body, err = w.converse(ctx, q, m)
		if errors.Is(err, openai.ErrRefused) || errors.Is(err, errNoAnswer) {
			why = "Not answered: the model found no answer."
		} else if err != nil {
			return err
		}
	}
	if why != "" {
		return w.leave(ctx, job, m, policy, why, true) // somebody must read it
	}
	return finish(ctx, &w.Deps, job, func(q *db.Queries) error {
		if _, err := q.AnswerText(ctx, m.ID, body, w.Now()); err != nil {
			return err
		}
		return w.forward(ctx, q, m, policy, policy.ForwardTexts)
	})
}

// leave ends without an answer.
func (w *smsAnswerWorker) leave(ctx context.Context, job *river.Job[SMSAnswer], m db.TextToAnswerRow, p Policy, why string, forward bool) error {
	return finishSaying(ctx, &w.Deps, job, why, func(q *db.Queries) error { return w.forward(ctx, q, m, p, forward) })
}

// forward gives the text to the owner: by text where they want texts, else by e-mail.
func (w *smsAnswerWorker) forward(ctx context.Context, q *db.Queries, m db.TextToAnswerRow, p Policy, wanted bool) error {
	if !wanted || m.FromNumber == p.NotifySMS {
		return nil
	}
	who := m.FromNumber
	if m.Name != "" {
		who = m.Name + " (" + m.FromNumber + ")"
	}
	if p.NotifySMS != "" {
		sent, err := q.QueueText(ctx, db.QueueTextParams{TenantID: m.TenantID, ToNumber: p.NotifySMS, Body: clip("Text from "+who+": "+m.Body, 600)})
		if err != nil || sent != uuid.Nil {
			return err
		}
	}
	params, err := json.Marshal(map[string]string{"subject": "Text from " + who, "text": who + " wrote:\n\n" + m.Body})
	if err != nil {
		return err
	}
	return q.QueueMail(ctx, db.QueueMailParams{Template: "announcement", TenantID: m.TenantID, ToEmail: p.email(m.OwnerEmail), DedupeKey: "text:" + m.ID.String(), Params: params})
}

var errNoAnswer = errors.New("the model gave no answer")

// converse asks the model, and runs the tools that it wants first. Each is written down before it runs: a worker that takes
// over finds what was done, and does again only what does nothing twice.
func (w *smsAnswerWorker) converse(ctx context.Context, q *db.Queries, m db.TextToAnswerRow) (body string, err error) {
	texter, err := w.Reception.Texting(ctx, m.TenantID, Texting{ID: m.ID, From: m.FromNumber, To: m.ToNumber, At: m.CreatedAt})
	if err != nil {
		return "", err
	}
	request := openai.Request{Instructions: texter.Instructions, Tools: texter.Tools, MaxTokens: 2000}
	before, err := q.ConversationBefore(ctx, db.ConversationBeforeParams{
		TenantID: m.TenantID, Party: m.FromNumber, UpTo: m.ID, Since: m.CreatedAt.Add(-conversationLife), MaxRows: earlierTexts,
	})
	if err != nil {
		return "", err
	}
	for _, t := range slices.Backward(before) {
		request.Turns = append(request.Turns, openai.Turn{Assistant: t.Direction == "outbound", Text: t.Body})
	}
	steps, err := q.TextSteps(ctx, m.ID)
	if err != nil {
		return "", err
	}
	used, model := 0, w.spend(q, m.ID)
	use := func(call openai.ToolCall, output *string) error {
		used++
		if output == nil {
			answer := texter.Use(ctx, "text:"+strconv.Itoa(used), call.Name, call.Arguments)
			if err := q.EndTextStep(ctx, answer, m.ID, int32(used)); err != nil {
				return err
			}
			output = &answer
		}
		request.Turns = append(request.Turns, openai.Turn{Call: &call}, openai.Turn{CallID: call.ID, Text: *output})
		return nil
	}
	for _, s := range steps {
		if err := use(openai.ToolCall{ID: s.CallID, Name: s.Name, Arguments: json.RawMessage(s.Arguments)}, s.Output); err != nil {
			return "", err
		}
	}
	for {
		answer, err := model.Respond(ctx, request)
		if err != nil {
			return "", err
		}
		if len(answer.Calls) == 0 {
			if body = clip(answer.Text, maxTextAnswer); body == "" {
				return "", errNoAnswer
			}
			return body, nil
		}
		for _, call := range answer.Calls {
			if used >= maxToolsPerText {
				return "", errNoAnswer
			}
			step := db.BeginTextStepParams{MessageID: m.ID, Position: int32(used + 1), CallID: call.ID, Name: call.Name, Arguments: string(call.Arguments)}
			if err := q.BeginTextStep(ctx, step); err != nil {
				return "", err
			}
			if err := use(call, nil); err != nil {
				return "", err
			}
		}
	}
}
