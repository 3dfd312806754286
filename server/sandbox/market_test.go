package sandbox

import "testing"

func TestAreaCodeTable(t *testing.T) {
	t.Parallel()
	m := newMarket(1)
	if len(m.areas) < 250 {
		t.Fatalf("%d area codes were read", len(m.areas))
	}
	seen := map[string]bool{}
	for _, a := range m.areas {
		if seen[a.code] || len(a.code) != 3 || len(a.region) != 2 || len(a.postal) != 5 || len(a.localities) == 0 || a.localities[0] == "" ||
			a.lat < 17 || a.lat > 72 || a.lon > -65 || a.lon < -170 || a.address != "none" && a.address != "local" {
			t.Errorf("bad line: %+v", a)
		}
		seen[a.code] = true
	}
	numbers := map[string]bool{}
	for o := range m.in(m.areas[0], false) {
		if numbers[o.number] || !e164(o.number) || len(o.number) != 12 {
			t.Errorf("bad or second %s", o.number)
		}
		numbers[o.number] = true
		if found, ok := m.find(o.number); !ok || found.locality != o.locality {
			t.Errorf("%s is on offer, but not for sale", o.number)
		}
	}
	if len(numbers) < perAreaCode*9/10 {
		t.Errorf("%d numbers in one area code", len(numbers))
	}
}
