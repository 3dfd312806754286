// Package openai is Kestrel's one adapter over OpenAI's SDK for what is written, not spoken: one request, one answer, with
// function tools or as JSON of a given schema (POST /v1/responses). Nothing is stored at OpenAI, nothing is logged, every
// request is sent once, and failures are *Error.
package openai

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"

	"kestrel.ai/jobs/vendorhttp"
)

// Config of a Client. Without APIKey every call fails with ErrNotConfigured.
type Config struct {
	APIKey string
	// Model answers, e.g. "gpt-5.2"; there is no default: models retire.
	Model string
	// BaseURL replaces https://api.openai.com/v1, e.g. by a sandbox. Empty: the real one.
	BaseURL string
	// Timeout of one request; 0 means 60 s.
	Timeout time.Duration
	Prices  Prices
	// Transport sends the requests; nil means a pool of its own.
	Transport http.RoundTripper
}

// Prices are what the model costs, in US dollars per million tokens.
type Prices struct{ Input, Cached, Output float64 }

// Client asks one model. It is safe for concurrent use.
type Client struct {
	cfg Config
	api responses.ResponseService
}

// New checks cfg; it does not contact OpenAI. The only error is an unusable BaseURL.
func New(cfg Config) (*Client, error) {
	base, err := vendorhttp.ParseBase(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	if base == nil {
		base = &url.URL{Scheme: "https", Host: "api.openai.com", Path: "/v1"}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	// The SDK's own client would read the environment, and refuse a sandbox without TLS: the transport leads there instead.
	return &Client{cfg: cfg, api: responses.NewResponseService(
		option.WithBaseURL("https://api.openai.com/"), option.WithAPIKey(cfg.APIKey), option.WithMaxRetries(0),
		option.WithHTTPClient(&http.Client{
			Transport:     &transport{cfg: cfg, base: base},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
	)}, nil
}

// Configured tells whether a key and a model are named, not whether OpenAI accepts them.
func (c *Client) Configured() bool { return c.cfg.APIKey != "" && c.cfg.Model != "" }

// Model names the model that answers; may be empty.
func (c *Client) Model() string { return c.cfg.Model }

// Turn is one thing that was said or done: a text of either side, a tool that was called, or what it answered.
type Turn struct {
	Assistant bool // who says Text; false is the other side
	Text      string
	Call      *ToolCall // the tool that was called
	CallID    string    // whose answer Text is
}

// Tool is a function that may be called. Parameters is a strict JSON schema.
type Tool struct {
	Name, Description string
	Parameters        json.RawMessage
}

// ToolCall is a tool that the model wants called.
type ToolCall struct {
	ID, Name  string
	Arguments json.RawMessage
}

// Request is a conversation that waits for its next turn.
type Request struct {
	Instructions string
	Turns        []Turn
	Tools        []Tool
	MaxTokens    int // of the answer; 0 leaves it to the model
}

// Answer is the model's turn: a text, or tools to call first.
type Answer struct {
	Text  string
	Calls []ToolCall
	// Micros is what it cost, in millionths of a US dollar.
	Micros int64
}

// Respond asks for the next turn.
func (c *Client) Respond(ctx context.Context, r Request) (Answer, error) {
	return c.ask(ctx, r, responses.ResponseTextConfigParam{})
}

// Structured asks for JSON of a strict schema, which a name of letters, digits, _ and - goes by. OpenAI keeps to the
// schema's shape; what stands in it is for the caller to check. ErrRefused is also said of a model that would not answer.
func (c *Client) Structured(ctx context.Context, r Request, name string, schema json.RawMessage) (json.RawMessage, int64, error) {
	shape, err := object(schema)
	if err != nil {
		return nil, 0, err
	}
	answer, err := c.ask(ctx, r, responses.ResponseTextConfigParam{Format: responses.ResponseFormatTextConfigUnionParam{
		OfJSONSchema: &responses.ResponseFormatTextJSONSchemaConfigParam{Name: name, Schema: shape, Strict: param.NewOpt(true)},
	}})
	if err != nil {
		return nil, answer.Micros, err
	}
	if !json.Valid([]byte(answer.Text)) {
		return nil, answer.Micros, unreadable()
	}
	return json.RawMessage(answer.Text), answer.Micros, nil
}

func (c *Client) ask(ctx context.Context, r Request, text responses.ResponseTextConfigParam) (Answer, error) {
	if !c.Configured() {
		return Answer{}, notConfigured()
	}
	params := responses.ResponseNewParams{Model: c.cfg.Model, Store: param.NewOpt(false), Text: text}
	if r.Instructions != "" {
		params.Instructions = param.NewOpt(r.Instructions)
	}
	if r.MaxTokens > 0 {
		params.MaxOutputTokens = param.NewOpt(int64(r.MaxTokens))
	}
	for _, t := range r.Turns {
		params.Input.OfInputItemList = append(params.Input.OfInputItemList, t.item())
	}
	for _, t := range r.Tools {
		shape, err := object(t.Parameters)
		if err != nil {
			return Answer{}, err
		}
		params.Tools = append(params.Tools, responses.ToolUnionParam{OfFunction: &responses.FunctionToolParam{
			Name: t.Name, Description: param.NewOpt(t.Description), Parameters: shape, Strict: param.NewOpt(true),
		}})
	}
	got, err := c.api.New(ctx, params)
	var known *Error
	switch {
	case errors.As(err, &known):
		return Answer{}, known
	case err != nil || got == nil:
		return Answer{}, unreadable()
	}
	return c.read(got)
}

func (t Turn) item() responses.ResponseInputItemUnionParam {
	switch {
	case t.Call != nil:
		return responses.ResponseInputItemParamOfFunctionCall(string(t.Call.Arguments), t.Call.ID, t.Call.Name)
	case t.CallID != "":
		item := responses.ResponseInputItemParamOfFunctionCallOutput(t.Text)
		item.OfFunctionCallOutput.CallID = param.NewOpt(t.CallID)
		return item
	case t.Assistant:
		return responses.ResponseInputItemParamOfMessage(t.Text, responses.EasyInputMessageRoleAssistant)
	}
	return responses.ResponseInputItemParamOfMessage(t.Text, responses.EasyInputMessageRoleUser)
}

// read takes text and tool calls from a response. An answer that was cut short is no answer.
func (c *Client) read(got *responses.Response) (Answer, error) {
	answer := Answer{Micros: c.cfg.Prices.micros(got.Usage)}
	if got.Status != "" && got.Status != responses.ResponseStatusCompleted {
		return answer, unfinished(string(got.Status), string(got.Error.Code), got.IncompleteDetails.Reason)
	}
	for _, item := range got.Output {
		switch item.Type {
		case "message":
			for _, part := range item.Content {
				if part.Type == "refusal" {
					return answer, refused("OpenAI's model would not answer this")
				}
				answer.Text += part.Text
			}
		case "function_call":
			call := item.AsFunctionCall()
			answer.Calls = append(answer.Calls, ToolCall{ID: call.CallID, Name: call.Name, Arguments: json.RawMessage(call.Arguments)})
		}
	}
	return answer, nil
}

// micros reckons a response's cost. Cached tokens are among the input's; those of reasoning among the output's.
func (p Prices) micros(u responses.ResponseUsage) int64 {
	cached := u.InputTokensDetails.CachedTokens
	return int64(float64(u.InputTokens-cached)*p.Input + float64(cached)*p.Cached + float64(u.OutputTokens)*p.Output + 0.5)
}

func object(schema json.RawMessage) (map[string]any, error) {
	var shape map[string]any
	if err := json.Unmarshal(schema, &shape); err != nil {
		return nil, refused("The schema is no JSON object")
	}
	return shape, nil
}

// transport aims the SDK at the base and turns every answer that is not a success into *Error: the SDK's own errors hold
// the request, and so what was said in it.
type transport struct {
	cfg  Config
	base *url.URL
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, body, err := vendorhttp.Do(req.Context(), t.cfg.Transport, vendorhttp.Redirect(req, t.base), t.cfg.Timeout)
	var failed *vendorhttp.Failure
	if errors.As(err, &failed) {
		return nil, fromFailure(failed)
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, fromAnswer(resp, body, time.Now(), t.cfg.APIKey)
	}
	return resp, nil
}
