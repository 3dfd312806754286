package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// Agent is how the tenant's receptionist behaves.
type Agent struct {
	Published *AgentVersion `json:"published,omitempty" doc:"What callers hear"`
	Draft     *AgentVersion `json:"draft,omitempty" doc:"What is being worked on"`
}

// AgentVersion is one version of the settings.
type AgentVersion struct {
	ID          uuid.UUID      `json:"id" format:"uuid"`
	Version     int32          `json:"version" example:"3"`
	State       string         `json:"state" enum:"draft,published,archived"`
	Settings    agent.Settings `json:"settings" doc:"Complete: what the version leaves out is as usual in the industry"`
	PublishedAt *time.Time     `json:"published_at"`
	CreatedAt   time.Time      `json:"created_at"`
	UpdatedAt   time.Time      `json:"updated_at"`
}

var (
	errNoAgentVersion = edge.NewProblem(http.StatusNotFound, "agent_version_not_found", "There is no such version.")
	errAgentInvalid   = edge.NewProblem(http.StatusUnprocessableEntity, "agent_invalid", "These settings cannot be used.")
)

func invalidSettings(wrong []agent.FieldError) error {
	p := errAgentInvalid
	for _, w := range wrong {
		p = p.At(w.Field, w.Message)
	}
	return p
}

// versions shows a version with its settings completed.
func (a *API) versions(ctx context.Context, tenant uuid.UUID) (func(db.AgentVersion) AgentVersion, error) {
	profile, err := a.query(ctx).FindProfile(ctx, tenant)
	return func(v db.AgentVersion) AgentVersion {
		s, _ := agent.Complete(v.Settings, profile.Industry, profile.CompanyName)
		return AgentVersion{ID: v.ID, Version: v.Version, State: v.State, Settings: s, PublishedAt: v.PublishedAt, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt}
	}, err
}

type agentOutput struct{ Body Agent }

const agentDoc doc = `Get the receptionist's settings
The published ones and the draft, where there is one.`

func (a *API) agent(ctx context.Context, _ *struct{}) (*agentOutput, error) {
	return a.agentOf(ctx, tenantOf(ctx))
}

func (a *API) agentOf(ctx context.Context, tenant uuid.UUID) (*agentOutput, error) {
	show, err := a.versions(ctx, tenant)
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListAgentVersions(ctx, tenant)
	out := &agentOutput{}
	for _, r := range rows {
		v := show(db.AgentVersion{ID: r.ID, Version: r.Version, State: r.State, Settings: r.Settings, PublishedAt: r.PublishedAt, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt})
		if v.State == agent.Published {
			out.Body.Published = &v
		} else {
			out.Body.Draft = &v
		}
	}
	return out, err
}

// AgentSettings are a whole version's.
type AgentSettings agent.Settings

// Resolve says everything that is wrong with them.
func (b *AgentSettings) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	for _, w := range (*agent.Settings)(b).Validate() {
		f.add(w.Field, w.Message)
	}
	return f.errs
}

type putDraftInput struct{ Body AgentSettings }

type agentVersionOutput struct{ Body AgentVersion }

const putDraftDoc doc = `Save the draft
As a whole. Callers hear it once it is published. For the tenant's admins and owners.`

func (a *API) putAgentDraft(ctx context.Context, in *putDraftInput) (*agentVersionOutput, error) {
	return a.keepAgentDraft(ctx, tenantOf(ctx), agent.Settings(in.Body))
}

func (a *API) keepAgentDraft(ctx context.Context, tenant uuid.UUID, s agent.Settings) (*agentVersionOutput, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return a.showVersion(ctx, tenant)(a.query(ctx).DraftAgent(ctx, tenant, raw))
}

func (a *API) showVersion(ctx context.Context, tenant uuid.UUID) func(db.AgentVersion, error) (*agentVersionOutput, error) {
	return func(v db.AgentVersion, err error) (*agentVersionOutput, error) {
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errNoAgentVersion
		}
		if err != nil {
			return nil, err
		}
		show, err := a.versions(ctx, tenant)
		return &agentVersionOutput{Body: show(v)}, err
	}
}

type patchDraftInput struct {
	Body map[string]any `doc:"Fields of the settings; objects are merged, lists replaced, null leaves a field as it is" example:"{\"greeting\":\"Good day!\"}"`
}

const patchDraftDoc doc = `Change the draft
Only what is sent changes; without a draft, one is begun from what is published.`

func (a *API) patchAgentDraft(ctx context.Context, in *patchDraftInput) (*agentVersionOutput, error) {
	base, err := a.profile(ctx, agent.Draft)
	if errors.Is(err, agent.ErrNoVersion) {
		base, err = a.profile(ctx, agent.Published)
	}
	if err != nil {
		return nil, err
	}
	s, wrong := agent.Merge(base.Settings, in.Body)
	if len(wrong) > 0 {
		return nil, invalidSettings(wrong)
	}
	return a.keepAgentDraft(ctx, tenantOf(ctx), s)
}

// profile is the tenant's receptionist, as its rules are for the diary.
func (a *API) profile(ctx context.Context, state string) (*agent.Profile, error) {
	return agent.Load(ctx, a.DB.As(edge.FromContext(ctx).SQL()), tenantOf(ctx), state)
}

const deleteDraftDoc doc = `Discard the draft
What callers hear stays.`

func (a *API) deleteAgentDraft(ctx context.Context, _ *struct{}) (*struct{}, error) {
	_, err := a.query(ctx).DiscardDraft(ctx, tenantOf(ctx))
	return nil, err
}

const publishAgentDoc doc = `Publish the draft
Calls that begin from now on, within a second, are answered by it. What was published is kept, and can be rolled back to.`

func (a *API) publishAgent(ctx context.Context, _ *struct{}) (*agentVersionOutput, error) {
	return a.publishDraft(ctx, tenantOf(ctx))
}

func (a *API) publishDraft(ctx context.Context, tenant uuid.UUID) (*agentVersionOutput, error) {
	draft, err := a.query(ctx).FindAgent(ctx, tenant, agent.Draft)
	if err == nil {
		// Somebody may have typed into it in Studio.
		if _, wrong := agent.Complete(draft.Settings, draft.Industry, draft.CompanyName); len(wrong) > 0 {
			return nil, invalidSettings(wrong)
		}
	} else if !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	return a.showVersion(ctx, tenant)(a.query(ctx).PublishAgent(ctx, tenant, nil))
}

type versionInput struct {
	Version int32 `path:"version" minimum:"1" maximum:"2000000000" doc:"A version's number" example:"1"`
}

const rollbackAgentDoc doc = `Roll back to a version
Publishes an earlier one again; the draft stays.`

func (a *API) rollbackAgent(ctx context.Context, in *versionInput) (*agentVersionOutput, error) {
	return a.showVersion(ctx, tenantOf(ctx))(a.query(ctx).PublishAgent(ctx, tenantOf(ctx), &in.Version))
}

const listVersionsDoc doc = `List the receptionist's versions
Newest first.`

func (a *API) listAgentVersions(ctx context.Context, in *PageInput) (*listOutput[AgentVersion], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	show, err := a.versions(ctx, tenantOf(ctx))
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).PageAgentVersions(ctx, tenantOf(ctx), c.ID, in.rows())
	return paged(*in, rows, func(r db.PageAgentVersionsRow) AgentVersion {
		return show(db.AgentVersion{ID: r.ID, Version: r.Version, State: r.State, Settings: r.Settings, PublishedAt: r.PublishedAt, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt})
	}, func(r db.PageAgentVersionsRow) cursor { return cursor{ID: r.ID} }), err
}

const getVersionDoc doc = `Get a version of the receptionist's settings
By its number.`

func (a *API) getAgentVersion(ctx context.Context, in *versionInput) (*agentVersionOutput, error) {
	return a.showVersion(ctx, tenantOf(ctx))(a.query(ctx).FindAgentVersion(ctx, tenantOf(ctx), in.Version))
}

type diffInput struct {
	From int32 `query:"from" minimum:"0" maximum:"2000000000" doc:"A version's number; 0 is the published one"`
	To   int32 `query:"to" minimum:"0" maximum:"2000000000" doc:"A version's number; 0 is the draft, or the published one without a draft"`
}

// AgentDiff is what differs between two versions.
type AgentDiff struct {
	From    int32          `json:"from" example:"1"`
	To      int32          `json:"to" example:"2"`
	Changes []agent.Change `json:"changes" nullable:"false"`
}

type diffOutput struct{ Body AgentDiff }

const diffAgentDoc doc = `Compare two versions
Field by field; without numbers, the draft with what is published.`

func (a *API) diffAgent(ctx context.Context, in *diffInput) (*diffOutput, error) {
	show, err := a.versions(ctx, tenantOf(ctx))
	if err != nil {
		return nil, err
	}
	find := func(number int32, states ...string) (v AgentVersion, err error) {
		rows, err := a.query(ctx).ListAgentVersions(ctx, tenantOf(ctx))
		for _, state := range states {
			for _, r := range rows {
				if number == 0 && r.State == state {
					number = r.Version
				}
			}
		}
		if err != nil {
			return v, err
		}
		r, err := a.query(ctx).FindAgentVersion(ctx, tenantOf(ctx), number)
		if errors.Is(err, pgx.ErrNoRows) {
			return v, errNoAgentVersion
		}
		return show(r), err
	}
	from, err := find(in.From, agent.Published)
	if err != nil {
		return nil, err
	}
	to, err := find(in.To, agent.Draft, agent.Published)
	if err != nil {
		return nil, err
	}
	changes := agent.Diff(from.Settings, to.Settings)
	if changes == nil {
		changes = []agent.Change{}
	}
	return &diffOutput{Body: AgentDiff{From: from.Version, To: to.Version, Changes: changes}}, nil
}

type defaultsInput struct {
	Industry string `query:"industry" maxLength:"60" example:"hvac" doc:"dental, electrical, hvac, legal, plumbing, salon; any other, and none, is the tenant's own"`
}

type defaultsOutput struct{ Body agent.Settings }

const defaultsDoc doc = `Get an industry's settings
What a receptionist begins with, in this tenant's name.`

func (a *API) agentDefaults(ctx context.Context, in *defaultsInput) (*defaultsOutput, error) {
	profile, err := a.query(ctx).FindProfile(ctx, tenantOf(ctx))
	if in.Industry == "" {
		in.Industry = profile.Industry
	}
	return &defaultsOutput{Body: agent.Defaults(in.Industry, profile.CompanyName)}, err
}
