package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// Contact is somebody who called or wrote.
type Contact struct {
	ID          uuid.UUID `json:"id" format:"uuid"`
	PhoneNumber *string   `json:"phone_number" example:"+16175551234"`
	Name        string    `json:"name" example:"Pat Jones"`
	Email       *string   `json:"email" example:"pat@example.com"`
	Address     string    `json:"address" example:"12 Elm St, Boston"`
	Notes       string    `json:"notes"`
	IsBlocked   bool      `json:"is_blocked" example:"false" doc:"Calls from here are rejected"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

type listContactsInput struct {
	PageInput
	Search string `query:"search" maxLength:"120" doc:"In name, phone number and e-mail"`
}

const listContactsDoc doc = `List contacts
Newest first.`

func (a *API) listContacts(ctx context.Context, in *listContactsInput) (*listOutput[Contact], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListContacts(ctx, db.ListContactsParams{TenantID: tenantOf(ctx), Before: c.ID, Search: in.Search, MaxRows: in.rows()})
	return paged(in.PageInput, rows, func(r db.ListContactsRow) Contact { return Contact(r) }, func(r db.ListContactsRow) cursor { return cursor{ID: r.ID} }), err
}

var errNoContact = edge.NewProblem(http.StatusNotFound, "contact_not_found", "There is no such contact.")

type contactOutput struct{ Body Contact }

const getContactDoc doc = `Get a contact
As it is known from calls, texts and edits.`

func (a *API) getContact(ctx context.Context, in *ContactPath) (*contactOutput, error) {
	return a.shownContact(ctx, a.query(ctx), in.ID.UUID)
}

func (a *API) shownContact(ctx context.Context, q *db.Queries, contact uuid.UUID) (*contactOutput, error) {
	r, err := q.FindContact(ctx, tenantOf(ctx), contact)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoContact
	}
	return &contactOutput{Body: Contact{ID: r.ID, PhoneNumber: r.PhoneNumber, Name: r.Name, Email: r.Email, Address: r.Address, Notes: r.Notes,
		IsBlocked: r.IsBlocked, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}}, err
}

// PatchContact is what may be changed of a contact; the number is what they call from.
type PatchContact struct {
	Name    field[string] `json:"name,omitempty" maxLength:"120" example:"Pat Jones"`
	Email   field[string] `json:"email,omitempty" nullable:"true" maxLength:"254" example:"pat@example.com"`
	Address field[string] `json:"address,omitempty" maxLength:"1000"`
	Notes   field[string] `json:"notes,omitempty" maxLength:"20000"`
}

// Resolve normalises the fields.
func (b *PatchContact) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.line("name", &b.Name.Value, 120)
	f.email("email", &b.Email.Value)
	f.prose("address", &b.Address.Value)
	f.prose("notes", &b.Notes.Value)
	return f.errs
}

type patchContactInput struct {
	ContactPath
	Body PatchContact
}

const patchContactDoc doc = `Change a contact
Only what is sent changes; null clears the e-mail address.`

func (a *API) patchContact(ctx context.Context, in *patchContactInput) (*contactOutput, error) {
	s, b := &assignments{}, in.Body
	assign(s, "name", b.Name, false)
	assign(s, "email", b.Email, true)
	assign(s, "address", b.Address, false)
	assign(s, "notes", b.Notes, false)
	return a.changeContact(ctx, in.ID.UUID, s)
}

func (a *API) changeContact(ctx context.Context, contact uuid.UUID, s *assignments) (out *contactOutput, err error) {
	err = a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		if len(s.set) > 0 {
			sql := fmt.Sprintf("update contacts set %s where id = $%d and tenant_id = $%d", strings.Join(s.set, ", "), len(s.args)+1, len(s.args)+2)
			if tag, err := tx.Exec(ctx, sql, append(s.args, contact, tenantOf(ctx))...); err != nil || tag.RowsAffected() == 0 {
				return errors.Join(err, missingUnless(err, errNoContact))
			}
		}
		out, err = a.shownContact(ctx, db.New(tx), contact)
		return err
	})
	return out, err
}

const blockContactDoc doc = `Block a contact
Calls from this number are rejected from now on.`

func (a *API) blockContact(ctx context.Context, in *ContactPath) (*contactOutput, error) {
	return a.changeContact(ctx, in.ID.UUID, &assignments{set: []string{"is_blocked = $1"}, args: []any{true}})
}

const unblockContactDoc doc = `Unblock a contact
Calls from this number are answered again.`

func (a *API) unblockContact(ctx context.Context, in *ContactPath) (*contactOutput, error) {
	return a.changeContact(ctx, in.ID.UUID, &assignments{set: []string{"is_blocked = $1"}, args: []any{false}})
}
