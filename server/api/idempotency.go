package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	idempotencyKept   = 24 * time.Hour
	idempotencyLock   = 5 * time.Second // since the last sign of life of the process that works on it
	idempotencyBeat   = time.Second
)

var (
	errKeyForm    = edge.NewProblem(http.StatusUnprocessableEntity, "idempotency_key_invalid", "An Idempotency-Key is 1 to 255 printable characters, sent once.").At(idempotencyHeader, "is 1 to 255 printable characters")
	errKeyReused  = edge.NewProblem(http.StatusUnprocessableEntity, "idempotency_key_reused", "This Idempotency-Key was used for another request.").At(idempotencyHeader, "was used for another request")
	errInProgress = edge.NewProblem(http.StatusConflict, "in_progress", "A request with this Idempotency-Key is being worked on.").RetryAfter(time.Second)
	errShownOnce  = edge.NewProblem(http.StatusConflict, "already_created", "The request with this Idempotency-Key was carried out. Its answer held a secret that is shown once and not kept.")
)

func idempotencyParam() *huma.Param {
	longest := 255
	return &huma.Param{
		Name: idempotencyHeader, In: "header", Example: "8f14e45f-ea6e-4d55-9c1b-0c7f6f3c2a10",
		Description: "Makes repeats safe for 24 hours: the same key with the same body gets the first answer again, with Idempotency-Replayed: true; with another body, 422.",
		Schema:      &huma.Schema{Type: huma.TypeString, MaxLength: &longest},
	}
}

// idempotent runs a POST once per caller and Idempotency-Key. Keys are kept as the service role, another of the API's uses
// of it: they are no row of any tenant. Answers of 5xx and 429 are not kept, so that a repeat tries again.
func (a *API) idempotent(ctx huma.Context, next func(huma.Context)) {
	c := humafiber.Unwrap(ctx)
	sent := c.Request().Header.PeekAll(idempotencyHeader)
	if len(sent) == 0 {
		next(ctx)
		return
	}
	key := string(sent[0])
	if len(sent) > 1 || !printable(key) {
		a.fail(ctx, errKeyForm)
		return
	}
	r := idempotentRequest{principal: whose(ctx.Context(), c), key: key, fingerprint: fingerprint(c), at: a.Now().UTC().Truncate(time.Microsecond)}
	store := db.New(a.DB.As(supabase.AsService("idempotency")))
	replayed, err := r.claim(ctx.Context(), store)
	switch {
	case err != nil:
		a.fail(ctx, err)
	case replayed != nil:
		replay(c, *replayed)
	default:
		a.runOnce(ctx, next, c, store, r)
	}
}

type idempotentRequest struct {
	principal, key string
	fingerprint    []byte
	at             time.Time
}

type onceKey struct{}

// settle stores an answer in the transaction that does what it tells of: a process killed after the commit leaves the
// answer to repeats, and none before it. For handlers that run as the service role. Without a key it does nothing.
func (a *API) settle(ctx context.Context, tx pgx.Tx, status int32, body any) error {
	r, keyed := ctx.Value(onceKey{}).(idempotentRequest)
	if !keyed {
		return nil
	}
	var encoded bytes.Buffer
	if err := a.huma.Marshal(&encoded, "application/json", body); err != nil {
		return err
	}
	stored, err := db.New(tx).StoreIdempotentAnswer(ctx, db.StoreIdempotentAnswerParams{Status: &status, Headers: []byte(`{"Content-Type":"application/json"}`),
		Body: encoded.Bytes(), Principal: r.principal, Key: r.key, At: r.at})
	if err == nil && stored == 0 {
		return errInProgress // a repeat took over meanwhile, and does it
	}
	return err
}

// claim returns nil if the request is to be carried out now, or the answer of the one before.
func (r idempotentRequest) claim(ctx context.Context, store *db.Queries) (*db.FindIdempotencyKeyRow, error) {
	_, err := store.ClaimIdempotencyKey(ctx, db.ClaimIdempotencyKeyParams{Principal: r.principal, Key: r.key, Fingerprint: r.fingerprint,
		LockedUntil: r.at.Add(idempotencyLock), At: r.at, ForgetBefore: r.at.Add(-idempotencyKept)})
	if !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	held, err := store.FindIdempotencyKey(ctx, r.principal, r.key)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, errInProgress // it failed this moment, and may be repeated
	case err != nil:
		return nil, err
	case !bytes.Equal(held.Fingerprint, r.fingerprint):
		return nil, errKeyReused
	case held.Status == nil:
		return nil, errInProgress
	}
	return &held, nil
}

// runOnce carries the request out and stores its answer, also when the client is gone or the handler panics.
func (a *API) runOnce(ctx huma.Context, next func(huma.Context), c *fiber.Ctx, store *db.Queries, r idempotentRequest) {
	kept, background := false, context.WithoutCancel(ctx.Context())
	stop := a.hold(background, store, r)
	defer func() {
		stop()
		if !kept {
			after, cancel := context.WithTimeout(background, idempotencyLock)
			defer cancel()
			if err := store.ReleaseIdempotencyKey(after, r.principal, r.key, r.at); err != nil {
				a.Log.ErrorContext(after, "Idempotency-Key not released; it is locked for some seconds", "error", err)
			}
		}
	}()
	next(huma.WithValue(ctx, onceKey{}, r))
	answer := answerOf(c, ctx.Operation())
	if *answer.Status >= 500 || *answer.Status == http.StatusTooManyRequests {
		return
	}
	kept = true
	answer.Principal, answer.Key, answer.At = r.principal, r.key, r.at
	after, cancel := context.WithTimeout(background, idempotencyLock)
	defer cancel()
	if _, err := store.StoreIdempotentAnswer(after, answer); err != nil {
		a.Log.ErrorContext(after, "answer not stored for its Idempotency-Key", "error", err)
	}
}

// hold keeps the key locked until stop: as long as this process lives and reaches the database, and no longer.
func (a *API) hold(ctx context.Context, store *db.Queries, r idempotentRequest) (stop func()) {
	over := make(chan struct{})
	go func() {
		beat := time.NewTicker(idempotencyBeat)
		defer beat.Stop()
		for {
			select {
			case <-over:
				return
			case <-beat.C:
			}
			short, cancel := context.WithTimeout(ctx, idempotencyLock)
			if err := store.HoldIdempotencyKey(short, db.HoldIdempotencyKeyParams{LockedUntil: a.Now().Add(idempotencyLock), Principal: r.principal, Key: r.key, At: r.at}); err != nil {
				a.Log.WarnContext(short, "Idempotency-Key not held on to", "error", err)
			}
			cancel()
		}
	}()
	return func() { close(over) }
}

// answerOf is what a repeat will get: the answer as it is, unless that holds a secret.
func answerOf(c *fiber.Ctx, op *huma.Operation) db.StoreIdempotentAnswerParams {
	status, body := int32(c.Response().StatusCode()), bytes.Clone(c.Response().Body())
	headers := map[string]string{"Content-Type": string(c.Response().Header.ContentType())}
	if location := c.GetRespHeader(fiber.HeaderLocation); location != "" {
		headers["Location"] = location
	}
	if op.Metadata["secret"] == true && status < 300 {
		status, headers["Content-Type"] = http.StatusConflict, edge.ProblemType
		body, _ = json.Marshal(errShownOnce) // plain fields
	}
	encoded, _ := json.Marshal(headers) // strings
	return db.StoreIdempotentAnswerParams{Status: &status, Headers: encoded, Body: body}
}

func replay(c *fiber.Ctx, held db.FindIdempotencyKeyRow) {
	var headers map[string]string
	_ = json.Unmarshal(held.Headers, &headers) // written by answerOf
	for name, value := range headers {
		c.Set(name, value)
	}
	c.Set(replayedHeader, "true")
	c.Status(int(*held.Status)).Response().SetBody(held.Body)
}

// whose keeps callers' keys apart. Those that nobody knows are told apart by what they send, never by their address: by
// whom they sign up where they do, so that a key used for another form is refused, else by all of it.
func whose(ctx context.Context, c *fiber.Ctx) string {
	s := edge.FromContext(ctx)
	switch s.Principal.Kind {
	case edge.Person, edge.PlatformAdmin:
		return "person:" + s.Principal.UserID.String()
	case edge.Key:
		return "key:" + s.Principal.KeyID.String()
	case edge.View:
		return "view:" + s.Principal.View.ID.String()
	}
	var form struct {
		OwnerEmail string `json:"owner_email"`
	}
	if err := json.Unmarshal(c.Body(), &form); err == nil && form.OwnerEmail != "" {
		return "sign-up:" + hex.EncodeToString(hashOf(strings.ToLower(strings.TrimSpace(form.OwnerEmail))))
	}
	return "anybody:" + hex.EncodeToString(fingerprint(c))
}

// fingerprint tells requests apart: where they went, and their body to the byte.
func fingerprint(c *fiber.Ctx) []byte {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(c.Method()), c.Request().Host(), c.Request().RequestURI(), []byte(c.Get(edge.TenantHeader)), c.Body()} {
		size := len(part)
		h.Write([]byte{byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)})
		h.Write(part)
	}
	return h.Sum(nil)
}

func printable(key string) bool {
	for i := range len(key) {
		if key[i] < 0x20 || key[i] > 0x7e {
			return false
		}
	}
	return len(key) > 0 && len(key) <= 255
}
