package twilio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"kestrel.ai/jobs/vendorhttp"
)

// OpenRecording streams a recording's audio as WAV, with as many of its channels as asked for; size is -1 where Twilio does
// not say. It is ErrNotFound until the recording is ready, and when it is gone. The stream ends with ctx
// (https://www.twilio.com/docs/voice/api/recording#fetch-a-recording-media-file).
func (c *Client) OpenRecording(ctx context.Context, sid string, channels int) (audio io.ReadCloser, size int64, err error) {
	if !c.Configured() {
		return nil, 0, notConfigured()
	}
	// The SDK knows no media: this is the one request that goes by hand, as a file is never held in memory.
	at := &url.URL{Scheme: "https", Host: "api.twilio.com", Path: "/2010-04-01/Accounts/" + c.cfg.AccountSID + "/Recordings/" + sid + ".wav"}
	if channels > 1 {
		at.RawQuery = url.Values{"RequestedChannels": {strconv.Itoa(channels)}}.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, 0, refused("The recording's SID is unusable")
	}
	req = vendorhttp.Redirect(req, c.base)
	req.SetBasicAuth(c.cfg.AccountSID, c.cfg.AuthToken)
	// Twilio may send it on to where the file lies; the credentials stay behind there.
	resp, err := (&http.Client{Transport: c.cfg.Transport}).Do(req)
	if err != nil {
		return nil, 0, fromFailure(unreached(ctx), false)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, resp.ContentLength, nil
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // a body that breaks off says less
	if resp.StatusCode == http.StatusBadRequest && channels > 1 {
		return c.OpenRecording(ctx, sid, 1) // it has only one
	}
	return nil, 0, fromAnswer(resp, body, false, time.Now(), c.cfg.AuthToken)
}

func unreached(ctx context.Context) *vendorhttp.Failure {
	return &vendorhttp.Failure{MayHaveArrived: true, Timeout: errors.Is(ctx.Err(), context.DeadlineExceeded)}
}

// DeleteRecording deletes a recording; one that is gone already is deleted.
func (c *Client) DeleteRecording(ctx context.Context, sid string) error {
	api, err := c.api(ctx)
	if err != nil {
		return err
	}
	err = api.DeleteRecording(sid, nil)
	if err == nil {
		return nil
	}
	if known := fail(err, true); !errors.Is(known, ErrNotFound) {
		return known
	}
	return nil
}
