package jobs_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/server/agent"
)

// spent is what a row says that models cost for it, and how many requests' price it does not know.
func (w *world) spent(table string, id uuid.UUID) (micros, unpriced int) {
	w.t.Helper()
	return scan[int](w, `select cost_micros::int from `+table+` where id = $1`, id), scan[int](w, `select model_unpriced from `+table+` where id = $1`, id)
}

// TestWhatDeadWorkersSpent: a worker is killed between the model's answer and the commit of what it was asked for, and
// another while the model is still answering. The first one's cost is known, and the second's is known to be missing.
func TestWhatDeadWorkersSpent(t *testing.T) {
	t.Parallel()
	for kind, order := range map[string]func(*world) (table string, job, subject uuid.UUID){
		"call_analyze": func(w *world) (string, uuid.UUID, uuid.UUID) {
			call := w.call(w.haiec(), "What time do you open tomorrow?", "We open at eight.", "Thank you, goodbye.", "Goodbye.")
			w.close(call)
			return "call_logs", call, call
		},
		"sms_answer": func(w *world) (string, uuid.UUID, uuid.UUID) {
			text := w.hears(w.haiec(), annsNumber, "When are you open?", "")
			return "messages", text, text
		},
		"scenario_run": func(w *world) (string, uuid.UUID, uuid.UUID) {
			tenant := w.haiec()
			w.scenario(tenant, agent.Scenario{Name: "Asks", Lines: []string{"When are you open?"}})
			batch := w.rehearse(tenant)
			return "agent_scenario_runs", batch, scan[uuid.UUID](w, `select id from agent_scenario_runs where batch_id = $1`, batch)
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			table, job, subject := order(w)

			// The model takes its time over the first two questions, until the test lets go of them.
			asked, answer, vendor := make(chan int, 100), []chan struct{}{make(chan struct{}), make(chan struct{})}, w.sandbox
			var questions atomic.Int64
			gate := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/responses" {
					vendor.ServeHTTP(rw, r)
					return
				}
				if n := int(questions.Add(1)); n <= len(answer) {
					asked <- n
					<-answer[n-1]
				}
				vendor.ServeHTTP(rw, r)
			}))
			t.Cleanup(gate.Close)
			w.vendors = gate.URL

			// Killed while the model answers.
			p := w.process()
			<-asked
			p.kill()
			close(answer[0])
			if micros, unpriced := w.spent(table, subject); micros != 0 || unpriced != 1 {
				t.Fatalf("killed while it asked: %d micros, %d unpriced", micros, unpriced)
			}

			// Killed when the answer is in, but not what was made of it: its row is held here.
			p = w.process()
			<-asked
			tx, err := w.db.Admin.Begin(context.Background())
			must(t, err)
			defer func() { _ = tx.Rollback(context.Background()) }()
			_, err = tx.Exec(context.Background(), `select from jobs where subject_id = $1 and kind = $2 for update`, job, kind)
			must(t, err)
			close(answer[1])
			w.until("the price", func() bool { micros, unpriced := w.spent(table, subject); return micros > 0 && unpriced == 1 })
			p.kill()
			first, _ := w.spent(table, subject)
			must(t, tx.Rollback(context.Background()))

			w.work()
			w.ends("done", kind, job)
			total, unpriced := w.spent(table, subject)
			if unpriced != 1 || kind != "scenario_run" && total <= first {
				t.Errorf("after the first answer %d micros, in the end %d, %d unpriced", first, total, unpriced)
			}
		})
	}
}
