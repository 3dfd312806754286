package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"kestrel.ai/server/edge"
	"kestrel.ai/subdomain"
	"kestrel.ai/supabase/db"
)

var errNoSlug = edge.NewProblem(http.StatusUnprocessableEntity, "slug_required", "No subdomain can be made of this company name. Choose one.").At("slug", "is required")

// suggest returns free slugs like the name, best first.
func suggest(ctx context.Context, q *db.Queries, name string) ([]string, error) {
	var failed error
	free := subdomain.Suggest(name, func(slug string) bool {
		if failed != nil {
			return true
		}
		problem, err := q.SlugProblem(ctx, slug)
		failed = err
		return err != nil || problem != ""
	})
	return free, failed
}

// withSlug runs create with the order's slug. Without one it takes the first free one like the company's name, and
// the next should somebody else be quicker. A chosen one that is taken is answered with what is free.
func (a *API) withSlug(ctx context.Context, q *db.Queries, order *db.CreateTenantParams, create func() error) error {
	chosen := order.Slug
	for range 3 {
		if chosen == "" {
			free, err := suggest(ctx, q, order.CompanyName)
			if err != nil {
				return err
			}
			if len(free) == 0 {
				return errNoSlug
			}
			order.Slug = free[0]
		}
		err := create()
		if !slugTaken(err) {
			return err
		}
		if chosen != "" {
			p := edge.NewProblem(http.StatusConflict, "slug_taken", "The subdomain "+chosen+" is taken. Choose another.").Because(err)
			if free, err := suggest(ctx, q, chosen); err == nil && len(free) > 0 {
				return p.At("slug", "is taken; free are "+strings.Join(free, ", "))
			}
			return p.At("slug", "is taken")
		}
	}
	return edge.NewProblem(http.StatusConflict, "slug_taken", "Others are taking names like this one. Choose a subdomain.").At("slug", "is taken")
}

func slugTaken(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.ConstraintName == "tenants_slug_key" || pg.ConstraintName == "slug_taken")
}

// Checking --------------------------------------------------------------------------------------------------------

type slugInput struct {
	Name string `query:"name" maxLength:"120" example:"HAIEC" doc:"A company name to make a slug of"`
	Slug string `query:"slug" maxLength:"63" doc:"Or a slug to look at"`
}

// SlugCheck says whether a slug can be had.
type SlugCheck struct {
	Slug        string   `json:"slug" example:"haiec"`
	Available   bool     `json:"available"`
	Reason      *string  `json:"reason" enum:"slug_invalid,slug_reserved,slug_taken" doc:"Why not"`
	Suggestions []string `json:"suggestions" nullable:"false" example:"[\"haiec-hq\"]" doc:"Free ones like it"`
}

type slugOutput struct{ Body SlugCheck }

const checkSlugDoc doc = `Check a subdomain
Give a name to get a slug made of it, or a slug to know whether it is free.`

func (a *API) checkSlug(ctx context.Context, in *slugInput) (*slugOutput, error) {
	return slugCheck(ctx, db.New(a.DB.As(a.onboarding(ctx))), in)
}

func (a *API) checkSlugAsStaff(ctx context.Context, in *slugInput) (*slugOutput, error) {
	return slugCheck(ctx, a.query(ctx), in)
}

func slugCheck(ctx context.Context, q *db.Queries, in *slugInput) (*slugOutput, error) {
	if (in.Name == "") == (in.Slug == "") {
		return nil, edge.NewProblem(http.StatusUnprocessableEntity, "invalid", "Give a name or a slug.").At("name", "is required, or slug")
	}
	check := SlugCheck{Slug: strings.ToLower(strings.TrimSpace(in.Slug)), Suggestions: []string{}}
	if in.Name != "" {
		check.Slug = subdomain.SlugFrom(in.Name)
	}
	problem, err := q.SlugProblem(ctx, check.Slug)
	if err != nil {
		return nil, err
	}
	check.Available, check.Reason = problem == "", optional(problem)
	if free, err := suggest(ctx, q, in.Name+in.Slug); err != nil {
		return nil, err
	} else if !check.Available && free != nil {
		check.Suggestions = free
	}
	return &slugOutput{Body: check}, nil
}
