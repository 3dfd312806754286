package sandbox_test

import (
	"fmt"
	"strings"
	"testing"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"kestrel.ai/server/sandbox"
)

func (r *rig) searchLocal(p *api.ListAvailablePhoneNumberLocalParams) []api.ApiV2010AvailablePhoneNumberLocal {
	r.t.Helper()
	found, err := r.twilio.ListAvailablePhoneNumberLocal("US", p.SetLimit(20))
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

func search() *api.ListAvailablePhoneNumberLocalParams {
	return &api.ListAvailablePhoneNumberLocalParams{}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{Seed: 7})

	boston := r.searchLocal(search().SetAreaCode(857))
	if len(boston) != 20 {
		t.Fatalf("got %d numbers, want 20", len(boston))
	}
	first := boston[0]
	if *first.PhoneNumber != haiec || *first.FriendlyName != "(857) 382-5169" || *first.Locality != "Boston" || *first.Region != "MA" || *first.RateCenter != "BOSTON" {
		t.Errorf("the first Boston number is %+v", first)
	}
	if *first.Latitude < 42 || *first.Longitude > -71 || !first.Capabilities.Voice || !first.Capabilities.Sms || !first.Capabilities.Mms {
		t.Errorf("place or capabilities of %+v", first)
	}
	seen := map[string]bool{}
	for _, n := range boston {
		if !strings.HasPrefix(*n.PhoneNumber, "+1857") || seen[*n.PhoneNumber] {
			t.Errorf("%s is foreign or twice", *n.PhoneNumber)
		}
		seen[*n.PhoneNumber] = true
	}

	again := start(t, sandbox.Options{Seed: 7}).searchLocal(search().SetAreaCode(857))
	other := start(t, sandbox.Options{Seed: 8}).searchLocal(search().SetAreaCode(857))
	if *again[5].PhoneNumber != *boston[5].PhoneNumber || *other[5].PhoneNumber == *boston[5].PhoneNumber {
		t.Error("the numbers on offer do not follow the seed")
	}

	for _, none := range []int{0, 999, 111} {
		if found := r.searchLocal(search().SetAreaCode(none)); len(found) != 0 {
			t.Errorf("area code %d sells %d numbers", none, len(found))
		}
	}
	for _, n := range r.searchLocal(search().SetInLocality("cambridge").SetInRegion("MA")) {
		if *n.Locality != "Cambridge" {
			t.Errorf("%s is in %s", *n.PhoneNumber, *n.Locality)
		}
	}
	for pattern, digits := range map[string]string{"857382****": "857382", "KITE": "5483", "1617": "1617"} {
		found := r.searchLocal(search().SetContains(pattern))
		if len(found) == 0 {
			t.Errorf("%s finds nothing", pattern)
		}
		for _, n := range found {
			if !strings.Contains(*n.PhoneNumber, digits) {
				t.Errorf("%s finds %s", pattern, *n.PhoneNumber)
			}
		}
	}

	free, err := r.twilio.ListAvailablePhoneNumberTollFree("US", (&api.ListAvailablePhoneNumberTollFreeParams{}).SetLimit(3))
	if err != nil || len(free) != 3 || !strings.HasPrefix(*free[0].PhoneNumber, "+18") || free[0].Locality != nil {
		t.Errorf("toll-free: %v %+v", err, free)
	}
	countries, err := r.twilio.ListAvailablePhoneNumberCountry(nil)
	if err != nil || len(countries) != 1 || *countries[0].CountryCode != "US" {
		t.Errorf("countries: %v %+v", err, countries)
	}
	if _, err := r.twilio.FetchAvailablePhoneNumberCountry("US", nil); err != nil {
		t.Error(err)
	}

	r.twilioWire.broken = true
	_, err = r.twilio.ListAvailablePhoneNumberLocal("US", search().SetAreaCode(12345))
	wantTwilioCode(t, err, 400, 21451)
	_, err = r.twilio.ListAvailablePhoneNumberLocal("US", search().SetContains("a;b"))
	wantTwilioCode(t, err, 400, 20001)
}

func TestNumberLife(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})

	bought, err := r.twilio.CreateIncomingPhoneNumber((&api.CreateIncomingPhoneNumberParams{}).SetPhoneNumber(haiec).
		SetFriendlyName("HAIEC Voice Agent").SetVoiceUrl("https://api.kestrel.test/voice?tenant=haiec"))
	if err != nil {
		t.Fatal(err)
	}
	if *bought.PhoneNumber != haiec || *bought.VoiceMethod != "POST" || *bought.VoiceUrl != "https://api.kestrel.test/voice?tenant=haiec" || *bought.Type != "local" {
		t.Errorf("bought %+v", bought)
	}
	if found := r.searchLocal(search().SetAreaCode(857)); *found[0].PhoneNumber == haiec {
		t.Error("an owned number is still on offer")
	}
	_, err = r.twilio.CreateIncomingPhoneNumber((&api.CreateIncomingPhoneNumberParams{}).SetPhoneNumber(haiec))
	wantTwilioCode(t, err, 400, 21422)

	updated, err := r.twilio.UpdateIncomingPhoneNumber(*bought.Sid, (&api.UpdateIncomingPhoneNumberParams{}).
		SetVoiceFallbackUrl("https://storage.test/fallback.xml").SetVoiceFallbackMethod("GET").
		SetStatusCallback("https://api.kestrel.test/status").SetSmsUrl("https://api.kestrel.test/sms"))
	if err != nil {
		t.Fatal(err)
	}
	if *updated.VoiceUrl != *bought.VoiceUrl || *updated.VoiceFallbackMethod != "GET" || *updated.SmsUrl != "https://api.kestrel.test/sms" {
		t.Errorf("updated %+v", updated)
	}
	fetched, err := r.twilio.FetchIncomingPhoneNumber(*bought.Sid, nil)
	if err != nil || *fetched.StatusCallback != "https://api.kestrel.test/status" {
		t.Errorf("fetched %+v, %v", fetched, err)
	}

	if err := r.twilio.DeleteIncomingPhoneNumber(*bought.Sid, nil); err != nil {
		t.Fatal(err)
	}
	wantTwilioCode(t, r.twilio.DeleteIncomingPhoneNumber(*bought.Sid, nil), 404, 20404)
	_, err = r.twilio.FetchIncomingPhoneNumber(*bought.Sid, nil)
	wantTwilioCode(t, err, 404, 20404)
	if again := r.buy(haiec); *again.Sid == *bought.Sid {
		t.Error("a SID came twice")
	}
}

func TestNumberRefusals(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	r.twilioWire.broken = true
	create := func() *api.CreateIncomingPhoneNumberParams { return &api.CreateIncomingPhoneNumberParams{} }
	sanJuan := *r.searchLocal(search().SetAreaCode(787))[0].PhoneNumber
	for name, c := range map[string]struct {
		params *api.CreateIncomingPhoneNumberParams
		code   int
	}{
		"nothing":          {create(), 400},
		"not a number":     {create().SetPhoneNumber("857-382-5169"), 21421},
		"not on offer":     {create().SetPhoneNumber("+18575550100"), 21422},
		"abroad":           {create().SetPhoneNumber("+442071838750"), 21422},
		"empty area code":  {create().SetAreaCode("999"), 21452},
		"address required": {create().SetPhoneNumber(sanJuan), 21631},
		"relative url":     {create().SetPhoneNumber(haiec).SetVoiceUrl("/voice"), 21402},
		"bad method":       {create().SetPhoneNumber(haiec).SetSmsMethod("PUT"), 21403},
		"lone fallback":    {create().SetPhoneNumber(haiec).SetVoiceFallbackUrl("https://a.test"), 21405},
		"long name":        {create().SetPhoneNumber(haiec).SetFriendlyName(strings.Repeat("é", 65)), 20002},
	} {
		_, err := r.twilio.CreateIncomingPhoneNumber(c.params)
		t.Log(name)
		wantTwilioCode(t, err, 400, c.code)
	}
	if owned := r.sandbox.Numbers(); len(owned) != 0 {
		t.Errorf("a refused purchase left %+v", owned)
	}
	addressed, err := r.twilio.CreateIncomingPhoneNumber(create().SetPhoneNumber(sanJuan).SetAddressSid("AD" + strings.Repeat("1", 32)))
	if err != nil || *addressed.AddressRequirements != "local" {
		t.Errorf("with an address: %v %+v", err, addressed)
	}
	byArea, err := r.twilio.CreateIncomingPhoneNumber(create().SetAreaCode("857"))
	if err != nil || *byArea.PhoneNumber != haiec {
		t.Errorf("by area code: %v %+v", err, byArea)
	}
}

func TestNumberListing(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	for i := range 7 {
		if _, err := r.sandbox.AddNumber(sandbox.Number{PhoneNumber: fmt.Sprintf("+1617200000%d", i), FriendlyName: fmt.Sprintf("Line %d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(p *api.ListIncomingPhoneNumberParams) []api.ApiV2010IncomingPhoneNumber {
		t.Helper()
		found, err := r.twilio.ListIncomingPhoneNumber(p)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if all := list((&api.ListIncomingPhoneNumberParams{}).SetPageSize(3)); len(all) != 7 || *all[0].FriendlyName != "Line 6" {
		t.Errorf("three pages give %d numbers", len(all))
	}
	if found := list((&api.ListIncomingPhoneNumberParams{}).SetFriendlyName("Line 4")); len(found) != 1 || *found[0].PhoneNumber != "+16172000004" {
		t.Errorf("by name: %+v", found)
	}
	if found := list((&api.ListIncomingPhoneNumberParams{}).SetFriendlyName("Line")); len(found) != 0 {
		t.Error("a name is matched in part")
	}
	if found := list((&api.ListIncomingPhoneNumberParams{}).SetPhoneNumber("+16172000002")); len(found) != 1 {
		t.Errorf("by number: %+v", found)
	}
	if found := list((&api.ListIncomingPhoneNumberParams{}).SetPhoneNumber(haiec)); len(found) != 0 {
		t.Error("found a number that is not owned")
	}
	if found := list((&api.ListIncomingPhoneNumberParams{}).SetBeta(true)); len(found) != 0 {
		t.Error("there are no beta numbers")
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	r.buy(haiec)
	message := func() *api.CreateMessageParams {
		return (&api.CreateMessageParams{}).SetTo("+16175550123").SetFrom(haiec).SetBody("Your appointment is at 3")
	}
	sent, err := r.twilio.CreateMessage(message())
	if err != nil || *sent.Status != "queued" || *sent.Direction != "outbound-api" {
		t.Fatalf("%v %+v", err, sent)
	}
	eventually(t, "the message is delivered", func() bool { return r.sandbox.Messages()[0].Status == "delivered" })
	fetched, err := r.twilio.FetchMessage(*sent.Sid, nil)
	if err != nil || *fetched.Status != "delivered" || *fetched.Body != "Your appointment is at 3" {
		t.Errorf("%v %+v", err, fetched)
	}
	listed, err := r.twilio.ListMessage((&api.ListMessageParams{}).SetTo("+16175550123"))
	if err != nil || len(listed) != 1 {
		t.Errorf("%v %+v", err, listed)
	}
	_, err = r.twilio.FetchMessage("SM"+strings.Repeat("0", 32), nil)
	wantTwilioCode(t, err, 404, 20404)

	for code, p := range map[int]*api.CreateMessageParams{
		21604: message().SetTo(""), 21211: message().SetTo("617"), 21603: message().SetFrom(""), 21212: message().SetFrom("Kestrel!"),
		21602: message().SetBody(""), 21617: message().SetBody(strings.Repeat("x", 1601)), 21606: message().SetFrom("+16175550199"), 21266: message().SetTo(haiec),
	} {
		_, err := r.twilio.CreateMessage(p)
		wantTwilioCode(t, err, 400, code)
	}
}

func TestCalls(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	r.buy(haiec)
	call := func() *api.CreateCallParams {
		return (&api.CreateCallParams{}).SetTo("+16175550123").SetFrom(haiec).SetUrl("https://api.kestrel.test/voice")
	}
	if err := r.sandbox.SetPhone(sandbox.Phone{Number: "+16175550123", Answers: sandbox.AnswersNever}); err != nil {
		t.Fatal(err)
	}
	placed, err := r.twilio.CreateCall(call())
	if err != nil || *placed.Status != "queued" || *placed.FromFormatted != "(857) 382-5169" {
		t.Fatalf("%v %+v", err, placed)
	}
	redirected, err := r.twilio.UpdateCall(*placed.Sid, (&api.UpdateCallParams{}).SetTwiml("<Response><Hangup/></Response>"))
	if err != nil || *redirected.Status != "queued" && *redirected.Status != "ringing" {
		t.Errorf("%v %+v", err, redirected)
	}
	ended, err := r.twilio.UpdateCall(*placed.Sid, (&api.UpdateCallParams{}).SetStatus("completed"))
	if err != nil || *ended.Status != "completed" || ended.EndTime == nil || *ended.Duration == "" {
		t.Errorf("%v %+v", err, ended)
	}
	_, err = r.twilio.UpdateCall(*placed.Sid, (&api.UpdateCallParams{}).SetTwiml("<Response/>"))
	wantTwilioCode(t, err, 400, 21220)
	if fetched, err := r.twilio.FetchCall(*placed.Sid, nil); err != nil || *fetched.Status != "completed" {
		t.Errorf("%v %+v", err, fetched)
	}
	if listed, err := r.twilio.ListCall((&api.ListCallParams{}).SetStatus("completed")); err != nil || len(listed) != 1 {
		t.Errorf("%v %+v", err, listed)
	}
	for code, p := range map[int]*api.CreateCallParams{
		21201: call().SetTo(""), 21213: call().SetFrom(""), 21211: call().SetTo("911"), 21212: call().SetFrom("me"), 21205: call().SetUrl(""), 21210: call().SetFrom("+16175550199"),
	} {
		_, err := r.twilio.CreateCall(p)
		wantTwilioCode(t, err, 400, code)
	}
}

func TestTwilioCredentials(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	account, err := r.twilio.FetchAccount(sandbox.DefaultAccountSID)
	if err != nil || *account.Status != "active" {
		t.Errorf("%v %+v", err, account)
	}
	_, err = r.twilio.FetchAccount("AC" + strings.Repeat("1", 32))
	wantTwilioCode(t, err, 404, 20404)
	for sid, token := range map[string]string{sandbox.DefaultAccountSID: "wrong", "ACwrong": sandbox.DefaultAuthToken} {
		_, err := twilioAs(r, sid, token).FetchAccount(sandbox.DefaultAccountSID)
		wantTwilioCode(t, err, 401, 20003)
	}
	other := "AC" + strings.Repeat("2", 32)
	_, err = r.twilio.CreateIncomingPhoneNumber((&api.CreateIncomingPhoneNumberParams{}).SetPathAccountSid(other).SetPhoneNumber(haiec))
	wantTwilioCode(t, err, 404, 20404)
}
