package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tmaxmax/go-sse"

	"github.com/grafos/grafos/api"
)

const (
	eventStreamType = "text/event-stream"
	maxEventTypes   = 32
)

// events streams changes, as server-sent events or as lines.
func (s *server) events(x *exchange, r *http.Request) error {
	f, err := eventFilter(r)
	if err != nil {
		return err
	}
	x.tellHead(x.Header(), newValues()) // an index that the stream does not begin before, whatever comes meanwhile
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var out sender[api.Event] = newLineWriter[api.Event](x)
	if strings.Contains(r.Header.Get("Accept"), eventStreamType) {
		session, err := sse.Upgrade(x, r)
		if err != nil {
			return api.Refuse(api.Internal, "begin server-sent events: %v", err)
		}
		out = &sseWriter{patience: patienceOf(x), session: session}
		f.Bookmarks = true // a browser keeps them as its Last-Event-ID and shows nobody
	}
	return stream(ctx, cancel, s.config.Services.Events(ctx, f), out, eventKeepAlive)
}

// eventFilter reads the query; a browser that reconnects says in Last-Event-ID where it was.
func eventFilter(r *http.Request) (api.EventFilter, error) {
	q := r.URL.Query()
	f := api.EventFilter{From: q.Get("from"), Provider: api.ProviderID(q.Get("provider")), Tenant: api.TenantID(q.Get("tenant"))}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		f.From = last
	}
	if err := api.CheckFrom(f.From); err != nil {
		return f, err
	}
	switch q.Get("bookmarks") {
	case "", "false":
	case "true":
		f.Bookmarks = true
	default:
		return f, api.Refuse(api.InvalidArgument, "query bookmarks %q is neither true nor false", clip(q.Get("bookmarks"), 40))
	}
	for _, list := range q[paramTypes] {
		for t := range strings.SplitSeq(list, ",") {
			if t != "" {
				f.Types = append(f.Types, t)
			}
		}
	}
	if len(f.Types) > maxEventTypes {
		return f, api.Refuse(api.InvalidArgument, "the query names %d event types: at most %d", len(f.Types), maxEventTypes)
	}
	if len(f.Provider) > api.MaxNameLen || len(f.Tenant) > api.MaxNameLen {
		return f, api.Refuse(api.InvalidArgument, "provider and tenant are at most %d characters", api.MaxNameLen)
	}
	return f, nil
}

// sseWriter writes server-sent events: the cursor is the id and the event the data. Events
// have no name, so that a reader needs one handler; but "gap" and "problem" are named, so
// that nobody takes them for a change. A bookmark is an id without data, which no handler
// sees.
type sseWriter struct {
	patience
	session *sse.Session
}

func (w *sseWriter) begin() error {
	w.more()
	w.x.Header().Set("Content-Type", eventStreamType)
	w.x.WriteHeader(http.StatusOK)
	return w.keepAlive()
}

func (w *sseWriter) send(e api.Event) error {
	m := &sse.Message{ID: sse.ID(e.Cursor.String())}
	switch e.Type {
	case api.EventBookmark:
		w.more()
		return w.took(w.session.Send(m))
	case api.EventGap:
		m.Type = sse.Type(api.EventGap)
	}
	return w.message(m, e)
}

func (w *sseWriter) fail(p *problem) error {
	if err := w.message(&sse.Message{Type: sse.Type("problem")}, p); err != nil {
		return err
	}
	return w.flush()
}

func (w *sseWriter) message(m *sse.Message, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	m.AppendData(string(b))
	w.more()
	return w.took(w.session.Send(m))
}

func (w *sseWriter) keepAlive() error {
	m := &sse.Message{}
	m.AppendComment("ka")
	w.more()
	if err := w.session.Send(m); err != nil {
		return w.took(err)
	}
	return w.flush()
}

func (w *sseWriter) flush() error { return w.took(w.session.Flush()) }

func describeEvents(op *huma.Operation) {
	op.Parameters = []*huma.Param{
		queryParam("from", huma.TypeString, "A cursor index.sub to continue after, now, or oldest (the same as nothing) for all that is still held. Last-Event-ID goes before it."),
		queryParam(paramTypes, huma.TypeString, "Prefixes of event types, separated by commas. It may be given more than once."),
		queryParam("provider", huma.TypeString, "Only this provider's events."),
		queryParam("tenant", huma.TypeString, "Only this tenant's events."),
		queryParam("bookmarks", huma.TypeBoolean, "Tell how far the stream has come, in events of type bookmark: at once, then every 10 s."),
	}
	op.Responses["200"] = &huma.Response{
		Description: "By Accept: one Event a line, or server-sent events whose id is the cursor. A reader that fell behind gets an event of type gap. " +
			"A blank line or a comment comes every 10 s; a stream that ends with an error ends with {\"problem\":...} or an event named problem.",
		Content: map[string]*huma.MediaType{ndjson: {}, eventStreamType: {}},
	}
}
