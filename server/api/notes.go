package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// Note is what staff note about a tenant; the tenant never sees it.
type Note struct {
	ID          uuid.UUID `json:"id" format:"uuid"`
	TenantID    uuid.UUID `json:"tenant_id" format:"uuid"`
	Body        string    `json:"body" example:"Wants Spanish greetings; call back in May."`
	Author      string    `json:"author" example:"admin:019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51"`
	AuthorLabel string    `json:"author_label" example:"admin@kestrel.ai"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// NoteText is what a note says.
type NoteText struct {
	Body string `json:"body" minLength:"1" maxLength:"4000" example:"Wants Spanish greetings; call back in May."`
}

// Resolve wants a text that is not blank.
func (b *NoteText) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	if b.Body = strings.TrimSpace(b.Body); b.Body == "" {
		f.add("body", "is required")
	}
	if strings.ContainsRune(b.Body, 0) {
		f.add("body", "holds a control character")
	}
	return f.errs
}

var errNoNote = edge.NewProblem(http.StatusNotFound, "note_not_found", "There is no such note.")

type listNotesInput struct {
	TenantPath
	PageInput
}

const listNotesDoc doc = `List the notes about a tenant
For staff alone, newest first.`

func (a *API) listNotes(ctx context.Context, in *listNotesInput) (*listOutput[Note], error) {
	if err := a.known(ctx, in.ID.UUID); err != nil {
		return nil, err
	}
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListNotes(ctx, in.ID.UUID, c.ID, in.rows())
	return paged(in.PageInput, rows, func(r db.TenantNote) Note { return Note(r) }, func(r db.TenantNote) cursor { return cursor{ID: r.ID} }), err
}

type createNoteInput struct {
	TenantPath
	Body NoteText
}

type noteOutput struct{ Body Note }

const createNoteDoc doc = `Note something about a tenant
For staff alone: the tenant sees neither the note nor that there is one.`

func (a *API) createNote(ctx context.Context, in *createNoteInput) (*noteOutput, error) {
	if err := a.known(ctx, in.ID.UUID); err != nil {
		return nil, err
	}
	r, err := a.query(ctx).CreateNote(ctx, in.ID.UUID, in.Body.Body, edge.FromContext(ctx).Principal.Email)
	return &noteOutput{Body: Note(r)}, err
}

// NotePath names a note about a tenant.
type NotePath struct {
	TenantPath
	NoteID id `path:"note_id"`
}

type patchNoteInput struct {
	NotePath
	Body NoteText
}

const patchNoteDoc doc = `Change a note
Any platform admin may; the platform's activity log tells who did, not what it said.`

func (a *API) patchNote(ctx context.Context, in *patchNoteInput) (*noteOutput, error) {
	r, err := a.query(ctx).UpdateNote(ctx, in.Body.Body, in.NoteID.UUID, in.ID.UUID)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoNote
	}
	return &noteOutput{Body: Note(r)}, err
}

const deleteNoteDoc doc = `Delete a note
Any platform admin may; the platform's activity log tells who did, not what it said.`

func (a *API) deleteNote(ctx context.Context, in *NotePath) (*struct{}, error) {
	n, err := a.query(ctx).DeleteNote(ctx, in.NoteID.UUID, in.ID.UUID)
	if err == nil && n == 0 {
		err = errNoNote
	}
	return nil, err
}
