package local

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// object is a row of storage.objects. Its file is named by its version.
type object struct {
	ID             uuid.UUID      `json:"id"`
	BucketID       string         `json:"bucket_id"`
	Name           string         `json:"name"`
	OwnerID        string         `json:"owner_id"`
	Version        string         `json:"version"`
	CreatedAt      time.Time      `json:"created_at"`
	UpdatedAt      time.Time      `json:"updated_at"`
	LastAccessedAt time.Time      `json:"last_accessed_at"`
	Metadata       map[string]any `json:"metadata"`
	UserMetadata   map[string]any `json:"user_metadata"`
}

const objectColumns = `id, bucket_id, name, coalesce(owner_id, ''), coalesce(version, ''), coalesce(created_at, 'epoch'), coalesce(updated_at, 'epoch'),
	coalesce(last_accessed_at, 'epoch'), coalesce(metadata, '{}'), coalesce(user_metadata, '{}')`

func findObject(ctx context.Context, tx pgx.Tx, bucket, key string) (object, error) {
	rows, err := tx.Query(ctx, "select "+objectColumns+" from storage.objects where bucket_id = $1 and name = $2", bucket, key)
	if err != nil {
		return object{}, err
	}
	o, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[object])
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoObject
	}
	return o, err
}

// deleteObjects deletes the rows that the agent may delete and see, and returns them for discard.
func deleteObjects(ctx context.Context, tx pgx.Tx, where string, args ...any) ([]object, error) {
	rows, err := tx.Query(ctx, "delete from storage.objects where "+where+" returning "+objectColumns, args...)
	if err != nil {
		return nil, err
	}
	return pgx.AppendRows([]object{}, rows, pgx.RowToStructByPos[object])
}

// putObject stores the row of a file that lies in place, and returns the version that it replaces, if any.
func putObject(ctx context.Context, tx pgx.Tx, who agent, o object, upsert bool) (id uuid.UUID, old string, err error) {
	if upsert {
		err := tx.QueryRow(ctx, "select coalesce(version, '') from storage.objects where bucket_id = $1 and name = $2 for update", o.BucketID, o.Name).Scan(&old)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return id, "", err
		}
	}
	sql := `insert into storage.objects (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
		values ($1, $2, nullif($3, '')::uuid, nullif($3, ''), $4, $5, $6)`
	if upsert {
		sql += ` on conflict (bucket_id, name) do update set owner = excluded.owner, owner_id = excluded.owner_id,
			version = excluded.version, metadata = excluded.metadata, user_metadata = excluded.user_metadata`
	}
	// RETURNING would demand a SELECT policy of those who may only upload.
	if _, err := tx.Exec(ctx, sql, o.BucketID, o.Name, who.owner, o.Version, o.Metadata, o.UserMetadata); err != nil {
		return id, "", err
	}
	_, err = tx.Exec(ctx, "select set_config('role', 'service_role', true)")
	if err == nil {
		err = tx.QueryRow(ctx, "select id from storage.objects where bucket_id = $1 and name = $2", o.BucketID, o.Name).Scan(&id)
	}
	return id, old, err
}

func (s *storage) removeOne(w http.ResponseWriter, r *http.Request) error {
	bucket, key, err := target(r)
	if err != nil {
		return err
	}
	gone, err := s.remove(r, bucket, []string{key})
	if err != nil {
		return err
	}
	if len(gone) == 0 {
		return errNoObject
	}
	return writeJSON(w, http.StatusOK, map[string]string{"message": "Successfully deleted"})
}

// removeMany deletes the objects with exactly the names in prefixes, and answers with those that it has deleted.
func (s *storage) removeMany(w http.ResponseWriter, r *http.Request) error {
	var in struct{ Prefixes []string }
	if err := s.decode(r, &in); err != nil {
		return err
	}
	if len(in.Prefixes) == 0 || len(in.Prefixes) > 1000 {
		return storageFail(http.StatusBadRequest, "Error", "body/prefixes must have 1 to 1000 items")
	}
	gone, err := s.remove(r, r.PathValue("bucket"), in.Prefixes)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, gone)
}

func (s *storage) remove(r *http.Request, bucket string, keys []string) (gone []object, err error) {
	who, err := s.agent(r)
	if err != nil {
		return nil, err
	}
	err = s.as(r.Context(), who, func(tx pgx.Tx) error {
		gone, err = deleteObjects(r.Context(), tx, "bucket_id = $1 and name = any($2)", text(bucket), keys)
		return err
	})
	s.discard(gone)
	return gone, err
}

// list shows one level of a folder: files, and folders as entries without an id.
func (s *storage) list(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Prefix, Search string
		Limit, Offset  int
		SortBy         struct{ Column, Order string } `json:"sortBy"`
	}
	who, err := s.agent(r)
	if err != nil {
		return err
	}
	if err := s.decode(r, &in); err != nil {
		return err
	}
	if in.Limit <= 0 || in.Limit > 1000 {
		in.Limit = 100
	}
	column := map[string]string{"": "name", "name": "name", "created_at": "created_at", "updated_at": "updated_at", "last_accessed_at": "last_accessed_at"}[in.SortBy.Column]
	if column == "" {
		return storageFail(http.StatusBadRequest, "Error", "body/sortBy/column must be name, updated_at, created_at or last_accessed_at")
	}
	order := "asc"
	if strings.EqualFold(in.SortBy.Order, "desc") {
		order = "desc"
	}
	if in.Prefix != "" && !strings.HasSuffix(in.Prefix, "/") {
		in.Prefix += "/"
	}
	type entry struct {
		Name           string         `json:"name"`
		ID             *uuid.UUID     `json:"id"`
		UpdatedAt      *time.Time     `json:"updated_at"`
		CreatedAt      *time.Time     `json:"created_at"`
		LastAccessedAt *time.Time     `json:"last_accessed_at"`
		Metadata       map[string]any `json:"metadata"`
	}
	entries := []entry{}
	err = s.as(r.Context(), who, func(tx pgx.Tx) error {
		rows, err := tx.Query(r.Context(), `with below as (
				select substr(name, char_length($2) + 1) as name, id, updated_at, created_at, last_accessed_at, metadata
				from storage.objects where bucket_id = $1 and starts_with(name, $2) and starts_with(lower(substr(name, char_length($2) + 1)), lower($3)))
			select * from (
				select split_part(name, '/', 1) as name, null::uuid as id, null::timestamptz as updated_at, null::timestamptz as created_at,
					null::timestamptz as last_accessed_at, null::jsonb as metadata from below where name like '%/%' group by 1
				union all select * from below where name not like '%/%') entries
			order by id is not null, `+column+" "+order+`, name limit $4 offset $5`, text(r.PathValue("bucket")), in.Prefix, in.Search, in.Limit, max(in.Offset, 0))
		if err != nil {
			return err
		}
		entries, err = pgx.AppendRows(entries, rows, pgx.RowToStructByPos[entry])
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, entries)
}

// relocation is the body of move and copy.
type relocation struct {
	BucketID          string `json:"bucketId"`
	SourceKey         string `json:"sourceKey"`
	DestinationBucket string `json:"destinationBucket"`
	DestinationKey    string `json:"destinationKey"`
}

func (s *storage) relocation(r *http.Request) (in relocation, err error) {
	if err := s.decode(r, &in); err != nil {
		return in, err
	}
	if in.DestinationBucket == "" {
		in.DestinationBucket = in.BucketID
	}
	if err := checkKey(in.SourceKey); err != nil {
		return in, err
	}
	return in, checkKey(in.DestinationKey)
}

func (s *storage) move(w http.ResponseWriter, r *http.Request) error {
	in, err := s.relocation(r)
	if err != nil {
		return err
	}
	who, err := s.agent(r)
	if err != nil {
		return err
	}
	var o object
	err = s.as(r.Context(), who, func(tx pgx.Tx) error {
		if o, err = findObject(r.Context(), tx, in.BucketID, in.SourceKey); err != nil {
			return err
		}
		if _, err := s.bucketFor(r.Context(), in.DestinationBucket); err != nil {
			return err
		}
		tag, err := tx.Exec(r.Context(), "update storage.objects set bucket_id = $2, name = $3 where id = $1", o.ID, in.DestinationBucket, in.DestinationKey)
		if err == nil && tag.RowsAffected() == 0 {
			return errNoObject
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"message": "Successfully moved", "Id": o.ID, "Key": path.Join(in.DestinationBucket, in.DestinationKey)})
}

func (s *storage) copyObject(w http.ResponseWriter, r *http.Request) error {
	in, err := s.relocation(r)
	if err != nil {
		return err
	}
	who, err := s.agent(r)
	if err != nil {
		return err
	}
	var o object
	err = s.as(r.Context(), who, func(tx pgx.Tx) error {
		o, err = findObject(r.Context(), tx, in.BucketID, in.SourceKey)
		return err
	})
	if err != nil {
		return err
	}
	source, err := s.open(o.Version)
	if err != nil {
		return err
	}
	defer source.Close()
	copied := incoming{body: source, mime: metadataText(o, "mimetype"), cacheControl: metadataText(o, "cacheControl"), userMetadata: o.UserMetadata}
	id, err := s.store(r.Context(), who, in.DestinationBucket, in.DestinationKey, copied, r.Header.Get("X-Upsert") == "true")
	if err != nil {
		return err
	}
	key := path.Join(in.DestinationBucket, in.DestinationKey)
	return writeJSON(w, http.StatusOK, map[string]any{"Id": id, "Key": key, "id": id, "name": in.DestinationKey, "bucket_id": in.DestinationBucket})
}

func metadataText(o object, name string) string {
	value, _ := o.Metadata[name].(string)
	return value
}
