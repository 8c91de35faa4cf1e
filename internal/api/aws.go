package api

import (
	"encoding/json"
	"net/http"

	"github.com/saba-monitor/saba"
)

// awsIn is an integration as clients send it. Of the four secrets and names of accounts, absent keeps what
// there is and null clears it.
type awsIn struct {
	Name         string                     `json:"name"`
	Memo         string                     `json:"memo"`
	Key          json.RawMessage            `json:"key"`
	SecretKey    json.RawMessage            `json:"secretKey"`
	RoleARN      json.RawMessage            `json:"roleArn"`
	ExternalID   json.RawMessage            `json:"externalId"`
	Region       string                     `json:"region"`
	IncludedTags string                     `json:"includedTags"`
	ExcludedTags string                     `json:"excludedTags"`
	Services     map[string]saba.AWSService `json:"services"`
}

func (in awsIn) integration(old saba.AWSIntegration) (a saba.AWSIntegration, err error) {
	a = saba.AWSIntegration{
		ID: old.ID, Name: in.Name, Memo: in.Memo, Key: old.Key, RoleARN: old.RoleARN, ExternalID: old.ExternalID,
		Region: in.Region, IncludedTags: in.IncludedTags, ExcludedTags: in.ExcludedTags, Services: map[string]saba.AWSService{},
	}
	for _, f := range []struct {
		field string
		raw   json.RawMessage
		to    **string
	}{{"key", in.Key, &a.Key}, {"secretKey", in.SecretKey, &a.SecretKey}, {"roleArn", in.RoleARN, &a.RoleARN}, {"externalId", in.ExternalID, &a.ExternalID}} {
		if f.raw == nil {
			continue
		}
		*f.to = nil
		if json.Unmarshal(f.raw, f.to) != nil {
			return a, saba.Invalidf(f.field, "must be a string or null, not %s", jsonKind(f.raw))
		}
		if f.field == "secretKey" && *f.to == nil {
			*f.to = new(string) // null clears it
		}
	}
	for name, service := range in.Services {
		if name == "Route 53" { // as some documents write it
			name = "Route53"
		}
		if service.Role != nil && *service.Role == "" {
			service.Role = nil
		}
		a.Services[name] = service
	}
	if err := a.Check(); err != nil {
		return a, err
	}
	for name, service := range a.Services {
		if service.Role != nil {
			role, err := saba.ParseScope(*service.Role)
			if err != nil {
				return a, err
			}
			service.Role = new(spaced([]saba.Scope{role})[0])
			a.Services[name] = service
		}
	}
	return a, nil
}

// newAWSOut fills in the services that were left out: they are not integrated.
func newAWSOut(a saba.AWSIntegration) saba.AWSIntegration {
	services := make(map[string]saba.AWSService, len(saba.AWSServices))
	for _, name := range saba.AWSServices {
		service := a.Services[name]
		if service.ExcludedMetrics == nil && service.IncludedMetrics == nil {
			service.ExcludedMetrics = &[]string{}
		}
		services[name] = service
	}
	a.Services = services
	return a
}

func (s *server) awsList(w http.ResponseWriter, c *call) error {
	all, err := s.store.AWSIntegrations(c.Context(), c.org)
	return listed(s, w, c, "aws_integrations", all, err, newAWSOut) // the only key of the protocol with an underscore
}

func (s *server) awsShow(w http.ResponseWriter, c *call) error {
	a, err := s.store.AWSIntegration(c.Context(), c.org, c.PathValue("aws"))
	return shown(s, w, c, a, err, newAWSOut)
}

func (s *server) awsCreate(w http.ResponseWriter, c *call) error {
	var in awsIn
	if err := c.decode(&in); err != nil {
		return err
	}
	a, err := in.integration(saba.AWSIntegration{})
	if err != nil {
		return err
	}
	if a.ID, err = s.newID(); err != nil {
		return err
	}
	return shown(s, w, c, a, taken(s.store.CreateAWSIntegration(c.Context(), c.org, a)), newAWSOut)
}

func (s *server) awsUpdate(w http.ResponseWriter, c *call) error {
	var in awsIn
	if err := c.decode(&in); err != nil {
		return err
	}
	a, err := s.store.UpdateAWSIntegration(c.Context(), c.org, c.PathValue("aws"), in.integration)
	return shown(s, w, c, a, taken(err), newAWSOut)
}

func (s *server) awsDelete(w http.ResponseWriter, c *call) error {
	a, err := s.store.DeleteAWSIntegration(c.Context(), c.org, c.PathValue("aws"))
	return shown(s, w, c, a, err, newAWSOut)
}

type externalIDOut struct {
	ExternalID string `json:"externalId"`
}

func (s *server) awsExternalID(w http.ResponseWriter, c *call) error {
	id, err := saba.NewSecret(s.random)
	if err != nil {
		return err
	}
	return s.json(w, c, externalIDOut{id})
}

// awsMetrics names no metric that could be excluded, because saba collects none from AWS.
func (s *server) awsMetrics(w http.ResponseWriter, c *call) error {
	out := make(map[string][]string, len(saba.AWSServices))
	for _, name := range saba.AWSServices {
		out[name] = []string{}
	}
	return s.json(w, c, out)
}

// absent answers for parts of the protocol that saba does not have.
func absent(sentence string) func(*server, http.ResponseWriter, *call) error {
	return func(*server, http.ResponseWriter, *call) error { return saba.Errorf(saba.ErrNotFound, "%s", sentence) }
}
