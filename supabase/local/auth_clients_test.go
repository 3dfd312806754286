package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/supabase-community/gotrue-go/types"
	storage_go "github.com/supabase-community/storage-go"
	"github.com/supabase-community/supabase-go"

	"kestrel.ai/supabase/local"
)

// The client that Kestrel's own Go code uses.
func TestSupabaseGo(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for style, key := range map[string]string{"sb_secret_": s.keys.Secret, "legacy": s.keys.ServiceJWT} {
		t.Run(style, func(t *testing.T) { supabaseGo(t, s, style, key) })
	}
}

func supabaseGo(t *testing.T, s *stack, style, key string) {
	client, err := supabase.NewClient(s.base, key, nil)
	must(t, err)
	admin := client.Auth.WithToken(key)
	email, secret := "go"+strings.Trim(style, "_")+"@example.com", password
	made, err := admin.AdminCreateUser(types.AdminCreateUserRequest{Email: email, Password: &secret, EmailConfirm: true, UserMetadata: anyMap{"name": "Go"}})
	must(t, err)
	got, err := admin.AdminGetUser(types.AdminGetUserRequest{UserID: made.ID})
	must(t, err)
	if got.Email != email || got.UserMetadata["name"] != "Go" || got.EmailConfirmedAt == nil || len(got.Identities) != 1 {
		t.Errorf("%+v", got.User)
	}
	list, err := admin.AdminListUsers()
	must(t, err)
	if len(list.Users) == 0 {
		t.Error("no users are listed")
	}
	updated, err := admin.AdminUpdateUser(types.AdminUpdateUserRequest{UserID: made.ID, AppMetadata: anyMap{"tier": "pro"}})
	must(t, err)
	if updated.AppMetadata["tier"] != "pro" || updated.AppMetadata["provider"] != "email" {
		t.Errorf("%v", updated.AppMetadata)
	}
	link, err := admin.AdminGenerateLink(types.AdminGenerateLinkRequest{Type: types.LinkTypeRecovery, Email: email})
	must(t, err)
	if link.HashedToken == "" || !strings.HasPrefix(link.ActionLink, s.base+"/auth/v1/verify?") || link.VerificationType != "recovery" {
		t.Errorf("%+v", link)
	}
	verified, err := client.Auth.Verify(types.VerifyRequest{Type: "recovery", Token: link.HashedToken, RedirectTo: "http://app.localhost:8080/set"})
	must(t, err)
	if verified.AccessToken == "" || verified.Error != "" {
		t.Errorf("%+v", verified)
	}
	if _, err := admin.Invite(types.InviteRequest{Email: "invited" + email}); err != nil {
		t.Error(err)
	}

	anon, err := supabase.NewClient(s.base, s.keys.Publishable, nil)
	must(t, err)
	session, err := anon.Auth.SignInWithEmailPassword(email, password)
	must(t, err)
	me := anon.Auth.WithToken(session.AccessToken)
	user, err := me.GetUser()
	must(t, err)
	if user.ID != made.ID {
		t.Errorf("signed in as %v", user.ID)
	}
	changed, err := me.UpdateUser(types.UpdateUserRequest{Data: anyMap{"name": "Gopher"}})
	must(t, err)
	if changed.UserMetadata["name"] != "Gopher" {
		t.Errorf("%v", changed.UserMetadata)
	}
	again, err := anon.Auth.RefreshToken(session.RefreshToken)
	must(t, err)
	factor, err := me.EnrollFactor(types.EnrollFactorRequest{FactorType: types.FactorTypeTOTP, FriendlyName: "x", Issuer: "Kestrel"})
	must(t, err)
	if factor.TOTP.Secret == "" || !strings.HasPrefix(factor.TOTP.URI, "otpauth://totp/Kestrel:") {
		t.Errorf("%+v", factor)
	}
	challenge, err := me.ChallengeFactor(types.ChallengeFactorRequest{FactorID: factor.ID})
	must(t, err)
	if challenge.ID == uuid.Nil || time.Until(challenge.ExpiresAt) <= 0 {
		t.Errorf("%+v", challenge)
	}
	must(t, anon.Auth.Recover(types.RecoverRequest{Email: email}))
	must(t, anon.Auth.OTP(types.OTPRequest{Email: email}))
	must(t, anon.Auth.WithToken(again.AccessToken).Logout())
	if _, err := me.GetUser(); err == nil || !strings.Contains(err.Error(), "session_not_found") {
		t.Errorf("after logout: %v", err)
	}
	if _, err := anon.Auth.AdminListUsers(); err == nil {
		t.Error("the publishable key lists users")
	}
	if health, err := anon.Auth.HealthCheck(); err != nil || health.Name != "GoTrue" {
		t.Errorf("%+v %v", health, err)
	}
	if settings, err := anon.Auth.GetSettings(); err != nil || !settings.External.Email {
		t.Errorf("%+v %v", settings, err)
	}
	must(t, admin.AdminDeleteUser(types.AdminDeleteUserRequest{UserID: made.ID}))

	storageGo(t, s, strings.Trim(style, "_"), key)
}

// storageGo makes a client for each upload: it leaks one's headers into the next request.
func storageGo(t *testing.T, s *stack, bucket, key string) {
	files := func() *storage_go.Client {
		return storage_go.NewClient(s.base+"/storage/v1", key, map[string]string{"apikey": key})
	}
	_, err := files().CreateBucket(bucket, storage_go.BucketOptions{Public: true})
	must(t, err)
	b, err := files().GetBucket(bucket)
	must(t, err)
	if all, err := files().ListBuckets(); err != nil || len(all) == 0 || !b.Public {
		t.Errorf("%v %v %v", all, b, err)
	}
	kind, upsert := "application/xml", true
	up, err := files().UploadFile(bucket, "a/x.xml", strings.NewReader("<Response/>"), storage_go.FileOptions{ContentType: &kind})
	must(t, err)
	if up.Key != bucket+"/a/x.xml" {
		t.Errorf("%+v", up)
	}
	if _, err := files().UploadFile(bucket, "a/x.xml", strings.NewReader("x")); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("a second upload: %v", err)
	}
	_, err = files().UploadFile(bucket, "a/x.xml", strings.NewReader("<Response>2</Response>"), storage_go.FileOptions{ContentType: &kind, Upsert: &upsert})
	must(t, err)
	_, err = files().UpdateFile(bucket, "a/x.xml", strings.NewReader("<Response>3</Response>"), storage_go.FileOptions{ContentType: &kind})
	must(t, err)
	raw, err := files().DownloadFile(bucket, "a/x.xml")
	must(t, err)
	if string(raw) != "<Response>3</Response>" {
		t.Errorf("downloaded %s", raw)
	}
	public := s.do(request{method: "GET", path: files().GetPublicUrl(bucket, "a/x.xml").SignedURL, key: "-"})
	if public.status != 200 || public.header.Get("Content-Type") != kind || !bytes.Equal(public.raw, raw) {
		t.Errorf("%d %s", public.status, public.raw)
	}
	signed, err := files().CreateSignedUrl(bucket, "a/x.xml", 60)
	must(t, err)
	if got := s.do(request{method: "GET", path: signed.SignedURL, key: "-"}); !bytes.Equal(got.raw, raw) {
		t.Errorf("%d %s", got.status, got.raw)
	}
	put, err := files().CreateSignedUploadUrl(bucket, "b.txt")
	must(t, err)
	_, err = files().UploadToSignedUrl(put.Url, strings.NewReader("b"))
	must(t, err)
	_, err = files().MoveFile(bucket, "b.txt", "c.txt")
	must(t, err)
	list, err := files().ListFiles(bucket, "", storage_go.FileSearchOptions{})
	must(t, err)
	if len(list) != 2 || list[0].Name != "a" || list[1].Name != "c.txt" {
		t.Errorf("%+v", list)
	}
	gone, err := files().RemoveFile(bucket, []string{"c.txt", "nothing"})
	must(t, err)
	if len(gone) != 1 {
		t.Errorf("%+v", gone)
	}
	_, err = files().UpdateBucket(bucket, storage_go.BucketOptions{Public: false})
	must(t, err)
	_, err = files().EmptyBucket(bucket)
	must(t, err)
	_, err = files().DeleteBucket(bucket)
	must(t, err)
}

// The client that the browser uses, run by node from supabase/node_modules (make deps).
func TestSupabaseJS(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	type mail struct{ Link, OTP, TokenHash string }
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "testdata/auth/client.mjs")
	config, err := json.Marshal(anyMap{"url": s.base, "publishable": s.keys.Publishable, "anon": s.keys.AnonJWT, "secret": s.keys.Secret, "service": s.keys.ServiceJWT})
	must(t, err)
	cmd.Env = append(os.Environ(), "STACK="+string(config))
	// The script asks for a mail, a code or a leap of the clock on its standard output, and reads the answer.
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	must(t, cmd.Start())
	lines := json.NewDecoder(out)
	for {
		var ask struct{ Mail, TOTP, Done string }
		if err := lines.Decode(&ask); err != nil {
			break
		}
		switch {
		case ask.Mail != "":
			m := s.lastMail(ask.Mail)
			must(t, json.NewEncoder(in).Encode(mail{m.Link, m.OTP, m.TokenHash}))
		case ask.TOTP != "":
			code, err := local.TOTPAt(ask.TOTP, s.now())
			must(t, err)
			must(t, json.NewEncoder(in).Encode(code))
		default:
			t.Log(ask.Done)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, errors.String())
	}
}
