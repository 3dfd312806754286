package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// Call is a call the receptionist took.
type Call struct {
	ID              uuid.UUID  `json:"id" format:"uuid"`
	Direction       string     `json:"direction" enum:"inbound,outbound"`
	FromNumber      *string    `json:"from_number" example:"+16175551234"`
	ToNumber        *string    `json:"to_number" example:"+18573825169"`
	Status          string     `json:"status" example:"completed" doc:"Twilio's"`
	StartedAt       time.Time  `json:"started_at"`
	EndedAt         *time.Time `json:"ended_at"`
	DurationSeconds int32      `json:"duration_seconds" example:"93"`
	AgentSeconds    int32      `json:"agent_seconds" example:"88" doc:"With the receptionist"`
	Outcome         *string    `json:"outcome" example:"booked"`
	Summary         *string    `json:"summary" example:"Furnace makes noise; booked for Tuesday at 9."`
	Sentiment       *string    `json:"sentiment" example:"positive"`
	IsTest          bool       `json:"is_test" example:"false"`
	IsBlocked       bool       `json:"is_blocked" example:"false"`
	ContactID       *uuid.UUID `json:"contact_id" nullable:"true"`
	CallerName      *string    `json:"caller_name" example:"Pat Jones"`
	HasRecording    bool       `json:"has_recording"`
}

const callColumns = `l.id, l.direction, l.from_number, l.to_number, l.status, l.started_at, l.ended_at, l.duration_seconds, l.agent_seconds, l.outcome, l.summary,
  l.sentiment, l.is_test, l.is_blocked, l.contact_id, l.caller_name, coalesce(l.recording_path, l.voicemail_path) is not null as has_recording`

// CallFilter is what every list of calls takes.
type CallFilter struct {
	PageInput
	From      time.Time `query:"from" doc:"Started at or after this"`
	To        time.Time `query:"to" doc:"Started before this"`
	Outcome   []string  `query:"outcome" maxItems:"10" enum:"booked,rescheduled,cancelled,message,transferred,answered,abandoned,voicemail,missed,spam" doc:"One or more, separated by commas"`
	Sentiment string    `query:"sentiment" enum:"positive,neutral,negative"`
	Number    string    `query:"number" maxLength:"20" example:"+16175551234" doc:"The caller's or the called number, or a part of it"`
	Contact   id        `query:"contact_id"`
	Search    string    `query:"q" maxLength:"120" example:"furnace" doc:"Words that one turn of the transcript has; \"in quotes\" next to each other, -without"`
	Format    string    `query:"format" enum:"json,csv" doc:"csv streams all that match; so does Accept: text/csv"`
	Accept    string    `header:"Accept" hidden:"true"`
}

const listCallsDoc doc = `List calls
Newest first. With format=csv, or Accept: text/csv, all that match are streamed as a file that is safe to open in a
spreadsheet.`

func (a *API) listCalls(ctx context.Context, in *CallFilter) (*huma.StreamResponse, error) {
	return a.calls(ctx, tenantOf(ctx), *in)
}

type tenantCallsInput struct {
	TenantPath
	CallFilter
}

const tenantCallsDoc doc = `List a tenant's calls
As its own people see them.`

func (a *API) listTenantCalls(ctx context.Context, in *tenantCallsInput) (*huma.StreamResponse, error) {
	if err := a.known(ctx, in.ID.UUID); err != nil {
		return nil, err
	}
	return a.calls(ctx, in.ID.UUID, in.CallFilter)
}

func (a *API) calls(ctx context.Context, tenant uuid.UUID, in CallFilter) (*huma.StreamResponse, error) {
	q := a.DB.As(edge.FromContext(ctx).SQL())
	if wantsCSV(in.Format, in.Accept) {
		return a.callsCSV(ctx, q, tenant, in)
	}
	page, err := callPage(ctx, q, tenant, in)
	if err != nil {
		return nil, err
	}
	return sendJSON(page), nil
}

func callPage(ctx context.Context, q db.DBTX, tenant uuid.UUID, in CallFilter) (*listOutput[Call], error) {
	begin := newest()
	if !in.To.IsZero() {
		begin = cursor{At: in.To} // with the nil id: strictly before
	}
	c, err := in.after(begin)
	if err != nil {
		return nil, err
	}
	where, args := in.where()
	args["tenant"], args["before_at"], args["before"], args["max_rows"] = tenant, c.At, c.ID, in.rows()
	rows, err := q.Query(ctx, `select `+callColumns+` from call_logs l where l.tenant_id = @tenant and (l.started_at, l.id) < (@before_at, @before)`+
		where+` order by l.started_at desc, l.id desc limit @max_rows`, args)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[Call])
	return paged(in.PageInput, found, func(c Call) Call { return c }, func(c Call) cursor { return cursor{At: c.StartedAt, ID: c.ID} }), err
}

// where is the filters in SQL, each beginning with "and"; without any, the newest page is one walk down an index.
func (in CallFilter) where() (string, pgx.NamedArgs) {
	var sql strings.Builder
	args := pgx.NamedArgs{}
	add := func(condition, name string, value any) {
		fmt.Fprintf(&sql, " and "+condition, "@"+name)
		args[name] = value
	}
	if !in.From.IsZero() {
		add("l.started_at >= %s", "from", in.From)
	}
	if len(in.Outcome) > 0 {
		add("l.outcome = any (%s)", "outcome", in.Outcome)
	}
	if in.Sentiment != "" {
		add("l.sentiment = %s", "sentiment", in.Sentiment)
	}
	if digits := strings.Map(digit, in.Number); digits != "" {
		add("(strpos(l.from_number, %[1]s) > 0 or strpos(l.to_number, %[1]s) > 0)", "number", digits)
	}
	if in.Contact.UUID != uuid.Nil {
		add("l.contact_id = %s", "contact", in.Contact.UUID)
	}
	if words := strings.TrimSpace(in.Search); words != "" {
		add("l.id in (select private.calls_saying(@tenant, %s))", "words", words)
	}
	return sql.String(), args
}

var callHeader = []string{"id", "started_at", "ended_at", "from_number", "to_number", "caller_name", "status", "duration_seconds", "agent_seconds", "outcome", "sentiment", "summary", "is_test", "is_blocked"}

func (c Call) csv() []string {
	return []string{c.ID.String(), moment(&c.StartedAt), moment(c.EndedAt), text(c.FromNumber), text(c.ToNumber), text(c.CallerName), c.Status,
		number(&c.DurationSeconds), number(&c.AgentSeconds), text(c.Outcome), text(c.Sentiment), text(c.Summary), fmt.Sprint(c.IsTest), fmt.Sprint(c.IsBlocked)}
}

func (a *API) callsCSV(ctx context.Context, q db.DBTX, tenant uuid.UUID, in CallFilter) (*huma.StreamResponse, error) {
	in.Limit, in.Number, in.Search, in.Sentiment = csvBatch, strings.Clone(in.Number), strings.Clone(in.Search), strings.Clone(in.Sentiment)
	for i := range in.Outcome {
		in.Outcome[i] = strings.Clone(in.Outcome[i])
	}
	return sendCSV(ctx, a, csvFile[Call]{name: "calls", header: callHeader, row: Call.csv,
		page: func(ctx context.Context, cursor string) (*listOutput[Call], error) {
			in.Cursor = cursor
			return callPage(ctx, q, tenant, in)
		}})
}
