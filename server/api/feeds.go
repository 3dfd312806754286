package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// CalendarFeed is a secret link under which a calendar program reads the diary.
type CalendarFeed struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	Name       string     `json:"name" example:"Pat's phone"`
	Prefix     string     `json:"prefix" example:"kst_live_4fQ" doc:"First characters of the secret"`
	CreatedBy  string     `json:"created_by" example:"admin@haiec.com"`
	CreatedAt  time.Time  `json:"created_at"`
	LastReadAt *time.Time `json:"last_read_at" doc:"To within some minutes"`
	RevokedAt  *time.Time `json:"revoked_at"`
}

const listFeedsDoc doc = `List the calendar links
Without their secrets; revoked ones too.`

func (a *API) listFeeds(ctx context.Context, _ *struct{}) (*listOutput[CalendarFeed], error) {
	rows, err := a.query(ctx).ListFeeds(ctx, tenantOf(ctx))
	return whole(each(rows, feed)), err
}

func feed(r db.CalendarFeed) CalendarFeed {
	return CalendarFeed{ID: r.ID, Name: r.Name, Prefix: r.Prefix, CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt, LastReadAt: r.LastReadAt, RevokedAt: r.RevokedAt}
}

// CreateFeed names a new link.
type CreateFeed struct {
	Name string `json:"name,omitempty" maxLength:"80" example:"Pat's phone"`
}

// Resolve wants one line.
func (b *CreateFeed) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.line("name", &b.Name, 80)
	return f.errs
}

type createFeedInput struct{ Body CreateFeed }

// NewCalendarFeed is a link as it is shown once.
type NewCalendarFeed struct {
	CalendarFeed
	URL string `json:"url" example:"https://haiec.kestrel.ai/api/tenant/calendar/kst_live_…" doc:"Shown this once. Whoever has it sees the appointments"`
}

type newFeedOutput struct{ Body NewCalendarFeed }

const createFeedDoc doc = `Make a calendar link
For calendar programs, which can send no credentials. It is shown once, and works until it is revoked.`

func (a *API) createFeed(ctx context.Context, in *createFeedInput) (*newFeedOutput, error) {
	plain, prefix, hash := edge.NewKey()
	r, err := a.query(ctx).CreateFeed(ctx, db.CreateFeedParams{TenantID: tenantOf(ctx), Name: in.Body.Name, Prefix: prefix, Hash: hash[:]})
	return &newFeedOutput{Body: NewCalendarFeed{CalendarFeed: feed(r), URL: a.Config.Origin(edge.FromContext(ctx).Tenant.Slug) + "/api/tenant/calendar/" + plain}}, err
}

type feedInput struct {
	ID id `path:"id"`
}

const revokeFeedDoc doc = `Revoke a calendar link
At once and for good; again it does nothing.`

func (a *API) revokeFeed(ctx context.Context, in *feedInput) (*struct{}, error) {
	found, err := a.query(ctx).RevokeFeed(ctx, tenantOf(ctx), in.ID.UUID)
	if err == nil && !found {
		err = edge.NewProblem(http.StatusNotFound, "calendar_feed_not_found", "There is no such calendar link.")
	}
	return nil, err
}

type readFeedInput struct {
	Secret string `path:"secret" pattern:"^[0-9A-Za-z_]{20,200}$" example:"kst_live_4fQ8sJw2Kd9XbVnM3pRtYz6LhGc1TaUe7Wo5iNqBx0E" doc:"Of the link"`
	Known  string `header:"If-None-Match" maxLength:"1000" doc:"The ETag of the calendar that is known: 304 if it is still the same"`
}

type calendarOutput struct {
	Status       int
	ContentType  string `header:"Content-Type"`
	CacheControl string `header:"Cache-Control"`
	ETag         string `header:"ETag"`
	Body         []byte
}

var errNoFeed = edge.NewProblem(http.StatusNotFound, "calendar_feed_not_found", "There is no such calendar link.")

const readFeedDoc doc = `Read the diary as a calendar
RFC 5545, for whoever holds the link: appointments from a month ago on, cancelled ones as such.`

func (a *API) readFeed(ctx context.Context, in *readFeedInput) (*calendarOutput, error) {
	hash, err := edge.HashKey(in.Secret)
	if err != nil {
		return nil, errNoFeed
	}
	scope := supabase.AsService("calendar_feed").At(tenantOf(ctx))
	q := db.New(a.DB.As(scope))
	tenant, err := q.OpenFeed(ctx, hash[:], a.Now())
	if err != nil {
		return nil, err
	}
	if tenant == uuid.Nil || tenant != tenantOf(ctx) {
		return nil, errNoFeed
	}
	rows, err := q.DiaryForFeed(ctx, tenant, a.Now().AddDate(0, -1, 0))
	if err != nil {
		return nil, err
	}
	body := calendar(edge.FromContext(ctx).Tenant.CompanyName, rows)
	out := &calendarOutput{
		Status: http.StatusOK, ContentType: "text/calendar; charset=utf-8", CacheControl: "private, max-age=300", ETag: fmt.Sprintf(`"%x"`, sha256.Sum256(body))[:18] + `"`, Body: body,
	}
	if in.Known == "*" || strings.Contains(in.Known, out.ETag) {
		out.Status, out.ContentType, out.Body = http.StatusNotModified, "", nil
	}
	return out, nil
}

// calendar writes RFC 5545: lines of at most 75 octets that end in CR LF.
func calendar(name string, rows []db.Appointment) []byte {
	var b bytes.Buffer
	line := func(property, value string) {
		text := property + ":" + value
		for limit := 75; len(text) > limit; limit = 74 {
			cut := limit
			for text[cut]&0xC0 == 0x80 { // within a character
				cut--
			}
			b.WriteString(text[:cut] + "\r\n ")
			text = text[cut:]
		}
		b.WriteString(text + "\r\n")
	}
	const stamp = "20060102T150405Z"
	line("BEGIN", "VCALENDAR")
	line("VERSION", "2.0")
	line("PRODID", "-//Kestrel//Diary//EN")
	line("X-WR-CALNAME", icsText(name))
	line("REFRESH-INTERVAL;VALUE=DURATION", "PT15M")
	for _, r := range rows {
		status := "CONFIRMED"
		if r.Status == "cancelled" {
			status = "CANCELLED"
		}
		line("BEGIN", "VEVENT")
		line("UID", r.ID.String()+"@kestrel.ai")
		line("DTSTAMP", r.UpdatedAt.UTC().Format(stamp))
		line("LAST-MODIFIED", r.UpdatedAt.UTC().Format(stamp))
		line("DTSTART", r.StartsAt.UTC().Format(stamp))
		line("DTEND", r.EndsAt.UTC().Format(stamp))
		line("STATUS", status)
		line("SUMMARY", icsText(strings.Trim(r.Service+" – "+r.CustomerName, " –")))
		line("LOCATION", icsText(r.Address))
		notes := r.Notes
		if r.CustomerPhone != nil {
			notes = strings.TrimSpace(*r.CustomerPhone + "\n" + notes)
		}
		line("DESCRIPTION", icsText(notes))
		line("END", "VEVENT")
	}
	line("END", "VCALENDAR")
	return b.Bytes()
}

// icsText escapes a text value (RFC 5545, 3.3.11); control characters go.
func icsText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	return strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\n", `\n`).Replace(s)
}
