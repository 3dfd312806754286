// Package realtime speaks OpenAI's Realtime API in its GA shape (wss://api.openai.com/v1/realtime) for the voice bridge.
// Audio stays as the vendor and Twilio send it, base64 of µ-law, and is never decoded here.
package realtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"

	"kestrel.ai/server/voice"
	"kestrel.ai/server/voice/wire"
)

// Config is the vendor's account and choice of models. Nothing in it has a default but BaseURL and Log: models retire.
type Config struct {
	APIKey        string
	BaseURL       string // "https://api.openai.com/v1"
	Model         string // e.g. gpt-realtime-2.1
	Voice         string // where a tenant has chosen none, e.g. marin
	Transcription string // model that writes the caller's words down, e.g. gpt-4o-mini-transcribe
	Log           *slog.Logger
	Dial          func(ctx context.Context, network, addr string) (net.Conn, error) // to the network; nil for the usual way
}

// Client is a voice.Model.
type Client struct {
	cfg    Config
	url    string
	header http.Header
}

var _ voice.Model = (*Client)(nil)

// New fails where the address is none, or a model is not named.
func New(cfg Config) (*Client, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = "https://api.openai.com/v1"
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	base, err := url.Parse(strings.TrimRight(cfg.BaseURL, "/"))
	if err != nil {
		return nil, fmt.Errorf("realtime: base URL: %w", err)
	}
	if cfg.Model == "" || cfg.Transcription == "" {
		return nil, errors.New("realtime: a model and a transcription model are needed")
	}
	switch base.Scheme {
	case "https":
		base.Scheme = "wss"
	case "http":
		base.Scheme = "ws"
	}
	base.Path += "/realtime"
	base.RawQuery = url.Values{"model": {cfg.Model}}.Encode()
	return &Client{cfg: cfg, url: base.String(), header: http.Header{"Authorization": {"Bearer " + cfg.APIKey}}}, nil
}

// Dial opens a session and configures it; it returns when the vendor has accepted the configuration.
func (c *Client) Dial(ctx context.Context, s voice.Session) (voice.Conversation, error) {
	if c.cfg.APIKey == "" {
		return nil, voice.ErrModelAbsent
	}
	conn, err := wire.Dial(ctx, c.url, c.header, c.cfg.Dial)
	if err != nil {
		return nil, fmt.Errorf("realtime: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	conv := &conversation{conn: conn}
	if err := conv.open(c.update(s), s.History); err != nil {
		_ = conn.Close()
		return nil, errors.Join(err, ctx.Err())
	}
	if !stop() {
		_ = conn.Close()
		return nil, fmt.Errorf("realtime: %w", ctx.Err())
	}
	return conv, nil
}

// open configures the session and gives it its past.
func (c *conversation) open(update sessionUpdate, history []voice.Line) error {
	if err := c.send(update); err != nil {
		return fmt.Errorf("realtime: %w", err)
	}
	for {
		message, err := c.conn.Read()
		if err != nil {
			return fmt.Errorf("realtime: before the session was ready: %w", err)
		}
		var e serverEvent
		if err := e.decode(message); err != nil {
			return err
		}
		switch e.Type {
		case "error":
			return fmt.Errorf("realtime: session refused: %s %s: %s", e.Error.Type, e.Error.Code, e.Error.Message)
		case "session.updated":
			for _, line := range history {
				if err := c.Note(line.Speaker, line.Text); err != nil {
					return fmt.Errorf("realtime: history: %w", err)
				}
			}
			return nil
		}
	}
}
