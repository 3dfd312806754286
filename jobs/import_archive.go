package jobs

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // the forms that a logo's size is read from
	_ "image/png"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// What an archive may be at most. Our own exports stay far below, or cannot be stored.
const (
	maxArchive   = 20 << 30 // bytes of the file
	maxDirectory = 32 << 20 // bytes that its table of contents is read from
	maxEntries   = 250_000
	maxManifest  = 64 << 20
	maxRatio     = 100      // bytes told for each byte of the file…
	freeRatio    = 64 << 20 // …beyond so many
	maxRow       = 8 << 20  // bytes of one row
	maxLogo      = 512 << 10
	maxLogoSide  = 4096 // pixels
)

// opened is an archive whose every file has the sum that the manifest tells. Nothing in it is believed yet.
type opened struct {
	manifest   exportManifest
	entries    map[string]*zip.File
	recordings map[string]string // ending by name: the call's id, and -voicemail
	logo       string            // name of the entry
	logoType   string
}

var (
	dataName      = regexp.MustCompile(`^data/[a-z][a-z0-9_]{0,62}\.(json|csv)$`)
	recordingName = regexp.MustCompile(`^recordings/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?:-voicemail)?)(\.[a-z0-9]{1,5})?$`)
	logoName      = regexp.MustCompile(`^logo\.(png|jpe?g|webp)$`)
)

// openArchive checks an archive from its form to the sum of its last file. What is wrong is a permanent *Failure.
func openArchive(ctx context.Context, file io.ReaderAt, size int64) (*opened, error) {
	directory := &budget{r: file, left: maxDirectory}
	z, err := zip.NewReader(directory, size)
	if err != nil {
		return nil, permanently("The archive is no zip file, or it is damaged.")
	}
	directory.left = math.MaxInt64 // from here on each file has its own bound
	a := &opened{entries: map[string]*zip.File{}, recordings: map[string]string{}}
	if len(z.File) > maxEntries {
		return nil, permanently("The archive has %d files; at most %d are read.", len(z.File), maxEntries)
	}
	var told uint64
	for _, f := range z.File {
		if f.Method != zip.Store && f.Method != zip.Deflate {
			return nil, permanently("%q in the archive is packed in a way that exports are not.", f.Name)
		}
		if a.entries[f.Name] != nil {
			return nil, permanently("The archive has %q twice.", f.Name)
		}
		a.entries[f.Name] = f
		if told += f.UncompressedSize64; f.UncompressedSize64 > 1<<50 || told > freeRatio+maxRatio*uint64(size) {
			return nil, permanently("The archive would unpack to more than %d times its size.", maxRatio)
		}
	}
	if err := a.readManifest(); err != nil {
		return nil, err
	}
	for _, f := range a.manifest.Files {
		if err := a.verify(ctx, f); err != nil {
			return nil, err
		}
	}
	return a, a.seeLogo()
}

func (a *opened) readManifest() error {
	f := a.entries["manifest.json"]
	if f == nil || f.UncompressedSize64 > maxManifest {
		return permanently("The archive has no manifest.json that can be read.")
	}
	raw, err := a.read(f.Name)
	if err != nil {
		return err
	}
	m := &a.manifest
	if err := json.Unmarshal(raw, m); err != nil {
		return permanently("manifest.json is not as exports have it.")
	}
	if m.Format != exportFormat {
		return permanently("The archive has format %d; Kestrel reads %d.", m.Format, exportFormat)
	}
	if m.TenantID == uuid.Nil {
		return permanently("manifest.json names no tenant.")
	}
	if len(m.Files) != len(a.entries)-1 {
		return permanently("manifest.json lists %d files; the archive has %d.", len(m.Files), len(a.entries)-1)
	}
	listed := map[string]bool{}
	for _, f := range m.Files {
		if a.entries[f.Name] == nil || listed[f.Name] {
			return permanently("manifest.json lists %q, which the archive has not, or lists it twice.", f.Name)
		}
		listed[f.Name] = true
		recording := recordingName.FindStringSubmatch(f.Name)
		switch {
		case recording != nil:
			if _, twice := a.recordings[recording[1]]; twice {
				return permanently("The archive has two recordings of %q.", recording[1])
			}
			a.recordings[recording[1]] = recording[2]
		case logoName.MatchString(f.Name) && a.logo == "":
			a.logo = f.Name
		case !dataName.MatchString(f.Name):
			return permanently("The archive has a file %q, which no export has.", f.Name)
		}
		if f.Bytes < 0 || uint64(f.Bytes) != a.entries[f.Name].UncompressedSize64 {
			return permanently("%s has another size than manifest.json tells.", f.Name)
		}
	}
	for _, t := range exportTables {
		if t.comes != nil && t.name == "tenants" && !listed["data/tenants.json"] {
			return permanently("The archive has no data/tenants.json.")
		}
	}
	if int64(len(a.recordings)) != m.Counts["recordings"] {
		return permanently("manifest.json tells of %d recordings; the archive has %d.", m.Counts["recordings"], len(a.recordings))
	}
	return nil
}

// verify reads one file whole and compares its sum.
func (a *opened) verify(ctx context.Context, f exportFile) error {
	r, err := a.entries[f.Name].Open()
	if err != nil {
		return damaged(f.Name)
	}
	defer r.Close()
	sum, bounded := sha256.New(), io.LimitReader(r, f.Bytes+1) // a size that is told need not be true
	for {
		_, err := io.CopyN(sum, bounded, 16<<20)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return damaged(f.Name)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return permanently("%s has another SHA-256 than manifest.json tells: the archive was changed or damaged.", f.Name)
	}
	return nil
}

func damaged(name string) error { return permanently("%s in the archive is damaged.", name) }

// read is a small file whole.
func (a *opened) read(name string) ([]byte, error) {
	r, err := a.entries[name].Open()
	if err != nil {
		return nil, damaged(name)
	}
	defer r.Close()
	told := a.entries[name].UncompressedSize64
	raw, err := io.ReadAll(io.LimitReader(r, int64(told)+1))
	if err != nil || uint64(len(raw)) != told {
		return nil, damaged(name)
	}
	return raw, nil
}

// seeLogo demands that the logo is an image: everybody can fetch it from our address.
func (a *opened) seeLogo() error {
	if a.logo == "" {
		return nil
	}
	refused := permanently("%s is no PNG, JPEG or WebP image of at most 512 KB.", a.logo)
	if a.entries[a.logo].UncompressedSize64 > maxLogo {
		return refused
	}
	raw, err := a.read(a.logo)
	if err != nil {
		return err
	}
	a.logoType = http.DetectContentType(raw)
	switch a.logoType {
	case "image/png", "image/jpeg":
		if c, _, err := image.DecodeConfig(bytes.NewReader(raw)); err != nil || c.Width > maxLogoSide || c.Height > maxLogoSide {
			return refused
		}
	case "image/webp":
	default:
		return refused
	}
	return nil
}

// rows hands each row of a table's JSON to fn, by its number from 1. Memory holds one row.
func (a *opened) rows(table string, fn func(n int, raw json.RawMessage) error) (err error) {
	name := "data/" + table + ".json"
	f := a.entries[name]
	if f == nil {
		return nil // an archive of before the table was
	}
	r, err := f.Open()
	if err != nil {
		return damaged(name)
	}
	defer r.Close()
	bound := &perRow{r: r, left: maxRow}
	in := json.NewDecoder(bound)
	if t, err := in.Token(); err != nil || t != json.Delim('[') {
		return permanently("%s is no list of rows.", name)
	}
	n := 0
	for in.More() {
		n++
		var raw json.RawMessage
		if err := in.Decode(&raw); err != nil {
			return permanently("%s, row %d: it is no JSON, or larger than %d MiB.", name, n, maxRow>>20)
		}
		bound.left = maxRow
		if err := fn(n, raw); err != nil {
			return err
		}
	}
	if _, err := in.Token(); err != nil || int64(n) != a.manifest.Counts[table] {
		return permanently("%s has %d rows; manifest.json tells of %d.", name, n, a.manifest.Counts[table])
	}
	return nil
}

// unknown are the tables of an archive that this Kestrel has not.
func (a *opened) unknown() []string {
	out := []string{}
	for _, f := range a.manifest.Files {
		table, isJSON := strings.CutSuffix(strings.TrimPrefix(f.Name, "data/"), ".json")
		if isJSON && !slices.ContainsFunc(exportTables, func(t exportTable) bool { return t.name == table }) {
			out = append(out, table)
		}
	}
	return out
}

var errTooMuch = errors.New("more than is read")

// budget ends a reader that is asked for more than it has left.
type budget struct {
	r    io.ReaderAt
	left int64
}

func (b *budget) ReadAt(p []byte, at int64) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, errTooMuch
	}
	return b.r.ReadAt(p, at)
}

type perRow struct {
	r    io.Reader
	left int
}

func (p *perRow) Read(b []byte) (int, error) {
	if p.left <= 0 {
		return 0, errTooMuch
	}
	n, err := p.r.Read(b[:min(len(b), p.left)])
	p.left -= n
	return n, err
}

// rowName is how a failure names a row.
func rowName(table string, n int) string { return fmt.Sprintf("data/%s.json, row %d", table, n) }
