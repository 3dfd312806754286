package supabase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// UploadFrom writes the object from a stream of size bytes, replacing what was there.
func (s *Storage) UploadFrom(ctx context.Context, bucket, path, contentType string, body io.Reader, size int64) error {
	resp, err := s.request(ctx, s.files, http.MethodPost, "/object/"+escape(bucket+"/"+path), io.NopCloser(body), size, http.Header{
		"Content-Type": {contentType}, "X-Upsert": {"true"},
	})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Download opens the object for reading; false if there is none. The stream ends with ctx.
func (s *Storage) Download(ctx context.Context, bucket, path string) (io.ReadCloser, bool, error) {
	resp, err := s.request(ctx, s.files, http.MethodGet, "/object/"+escape(bucket+"/"+path), http.NoBody, 0, http.Header{})
	if notThere(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return resp.Body, true, nil
}

// ErrNoObject is said of files that are not there.
var ErrNoObject = errors.New("no such object")

// SignedURL is where anybody can read the object for as long as life: saved under name, or shown if that is empty. It is
// a secret until then. A file that is not there is ErrNoObject.
func (s *Storage) SignedURL(ctx context.Context, bucket, path, name string, life time.Duration) (string, error) {
	var answer struct {
		SignedURL string `json:"signedURL"`
	}
	err := s.ask(ctx, http.MethodPost, "/object/sign/"+escape(bucket+"/"+path), map[string]int64{"expiresIn": int64(life / time.Second)}, &answer)
	if notThere(err) {
		return "", ErrNoObject
	}
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(answer.SignedURL, "/") {
		return "", serviceError("Storage", http.StatusBadGateway, "")
	}
	if name != "" {
		answer.SignedURL += "&download=" + url.QueryEscape(name)
	}
	return s.url + answer.SignedURL, nil
}

// UploadLife is how long a signed link to upload works, as Supabase has it:
// https://supabase.com/docs/reference/javascript/storage-from-createsigneduploadurl
const UploadLife = 2 * time.Hour

// SignedUpload is where anybody can PUT the object, once, for UploadLife. It is a secret until then.
func (s *Storage) SignedUpload(ctx context.Context, bucket, path string) (string, error) {
	var answer struct {
		URL string `json:"url"`
	}
	if err := s.ask(ctx, http.MethodPost, "/object/upload/sign/"+escape(bucket+"/"+path), struct{}{}, &answer); err != nil {
		return "", err
	}
	if !strings.HasPrefix(answer.URL, "/") {
		return "", serviceError("Storage", http.StatusBadGateway, "")
	}
	return s.url + answer.URL, nil
}

// Remove deletes objects; those that are gone already are removed.
func (s *Storage) Remove(ctx context.Context, bucket string, paths ...string) error {
	const most = 500
	for len(paths) > 0 {
		n := min(most, len(paths))
		var gone []json.RawMessage
		err := s.ask(ctx, http.MethodDelete, "/object/"+escape(bucket), map[string][]string{"prefixes": paths[:n]}, &gone)
		if err != nil && !notThere(err) {
			return err
		}
		paths = paths[n:]
	}
	return nil
}

// RemoveFolder deletes everything under a folder, at any depth. A bucket that does not exist is empty.
func (s *Storage) RemoveFolder(ctx context.Context, bucket, folder string) error {
	if strings.Trim(folder, "/") == "" {
		return errors.New("supabase storage: no folder named")
	}
	const page = 500
	for {
		var entries []struct {
			Name string  `json:"name"`
			ID   *string `json:"id"` // a folder has none
		}
		err := s.ask(ctx, http.MethodPost, "/object/list/"+escape(bucket), map[string]any{"prefix": folder, "limit": page}, &entries)
		if notThere(err) {
			return nil
		}
		if err != nil {
			return err
		}
		var files []string
		for _, e := range entries {
			if e.ID != nil {
				files = append(files, folder+"/"+e.Name)
			} else if err := s.RemoveFolder(ctx, bucket, folder+"/"+e.Name); err != nil {
				return err
			}
		}
		if err := s.Remove(ctx, bucket, files...); err != nil {
			return err
		}
		if len(entries) < page {
			return nil
		}
	}
}

// ask sends JSON and reads JSON.
func (s *Storage) ask(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	resp, err := s.request(ctx, s.http, method, path, bytes.NewReader(body), int64(len(body)), http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(out); err != nil {
		return serviceError("Storage", http.StatusBadGateway, "")
	}
	return nil
}

func notThere(err error) bool {
	var known *ServiceError
	return errors.As(err, &known) && known.Status == http.StatusNotFound
}
