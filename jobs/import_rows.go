package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kestrel.ai/supabase/db"
)

// importing is an archive on its way into a new tenant.
type importing struct {
	order     db.ImportToMakeRow
	archive   *opened
	planKnown bool
	counts    map[string]int64
	unknown   map[string]bool // columns that the archive has and Kestrel has not: table.column
	report    importReport
}

// importReport is what admins are told of an import beside its counts.
type importReport struct {
	Archive struct {
		TenantID    uuid.UUID `json:"tenant_id"` // of the tenant that was exported
		CompanyName string    `json:"company_name"`
		Slug        string    `json:"slug"`
		CreatedAt   time.Time `json:"created_at"`
		SHA256      string    `json:"sha256"`
		Bytes       int64     `json:"bytes"`
	} `json:"archive"`
	LeftBehind        []leftBehind `json:"left_behind"`
	UnknownTables     []string     `json:"unknown_tables"`
	UnknownColumns    []string     `json:"unknown_columns"`
	MissingRecordings int          `json:"missing_recordings"` // calls whose recording the archive had not
	Plan              string       `json:"plan,omitempty"`     // the old tenant's, if Kestrel has none of that name
}

type leftBehind struct {
	Table string              `json:"table"`
	Rows  int64               `json:"rows"`
	Why   string              `json:"why"`
	Items []map[string]string `json:"items,omitempty"` // at most mostListed
}

const mostListed = 1000

// ImportedID is the id that a row of an archive has in the tenant of an import: the same however often it is derived,
// with the time of a UUIDv7, and so its place in the order. Another import's is another.
func ImportedID(imported, old uuid.UUID) uuid.UUID {
	sum := sha256.Sum256(append(imported[:], old[:]...))
	id := uuid.UUID(sum[:16])
	if old.Version() == 7 {
		copy(id[:8], old[:8])
	} else {
		id[6] = 0x80 | id[6]&0x0f // RFC 9562, version 8
	}
	id[8] = 0x80 | id[8]&0x3f
	return id
}

func (i *importing) recordingPath(name, ext string) string {
	call, voicemail := strings.CutSuffix(name, voicemailSuffix)
	path := i.order.ID.String() + "/" + ImportedID(i.order.ID, uuid.MustParse(call)).String()
	if voicemail {
		path += voicemailSuffix
	}
	return path + ext
}

// look reads whose archive it is, and notes what stays behind.
func (i *importing) look(ctx context.Context, q *db.Queries) error {
	r := &i.report
	r.Archive.TenantID, r.Archive.CreatedAt = i.archive.manifest.TenantID, i.archive.manifest.CreatedAt
	r.MissingRecordings, r.UnknownTables, r.LeftBehind = len(i.archive.manifest.MissingRecordings), i.archive.unknown(), []leftBehind{}
	var plan string
	err := i.archive.rows("tenants", func(n int, raw json.RawMessage) error {
		row, err := i.own(exportTable{name: "tenants"}, n, raw)
		if err != nil {
			return err
		}
		if n > 1 {
			return permanently("data/tenants.json has more than one tenant.")
		}
		r.Archive.CompanyName, r.Archive.Slug, plan = row.text("company_name"), row.text("slug"), row.text("plan_tier")
		return nil
	})
	if err != nil {
		return err
	}
	if i.archive.manifest.Counts["tenants"] != 1 {
		return permanently("data/tenants.json has no tenant.")
	}
	if i.planKnown, err = q.KnownPlan(ctx, plan); err != nil {
		return refusal(err, rowName("tenants", 1))
	}
	if !i.planKnown {
		r.Plan = plan
	}
	for _, t := range exportTables {
		if t.comes != nil {
			continue
		}
		left := leftBehind{Table: t.name, Rows: i.archive.manifest.Counts[t.name], Why: t.stays}
		err := i.archive.rows(t.name, func(n int, raw json.RawMessage) error {
			row, err := i.own(t, n, raw)
			if err != nil || len(t.list) == 0 || len(left.Items) == mostListed {
				return err
			}
			item := map[string]string{}
			for _, column := range t.list {
				item[column] = strings.ReplaceAll(row.text(column), "\x00", "")
			}
			left.Items = append(left.Items, item)
			return nil
		})
		if err != nil {
			return err
		}
		r.LeftBehind = append(r.LeftBehind, left)
	}
	return nil
}

// own reads a row and demands that it is the exported tenant's.
func (i *importing) own(t exportTable, n int, raw json.RawMessage) (fields, error) {
	var row fields
	if err := json.Unmarshal(raw, &row); err != nil || row == nil {
		return nil, permanently("%s is no row of a table.", rowName(t.name, n))
	}
	owner := "tenant_id"
	if t.name == "tenants" {
		owner = "id"
	}
	if row.text(owner) != i.archive.manifest.TenantID.String() {
		return nil, permanently("%s belongs to another tenant than the archive: its %s is not the manifest's tenant_id.", rowName(t.name, n), owner)
	}
	return row, nil
}

// What is sent to Postgres at once.
const (
	batchRows  = 200
	batchBytes = 1 << 20
)

// table inserts the rows of one table.
func (i *importing) table(ctx context.Context, tx pgx.Tx, t exportTable) error {
	columns := map[string]bool{} // whether it holds an id
	rows, err := tx.Query(ctx, `select attname::text, atttypid = 'uuid'::regtype from pg_catalog.pg_attribute
		where attrelid = ('public.' || $1)::regclass and attnum > 0 and not attisdropped and attgenerated = ''`, t.name)
	if err != nil {
		return err
	}
	var column string
	var isID bool
	if _, err := pgx.ForEachRow(rows, []any{&column, &isID}, func() error { columns[column] = isID; return nil }); err != nil {
		return err
	}
	var names []string // those of the first row, and so of every one
	var batch []fields
	first, bytes := 1, 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := insertRows(ctx, tx, t.name, names, batch, first)
		first, batch, bytes = first+len(batch), batch[:0], 0
		return err
	}
	err = i.archive.rows(t.name, func(n int, raw json.RawMessage) error {
		row, err := i.row(t, columns, n, raw)
		if err != nil {
			return err
		}
		now := slices.Sorted(maps.Keys(row))
		if names == nil {
			names = now
		} else if !slices.Equal(names, now) {
			return permanently("%s has other columns than the first.", rowName(t.name, n))
		}
		batch, bytes = append(batch, row), bytes+len(raw)
		i.counts[t.name]++
		if len(batch) < batchRows && bytes < batchBytes {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// row is a row as the new tenant will have it.
func (i *importing) row(t exportTable, columns map[string]bool, n int, raw json.RawMessage) (fields, error) {
	in, err := i.own(t, n, raw)
	if err != nil {
		return nil, err
	}
	old, err := uuid.Parse(in.text("id"))
	if err != nil {
		return nil, permanently("%s has no id.", rowName(t.name, n))
	}
	out := fields{}
	for column, value := range in {
		isID, known := columns[column]
		switch {
		case !known:
			if len(i.unknown) < mostListed && len(column) < 64 {
				i.unknown[t.name+"."+strings.ToValidUTF8(strings.ReplaceAll(column, "\x00", ""), "")] = true
			}
		case len(t.comes.only) > 0 && !slices.Contains(t.comes.only, column), slices.Contains(t.comes.clear, column):
		case isID && !in.null(column):
			id, err := uuid.Parse(in.text(column))
			if err != nil {
				return nil, permanently("%s: %s is no id.", rowName(t.name, n), column)
			}
			out.put(column, ImportedID(i.order.ID, id))
		default:
			out[column] = value
		}
	}
	if t.name != "tenants" {
		out.put("tenant_id", i.order.ID)
	}
	if t.comes.set != nil {
		t.comes.set(i, old, out)
	}
	return out, nil
}

// insertRows inserts rows of which the first has that number in the archive. Where one is refused it says which.
func insertRows(ctx context.Context, tx pgx.Tx, table string, columns []string, batch []fields, first int) error {
	var quoted []string
	for _, c := range columns {
		quoted = append(quoted, pgx.Identifier{c}.Sanitize())
	}
	list, name := strings.Join(quoted, ", "), pgx.Identifier{"public", table}.Sanitize()
	sql := fmt.Sprintf("insert into %s (%s) select %s from pg_catalog.jsonb_populate_recordset(null::%s, $1::jsonb)", name, list, list, name)
	insert := func(rows []fields) error {
		return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, sql, json.RawMessage(encode(rows)))
			return err
		})
	}
	err := insert(batch)
	if err == nil || len(batch) == 1 || !isRefusal(err) {
		return refusal(err, rowName(table, first))
	}
	for n := range batch {
		if err := insert(batch[n : n+1]); err != nil {
			return refusal(err, rowName(table, first+n))
		}
	}
	return refusal(err, rowName(table, first))
}

// isRefusal tells what the data is to blame for: values, rules, limits.
func isRefusal(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code[:2] == "22" || pg.Code[:2] == "23" || pg.Code[:2] == "54" || strings.HasPrefix(pg.Code, "KS4"))
}

// refusal says why Postgres did not take a row, without any of its values.
func refusal(err error, where string) error {
	var pg *pgconn.PgError
	if !isRefusal(err) || !errors.As(err, &pg) {
		return err
	}
	if strings.HasPrefix(pg.Code, "KS4") {
		return permanently("%s", pg.Message)
	}
	why := "a value is not of its column's type"
	switch {
	case pg.ConstraintName == "tenants_slug_key":
		why = "another tenant has this subdomain by now"
	case pg.ConstraintName == "tenants_owner_email_key":
		why = "another tenant has this owner by now"
	case pg.Code == "23502":
		why = pg.ColumnName + " is missing"
	case pg.Code == "23503":
		why = "it refers to what is not in the archive (" + pg.ConstraintName + ")"
	case pg.Code == "23505":
		why = "it is there already (" + pg.ConstraintName + ")"
	case pg.Code[:2] == "23":
		why = "it breaks the rule " + pg.ConstraintName
	case pg.Code[:2] == "54":
		why = "a value is too large"
	}
	f := permanently("The archive cannot be imported: %s: %s.", where, why)
	f.cause = errors.New("SQLSTATE " + pg.Code)
	return f
}
