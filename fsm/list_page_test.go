package fsm

import (
	"testing"

	"github.com/grafos/grafos/api"
)

func TestPages(t *testing.T) {
	for _, tt := range []struct {
		f  api.LeaseFilter
		ok bool
	}{
		{api.LeaseFilter{}, true},
		{api.LeaseFilter{Page: "0/17"}, true},
		{api.LeaseFilter{Page: "0/0"}, true},
		{api.LeaseFilter{Page: "1/17", Tenant: "acme"}, true},
		{api.LeaseFilter{Page: "1/17"}, false},
		{api.LeaseFilter{Page: "1/17", Tenant: "acme", Run: "r-1"}, false},
		{api.LeaseFilter{Page: "2/17", Tenant: "acme"}, false},
		{api.LeaseFilter{Page: "xx"}, false},
		{api.LeaseFilter{Page: "0/"}, false},
		{api.LeaseFilter{Page: "0/017"}, false},
		{api.LeaseFilter{Page: "0/-1"}, false},
		{api.LeaseFilter{Page: "0/18446744073709551616"}, false},
	} {
		if err := CheckLeasePage(tt.f); (err == nil) != tt.ok || !tt.ok && api.KindOf(err) != api.InvalidArgument {
			t.Errorf("%+v: %v", tt.f, err)
		}
	}
	for _, tt := range []struct {
		f  api.RunFilter
		ok bool
	}{
		{api.RunFilter{}, true},
		{api.RunFilter{Page: "r-5b2"}, true},
		{api.RunFilter{Page: "1/r-5b2", Tenant: "acme"}, true},
		{api.RunFilter{Page: "1/r-5b2"}, false},
		{api.RunFilter{Page: "r-5b2", Tenant: "acme"}, false},
		{api.RunFilter{Page: "xx"}, false},
		{api.RunFilter{Page: "0/xx", Tenant: "acme"}, false},
	} {
		if err := CheckRunPage(tt.f); (err == nil) != tt.ok || !tt.ok && api.KindOf(err) != api.InvalidArgument {
			t.Errorf("%+v: %v", tt.f, err)
		}
	}
}
