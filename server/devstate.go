//go:build !production

package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// devState is what a data folder must remember so that sessions, keys and links survive a restart.
type devState struct {
	AppPassword    string `json:"app_password"`
	PublishableKey string `json:"publishable_key"`
	SecretKey      string `json:"secret_key"`
	TwilioSID      string `json:"twilio_account_sid"`
	TwilioToken    string `json:"twilio_auth_token"`
	ResendKey      string `json:"resend_api_key"`
	SupabasePort   int    `json:"supabase_port"` // 0 until first chosen
	SessionKey     string `json:"session_key"`
	AnonJWT        string `json:"anon_jwt"`
	ServiceRoleJWT string `json:"service_role_jwt"`
	AdminMade      bool   `json:"admin_made"`
	Seeded         bool   `json:"seeded"`

	dir string
}

const devStateFile = "state.json"

// openDevState reads the folder's state, making folder and state when there is none. A folder with other things in
// it is refused: it is somebody else's.
func openDevState(dir string) (*devState, error) {
	state := &devState{dir: dir}
	body, err := os.ReadFile(filepath.Join(dir, devStateFile))
	if err == nil {
		if err := json.Unmarshal(body, state); err != nil {
			return nil, fmt.Errorf("--data %s: %s is damaged (%w); remove the folder to start afresh", dir, devStateFile, err)
		}
		return state, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("--data %s: %w", dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("--data %s: %w", dir, err)
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("--data %s: not a Kestrel data folder: it has other files in it; choose another", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("--data %s: %w", dir, err)
	}
	state.AppPassword, state.TwilioToken, state.SessionKey = random(24), hexadecimal(16), random(32)
	state.PublishableKey, state.SecretKey = "sb_publishable_"+random(24), "sb_secret_"+random(24)
	state.TwilioSID, state.ResendKey = "AC"+hexadecimal(16), "re_"+hexadecimal(16)
	return state, state.save()
}

func (s *devState) save() error { return writeJSON(filepath.Join(s.dir, devStateFile), s) }

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

func hexadecimal(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return fmt.Sprintf("%x", b)
}
