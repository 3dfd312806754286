package jobs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/url"

	"kestrel.ai/supabase/db"
)

// invite gives an unsent e-mail the link of its invitation, once. The token is 130 random bits: its hash is kept, and
// the link itself only until the e-mail is sent. It is ours, not Auth's, which ends after a day and is used up by the
// first machine that looks at it.
func (w *emailSendWorker) invite(ctx context.Context, q *db.Queries, e db.EmailToSendRow) error {
	t, err := q.TenantForEmail(ctx, w.Now(), *e.TenantID)
	if err != nil {
		return err
	}
	token := rand.Text()
	hash := sha256.Sum256([]byte(token))
	link := w.Config.Origin(t.Slug) + "/accept-invite?" + url.Values{"token": {token}}.Encode()
	open, err := q.MintInvitation(ctx, db.MintInvitationParams{EmailID: e.ID, Hash: hash[:], Link: link, At: w.Now()})
	if err == nil && !open {
		err = permanently("The invitation was accepted or withdrawn, or has expired. Send the invitation again instead.")
	}
	return err
}
