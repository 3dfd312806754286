package api

import (
	"context"
	"time"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// Analytics is what many calls amount to. Test calls are left out.
type Analytics struct {
	From       time.Time    `json:"from"`
	To         time.Time    `json:"to"`
	Timezone   string       `json:"timezone" example:"America/New_York" doc:"Days and hours are this zone's"`
	Totals     CallTotals   `json:"totals"`
	Before     CallTotals   `json:"before" doc:"Of the time as long that went before"`
	Series     []CallPeriod `json:"series" nullable:"false" doc:"Periods without calls are left out"`
	Outcomes   []Share      `json:"outcomes" nullable:"false" doc:"Most first"`
	Sentiments []Share      `json:"sentiments" nullable:"false" doc:"Most first"`
	Busiest    []BusyHour   `json:"busiest" nullable:"false" doc:"Hours of the week in which calls came"`
}

// CallTotals sums calls up.
type CallTotals struct {
	Calls          int32   `json:"calls" example:"120"`
	Counted        int32   `json:"counted" example:"118" doc:"Against the plan's limit"`
	Answered       int32   `json:"answered" example:"119" doc:"By the receptionist"`
	Seconds        int64   `json:"seconds" example:"10800"`
	AverageSeconds float64 `json:"average_seconds" example:"91.5" doc:"Of answered ones"`
	QualityScore   float64 `json:"quality_score" example:"88.2" doc:"Average; 0 without analysed calls"`
	Callers        int32   `json:"callers" example:"97" doc:"Different numbers"`
}

// CallPeriod is the calls of an hour, a day, a week or a month.
type CallPeriod struct {
	At      string `json:"at" example:"2026-11-24T00:00:00" doc:"Its beginning on the tenant's clock"`
	Calls   int32  `json:"calls" example:"12"`
	Booked  int32  `json:"booked" example:"4"`
	Seconds int64  `json:"seconds" example:"1100"`
}

// Share is how many calls had a value.
type Share struct {
	Value string `json:"value" example:"booked" doc:"unknown where none was found"`
	Calls int32  `json:"calls" example:"40"`
}

// BusyHour is an hour of the week.
type BusyHour struct {
	Weekday int32 `json:"weekday" minimum:"1" maximum:"7" doc:"1 is Monday"`
	Hour    int32 `json:"hour" minimum:"0" maximum:"23"`
	Calls   int32 `json:"calls" example:"7"`
}

type analyticsInput struct {
	From time.Time `query:"from" doc:"Calls that started at or after this; default: 30 days before to"`
	To   time.Time `query:"to" doc:"Calls that started before this; default: now"`
	By   string    `query:"by" enum:"hour,day,week,month" default:"day"`
}

type analyticsOutput struct{ Body Analytics }

var errSpan = edge.NewProblem(422, "invalid_span", "Ask for more than nothing and no more than two years, for hours no more than a month.").At("from", "is not before to, or too long before it")

const analyticsDoc doc = `Analyse calls over time
How many, how long, with what outcome and sentiment, and when in the week; beside the time before.`

func (a *API) analytics(ctx context.Context, in *analyticsInput) (*analyticsOutput, error) {
	scope := edge.FromContext(ctx)
	from, to, tenant, zone := in.From, in.To, scope.Tenant.ID, scope.Tenant.Timezone
	if to.IsZero() {
		to = a.Now()
	}
	if from.IsZero() {
		from = to.AddDate(0, 0, -30)
	}
	span := to.Sub(from)
	if span <= 0 || span > 2*366*24*time.Hour || in.By == "hour" && span > 31*24*time.Hour {
		return nil, errSpan
	}
	out := Analytics{From: from, To: to, Timezone: zone, Outcomes: []Share{}, Sentiments: []Share{}}
	q := a.query(ctx)
	totals, err := q.CallTotals(ctx, tenant, from, to)
	if err != nil {
		return nil, err
	}
	before, err := q.CallTotals(ctx, tenant, from.Add(-span), from)
	if err != nil {
		return nil, err
	}
	out.Totals, out.Before = CallTotals(totals), CallTotals(before)
	series, err := q.CallSeries(ctx, db.CallSeriesParams{Step: in.By, Zone: zone, TenantID: tenant, Since: from, Until: to})
	if err != nil {
		return nil, err
	}
	out.Series = each(series, func(r db.CallSeriesRow) CallPeriod {
		return CallPeriod{At: r.At.Time.Format("2006-01-02T15:04:05"), Calls: r.Calls, Booked: r.Booked, Seconds: r.Seconds}
	})
	shares, err := q.CallShares(ctx, tenant, from, to)
	if err != nil {
		return nil, err
	}
	for _, s := range shares {
		if s.Kind == "outcome" {
			out.Outcomes = append(out.Outcomes, Share{s.Value, s.Calls})
		} else {
			out.Sentiments = append(out.Sentiments, Share{s.Value, s.Calls})
		}
	}
	busiest, err := q.BusiestHours(ctx, db.BusiestHoursParams{Zone: zone, TenantID: tenant, Since: from, Until: to})
	out.Busiest = each(busiest, func(r db.BusiestHoursRow) BusyHour { return BusyHour(r) })
	return &analyticsOutput{Body: out}, err
}
