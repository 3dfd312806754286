//go:build !production

package main

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/jobs"
	"kestrel.ai/supabase"
)

// devLine is one line of a conversation that dev shows, in milliseconds from the call's start.
type devLine struct {
	Outcome   string `json:"outcome"`
	Position  int    `json:"position"`
	Speaker   string `json:"speaker"`
	Text      string `json:"text"`
	StartedMs int    `json:"started_ms"`
	EndedMs   int    `json:"ended_ms"`
	LatencyMs int    `json:"latency_ms"`
}

// devDialogues are what was said in calls of each outcome: the receptionist begins, and they take turns.
var devDialogues = []struct {
	outcome, sentiment, summary, intent, tool string
	said                                      []string
}{
	{"booked", "positive", "Furnace makes a loud noise at night. Booked a service visit.", "furnace repair", "book_appointment", []string{
		"Thank you for calling. This call is recorded. How can I help you?",
		"Hi, my furnace makes a loud banging noise whenever it starts up at night.",
		"I am sorry to hear that. Is there any smell of gas, or is the heat out altogether?",
		"No, no smell, and it does heat. It is just really loud.",
		"Good. I can send a technician tomorrow at nine in the morning. Does that suit you?",
		"Nine is perfect.",
		"You are booked for tomorrow at nine. You get a text with the details. Anything else?",
		"No, that's all. Thank you so much!",
	}},
	{"message", "neutral", "Has a question about an invoice and asks to be called back.", "invoice", "take_message", []string{
		"Thank you for calling. This call is recorded. How can I help you?",
		"I got an invoice with a line that I don't understand. Can somebody explain it to me?",
		"I cannot see invoices myself, but I can have somebody call you back. What is the number on it?",
		"It's ten forty-two.",
		"Thank you. I have written it down: invoice ten forty-two, please call back. Is this number the right one?",
		"Yes, any time after two.",
	}},
	{"answered", "positive", "Asked for opening hours and the price of a visit.", "opening hours", "", []string{
		"Thank you for calling. This call is recorded. How can I help you?",
		"When are you open on Saturday?",
		"We are open on Saturday from nine to one. Would you like an appointment?",
		"Not yet. What does a visit cost?",
		"A visit is eighty-nine dollars, and then by the hour.",
		"All right, thanks. Bye.",
	}},
	{"transferred", "negative", "Smells gas in the basement. Told to leave the house, and handed over at once.", "gas smell", "report_emergency", []string{
		"Thank you for calling. This call is recorded. How can I help you?",
		"There's a smell of gas in my basement and I don't know what to do!",
		"Please leave the house now, touch no switches, and call 911 from outside. I am connecting you with our technician.",
		"OK, I'm going out.",
	}},
}

func devScript() (lines []devLine) {
	for d, dialogue := range devDialogues {
		at := 600
		for i, text := range dialogue.said {
			line := devLine{Outcome: dialogue.outcome, Position: i + 1, Speaker: "agent", Text: text, StartedMs: at, EndedMs: at + 62*len(text)}
			if i%2 == 1 {
				line.Speaker = "caller"
			} else if i > 0 {
				line.LatencyMs = 520 + (i*97+d*61)%400
			}
			lines, at = append(lines, line), line.EndedMs+620
		}
	}
	return lines
}

// seedCalls writes what calls would have left, with their transcripts, and the recordings of the newest ones. Rows go
// through the same triggers that count real calls.
func seedCalls(ctx context.Context, database *supabase.DB, files *supabase.Storage, tenant uuid.UUID, t devTenant) error {
	script := devScript()
	lines, err := json.Marshal(script)
	if err != nil {
		return err
	}
	shapes := make([]map[string]any, len(devDialogues))
	for i, d := range devDialogues {
		shapes[i] = map[string]any{"i": i, "outcome": d.outcome, "sentiment": d.sentiment, "summary": d.summary, "intent": d.intent, "tool": d.tool}
	}
	dialogues, err := json.Marshal(shapes)
	if err != nil {
		return err
	}
	err = database.Tx(ctx, supabase.AsService("dev seed"), func(tx pgx.Tx) error {
		var written bool
		if err := tx.QueryRow(ctx, "select exists (select from call_logs where tenant_id = $1)", tenant).Scan(&written); err != nil || written {
			return err
		}
		if _, err := tx.Exec(ctx, `
with c as (
  insert into contacts (tenant_id, phone_number, name)
  select $1, '+1617555' || lpad((1000 + i)::text, 4, '0'), (array['Dana Reyes','Chris Cole','Jo Park','Alex Kim','Robin Shaw','Terry Lund'])[1 + i % 6]
  from generate_series(0, least($2::int, 12) - 1) i returning id, phone_number, name),
n as (select id, phone_number from phone_numbers where tenant_id = $1 and is_primary),
k as (select id, phone_number, name, row_number() over (order by id) - 1 as i, count(*) over () as of from c),
s as (select * from jsonb_to_recordset($3::jsonb) as s(outcome text, "position" int, speaker text, text text, started_ms int, ended_ms int, latency_ms int)),
d as (select d.*, (select max(ended_ms) / 1000 + 1 from s where s.outcome = d.outcome) as seconds
  from jsonb_to_recordset($4::jsonb) as d(i int, outcome text, sentiment text, summary text, intent text, tool text)),
l as (
  insert into call_logs (tenant_id, phone_number_id, contact_id, call_sid, from_number, to_number, caller_name, status, route, end_reason, started_at, answered_at, agent_ended_at, ended_at, closed_at,
    duration_seconds, agent_seconds, outcome, sentiment, summary, intent, quality_score, analysed_at, latency_p50_ms, latency_p95_ms, cost_micros)
  select $1, n.id, k.id, 'CA' || md5($1::text || g), k.phone_number, n.phone_number, k.name, 'completed', 'agent', case d.outcome when 'transferred' then 'transferred' else 'caller_hung_up' end,
    at, at, ended, ended, ended, d.seconds + 2, d.seconds, d.outcome, d.sentiment, d.summary, d.intent, 78 + g * 5 % 21, ended, 560 + g * 13 % 180, 840 + g * 29 % 420, 85000 + g * 100
  from generate_series(1, $2::int) g cross join n join k on k.i = g % k.of join d on d.i = g % (select count(*) from d)
  cross join lateral (select now() - make_interval(hours => g * 3, mins => g * 11 % 60) as at) w
  cross join lateral (select at + make_interval(secs => d.seconds + 2) as ended) e
  returning id, outcome, started_at),
u as (insert into call_turns (tenant_id, call_id, "position", speaker, text, started_ms, ended_ms, latency_ms)
  select $1, l.id, s."position", s.speaker, s.text, s.started_ms, s.ended_ms, nullif(s.latency_ms, 0) from l join s using (outcome))
insert into events (tenant_id, subject_id, type, data, created_at)
select $1, l.id, 'call.tool', jsonb_build_object('name', d.tool, 'duration_ms', 180), l.started_at + interval '20 seconds' from l join d using (outcome) where d.tool <> ''`,
			tenant, t.calls, lines, dialogues); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
insert into appointments (tenant_id, contact_id, call_id, starts_at, ends_at, service, customer_name, customer_phone, address)
select $1, c.id, l.id, day + make_interval(hours => 9 + g % 8), day + make_interval(hours => 10 + g % 8), (array['Maintenance','Repair','Consultation'])[1 + g % 3], c.name, c.phone_number, (10 + g) || ' Harbor St, Boston'
from generate_series(1, $2::int) g
cross join lateral (select date_trunc('day', now()) + make_interval(days => g - 2) as day) d
join lateral (select id, name, phone_number from contacts where tenant_id = $1 order by id offset g % 6 limit 1) c on true
left join lateral (select id from call_logs where tenant_id = $1 and outcome = 'booked' order by started_at desc offset g - 1 limit 1) l on true`, tenant, t.appointments)
		return err
	})
	if err != nil {
		return err
	}
	return seedRecordings(ctx, database, files, tenant, script)
}

// seedRecordings gives the newest calls, one of each outcome, a recording in which somebody hums whenever somebody spoke.
func seedRecordings(ctx context.Context, database *supabase.DB, files *supabase.Storage, tenant uuid.UUID, script []devLine) error {
	if err := files.EnsureBucket(ctx, jobs.RecordingsBucket, false); err != nil {
		return err
	}
	q := database.As(supabase.AsService("dev seed"))
	rows, err := q.Query(ctx, `select distinct on (outcome) id, outcome from call_logs where tenant_id = $1 order by outcome, started_at desc`, tenant)
	if err != nil {
		return err
	}
	type seeded struct {
		ID      uuid.UUID
		Outcome string
	}
	calls, err := pgx.CollectRows(rows, pgx.RowToStructByPos[seeded])
	if err != nil {
		return err
	}
	for _, c := range calls {
		path := tenant.String() + "/" + c.ID.String() + ".wav"
		if err := files.Upload(ctx, jobs.RecordingsBucket, path, "audio/wav", hummed(script, c.Outcome)); err != nil {
			return err
		}
		if _, err := q.Exec(ctx, `update call_logs set recording_path = $2 where id = $1`, c.ID, path); err != nil {
			return err
		}
	}
	return nil
}
