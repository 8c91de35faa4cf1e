package saba

import "encoding/json"

// A HostFilter selects hosts. Filled fields combine with AND; the zero value selects every
// live host of the organization.
type HostFilter struct {
	Service          string       // hosts with a role in this service
	Roles            []string     // role names within Service, any of them; ignored without Service
	Name             string       // exact host name
	Statuses         []HostStatus // any of them; empty means all
	CustomIdentifier string       // exact
	RegisteredBy     string       // id of the API key that registered the host
	RetiredSince     int64        // also hosts that were retired at or after this time, in Unix seconds; 0 for none
}

// A HostUpdate changes a host's description. A nil field stays as it is.
type HostUpdate struct {
	Name             string          // required
	Meta             json.RawMessage // required
	DisplayName      *string
	Memo             *string
	CustomIdentifier *string             // "" clears it
	Interfaces       *[]Interface        // replaces all
	AddRoles         []RoleName          // added to those it has; missing services and roles are created
	Checks           *[]CheckDeclaration // replaces all: a check that is not listed is deleted
}

// A Check is a check of a host, and its newest verdict.
type Check struct {
	ID     string
	Host   string // host id
	Name   string
	Memo   string
	Latest CheckReport // the zero CheckReport while none has arrived
}

// A MetadataOwner is what a metadata document hangs on: a host (Host set), a service (Service
// alone), or a role (Service and Role).
type MetadataOwner struct {
	Org     string
	Host    string
	Service string
	Role    string
}

// A Metadata is a JSON document under a namespace of a host, service or role.
type Metadata struct {
	Namespace string
	Value     json.RawMessage // exactly as it was put
	UpdatedAt int64           // Unix seconds
}

// Limits on metadata.
const (
	MaxMetadataSize           = 100 << 10 // bytes a document
	MaxMetadataNamespaces     = 50        // a host or a service
	MaxMetadataRoleNamespaces = 10        // a role
)
