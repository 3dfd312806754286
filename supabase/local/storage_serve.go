package local

import (
	"mime"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// inlineTypes may be shown on our origin. SVG and HTML can carry scripts: they are only ever downloaded.
var inlineTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"}

func (s *storage) download(w http.ResponseWriter, r *http.Request) error {
	o, err := s.visible(r)
	if err != nil {
		return err
	}
	return s.serve(w, r, o)
}

// visible is the object of the path, if the caller's policies show it.
func (s *storage) visible(r *http.Request) (o object, err error) {
	who, err := s.agent(r)
	if err != nil {
		return o, err
	}
	return s.find(r, who)
}

func (s *storage) find(r *http.Request, who agent) (o object, err error) {
	bucket, key, err := target(r)
	if err != nil {
		return o, err
	}
	err = s.as(r.Context(), who, func(tx pgx.Tx) error {
		o, err = findObject(r.Context(), tx, bucket, key)
		return err
	})
	return o, err
}

// public is the object of the path, if its bucket is public.
func (s *storage) public(r *http.Request) (o object, err error) {
	b, err := s.bucketFor(r.Context(), r.PathValue("bucket"))
	if err != nil {
		return o, err
	}
	if !b.Public {
		return o, errNoBucket
	}
	return s.find(r, serviceAgent)
}

func (s *storage) downloadPublic(w http.ResponseWriter, r *http.Request) error {
	o, err := s.public(r)
	if err != nil {
		return err
	}
	return s.serve(w, r, o)
}

func (s *storage) downloadSigned(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.checkURL(r, "get"); err != nil {
		return err
	}
	o, err := s.find(r, serviceAgent)
	if err != nil {
		return err
	}
	return s.serve(w, r, o)
}

func (s *storage) serve(w http.ResponseWriter, r *http.Request, o object) error {
	file, err := s.open(o.Version)
	if err != nil {
		return err
	}
	defer file.Close()
	kind := metadataText(o, "mimetype")
	plain, _, _ := mime.ParseMediaType(kind)
	disposition, name := "attachment", path.Base(o.Name)
	if query := r.URL.Query(); query.Has("download") {
		if asked := query.Get("download"); asked != "" && asked != "true" {
			name = path.Base(asked)
		}
	} else if slices.Contains(inlineTypes, plain) {
		disposition = "inline"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": name}))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", metadataText(o, "cacheControl"))
	h.Set("Etag", metadataText(o, "eTag"))
	http.ServeContent(w, r, "", o.UpdatedAt, file)
	return nil
}

func (s *storage) info(w http.ResponseWriter, r *http.Request) error {
	o, err := s.visible(r)
	if err != nil {
		return err
	}
	return writeInfo(w, o)
}

func (s *storage) infoPublic(w http.ResponseWriter, r *http.Request) error {
	o, err := s.public(r)
	if err != nil {
		return err
	}
	return writeInfo(w, o)
}

func writeInfo(w http.ResponseWriter, o object) error {
	return writeJSON(w, http.StatusOK, map[string]any{
		"id": o.ID, "name": o.Name, "bucket_id": o.BucketID, "version": o.Version, "created_at": o.CreatedAt, "last_modified": o.UpdatedAt,
		"size": o.Metadata["size"], "content_type": o.Metadata["mimetype"], "cache_control": o.Metadata["cacheControl"], "etag": o.Metadata["eTag"],
		"metadata": o.UserMetadata,
	})
}

// maxURLLife is the longest that a signed URL works.
const maxURLLife = 365 * 24 * time.Hour

func urlLife(seconds int64) (time.Duration, error) {
	if seconds < 1 || seconds > int64(maxURLLife/time.Second) {
		return 0, storageFail(http.StatusBadRequest, "Error", "body/expiresIn must be between 1 second and a year")
	}
	return time.Duration(seconds) * time.Second, nil
}

// signedPath is not escaped: supabase-js does that with what it is given.
func signedPath(bucket, key, token string) string {
	return "/object/sign/" + bucket + "/" + key + "?token=" + token
}

func (s *storage) signOne(w http.ResponseWriter, r *http.Request) error {
	var in struct{ ExpiresIn int64 }
	if err := s.decode(r, &in); err != nil {
		return err
	}
	life, err := urlLife(in.ExpiresIn)
	if err != nil {
		return err
	}
	o, err := s.visible(r)
	if err != nil {
		return err
	}
	token, err := s.signURL(urlClaims{URL: o.BucketID + "/" + o.Name, Use: "get"}, life)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]string{"signedURL": signedPath(o.BucketID, o.Name, token)})
}

func (s *storage) signMany(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		ExpiresIn int64
		Paths     []string
	}
	if err := s.decode(r, &in); err != nil {
		return err
	}
	life, err := urlLife(in.ExpiresIn)
	if err != nil {
		return err
	}
	if len(in.Paths) == 0 || len(in.Paths) > 1000 {
		return storageFail(http.StatusBadRequest, "Error", "body/paths must have 1 to 1000 items")
	}
	who, err := s.agent(r)
	if err != nil {
		return err
	}
	bucket := text(r.PathValue("bucket"))
	var seen []string
	err = s.as(r.Context(), who, func(tx pgx.Tx) error {
		rows, err := tx.Query(r.Context(), "select name from storage.objects where bucket_id = $1 and name = any($2)", bucket, in.Paths)
		if err == nil {
			seen, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		return err
	})
	if err != nil {
		return err
	}
	type signed struct {
		Error     *string `json:"error"`
		Path      string  `json:"path"`
		SignedURL *string `json:"signedURL"`
	}
	out := make([]signed, len(in.Paths))
	for i, key := range in.Paths {
		out[i].Path = key
		if !slices.Contains(seen, key) {
			missing := "Either the object does not exist or you do not have access to it"
			out[i].Error = &missing
			continue
		}
		token, err := s.signURL(urlClaims{URL: bucket + "/" + key, Use: "get"}, life)
		if err != nil {
			return err
		}
		link := signedPath(bucket, key, token)
		out[i].SignedURL = &link
	}
	return writeJSON(w, http.StatusOK, out)
}

const uploadURLLife = 2 * time.Hour

// signUpload makes a URL with which anyone can upload this one object, if the caller could.
func (s *storage) signUpload(w http.ResponseWriter, r *http.Request) error {
	bucket, key, err := target(r)
	if err != nil {
		return err
	}
	who, err := s.agent(r)
	if err != nil {
		return err
	}
	if _, err := s.bucketFor(r.Context(), bucket); err != nil {
		return err
	}
	upsert := r.Header.Get("X-Upsert") == "true"
	err = s.as(r.Context(), who, func(tx pgx.Tx) error {
		if _, _, err := putObject(r.Context(), tx, who, object{BucketID: bucket, Name: key}, upsert); err != nil {
			return err
		}
		return errRehearsed
	})
	if err != errRehearsed { //nolint:errorlint // it is ours, unwrapped
		return err
	}
	token, err := s.signURL(urlClaims{URL: bucket + "/" + key, Use: "put", Owner: who.owner, Over: upsert}, uploadURLLife)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]string{"url": "/object/upload/sign/" + bucket + "/" + key + "?token=" + token, "token": token})
}

// errRehearsed rolls back what was only tried.
var errRehearsed = storageFail(http.StatusInternalServerError, "Internal", "rehearsal")

func (s *storage) uploadSigned(w http.ResponseWriter, r *http.Request) error {
	c, err := s.checkURL(r, "put")
	if err != nil {
		return err
	}
	who := serviceAgent // the policies were asked when the URL was signed
	who.owner = c.Owner
	return s.receive(w, r, who, c.Over)
}
