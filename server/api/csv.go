package api

import (
	"bufio"
	"context"
	"encoding/csv"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/valyala/fasthttp"

	"kestrel.ai/server/edge"
)

const csvBatch = 500

// wantsCSV reads what a list was asked for: the format by name, else by the Accept header.
func wantsCSV(format, accept string) bool {
	return format == "csv" || format == "" && strings.HasPrefix(accept, "text/csv")
}

// sendJSON answers with a page, where the operation could have answered with a stream too.
func sendJSON[T any](page *listOutput[T]) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "application/json")
		ctx.SetStatus(200)
		_ = huma.DefaultJSONFormat.Marshal(ctx.BodyWriter(), page.Body)
	}}
}

// csvFile is a list as a file: page reads a batch after the cursor, "" for the first; row is one line of it.
type csvFile[T any] struct {
	name   string // of the file, without date and ending
	header []string
	page   func(ctx context.Context, cursor string) (*listOutput[T], error)
	row    func(T) []string
}

// sendCSV streams all rows, a batch at a time. The stream ends early, and with it the connection, when the caller's
// right ends or the database fails: the status is long sent by then. What page captures must outlive the request, so
// strings of the request are to be cloned.
func sendCSV[T any](ctx context.Context, a *API, f csvFile[T]) (*huma.StreamResponse, error) {
	scope := edge.FromContext(ctx)
	first, err := f.page(ctx, "")
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(200)
		hc.SetHeader("Content-Type", "text/csv; charset=utf-8")
		hc.SetHeader("Content-Disposition", `attachment; filename="`+f.name+`-`+a.Now().UTC().Format(time.DateOnly)+`.csv"`)
		humafiber.Unwrap(hc).Context().SetBodyStreamWriter(fasthttp.StreamWriter(func(w *bufio.Writer) {
			ctx, closed := a.Edge.Streams().Open(scope)
			defer closed()
			if err := f.write(ctx, w, first); err != nil {
				a.Log.WarnContext(ctx, "CSV ended early", "request_id", scope.RequestID, "error", err)
			}
		}))
	}}, nil
}

func (f csvFile[T]) write(ctx context.Context, w *bufio.Writer, page *listOutput[T]) error {
	out := csv.NewWriter(w)
	_ = out.Write(f.header)
	for {
		for _, item := range page.Body.Items {
			row := f.row(item)
			for i := range row {
				row[i] = inert(row[i])
			}
			_ = out.Write(row) // the error stays until Flush
		}
		if out.Flush(); out.Error() != nil {
			return out.Error()
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if page.Body.Next == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var err error
		if page, err = f.page(ctx, *page.Body.Next); err != nil {
			return err
		}
	}
}

// inert keeps spreadsheets from taking a cell for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
// A phone number with its + is a number to them and stays as it is.
func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n|%", rune(cell[0])) && !e164Form.MatchString(cell) {
		return "'" + cell
	}
	return cell
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func number(n *int32) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(int(*n))
}

func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
