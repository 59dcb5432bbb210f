package fsm

import "github.com/grafos/grafos/api"

// InitCluster names the cluster and makes the providers of its configuration. Every leader
// sends it first; after the first time it only adds providers that are missing.
type InitCluster struct {
	ClusterID string         `json:"cluster_id"`
	Providers []api.Provider `json:"providers"`
}

// Kind returns KindInitCluster.
func (InitCluster) Kind() Kind { return KindInitCluster }

// apply refuses another cluster's id with conflict: this node's disk belongs elsewhere.
// Providers that exist stay as they are, whatever the configuration says now.
func (c InitCluster) apply(s *State) (Result, *api.Error) {
	if p := c.check(); p != nil {
		return Result{}, p
	}
	if id := s.meta.ClusterID; id != "" && id != c.ClusterID {
		return Result{}, api.Refuse(api.Conflict, "this state belongs to cluster %s, not to %s", id, c.ClusterID).
			WithHint("the node was started with the material of one cluster and the data of another")
	}
	if s.meta.ClusterID == "" {
		s.meta.ClusterID = c.ClusterID
		s.writes++
	}
	for _, p := range c.Providers {
		if _, ok := s.Provider(p.ID); ok {
			continue
		}
		if p.Ownership == "" {
			p.Ownership = api.OwnedByCustomer
		}
		p.Since = s.Wall()
		s.putProvider(p)
		s.event(eventProviderCreated, scheduler, subject{Provider: p.ID}, providerFact{Provider: p.ID, Enabled: p.Enabled})
	}
	return Result{}, nil
}

func (c InitCluster) check() *api.Error {
	if p := checkID("cluster id", c.ClusterID); p != nil {
		return p
	}
	if len(c.Providers) > maxProviders {
		return api.Refuse(api.TooLarge, "%d providers: at most %d are taken", len(c.Providers), maxProviders)
	}
	for _, p := range c.Providers {
		if err := checkName("provider", string(p.ID)); err != nil {
			return err
		}
		switch p.Ownership {
		case "", api.OwnedByCustomer, api.OwnedManaged:
		default:
			return api.Refuse(api.InvalidArgument, "provider %s has an ownership that is neither customer nor managed", p.ID)
		}
	}
	return nil
}
