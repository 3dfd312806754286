package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// draftKept is how long a draft lasts after its last change.
const draftKept = 7 * 24 * time.Hour

// Draft is a sign-up form that is not finished: anything may be missing or wrong.
type Draft struct {
	Step            int    `json:"step,omitempty" minimum:"1" maximum:"5" default:"1" doc:"The last step that is filled in: company, owner, subdomain, plan, forward number. It and those before it are judged"`
	CompanyName     string `json:"company_name,omitempty" maxLength:"200" example:"HAIEC"`
	Industry        string `json:"industry,omitempty" maxLength:"200" example:"hvac"`
	Timezone        string `json:"timezone,omitempty" maxLength:"200" example:"America/New_York"`
	OwnerName       string `json:"owner_name,omitempty" maxLength:"200" example:"HAIEC Owner"`
	OwnerEmail      string `json:"owner_email,omitempty" maxLength:"300" example:"admin@haiec.com"`
	OwnerPhone      string `json:"owner_phone,omitempty" maxLength:"200" example:"+18573825169"`
	Country         string `json:"country,omitempty" maxLength:"2" example:"US"`
	Slug            string `json:"slug,omitempty" maxLength:"200" example:"haiec"`
	PlanTier        string `json:"plan_tier,omitempty" maxLength:"200" example:"professional"`
	ForwardToNumber string `json:"forward_to_number,omitempty" maxLength:"200" example:"+18573825169"`
	TermsVersion    string `json:"terms_version,omitempty" maxLength:"200" example:"2026-01-01"`
	AcceptTerms     bool   `json:"accept_terms,omitempty" example:"true"`
}

// Resolve refuses what cannot be stored.
func (d *Draft) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	for name, value := range map[string]*string{"company_name": &d.CompanyName, "industry": &d.Industry, "timezone": &d.Timezone, "owner_name": &d.OwnerName,
		"owner_email": &d.OwnerEmail, "owner_phone": &d.OwnerPhone, "country": &d.Country, "slug": &d.Slug, "plan_tier": &d.PlanTier,
		"forward_to_number": &d.ForwardToNumber, "terms_version": &d.TermsVersion} {
		f.line(name, value, 300)
	}
	return f.errs
}

// stepOf says where a field is asked for; required lists those that must be filled in.
var (
	stepOf = map[string]int{"company_name": 1, "industry": 1, "timezone": 1, "owner_name": 2, "owner_email": 2, "owner_phone": 2, "country": 2,
		"slug": 3, "plan_tier": 4, "forward_to_number": 5, "terms_version": 5, "accept_terms": 5}
	required = []string{"company_name", "owner_name", "owner_email", "plan_tier"}
)

// DraftFault is what is wrong with one field.
type DraftFault struct {
	Field   string `json:"field" example:"slug"`
	Message string `json:"message" example:"is taken"`
}

// JudgedDraft is a draft with what is wrong with it so far.
type JudgedDraft struct {
	Draft       Draft        `json:"draft"`
	Errors      []DraftFault `json:"errors" nullable:"false" doc:"What is wrong with the steps that are filled in; empty if they are good"`
	Suggestions []string     `json:"suggestions" nullable:"false" example:"[\"haiec-hq\"]" doc:"Free subdomains like the one chosen or like the company's name"`
	ExpiresAt   time.Time    `json:"expires_at" doc:"7 days after the last change"`
}

// NewDraft is a draft with its token, shown this once.
type NewDraft struct {
	JudgedDraft
	Token string `json:"token" example:"X3Q7ZK2V5M4N6P7R2S5T3W4Y6A" doc:"Opens the draft. Keep it in the browser"`
}

type createDraftInput struct{ Body Draft }

type newDraftOutput struct{ Body NewDraft }

// DraftInput names a draft.
type DraftInput struct {
	Token string `header:"Onboarding-Draft" required:"true" maxLength:"64" example:"X3Q7ZK2V5M4N6P7R2S5T3W4Y6A" doc:"The draft's token"`
}

type keepDraftInput struct {
	DraftInput
	Body Draft
}

type judgedDraftOutput struct{ Body JudgedDraft }

var errNoDraft = edge.NewProblem(http.StatusNotFound, "draft_not_found", "There is no such draft, or it has expired.")

const createDraftDoc doc = `Begin a sign-up draft
Kept for 7 days, under a token that only this answer shows. Says what is wrong with the steps that are filled in.`

func (a *API) createDraft(ctx context.Context, in *createDraftInput) (*newDraftOutput, error) {
	address := edge.FromContext(ctx).Address()
	if err := a.take(ctx, "draft from "+string(address[:]), a.Config.SignUps.Drafts); err != nil {
		return nil, err
	}
	token := rand.Text()
	judged, err := a.judge(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(in.Body)
	if err != nil {
		return nil, err
	}
	err = db.New(a.DB.As(a.onboarding(ctx))).CreateDraft(ctx, db.CreateDraftParams{Hash: hashOf(token), Data: data, At: a.Now(), ExpiresAt: judged.ExpiresAt})
	return &newDraftOutput{Body: NewDraft{JudgedDraft: judged, Token: token}}, err
}

const keepDraftDoc doc = `Keep a sign-up draft
Replaces it, and says what is wrong with the steps that are filled in. What is wrong is kept all the same.`

func (a *API) keepDraft(ctx context.Context, in *keepDraftInput) (*judgedDraftOutput, error) {
	judged, err := a.judge(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(in.Body)
	if err != nil {
		return nil, err
	}
	n, err := db.New(a.DB.As(a.onboarding(ctx))).KeepDraft(ctx, db.KeepDraftParams{Hash: hashOf(in.Token), Data: data, At: a.Now(), ExpiresAt: judged.ExpiresAt})
	if err == nil && n == 0 {
		err = errNoDraft
	}
	return &judgedDraftOutput{Body: judged}, err
}

const getDraftDoc doc = `Read a sign-up draft
As it was kept last, with what is wrong with it now.`

func (a *API) getDraft(ctx context.Context, in *DraftInput) (*judgedDraftOutput, error) {
	kept, err := db.New(a.DB.As(a.onboarding(ctx))).FindDraft(ctx, hashOf(in.Token), a.Now())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoDraft
	}
	if err != nil {
		return nil, err
	}
	var d Draft
	if err := json.Unmarshal(kept.Data, &d); err != nil {
		return nil, err
	}
	judged, err := a.judge(ctx, d)
	judged.ExpiresAt = kept.ExpiresAt
	return &judgedDraftOutput{Body: judged}, err
}

// judge holds a draft to the rules of the final order, as far as it is filled in. It does not say whose e-mail is
// known: only the order itself does, which is counted.
func (a *API) judge(ctx context.Context, d Draft) (JudgedDraft, error) {
	out := JudgedDraft{Draft: d, Errors: []DraftFault{}, Suggestions: []string{}, ExpiresAt: a.Now().Add(draftKept)}
	add := func(field, message string) {
		if stepOf[field] <= max(d.Step, 1) {
			out.Errors = append(out.Errors, DraftFault{field, message})
		}
	}
	phone, forward := d.OwnerPhone, d.ForwardToNumber
	b := Onboard{CompanyName: d.CompanyName, Industry: d.Industry, OwnerName: d.OwnerName, OwnerEmail: d.OwnerEmail, OwnerPhone: &phone, Country: d.Country,
		PlanTier: d.PlanTier, ForwardToNumber: &forward, TermsVersion: d.TermsVersion, AcceptTerms: d.AcceptTerms}
	for _, name := range required {
		value := map[string]string{"company_name": d.CompanyName, "owner_name": d.OwnerName, "owner_email": d.OwnerEmail, "plan_tier": d.PlanTier}[name]
		if value == "" {
			add(name, "is required")
		}
	}
	for _, err := range b.Resolve(nil, huma.NewPathBuffer(nil, 0)) {
		var detail *huma.ErrorDetail
		if errors.As(err, &detail) {
			add(detail.Location, detail.Message)
		}
	}
	q := db.New(a.DB.As(a.onboarding(ctx)))
	if d.Slug != "" {
		problem, err := q.SlugProblem(ctx, d.Slug)
		if err != nil {
			return out, err
		}
		if text := map[string]string{"slug_invalid": "is 3 to 40 lower-case letters, digits and hyphens", "slug_reserved": "is reserved", "slug_taken": "is taken"}[problem]; text != "" {
			add("slug", text)
		}
	}
	if name := cmp.Or(d.Slug, d.CompanyName); name != "" {
		free, err := suggest(ctx, q, name)
		if err != nil {
			return out, err
		}
		out.Suggestions = append(out.Suggestions, free...)
	}
	if d.PlanTier != "" {
		offered, err := a.query(ctx).ListOfferedPlans(ctx)
		if err != nil {
			return out, err
		}
		if !slices.ContainsFunc(offered, func(p db.ListOfferedPlansRow) bool { return p.Tier == b.PlanTier }) {
			add("plan_tier", "is not on offer")
		}
	}
	slices.SortStableFunc(out.Errors, func(x, y DraftFault) int { return stepOf[x.Field] - stepOf[y.Field] })
	return out, nil
}
