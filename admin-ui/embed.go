// Package adminui holds the built React app (admin, tenant dashboard, onboarding), the API reference, and their
// assets, each also compressed. It knows no HTTP framework: the server asks it for a File and writes that.
package adminui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"path"
	"strings"
)

// Page is one of the app's entries.
type Page string

// The entries: Onboarding is the apex's, landing page included.
const (
	Admin      Page = "admin.html"
	Tenant     Page = "tenant.html"
	Onboarding Page = "onboarding.html"
	Docs       Page = "docs.html"
)

// File is one answer. The server adds "Vary: Accept-Encoding" and compares ETag with If-None-Match.
type File struct {
	Body         []byte // shared: not to be written
	ContentType  string
	Encoding     string // Content-Encoding, "" for none
	CacheControl string
	ETag         string // quoted
}

// Files finds built files by URL path. It is safe for concurrent use.
type Files struct {
	variants map[string]map[string]File // URL path without its slash -> encoding
}

// dist holds only a placeholder until `make build` has built the app.
//
//go:embed all:dist
var dist embed.FS

// Built reads the embedded app. Where it was not built, every look-up finds nothing.
func Built() (*Files, error) {
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	return Read(built)
}

// Read indexes the output of the app's build: files, with name.br and name.gz beside what compresses.
func Read(fsys fs.FS) (*Files, error) {
	files := &Files{variants: map[string]map[string]File{}}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return fmt.Errorf("read the built UI: %w", err)
		}
		plain, encoding := name, ""
		switch path.Ext(name) {
		case ".br":
			plain, encoding = strings.TrimSuffix(name, ".br"), "br"
		case ".gz":
			plain, encoding = strings.TrimSuffix(name, ".gz"), "gzip"
		}
		if files.variants[plain] == nil {
			files.variants[plain] = map[string]File{}
		}
		sum := sha256.Sum256(body)
		files.variants[plain][encoding] = File{
			Body: body, ContentType: contentType(plain), Encoding: encoding,
			CacheControl: cacheControl(plain), ETag: `"` + hex.EncodeToString(sum[:12]) + `"`,
		}
		return nil
	})
	return files, err
}

// Page returns an entry in the best encoding that acceptEncoding (the request's header) allows; false where the app
// is not built.
func (f *Files) Page(page Page, acceptEncoding string) (File, bool) {
	return f.choose(string(page), acceptEncoding)
}

// Asset returns the file at a URL path such as /assets/x.js. Pages are no assets: which one a host shows is the
// server's choice.
func (f *Files) Asset(urlPath, acceptEncoding string) (File, bool) {
	name := strings.TrimPrefix(urlPath, "/")
	if path.Ext(name) == ".html" {
		return File{}, false
	}
	return f.choose(name, acceptEncoding)
}

func (f *Files) choose(name, acceptEncoding string) (File, bool) {
	for _, encoding := range []string{"br", "gzip"} {
		if file, ok := f.variants[name][encoding]; ok && accepts(acceptEncoding, encoding) {
			return file, true
		}
	}
	file, ok := f.variants[name][""]
	return file, ok
}

// accepts reports whether an Accept-Encoding header lists encoding without refusing it (q=0). A wildcard does not
// count: an uncompressed answer is always right.
func accepts(header, encoding string) bool {
	for item := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(item, ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			q := strings.TrimRight(strings.ReplaceAll(parameters, " ", ""), "0")
			return q != "q=" && q != "q=0."
		}
	}
	return false
}

// cacheControl: the build names assets by their content, so they never change; everything else is asked for again.
func cacheControl(name string) string {
	if strings.HasPrefix(name, "assets/") {
		return "public, max-age=31536000, immutable"
	}
	return "no-cache"
}

// contentType does not ask the machine's mime tables for what browsers are strict about.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	default:
		if known := mime.TypeByExtension(ext); known != "" {
			return known
		}
		return "application/octet-stream"
	}
}
