package capbroker

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// The order of the checks: of two faults, the one that is looked for first is told.
func TestOrderOfChecks(t *testing.T) {
	c := newClock()
	b := newBroker(t, "g-1", "aws-1", c)
	key := newKey(t, false)
	said := func(change func(map[string]any)) string {
		claims := rawClaims(c)
		claims["cnf"] = key.Thumbprint().String()
		change(claims)
		return sealed(t, b, claims, b.footer())
	}
	record := heldLease(key)
	record.Amount = 1
	late := c.Now().Add(-time.Minute)
	good := said(func(map[string]any) {})
	otherKey := base64.RawURLEncoding.EncodeToString([]byte(`{"kid":"x"}`))
	broken := strings.Replace(good, good[40:44], "AAAA", 1)
	other := said(func(m map[string]any) { m["aud"] = "aws-2/data" })
	for _, tc := range []struct {
		name, token string
		record      func(*api.Lease)
		op          string
		want        api.Kind
		says        string
	}{
		{"size before form", strings.Repeat("?", MaxToken+1), nil, OpRead, api.TooLarge, ""},
		{"form before key", "?." + otherKey, nil, OpRead, api.BadSignature, "not a capability token"},
		{"key before signature", broken[:strings.LastIndex(broken, ".")+1] + otherKey, nil, OpRead, api.BadSignature, `signed with key "x"`},
		{"signature before time", strings.Replace(said(func(m map[string]any) { m["nbf"] = c.Now().Add(time.Hour) }), "v4.public.ey", "v4.public.fy", 1), nil, OpRead, api.BadSignature, "verify"},
		{"the audience of another cell before the signature", other[:strings.LastIndex(other, ".")-20] + "AAAA" + other[strings.LastIndex(other, ".")-16:], nil, OpRead, api.WrongAudience, "aws-2"},
		{"audience before time", said(func(m map[string]any) { m["aud"], m["nbf"] = "aws-1", c.Now().Add(time.Hour) }), nil, OpRead, api.WrongAudience, ""},
		{"time before registration", said(func(m map[string]any) { m["iat"], m["exp"], m["cell_epoch"] = late, late.Add(time.Second), 9 }), nil, OpRead, api.TokenExpired, ""},
		{"registration before lease", said(func(m map[string]any) { m["cell_epoch"] = 9 }), func(l *api.Lease) { l.Generation = 9 }, OpRead, api.StaleEpoch, "registration 9"},
		{"epoch before generation", good, func(l *api.Lease) { l.Epoch, l.Generation = 9, 9 }, OpRead, api.StaleEpoch, "epoch 42"},
		{"generation before state", good, func(l *api.Lease) { l.Generation, l.State = 9, api.LeaseFenced }, OpRead, api.StaleGeneration, ""},
		{"state before holder", good, func(l *api.Lease) { l.State = api.LeaseFenced }, OpRead, api.LeaseFencedKind, ""},
		{"holder before caveats", good, func(*api.Lease) {}, OpWrite, api.Unauthenticated, "not proved"},
	} {
		l := record
		if tc.record != nil {
			tc.record(&l)
		}
		err := secondUse(b, tc.token, l, Use{Op: tc.op})
		wantRefusal(t, err, tc.want, tc.says)
		if t.Failed() {
			t.Fatalf("case %s: %v", tc.name, err)
		}
	}
	// The last of them: who is the holder, and asks for what the token does not allow.
	wantRefusal(t, secondUse(b, good, record, Use{Op: OpWrite, Key: key.Thumbprint()}), api.CaveatFailed)
}
