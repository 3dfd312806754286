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
