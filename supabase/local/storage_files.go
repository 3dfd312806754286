package local

import (
	"context"
	"crypto/md5" //nolint:gosec // an ETag, as S3 makes them
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// incoming is an upload, however it was sent.
type incoming struct {
	body         io.Reader
	mime         string
	cacheControl string
	userMetadata map[string]any
}

// readUpload understands the multipart forms of supabase-js and the raw bodies of storage-go.
func (s *storage) readUpload(w http.ResponseWriter, r *http.Request) (incoming, error) {
	const formOverhead = 1 << 20
	r.Body = http.MaxBytesReader(w, r.Body, s.MaxBytes+formOverhead)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "multipart/form-data" {
		in := incoming{body: r.Body, mime: r.Header.Get("Content-Type"), cacheControl: r.Header.Get("Cache-Control")}
		if raw, err := base64.StdEncoding.DecodeString(r.Header.Get("X-Metadata")); err == nil && len(raw) > 0 {
			if json.Unmarshal(raw, &in.userMetadata) != nil {
				return in, storageFail(http.StatusBadRequest, "InvalidRequest", "Invalid metadata")
			}
		}
		return in, nil
	}
	var in incoming
	form, err := r.MultipartReader()
	if err != nil {
		return in, storageFail(http.StatusBadRequest, "InvalidRequest", "Invalid multipart form")
	}
	for {
		part, err := form.NextPart()
		if err != nil {
			return in, storageFail(http.StatusBadRequest, "InvalidRequest", "The form has no file")
		}
		if part.FileName() != "" || part.FormName() == "" {
			in.body, in.mime = part, part.Header.Get("Content-Type")
			return in, nil
		}
		value, err := io.ReadAll(io.LimitReader(part, formOverhead))
		if err != nil {
			return in, err
		}
		switch part.FormName() {
		case "cacheControl":
			in.cacheControl = "max-age=" + string(value)
		case "metadata":
			if json.Unmarshal(value, &in.userMetadata) != nil {
				return in, storageFail(http.StatusBadRequest, "InvalidRequest", "Invalid metadata")
			}
		}
	}
}

func (s *storage) upload(w http.ResponseWriter, r *http.Request) error {
	return s.uploadAs(w, r, r.Header.Get("X-Upsert") == "true")
}

// replace is an upload that may overwrite.
func (s *storage) replace(w http.ResponseWriter, r *http.Request) error {
	return s.uploadAs(w, r, true)
}

func (s *storage) uploadAs(w http.ResponseWriter, r *http.Request, upsert bool) error {
	who, err := s.agent(r)
	if err != nil {
		return err
	}
	return s.receive(w, r, who, upsert)
}

func (s *storage) receive(w http.ResponseWriter, r *http.Request, who agent, upsert bool) error {
	bucket, key, err := target(r)
	if err != nil {
		return err
	}
	in, err := s.readUpload(w, r)
	if err != nil {
		return err
	}
	id, err := s.store(r.Context(), who, bucket, key, in, upsert)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"Id": id, "Key": path.Join(bucket, key)})
}

// bucketFor finds a bucket for an upload. As in Storage, those who cannot list a bucket may still upload to it.
func (s *storage) bucketFor(ctx context.Context, id string) (b *bucket, err error) {
	err = s.as(ctx, serviceAgent, func(tx pgx.Tx) error {
		b, err = findBucket(ctx, tx, text(id))
		return err
	})
	return b, err
}

// store writes the file, then the row, as who: at no time does a row exist without its whole file on disk.
func (s *storage) store(ctx context.Context, who agent, bucketID, key string, in incoming, upsert bool) (uuid.UUID, error) {
	b, err := s.bucketFor(ctx, bucketID)
	if err != nil {
		return uuid.Nil, err
	}
	if in.mime == "" {
		in.mime = "application/octet-stream"
	}
	kind, _, err := mime.ParseMediaType(in.mime)
	if err != nil || !allowedMime(b.AllowedMimeTypes, kind) {
		return uuid.Nil, storageFail(http.StatusUnsupportedMediaType, "invalid_mime_type", "mime type "+in.mime+" is not supported")
	}
	limit := s.MaxBytes
	if b.FileSizeLimit != nil {
		limit = min(limit, *b.FileSizeLimit)
	}
	version := uuid.NewString()
	size, etag, err := s.write(version, in.body, limit)
	if err != nil {
		return uuid.Nil, err
	}
	if in.cacheControl == "" {
		in.cacheControl = "no-cache"
	}
	o := object{BucketID: bucketID, Name: key, Version: version, UserMetadata: in.userMetadata, Metadata: map[string]any{
		"eTag": etag, "size": size, "contentLength": size, "mimetype": in.mime, "cacheControl": in.cacheControl,
		"lastModified": s.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "httpStatusCode": 200,
	}}
	var id uuid.UUID
	var old string
	err = s.as(ctx, who, func(tx pgx.Tx) error {
		id, old, err = putObject(ctx, tx, who, o, upsert)
		return err
	})
	if err != nil {
		old = version
	}
	s.discard([]object{{Version: old}})
	return id, err
}

func allowedMime(allowed []string, kind string) bool {
	for _, pattern := range allowed {
		if ok, _ := path.Match(strings.ToLower(pattern), kind); ok {
			return true
		}
	}
	return len(allowed) == 0
}

// place is where the file of a version lies; versions are UUIDs of ours, never a caller's text.
func (s *storage) place(version string) (string, error) {
	id, err := uuid.Parse(version)
	if err != nil {
		return "", errNoObject
	}
	return filepath.Join(s.Dir, id.String()[:2], id.String()), nil
}

func (s *storage) write(version string, body io.Reader, limit int64) (size int64, etag string, err error) {
	to, err := s.place(version)
	if err != nil {
		return 0, "", err
	}
	temp, err := os.CreateTemp(filepath.Join(s.Dir, "incoming"), "")
	if err != nil {
		return 0, "", err
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	sum := md5.New() //nolint:gosec // see the import
	size, err = io.Copy(io.MultiWriter(temp, sum), io.LimitReader(body, limit+1))
	if err != nil {
		return 0, "", err
	}
	if size > limit {
		return 0, "", errTooLarge
	}
	if err := errors.Join(temp.Sync(), temp.Close(), os.MkdirAll(filepath.Dir(to), 0o700), os.Rename(temp.Name(), to)); err != nil {
		return 0, "", err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return 0, "", err
	}
	defer dir.Close()
	return size, `"` + hex.EncodeToString(sum.Sum(nil)) + `"`, dir.Sync()
}

func (s *storage) open(version string) (*os.File, error) {
	at, err := s.place(version)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(at)
	if errors.Is(err, fs.ErrNotExist) {
		err = errNoObject
	}
	return file, err
}

// discard removes files whose rows are gone. One that stays behind is harmless.
func (s *storage) discard(gone []object) {
	for _, o := range gone {
		if at, err := s.place(o.Version); err == nil {
			_ = os.Remove(at)
		}
	}
}

// urlClaims are the claims of a signed URL. They are no person's: Auth's verifiers refuse such a token.
type urlClaims struct {
	jwt.RegisteredClaims
	URL   string `json:"url"` // bucket/path
	Use   string `json:"use"` // get or put
	Owner string `json:"owner,omitempty"`
	Over  bool   `json:"upsert,omitempty"`
}

func (s *storage) signURL(c urlClaims, life time.Duration) (string, error) {
	now := s.Now()
	c.IssuedAt, c.ExpiresAt = jwt.NewNumericDate(now), jwt.NewNumericDate(now.Add(life))
	return s.Key.Sign(c)
}

// checkURL returns the claims of the request's token if it is for this object and use.
func (s *storage) checkURL(r *http.Request, use string) (urlClaims, error) {
	bucket, key, err := target(r)
	if err != nil {
		return urlClaims{}, err
	}
	var c urlClaims
	err = s.Key.parse(r.URL.Query().Get("token"), &c, s.Now)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return c, storageFail(http.StatusBadRequest, "InvalidJWT", `"exp" claim timestamp check failed`)
	case err != nil || c.Use != use || c.URL != bucket+"/"+key:
		return c, storageFail(http.StatusBadRequest, "InvalidSignature", "Invalid signature")
	}
	return c, nil
}
