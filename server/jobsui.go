package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"riverqueue.com/riverui"

	"kestrel.ai/server/edge"
)

// jobsUI is River's pages at admin.…/jobs. Its connections are its own: each is told, when a request takes it, which
// platform admin acts, so that what is done there is in the activity log under that name.
type jobsUI struct {
	pages *riverui.Handler
	pool  *pgxpool.Pool
}

// jobsUIConnections is enough for a few admins' pages.
const jobsUIConnections = 4

func newJobsUI(cfg Config, log *slog.Logger) (*jobsUI, error) {
	own, err := pgxpool.ParseConfig(cfg.ListenDatabaseURL.Reveal()) // a session's: a transaction pooler would hand the name on
	if err != nil {
		return nil, fmt.Errorf("LISTEN_DATABASE_URL: %w", err)
	}
	own.MaxConns, own.MinConns, own.PrepareConn = jobsUIConnections, 0, nameActor
	own.ConnConfig.RuntimeParams["application_name"] = "kestrel jobs"
	pool, err := pgxpool.NewWithConfig(context.Background(), own)
	if err != nil {
		return nil, err
	}
	// A client that never starts: River UI reads and retries through it.
	queue, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: "river", Logger: log})
	if err != nil {
		pool.Close()
		return nil, err
	}
	pages, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints[pgx.Tx](queue, nil), Logger: log, Prefix: "/jobs", JobListHideArgsByDefault: true,
	})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &jobsUI{pages: pages, pool: pool}, nil
}

// nameActor tells a connection who takes it: the request's platform admin, or nobody.
func nameActor(ctx context.Context, conn *pgx.Conn) (bool, error) {
	s, actor := edge.FromContext(ctx), ""
	if s.Principal.Kind == edge.PlatformAdmin {
		actor = "admin:" + s.Principal.UserID.String()
	}
	_, err := conn.Exec(ctx, `select set_config('kestrel.actor', $1, false), set_config('kestrel.actor_label', $2, false), set_config('kestrel.request_id', $3, false)`,
		actor, s.Principal.Email, s.RequestID)
	return err == nil, err
}

func (u *jobsUI) handle(c *fiber.Ctx) error {
	scope := edge.FromContext(c.UserContext())
	return adaptor.HTTPHandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".svg") {
			w = picture{w}
		}
		u.pages.ServeHTTP(w, r.WithContext(edge.WithScope(r.Context(), scope)))
	})(c)
}

// picture names SVG what it is: River UI guesses text/plain, which nosniff keeps from being shown.
type picture struct{ http.ResponseWriter }

func (p picture) Write(body []byte) (int, error) {
	if strings.HasPrefix(p.Header().Get("Content-Type"), "text/") {
		p.Header().Set("Content-Type", "image/svg+xml")
	}
	return p.ResponseWriter.Write(body)
}
