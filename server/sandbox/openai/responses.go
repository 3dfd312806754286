package openai

import "net/http"

// Responses answers POST /v1/responses.
func (s *Server) Responses(w http.ResponseWriter, r *http.Request) {
	if !s.authorize(w, r) {
		return
	}
	WriteError(w, http.StatusNotImplemented, "", "Not yet.")
}
