package api

import (
	"context"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/edge"
)

// What platform admins do about a tenant's receptionist, held to the same rules as its admins.

const tenantAgentDoc doc = `Get a tenant's receptionist
The published settings and the draft, where there is one.`

func (a *API) tenantAgent(ctx context.Context, in *TenantPath) (*agentOutput, error) {
	if err := a.open(ctx, a.DB.As(edge.FromContext(ctx).SQL()), in.ID.UUID); err != nil {
		return nil, err
	}
	return a.agentOf(ctx, in.ID.UUID)
}

type putTenantDraftInput struct {
	TenantPath
	Body AgentSettings
}

const putTenantDraftDoc doc = `Save the draft of a tenant's receptionist
As a whole. The tenant's activity log names the admin.`

func (a *API) putTenantDraft(ctx context.Context, in *putTenantDraftInput) (*agentVersionOutput, error) {
	if err := a.open(ctx, a.DB.As(edge.FromContext(ctx).SQL()), in.ID.UUID); err != nil {
		return nil, err
	}
	return a.keepAgentDraft(ctx, in.ID.UUID, agent.Settings(in.Body))
}

const publishTenantAgentDoc doc = `Publish the draft of a tenant's receptionist
Calls that begin from now on, within a second, are answered by it. The tenant's activity log names the admin.`

func (a *API) publishTenantAgent(ctx context.Context, in *TenantPath) (*agentVersionOutput, error) {
	if err := a.open(ctx, a.DB.As(edge.FromContext(ctx).SQL()), in.ID.UUID); err != nil {
		return nil, err
	}
	return a.publishDraft(ctx, in.ID.UUID)
}
