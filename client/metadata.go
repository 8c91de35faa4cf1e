package client

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/saba-monitor/saba"
)

// metadataPath returns the path of the metadata of o, and of one namespace when it is given.
// o.Org is not looked at: the key decides.
func metadataPath(o saba.MetadataOwner, namespace ...string) string {
	segments := []string{"services", o.Service, "roles", o.Role, "metadata"}
	switch {
	case o.Host != "":
		segments = []string{"hosts", o.Host, "metadata"}
	case o.Role == "":
		segments = []string{"services", o.Service, "metadata"}
	}
	return path(append(segments, namespace...)...)
}

// Metadata returns one document of a host, service or role.
func (c *Client) Metadata(ctx context.Context, o saba.MetadataOwner, namespace string) (saba.Metadata, error) {
	p := metadataPath(o, namespace)
	body, header, err := c.raw(ctx, http.MethodGet, p, nil, nil)
	if err != nil {
		return saba.Metadata{}, err
	}
	at, err := http.ParseTime(header.Get("Last-Modified"))
	if err != nil {
		return saba.Metadata{}, &Error{Method: http.MethodGet, Path: p, Status: http.StatusOK, Message: "without a Last-Modified header that holds a date"}
	}
	return saba.Metadata{Namespace: namespace, Value: body, UpdatedAt: at.Unix()}, nil
}

// PutMetadata creates or replaces one document; value is sent byte for byte, for numbers in
// it may be larger than a float64 can hold. The error matches saba.ErrInvalid when it is not JSON.
func (c *Client) PutMetadata(ctx context.Context, o saba.MetadataOwner, namespace string, value json.RawMessage) error {
	p := metadataPath(o, namespace)
	if !json.Valid(value) {
		return saba.Errorf(saba.ErrInvalid, "PUT %s: the document is not JSON", p)
	}
	_, _, err := c.raw(ctx, http.MethodPut, p, nil, value)
	return err
}

// DeleteMetadata deletes one document.
func (c *Client) DeleteMetadata(ctx context.Context, o saba.MetadataOwner, namespace string) error {
	return c.do(ctx, http.MethodDelete, metadataPath(o, namespace), nil, nil, nil)
}

// MetadataNamespaces returns the namespaces of the documents of a host, service or role.
func (c *Client) MetadataNamespaces(ctx context.Context, o saba.MetadataOwner) ([]string, error) {
	var r struct {
		Metadata []struct {
			Namespace string `json:"namespace"`
		} `json:"metadata"`
	}
	if err := c.do(ctx, http.MethodGet, metadataPath(o), nil, nil, &r); err != nil {
		return nil, err
	}
	names := make([]string, len(r.Metadata))
	for i, m := range r.Metadata {
		names[i] = m.Namespace
	}
	return names, nil
}
