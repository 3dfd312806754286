package local

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

type bucket struct {
	ID               string    `json:"id"`
	Name             string    `json:"name"`
	Owner            string    `json:"owner"`
	Public           bool      `json:"public"`
	FileSizeLimit    *int64    `json:"file_size_limit"`
	AllowedMimeTypes []string  `json:"allowed_mime_types"`
	CreatedAt        time.Time `json:"created_at"`
	UpdatedAt        time.Time `json:"updated_at"`
	Type             string    `json:"type"`
}

const selectBucket = `select id, name, coalesce(owner_id, ''), coalesce(public, false), file_size_limit, allowed_mime_types,
	coalesce(created_at, 'epoch'), coalesce(updated_at, 'epoch'), type::text from storage.buckets `

func findBucket(ctx context.Context, tx pgx.Tx, id string) (*bucket, error) {
	rows, err := tx.Query(ctx, selectBucket+"where id = $1", id)
	if err != nil {
		return nil, err
	}
	b, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[bucket])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoBucket
	}
	return b, err
}

// bucketRequest is the body of create and update. A limit is a number of bytes or a text such as "5MB".
type bucketRequest struct {
	ID, Name         string
	Public           *bool
	FileSizeLimit    json.RawMessage `json:"file_size_limit"`
	AllowedMimeTypes []string        `json:"allowed_mime_types"`
}

var sizeFormat = regexp.MustCompile(`(?i)^([0-9]+(?:\.[0-9]+)?)(gb|mb|kb|b)?$`)

func (in bucketRequest) limit() (*int64, error) {
	text := strings.Trim(string(in.FileSizeLimit), `"`)
	if text == "" || text == "null" {
		return nil, nil
	}
	parts := sizeFormat.FindStringSubmatch(text)
	if parts == nil {
		return nil, storageFail(http.StatusBadRequest, "InvalidRequest", "Invalid file size limit")
	}
	n, err := strconv.ParseFloat(parts[1], 64)
	if err != nil || n > 1e15 {
		return nil, storageFail(http.StatusBadRequest, "InvalidRequest", "Invalid file size limit")
	}
	bytes := int64(n * map[string]float64{"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9}[strings.ToLower(parts[2])])
	return &bytes, nil
}

func (s *storage) createBucket(w http.ResponseWriter, r *http.Request) error {
	var in bucketRequest
	who, err := s.agent(r)
	if err != nil {
		return err
	}
	if err := s.decode(r, &in); err != nil {
		return err
	}
	if in.ID == "" {
		in.ID = in.Name
	}
	if !bucketFormat.MatchString(in.ID) || strings.Trim(in.ID, ".") == "" {
		return storageFail(http.StatusBadRequest, "Invalid Input", "Bucket name invalid")
	}
	limit, err := in.limit()
	if err != nil {
		return err
	}
	err = s.as(r.Context(), who, func(tx pgx.Tx) error {
		_, err := tx.Exec(r.Context(), `insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types, owner, owner_id)
			values ($1, $1, $2, $3, $4, nullif($5, '')::uuid, nullif($5, ''))`, in.ID, in.Public != nil && *in.Public, limit, in.AllowedMimeTypes, who.owner)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]string{"name": in.ID})
}

func (s *storage) listBuckets(w http.ResponseWriter, r *http.Request) error {
	who, err := s.agent(r)
	if err != nil {
		return err
	}
	buckets := []bucket{}
	err = s.as(r.Context(), who, func(tx pgx.Tx) error {
		rows, err := tx.Query(r.Context(), selectBucket+"order by name")
		if err != nil {
			return err
		}
		buckets, err = pgx.AppendRows(buckets, rows, pgx.RowToStructByPos[bucket])
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, buckets)
}

// withBucket runs fn on the bucket of the path, if the caller can see it.
func (s *storage) withBucket(r *http.Request, fn func(tx pgx.Tx, b *bucket) error) error {
	who, err := s.agent(r)
	if err != nil {
		return err
	}
	return s.as(r.Context(), who, func(tx pgx.Tx) error {
		b, err := findBucket(r.Context(), tx, text(r.PathValue("bucket")))
		if err != nil {
			return err
		}
		return fn(tx, b)
	})
}

func (s *storage) getBucket(w http.ResponseWriter, r *http.Request) error {
	var found *bucket
	err := s.withBucket(r, func(_ pgx.Tx, b *bucket) error {
		found = b
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, found)
}

func (s *storage) updateBucket(w http.ResponseWriter, r *http.Request) error {
	var in bucketRequest
	if err := s.decode(r, &in); err != nil {
		return err
	}
	limit, err := in.limit()
	if err != nil {
		return err
	}
	err = s.withBucket(r, func(tx pgx.Tx, b *bucket) error {
		tag, err := tx.Exec(r.Context(), `update storage.buckets set public = coalesce($2, public), updated_at = now(),
			file_size_limit = case when $3 then $4 else file_size_limit end,
			allowed_mime_types = coalesce($5, allowed_mime_types) where id = $1`, b.ID, in.Public, in.FileSizeLimit != nil, limit, in.AllowedMimeTypes)
		if err == nil && tag.RowsAffected() == 0 {
			return errNoBucket
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]string{"message": "Successfully updated"})
}

func (s *storage) emptyBucket(w http.ResponseWriter, r *http.Request) error {
	var gone []object
	err := s.withBucket(r, func(tx pgx.Tx, b *bucket) (err error) {
		gone, err = deleteObjects(r.Context(), tx, "bucket_id = $1", b.ID)
		return err
	})
	if err != nil {
		return err
	}
	s.discard(gone)
	return writeJSON(w, http.StatusOK, map[string]string{"message": "Successfully emptied"})
}

func (s *storage) deleteBucket(w http.ResponseWriter, r *http.Request) error {
	err := s.withBucket(r, func(tx pgx.Tx, b *bucket) error {
		var used bool
		if err := s.as(r.Context(), serviceAgent, func(tx pgx.Tx) error {
			return tx.QueryRow(r.Context(), "select exists (select from storage.objects where bucket_id = $1)", b.ID).Scan(&used)
		}); err != nil {
			return err
		}
		if used {
			return storageFail(http.StatusConflict, "InvalidRequest", "The bucket you tried to delete is not empty")
		}
		tag, err := tx.Exec(r.Context(), "delete from storage.buckets where id = $1", b.ID)
		if err == nil && tag.RowsAffected() == 0 {
			return errNoBucket
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]string{"message": "Successfully deleted"})
}
