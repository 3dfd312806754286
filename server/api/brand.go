package api

import (
	"bytes"
	"context"
	"errors"
	"image"
	_ "image/jpeg" // the forms that a logo's size is read from
	_ "image/png"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/server/edge"
)

const (
	maxLogo = 512 << 10 // bytes
	maxSide = 4096      // pixels
)

var (
	errLogoSize = edge.NewProblem(http.StatusRequestEntityTooLarge, "logo_too_large", "A logo is at most 512 KB, and 4,096 pixels wide and high.")
	errLogoType = edge.NewProblem(http.StatusUnsupportedMediaType, "logo_type", "A logo is a PNG, JPEG or WebP image. SVG is not taken: it can hold scripts.")
)

// picture adds the errors of operations that take an image.
func picture(op *huma.Operation) {
	op.MaxBodyBytes = maxLogo + 1
	op.Errors = append(op.Errors, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
}

// logoTypes are the images taken, by their true type, with the ending of their files.
var logoTypes = map[string]string{"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}

type logoInput struct {
	RawBody []byte `contentType:"application/octet-stream" doc:"The image itself: PNG, JPEG or WebP, at most 512 KB"`
}

const putLogoDoc doc = `Set the logo
The body is the image itself. What it is, is seen from its bytes, whatever Content-Type says. E-mails to the company wear it.`

func (a *API) putLogo(ctx context.Context, in *logoInput) (*companyOutput, error) {
	kind, err := logoKind(in.RawBody)
	if err != nil {
		return nil, err
	}
	if a.Storage == nil {
		return nil, errNoStorage
	}
	tenant := tenantOf(ctx)
	// A name of its own each time, so that no cache shows the old one.
	path := tenant.String() + "/" + uuid.NewString() + logoTypes[kind]
	if err := errors.Join(a.Storage.EnsureBucket(ctx, jobs.LogosBucket, true), a.Storage.Upload(ctx, jobs.LogosBucket, path, kind, in.RawBody)); err != nil {
		return nil, errNoStorage.Because(err)
	}
	return a.wear(ctx, &path)
}

const deleteLogoDoc doc = `Remove the logo
The company's name stands in its place.`

func (a *API) deleteLogo(ctx context.Context, _ *struct{}) (*companyOutput, error) {
	return a.wear(ctx, nil)
}

// wear makes path the tenant's logo, and removes the file of the one before. One that stays behind goes with the tenant.
func (a *API) wear(ctx context.Context, path *string) (*companyOutput, error) {
	q, tenant := a.query(ctx), tenantOf(ctx)
	before, err := q.FindProfile(ctx, tenant)
	if err != nil {
		return nil, err
	}
	changed, err := q.SetLogo(ctx, path, tenant)
	if err != nil {
		return nil, err
	}
	if changed == 0 {
		return nil, edge.NewProblem(http.StatusForbidden, "forbidden", "You may not change this.")
	}
	if before.LogoPath != nil && a.Storage != nil {
		if err := a.Storage.Remove(ctx, jobs.LogosBucket, *before.LogoPath); err != nil {
			a.Log.WarnContext(ctx, "an old logo stays behind", "tenant_id", tenant, "error", err)
		}
	}
	now, err := q.FindProfile(ctx, tenant)
	return &companyOutput{Body: a.company(now)}, err
}

func logoKind(raw []byte) (string, error) {
	if len(raw) > maxLogo {
		return "", errLogoSize
	}
	kind := http.DetectContentType(raw)
	if logoTypes[kind] == "" {
		return "", errLogoType
	}
	if kind == "image/webp" {
		return kind, nil // the standard library cannot read its size
	}
	c, _, err := image.DecodeConfig(bytes.NewReader(raw))
	if err != nil {
		return "", errLogoType.Because(err)
	}
	if c.Width > maxSide || c.Height > maxSide {
		return "", errLogoSize
	}
	return kind, nil
}
