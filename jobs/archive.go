package jobs

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// exportFormat is the version of the archive's form: what reads one must know it.
const exportFormat = 1

// exportManifest is manifest.json, the archive's last entry.
type exportManifest struct {
	Format            int              `json:"format_version"`
	TenantID          uuid.UUID        `json:"tenant_id"`
	CreatedAt         time.Time        `json:"created_at"`
	Counts            map[string]int64 `json:"counts"` // rows by table, and recordings
	Files             []exportFile     `json:"files"`
	MissingRecordings []uuid.UUID      `json:"missing_recordings"` // calls whose file was not to be had
}

type exportFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// archive is an export being written.
type archive struct {
	zip      *zip.Writer
	tenant   uuid.UUID
	manifest exportManifest
}

func newArchive(w io.Writer, tenant uuid.UUID, at time.Time) *archive {
	return &archive{zip: zip.NewWriter(w), tenant: tenant, manifest: exportManifest{
		Format: exportFormat, TenantID: tenant, CreatedAt: at.UTC(), Counts: map[string]int64{}, Files: []exportFile{}, MissingRecordings: []uuid.UUID{},
	}}
}

// entry writes one file through write and notes its size and sum.
func (a *archive) entry(name string, compress bool, write func(io.Writer) error) error {
	method := zip.Store
	if compress {
		method = zip.Deflate
	}
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: method, Modified: a.manifest.CreatedAt})
	if err != nil {
		return err
	}
	sum := &summed{w: w, sum: sha256.New()}
	if err := write(sum); err != nil {
		return err
	}
	a.manifest.Files = append(a.manifest.Files, exportFile{Name: name, Bytes: sum.n, SHA256: hex.EncodeToString(sum.sum.Sum(nil))})
	return nil
}

type summed struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func (s *summed) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.sum.Write(p[:n])
	s.n += int64(n)
	return n, err
}

// table writes the tenant's rows of one table twice, as JSON and as CSV, in the order of their keys.
func (a *archive) table(ctx context.Context, tx pgx.Tx, t exportTable) error {
	var columns []string
	err := tx.QueryRow(ctx, `select array_agg(attname::text order by attnum) from pg_catalog.pg_attribute
		where attrelid = ('public.' || $1)::regclass and attnum > 0 and not attisdropped`, t.name).Scan(&columns)
	if err != nil {
		return err
	}
	columns = slices.DeleteFunc(columns, func(c string) bool { return slices.Contains(t.without, c) })
	owner, key := "tenant_id", "id"
	switch t.name {
	case "tenants":
		owner = "id"
	case "tenant_slugs":
		key = "slug"
	}
	var names []string
	for _, c := range columns {
		names = append(names, pgx.Identifier{c}.Sanitize())
	}
	sql := fmt.Sprintf("select to_json(t)::text from (select %s from public.%s where %s = $1 order by %s) t", strings.Join(names, ", "), t.name, owner, key)
	each := func(row func(string) error) error {
		rows, err := tx.Query(ctx, sql, a.tenant)
		if err != nil {
			return err
		}
		var line string
		_, err = pgx.ForEachRow(rows, []any{&line}, func() error { return row(line) })
		return err
	}
	var count int64
	err = a.entry("data/"+t.name+".json", true, func(w io.Writer) error {
		before := "[\n"
		err := each(func(line string) error {
			_, err := io.WriteString(w, before+line)
			before = ",\n"
			count++
			return err
		})
		if err == nil && count == 0 {
			_, err = io.WriteString(w, "[")
		}
		if err == nil {
			_, err = io.WriteString(w, "\n]\n")
		}
		return err
	})
	if err != nil {
		return err
	}
	a.manifest.Counts[t.name] = count
	return a.entry("data/"+t.name+".csv", true, func(w io.Writer) error {
		out := csv.NewWriter(w)
		if err := out.Write(columns); err != nil {
			return err
		}
		if err := each(func(line string) error {
			cells, err := csvCells(columns, line)
			if err != nil {
				return err
			}
			return out.Write(cells)
		}); err != nil {
			return err
		}
		out.Flush()
		return out.Error()
	})
}

// csvCells is a row of a table as cells: texts bare, null as nothing, everything else as JSON writes it.
func csvCells(columns []string, row string) ([]string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(row), &fields); err != nil {
		return nil, err
	}
	cells := make([]string, len(columns))
	for i, c := range columns {
		raw := fields[c]
		switch {
		case bytes.Equal(raw, []byte("null")):
		case len(raw) > 0 && raw[0] == '"':
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return nil, err
			}
			cells[i] = inertCell(text)
		default:
			cells[i] = string(raw)
		}
	}
	return cells, nil
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{7,14}$`)

// inertCell keeps spreadsheets from taking a text for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
// A phone number with its + is a number to them and stays as it is; so does what is no text, such as -5.
func inertCell(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n|%", rune(cell[0])) && !e164.MatchString(cell) {
		return "'" + cell
	}
	return cell
}

var extension = regexp.MustCompile(`^\.[a-z0-9]{1,5}$`)

// recording adds a call's sound file, named by the call.
func (a *archive) recording(name, from string, body io.Reader) error {
	a.manifest.Counts["recordings"]++
	return a.file("recordings/"+name, from, body)
}

// file adds a file with the ending of the one it comes from.
func (a *archive) file(name, from string, body io.Reader) error {
	ext := strings.ToLower(path.Ext(from))
	if !extension.MatchString(ext) {
		ext = ""
	}
	return a.entry(name+ext, false, func(w io.Writer) error {
		_, err := io.Copy(w, body)
		return err
	})
}

func (a *archive) missing(call uuid.UUID) {
	a.manifest.MissingRecordings = append(a.manifest.MissingRecordings, call)
}

// close writes the manifest and ends the archive.
func (a *archive) close() error {
	w, err := a.zip.Create("manifest.json")
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	if err := out.Encode(a.manifest); err != nil {
		return err
	}
	return a.zip.Close()
}

// ownFile reports whether a path of a bucket is within the tenant's folder.
func ownFile(tenant uuid.UUID, file string) bool {
	return strings.HasPrefix(file, tenant.String()+"/") && path.Clean(file) == file
}
