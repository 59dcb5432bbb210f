package cli

import (
	"bufio"
	"encoding/json"
	"io"
	"os"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// maxAuditLine bounds one record of an exported chain, in bytes.
const maxAuditLine = 1 << 20

// verifyFile checks an exported chain. One that does not begin with the first record is
// checked from where it begins.
func verifyFile(u *ui.UI, dir, file string) error {
	in, name := u.In, "standard input"
	if file != "-" {
		f, err := os.Open(under(dir, file))
		if err != nil {
			return api.Refuse(api.InvalidArgument, "%v", err)
		}
		// Nothing was written that closing could lose.
		defer func() { _ = f.Close() }()
		in, name = f, file
	}
	verdict := &auditVerdict{File: name}
	return verdict.show(u, verdict.read(in, name))
}

func (v *auditVerdict) read(in io.Reader, name string) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxAuditLine)
	var verifier *api.AuditVerifier
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var r api.AuditRecord
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return broken(api.Refuse(api.Conflict, "%s:%d: not an audit record: %v", name, n, err))
		}
		if verifier == nil {
			verifier = beginAt(r)
		}
		if err := v.check(verifier, []api.AuditRecord{r}); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return broken(api.Refuse(api.Conflict, "%s, after %d records: %v", name, v.Records, err))
	}
	if verifier == nil {
		return broken(api.Refuse(api.Conflict, "%s has no audit record", name))
	}
	return nil
}

func beginAt(first api.AuditRecord) *api.AuditVerifier {
	if first.Sequence <= 1 {
		return api.NewAuditVerifier(api.AuditHead{})
	}
	return api.NewAuditVerifier(api.AuditHead{Sequence: first.Sequence - 1, Hash: first.PrevHash})
}
