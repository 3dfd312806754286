package local

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// StorageOptions configure NewStorage. Pool, Dir, BaseURL, Key and Keys are required; BaseURL, Key and Keys are those
// of NewAuth.
type StorageOptions struct {
	Pool     *pgxpool.Pool // logs in as a role that may become anon, authenticated and service_role, e.g. a superuser
	Dir      string        // where the files lie; created if missing, readable by the owner only
	BaseURL  string
	Key      *SigningKey
	Keys     Keys
	MaxBytes int64 // largest object; 50 MiB if zero
	Now      func() time.Time
	Log      *slog.Logger
}

type storage struct {
	StorageOptions
	issuer string
}

// NewStorage returns a stand-in for Supabase Storage for development and tests, to be mounted at /storage/v1/. Rows
// of storage.objects describe the files; callers other than the service role see and change what that table's
// policies let them. Image transformation, resumable uploads, S3 and list-v2 are not in it. It returns an error if
// Dir cannot be used.
func NewStorage(o StorageOptions) (http.Handler, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = 50 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "incoming"), 0o700); err != nil {
		return nil, err
	}
	s := &storage{StorageOptions: o, issuer: strings.TrimSuffix(o.BaseURL, "/") + "/auth/v1"}
	return s.routes(), nil
}

func (s *storage) routes() http.Handler {
	mux := http.NewServeMux()
	on := func(pattern string, h handler) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.Handle(method+" /storage/v1"+path, s.handle(h))
	}

	on("POST /bucket", s.createBucket)
	on("GET /bucket", s.listBuckets)
	on("GET /bucket/{bucket}", s.getBucket)
	on("PUT /bucket/{bucket}", s.updateBucket)
	on("POST /bucket/{bucket}/empty", s.emptyBucket)
	on("DELETE /bucket/{bucket}", s.deleteBucket)

	on("POST /object/{bucket}/{path...}", s.upload)
	on("PUT /object/{bucket}/{path...}", s.replace)
	on("GET /object/{bucket}/{path...}", s.download) // HEAD too
	on("GET /object/authenticated/{bucket}/{path...}", s.download)
	on("GET /object/public/{bucket}/{path...}", s.downloadPublic)
	on("GET /object/info/{bucket}/{path...}", s.info)
	on("GET /object/info/authenticated/{bucket}/{path...}", s.info)
	on("GET /object/info/public/{bucket}/{path...}", s.infoPublic)
	on("DELETE /object/{bucket}/{path...}", s.removeOne)
	on("DELETE /object/{bucket}", s.removeMany)
	on("POST /object/list/{bucket}", s.list)
	on("POST /object/move", s.move)
	on("POST /object/copy", s.copyObject)

	on("POST /object/sign/{bucket}/{path...}", s.signOne)
	on("POST /object/sign/{bucket}", s.signMany)
	on("GET /object/sign/{bucket}/{path...}", s.downloadSigned)
	on("POST /object/upload/sign/{bucket}/{path...}", s.signUpload)
	on("PUT /object/upload/sign/{bucket}/{path...}", s.uploadSigned)

	mux.Handle("/", s.handle(func(http.ResponseWriter, *http.Request) error {
		return storageFail(http.StatusNotFound, "not_found", "Route not found")
	}))
	return mux
}

func (s *storage) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.writeError(w, r, err)
		}
	})
}

// storageError is an error that the caller may see, with the status that Storage puts into the body.
type storageError struct {
	status  int
	code    string
	message string
}

func (e *storageError) Error() string { return e.code + ": " + e.message }

func storageFail(status int, code, message string) error { return &storageError{status, code, message} }

var (
	errNoObject = storageFail(http.StatusNotFound, "not_found", "Object not found")
	errNoBucket = storageFail(http.StatusNotFound, "Bucket not found", "Bucket not found")
	errTooLarge = storageFail(http.StatusRequestEntityTooLarge, "Payload too large", "The object exceeded the maximum allowed size")
)

// writeError answers every refusal with HTTP 400 and the telling status in the body, as the real one does.
func (s *storage) writeError(w http.ResponseWriter, r *http.Request, err error) {
	var e *storageError
	var pgErr *pgconn.PgError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &e):
	case errors.As(err, &tooLarge):
		errors.As(errTooLarge, &e)
	case errors.As(err, &pgErr) && pgErr.Code == pgerrcode.InsufficientPrivilege:
		e = &storageError{http.StatusForbidden, "Unauthorized", pgErr.Message}
	case errors.As(err, &pgErr) && pgErr.Code == pgerrcode.UniqueViolation:
		e = &storageError{http.StatusConflict, "Duplicate", "The resource already exists"}
	default:
		s.Log.ErrorContext(r.Context(), "storage request failed", "path", r.URL.Path, "error", err)
		e = &storageError{http.StatusInternalServerError, "Internal", "Internal Server Error"}
	}
	status := http.StatusBadRequest
	if e.status >= http.StatusInternalServerError {
		status = e.status
	}
	_ = writeJSON(w, status, map[string]string{"statusCode": strconv.Itoa(e.status), "error": e.code, "message": e.message})
}

// agent is who asks: a Postgres role, and the claims that its policies see.
type agent struct {
	role   string
	claims json.RawMessage
	owner  string // the person's id, or ""
}

var serviceAgent = agent{role: "service_role", claims: json.RawMessage(`{"role":"service_role"}`)}

func (s *storage) agent(r *http.Request) (agent, error) {
	token := bearer(r)
	if token == "" {
		token = r.Header.Get("Apikey")
	}
	if token == "" {
		return agent{}, storageFail(http.StatusBadRequest, "Error", "headers must have required property 'authorization'")
	}
	switch s.Keys.role(token) {
	case "service_role":
		return serviceAgent, nil
	case "anon":
		return agent{role: "anon", claims: json.RawMessage(`{"role":"anon"}`)}, nil
	}
	person, err := s.Key.person(token, s.issuer, s.Now)
	if err != nil || person.Role != "authenticated" {
		return agent{}, storageFail(http.StatusForbidden, "Unauthorized", "Invalid JWT")
	}
	claims, err := json.Marshal(person)
	return agent{role: "authenticated", claims: claims, owner: person.Subject}, err
}

// as runs fn in a transaction under the agent's role and claims.
func (s *storage) as(ctx context.Context, who agent, fn func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select set_config('role', $1, true), set_config('request.jwt.claims', $2, true),
			set_config('storage.allow_delete_query', 'true', true)`, who.role, string(who.claims)); err != nil {
			return err
		}
		return fn(tx)
	})
}

// What S3 calls safe characters, as Storage allows them. A file's place on disk does not depend on its name.
var (
	keyFormat    = regexp.MustCompile(`^[A-Za-z0-9_/!.*'() &$=@;:+,?-]+$`)
	bucketFormat = regexp.MustCompile(`^[A-Za-z0-9_!.*'() &$=@;:+,?-]{1,100}$`)
)

func checkKey(key string) error {
	bad := len(key) > 1024 || !keyFormat.MatchString(key)
	for _, part := range strings.Split(key, "/") {
		bad = bad || part == "" || part == "." || part == ".."
	}
	if bad {
		return storageFail(http.StatusBadRequest, "InvalidKey", "Invalid key: "+key)
	}
	return nil
}

// target returns the object that a request's path names.
func target(r *http.Request) (bucket, key string, err error) {
	bucket, key = r.PathValue("bucket"), r.PathValue("path")
	if !bucketFormat.MatchString(bucket) {
		return "", "", errNoBucket
	}
	return bucket, key, checkKey(key)
}

func (s *storage) decode(r *http.Request, v any) error {
	r.Body = http.MaxBytesReader(nil, r.Body, maxAuthBody)
	if err := decode(r, v); err != nil {
		var e *authError
		if errors.As(err, &e) && e.status == http.StatusRequestEntityTooLarge {
			return errTooLarge
		}
		return storageFail(http.StatusBadRequest, "Error", "body must be a JSON object")
	}
	return nil
}
