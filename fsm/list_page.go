package fsm

import (
	"strconv"
	"strings"

	"github.com/grafos/grafos/api"
)

// CheckLeasePage refuses an f.Page that ListLeases gives to nobody: it would begin the list afresh.
func CheckLeasePage(f api.LeaseFilter) error {
	if f.Page == "" {
		return nil
	}
	part, epoch, _ := strings.Cut(f.Page, "/")
	n, err := strconv.ParseUint(epoch, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != epoch || part != "0" && (part != "1" || f.Tenant == "" || f.Run != "") {
		return noPage(f.Page)
	}
	return nil
}

// CheckRunPage refuses an f.Page that ListRuns gives to nobody.
func CheckRunPage(f api.RunFilter) error {
	if f.Page == "" {
		return nil
	}
	part, id := "0", f.Page
	if f.Tenant != "" {
		part, id, _ = strings.Cut(f.Page, "/")
	}
	if part != "0" && part != "1" || !strings.HasPrefix(id, runPrefix) || checkID("run id", id) != nil {
		return noPage(f.Page)
	}
	return nil
}

// runPrefix is what every run's id begins with.
const runPrefix = "r-"

func noPage(page string) error {
	e := api.Refuse(api.InvalidArgument, "page_token %.40q is none that this list gave", page).
		WithHint("take next_page_token of the page before, with the same filter; without one the list begins")
	e.Errors = []api.FieldError{{Location: "query.page_token", Message: "no page of this list"}}
	return e
}
