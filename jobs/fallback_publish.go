package jobs

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/supabase/db"
)

// FallbackPublish writes what Twilio plays to a tenant's callers when Kestrel does not answer: a file outside Kestrel.
type FallbackPublish struct{ Args }

// Kind implements river.JobArgs.
func (FallbackPublish) Kind() string { return "fallback_publish" }

type fallbackPublishWorker struct {
	river.WorkerDefaults[FallbackPublish]
	Deps
}

const thanksObject = "fallback/thanks.xml"

func (w *fallbackPublishWorker) Work(ctx context.Context, job *river.Job[FallbackPublish]) error {
	t, err := w.queries(job.Kind).FindFallback(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	if err := w.Storage.EnsureBucket(ctx, fallbackBucket, true); err != nil {
		return err
	}
	// Without an action of its own, Record would play its own file once more when the caller has spoken.
	for object, body := range map[string][]byte{
		thanksObject:         []byte(xml.Header + `<Response><Say>Thank you. Goodbye.</Say><Hangup/></Response>` + "\n"),
		fallbackObject(t.ID): fallbackTwiML(t, w.Storage.PublicURL(fallbackBucket, thanksObject)),
	} {
		if err := w.Storage.Upload(ctx, fallbackBucket, object, "text/xml", body); err != nil {
			return err
		}
	}
	return finish(ctx, &w.Deps, job, nil)
}

// fallbackTwiML dials the forward number, and takes a message when there is none, when it does not answer, and when it
// is one of Kestrel's own: forwarding there would come back here.
func fallbackTwiML(t db.FindFallbackRow, thanksURL string) []byte {
	escape := func(s string) string {
		var b bytes.Buffer
		_ = xml.EscapeText(&b, []byte(s)) // a Buffer takes everything
		return b.String()
	}
	var b strings.Builder
	b.WriteString(xml.Header + "<Response>\n")
	if forward := text(t.ForwardToNumber); forward != "" && !t.ForwardIsOurs {
		b.WriteString(`  <Dial timeout="25">` + escape(forward) + "</Dial>\n")
	}
	b.WriteString("  <Say>Thank you for calling " + escape(t.CompanyName) + ". Nobody can take your call right now. Please leave a message after the tone.</Say>\n")
	b.WriteString(`  <Record maxLength="120" playBeep="true" method="GET" action="` + escape(thanksURL) + "\"/>\n")
	b.WriteString("  <Say>We did not hear a message. Goodbye.</Say>\n</Response>\n")
	return []byte(b.String())
}
