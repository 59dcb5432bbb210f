package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
)

// quota is the one setting of a member's behaviour that is not etcd's default: a benchmark
// must not run into the default of 2 GiB.
const quota = 8 << 30

// member runs a member until its input ends or ctx does. Leadership is handed over before
// the end, as etcd's own command does.
func member(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("member", flag.ContinueOnError)
	name := flags.String("name", "", "the member's name")
	dir := flags.String("dir", "", "folder of its data")
	certs := flags.String("certs", "", "folder that certs wrote")
	clients := flags.String("client", "", "host:port for clients")
	peer := flags.String("peer", "", "host:port for peers")
	cluster := flags.String("cluster", "", "name=https://host:port of every member, comma separated")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster, cfg.InitialClusterToken = *name, *dir, *cluster, "bench"
	cfg.LogLevel, cfg.QuotaBackendBytes = "error", quota
	cfg.ClientTLSInfo, cfg.PeerTLSInfo = mutual(*certs), mutual(*certs)
	at := url.URL{Scheme: "https", Host: *clients}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{at}, []url.URL{at}
	at.Host = *peer
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{at}, []url.URL{at}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return fmt.Errorf("start the member: %w", err)
	}
	defer e.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-e.Err():
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err = serve(ctx, in, out, func(ctx context.Context, r request) (answer, error) { return memberDo(ctx, e, r) })
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	return err
}

// mutual demands and shows a certificate.
func mutual(dir string) transport.TLSInfo {
	return transport.TLSInfo{
		CertFile: filepath.Join(dir, certFile), KeyFile: filepath.Join(dir, keyFile),
		TrustedCAFile: filepath.Join(dir, caFile), ClientCertAuth: true,
	}
}

func memberDo(ctx context.Context, e *embed.Etcd, r request) (answer, error) {
	switch r.Do {
	case "state":
		select {
		case <-e.Server.ReadyNotify():
		case <-ctx.Done():
			return answer{}, ctx.Err()
		}
		return answer{Leads: e.Server.Leader() == e.Server.MemberID()}, nil
	case "put": // without a client: what a proposal alone costs
		return load(ctx, r, func(ctx context.Context, worker, n int) error {
			_, err := e.Server.Put(ctx, &etcdserverpb.PutRequest{Key: key(worker, n), Value: value(worker, n)})
			return err
		}), nil
	case "move-leader":
		for _, m := range e.Server.Cluster().Members() {
			if m.ID == e.Server.MemberID() {
				continue
			}
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			return answer{}, e.Server.MoveLeader(ctx, uint64(e.Server.MemberID()), uint64(m.ID))
		}
		return answer{}, errors.New("there is nobody to move to")
	}
	return answer{}, fmt.Errorf("a member does not know %q", r.Do)
}
