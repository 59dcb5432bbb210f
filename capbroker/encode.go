package capbroker

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"time"
)

// A token is written here and read by the library: writing is on the path of every admission, and
// costs more than the signature where it goes through maps and reflection. The tests hold what
// is written against what the library writes, byte by byte.

// header is how a token begins.
const header = "v4.public."

// frame is what surrounds the claims of every token of one broker.
type frame struct {
	// before and behind stand around the claims in what is signed (PASETO's pre-authentication
	// encoding of header, claims, footer and implicit assertion), but for the length of the claims.
	before, behind []byte
	footer         string // as it stands in a token
}

func newFrame(footer, implicit []byte) frame {
	before := appendLength(nil, 4)
	before = appendPiece(before, []byte(header))
	behind := appendPiece(nil, footer)
	return frame{
		before: before, behind: appendPiece(behind, implicit),
		footer: "." + base64.RawURLEncoding.EncodeToString(footer),
	}
}

func appendLength(b []byte, n int) []byte { return binary.LittleEndian.AppendUint64(b, uint64(n)) }

func appendPiece(b, piece []byte) []byte { return append(appendLength(b, len(piece)), piece...) }

// unsigned is a token without its signature: what is signed, and where in it the claims stand.
type unsigned struct {
	text       []byte
	start, end int
}

// open writes what is signed of a token.
func (f frame) open(claims body) unsigned {
	const room = 1 << 10 // enough for most; append makes more
	text := append(make([]byte, 0, room), f.before...)
	length := len(text)
	text = appendLength(text, 0)
	start := len(text)
	text = claims.append(text)
	end := len(text)
	binary.LittleEndian.PutUint64(text[length:], uint64(end-start))
	return unsigned{append(text, f.behind...), start, end}
}

// close returns the token. It spoils the text.
func (f frame) close(u unsigned, signature [ed25519.SignatureSize]byte) string {
	payload := append(u.text[:u.end], signature[:]...)[u.start:]
	token := make([]byte, 0, len(header)+base64.RawURLEncoding.EncodedLen(len(payload))+len(f.footer))
	token = append(token, header...)
	token = base64.RawURLEncoding.AppendEncode(token, payload)
	return string(append(token, f.footer...))
}

// append writes the claims as JSON, in the order of their names.
func (b body) append(to []byte) []byte {
	to = strconv.AppendInt(append(to, `{"amount":`...), b.Amount, 10)
	to = appendText(append(to, `,"aud":`...), b.Audience)
	if len(b.Caveats) > 0 {
		to = append(append(to, `,"caveats":`...), b.Caveats...)
	}
	to = strconv.AppendUint(append(to, `,"cell_epoch":`...), b.CellEpoch, 10)
	if b.Holder != "" {
		to = appendText(append(to, `,"cnf":`...), b.Holder)
	}
	to = strconv.AppendUint(append(to, `,"epoch":`...), b.Epoch, 10)
	to = appendTime(append(to, `,"exp":`...), b.ExpiresAt)
	to = strconv.AppendUint(append(to, `,"generation":`...), b.Generation, 10)
	to = appendTime(append(to, `,"iat":`...), b.IssuedAt)
	to = appendText(append(to, `,"iss":`...), b.Issuer)
	to = appendText(append(to, `,"jti":`...), b.ID)
	to = appendText(append(to, `,"kind":`...), string(b.Kind))
	to = appendText(append(to, `,"lease":`...), string(b.LeaseID))
	to = appendTime(append(to, `,"nbf":`...), b.NotBefore)
	if b.Run != "" {
		to = appendText(append(to, `,"run":`...), string(b.Run))
	}
	to = appendText(append(to, `,"sub":`...), string(b.Tenant))
	to = strconv.AppendInt(append(to, `,"v":`...), int64(b.Version), 10)
	return append(to, '}')
}

// appendText writes a string; one with anything but plain ASCII in it as encoding/json does.
func appendText(to []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string can always be encoded
			}
			return append(to, text...)
		}
	}
	to = append(to, '"')
	to = append(to, s...)
	return append(to, '"')
}

// appendTime writes a time in UTC.
func appendTime(to []byte, t time.Time) []byte {
	to = append(to, '"')
	to = t.AppendFormat(to, time.RFC3339Nano)
	return append(to, '"')
}
