package api

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/server/edge"
)

// list is every list's answer.
type list[T any] struct {
	Items []T     `json:"items" nullable:"false"`
	Next  *string `json:"next" doc:"Pass it as cursor for what follows; null at the end"`
}

type listOutput[T any] struct{ Body list[T] }

// whole answers with a list that has no further pages.
func whole[T any](items []T) *listOutput[T] {
	return &listOutput[T]{Body: list[T]{Items: items}}
}

// PageInput is what every list with pages takes.
type PageInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"Rows per page"`
	Cursor string `query:"cursor" maxLength:"1000" doc:"The next of the page before"`
}

// cursor is the last row of a page: the next begins below it. It holds nothing that the page did not show.
type cursor struct {
	Sort  string    `json:"s,omitempty"`
	Value string    `json:"v,omitempty"`
	At    time.Time `json:"t,omitzero"`
	ID    uuid.UUID `json:"i"`
}

var errCursor = edge.NewProblem(422, "invalid_cursor", "The cursor is not one of this list's.").At("cursor", "is not one of this list's")

// newest is where lists that go down in time begin.
func newest() cursor {
	return cursor{At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), ID: uuid.Max}
}

// after reads the cursor; without one, begin is where the list begins.
func (in PageInput) after(begin cursor) (cursor, error) {
	if in.Cursor == "" {
		return begin, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	if err != nil {
		return cursor{}, errCursor.Because(err)
	}
	var c cursor
	if err := json.Unmarshal(raw, &c); err != nil || c.Sort != begin.Sort {
		return cursor{}, errCursor.Because(err)
	}
	return c, nil
}

// rows is how many rows to ask for: one more than is shown tells whether there is a next page.
func (in PageInput) rows() int32 { return int32(in.Limit) + 1 }

// paged cuts the extra row off and makes the cursor of what is left; show turns a row into what is sent.
func paged[R, T any](in PageInput, rows []R, show func(R) T, at func(R) cursor) *listOutput[T] {
	out := list[T]{Items: make([]T, 0, min(len(rows), in.Limit))}
	for _, r := range rows[:min(len(rows), in.Limit)] {
		out.Items = append(out.Items, show(r))
	}
	if len(rows) > in.Limit {
		c, _ := json.Marshal(at(rows[in.Limit-1])) // strings, times and UUIDs
		next := base64.RawURLEncoding.EncodeToString(c)
		out.Next = &next
	}
	return &listOutput[T]{Body: out}
}
