package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"kestrel.ai/jobs"
	"kestrel.ai/server/edge"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

var errNoRecording = edge.NewProblem(http.StatusNotFound, "recording_not_found", "This call has no recording.")

// recordingPath is where the call's recording lies; of one that nobody took, the voicemail.
func recordingPath(l db.CallLog) *string {
	if l.RecordingPath != nil {
		return l.RecordingPath
	}
	return l.VoicemailPath
}

// Delivery is how a file comes.
type Delivery struct {
	As string `query:"as" enum:"redirect,stream" default:"redirect" doc:"stream sends the audio from here, for pages that may fetch from nowhere else"`
}

type recordingInput struct {
	CallPath
	Delivery
}

type tenantRecordingInput struct {
	TenantCallPath
	Delivery
}

const getRecordingDoc doc = `Get a call's recording
Redirects to where the file can be read, for a minute and by whoever has that address; or, with as=stream, sends it.
Pages come here with a ticket. Of a call that went to voicemail it is what the caller left.`

func (a *API) getRecording(ctx context.Context, in *recordingInput) (*huma.StreamResponse, error) {
	return a.recordingOf(ctx, tenantOf(ctx), in.ID.UUID, in.As)
}

func (a *API) getTenantRecording(ctx context.Context, in *tenantRecordingInput) (*huma.StreamResponse, error) {
	return a.recordingOf(ctx, in.ID.UUID, in.CallID.UUID, in.As)
}

func (a *API) recordingOf(ctx context.Context, tenant, id uuid.UUID, as string) (*huma.StreamResponse, error) {
	l, err := a.findCall(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	path := recordingPath(l)
	if path == nil {
		return nil, errNoRecording
	}
	if a.Storage == nil {
		return nil, errNoStorage
	}
	if as == "stream" {
		return a.streamRecording(ctx, *path)
	}
	url, err := a.Storage.SignedURL(ctx, jobs.RecordingsBucket, *path, "", linkLife)
	if errors.Is(err, supabase.ErrNoObject) {
		return nil, errNoRecording
	}
	if err != nil {
		return nil, errNoStorage.Because(err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Location", url)
		hc.SetHeader("Cache-Control", "no-store")
		hc.SetStatus(http.StatusFound)
	}}, nil
}

// streamRecording relays the file from Storage. It ends early, and with it the connection, when the caller's right ends.
func (a *API) streamRecording(ctx context.Context, path string) (*huma.StreamResponse, error) {
	scope := edge.FromContext(ctx)
	reading, closed := a.Edge.Streams().Open(scope)
	audio, found, err := a.Storage.Download(reading, jobs.RecordingsBucket, path)
	if err != nil || !found {
		closed()
		if err != nil {
			return nil, errNoStorage.Because(err)
		}
		return nil, errNoRecording
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(http.StatusOK)
		hc.SetHeader("Content-Type", "audio/wav")
		hc.SetHeader("Cache-Control", "no-store")
		humafiber.Unwrap(hc).Context().SetBodyStreamWriter(fasthttp.StreamWriter(func(w *bufio.Writer) {
			defer closed()
			defer audio.Close()
			if _, err := io.Copy(w, audio); err != nil {
				a.Log.DebugContext(reading, "recording ended early", "request_id", scope.RequestID, "error", err)
			}
		}))
	}}, nil
}
