package sandbox

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
)

// Phone says what happens when a number is dialled that the account does not own. Without one, a person answers at once
// and presses 1 where they are asked something.
type Phone struct {
	Number  string  `json:"number"`
	Answers Answers `json:"answers"`
	// AnswersAfterMS is how long it rings, in milliseconds.
	AnswersAfterMS int `json:"answers_after_ms"`
	// Digits are pressed after a whisper was heard; Say is what the person then does.
	Digits string `json:"digits"`
	Say    []Line `json:"say"`
	// HangupAfterMS ends the call so long after it was connected; 0: the person stays.
	HangupAfterMS int `json:"hangup_after_ms"`
}

// Answers is what a phone does when it rings. JSON also takes true and false, for person and no-answer.
type Answers string

// The ways to answer.
const (
	AnswersPerson    Answers = "person"
	AnswersVoicemail Answers = "voicemail" // answers, says so, presses nothing
	AnswersBusy      Answers = "busy"
	AnswersNever     Answers = "no-answer"
	AnswersFailed    Answers = "failed"
)

// UnmarshalJSON implements json.Unmarshaler.
func (a *Answers) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true":
		*a = AnswersPerson
		return nil
	case "false":
		*a = AnswersNever
		return nil
	}
	if err := json.Unmarshal(b, (*string)(a)); err != nil {
		return err
	}
	if !slices.Contains([]Answers{AnswersPerson, AnswersVoicemail, AnswersBusy, AnswersNever, AnswersFailed}, *a) {
		return errors.New("answers must be true, person, voicemail, busy, no-answer or failed")
	}
	return nil
}

// person is who answers; whispered tells whether they are asked before they are connected.
func (p Phone) person(whispered bool) *party {
	if p.Answers == AnswersVoicemail {
		return &party{script: []Line{{Text: "You have reached my voicemail. Please leave a message after the tone.", Barge: true}}, hearing: true}
	}
	who := &party{}
	if whispered && p.Digits != "" {
		who.script = append(who.script, Line{Digits: p.Digits})
	}
	who.script = append(who.script, p.Say...)
	return who
}

// SetPhone says what happens when p.Number is dialled.
func (s *Sandbox) SetPhone(p Phone) error {
	if !e164(p.Number) {
		return errors.New("number must be in E.164 form, such as " + haiecNumber)
	}
	if p.AnswersAfterMS < 0 || p.HangupAfterMS < 0 {
		return errors.New("times cannot be negative")
	}
	if p.Answers == "" {
		p.Answers = AnswersPerson
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phones[p.Number] = p
	return nil
}

func (s *Sandbox) phone(number string) Phone {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, set := s.phones[number]; set {
		return p
	}
	return Phone{Number: number, Answers: AnswersPerson, Digits: "1"}
}

// controlSetPhone takes the fields of Phone but number, which the path has.
func (s *Sandbox) controlSetPhone(r *http.Request) (int, any, error) {
	var p Phone
	if err := decode(r, &p); err != nil {
		return 0, nil, err
	}
	p.Number = r.PathValue("number")
	if err := s.SetPhone(p); err != nil {
		return 0, nil, &controlError{Status: 422, Code: "invalid", Message: err.Error()}
	}
	return 200, s.phone(p.Number), nil
}

func (s *Sandbox) controlPhones(r *http.Request) (int, any, error) {
	s.mu.Lock()
	all := make([]Phone, 0, len(s.phones))
	for _, p := range s.phones {
		all = append(all, p)
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b Phone) int {
		if a.Number < b.Number {
			return -1
		}
		return 1
	})
	return items(r, all)
}
