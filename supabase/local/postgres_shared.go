package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// AttachPostgres returns the server that another process, which may be gone, started on dir with Detached, if it
// answers. It can be asked for URLs and passwords; it is ended by StopDetached.
func AttachPostgres(ctx context.Context, dir string) (*Postgres, error) {
	pg := &Postgres{place: place{dir: dir, root: dir}}
	var err error
	if pg.state, err = readClusterState(pg.place.stateFile()); err != nil {
		return nil, err
	}
	pm, err := readPostmaster(pg.place.data())
	if err != nil {
		return nil, err
	}
	if !pg.state.Ready || !pm.ready || len(serverProcesses(pg.place.data())) == 0 {
		return nil, errors.New("no server runs on " + dir)
	}
	conn, err := pgx.Connect(ctx, pg.URL(Superuser, "postgres"))
	if err != nil {
		return nil, fmt.Errorf("the server on %s does not answer: %w", dir, err)
	}
	return pg, conn.Close(ctx)
}

// StopDetached ends the server started on dir with Detached, if there is one, and waits for it.
func StopDetached(ctx context.Context, dir string) error {
	return stopLeftover(ctx, place{dir: dir, root: dir}.data())
}
