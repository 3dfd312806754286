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
)

// Storage puts files into Supabase Storage. Errors are *ServiceError.
//
// supabase-go's storage client is not used: it takes no context or transport, sends sb_secret_ keys as a Bearer, and
// carries one upload's headers into the next.
type Storage struct {
	url   string
	key   string
	http  *http.Client
	files *http.Client // without a time limit of its own: a file takes as long as its context allows
}

// NewStorage reaches the project at url with its secret key, in either style. It does not connect.
func NewStorage(url, key string) *Storage {
	carrier := http.DefaultTransport.(*http.Transport).Clone()
	return &Storage{
		url: strings.TrimRight(url, "/") + "/storage/v1", key: key,
		http: &http.Client{Transport: carrier, Timeout: ServiceTimeout}, files: &http.Client{Transport: carrier},
	}
}

// Upload writes the object, replacing what was there. Browsers and caches may keep it for a minute.
func (s *Storage) Upload(ctx context.Context, bucket, path, contentType string, body []byte) error {
	return s.send(ctx, "/object/"+escape(bucket+"/"+path), body, http.Header{
		"Content-Type": {contentType}, "X-Upsert": {"true"}, "Cache-Control": {"max-age=60"},
	})
}

// EnsureBucket creates the bucket unless it exists; one that exists keeps its settings.
func (s *Storage) EnsureBucket(ctx context.Context, bucket string, public bool) error {
	body, err := json.Marshal(map[string]any{"id": bucket, "name": bucket, "public": public})
	if err != nil {
		return err
	}
	err = s.send(ctx, "/bucket", body, http.Header{"Content-Type": {"application/json"}})
	var known *ServiceError
	if errors.As(err, &known) && (known.Status == http.StatusConflict || known.Code == "Duplicate") {
		return nil
	}
	return err
}

// PublicURL is where anybody can read an object of a public bucket.
func (s *Storage) PublicURL(bucket, path string) string {
	return s.url + "/object/public/" + escape(bucket+"/"+path)
}

func (s *Storage) send(ctx context.Context, path string, body []byte, header http.Header) error {
	resp, err := s.request(ctx, s.http, http.MethodPost, path, bytes.NewReader(body), int64(len(body)), header)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// request returns an answer that is no failure; its body is the caller's to close.
func (s *Storage) request(ctx context.Context, client *http.Client, method, path string, body io.Reader, size int64, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = size
	req.Header = header
	req.Header.Set("apikey", s.key)
	if isToken(s.key) {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, serviceError("Storage", 0, "")
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	// Storage answers 400 to most failures; the true status is in the body, as text.
	var told struct {
		StatusCode json.RawMessage `json:"statusCode"`
		Error      string          `json:"error"`
	}
	_ = json.Unmarshal(answer, &told)
	status := resp.StatusCode
	if text := strings.Trim(string(told.StatusCode), `"`); len(text) == 3 && text[0] >= '4' && text[0] <= '5' {
		status = int(text[0]-'0')*100 + int(text[1]-'0')*10 + int(text[2]-'0')
	}
	if len(told.Error) > 60 {
		told.Error = told.Error[:60]
	}
	return nil, serviceError("Storage", status, told.Error)
}

func escape(path string) string { return (&url.URL{Path: path}).EscapedPath() }
