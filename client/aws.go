package client

import (
	"context"
	"net/http"

	"github.com/saba-monitor/saba"
)

// wireAWS is an integration as it is sent: with its secret key, which is never read.
type wireAWS struct {
	saba.AWSIntegration
	SecretKey *string `json:"secretKey,omitempty"`
}

// AWSIntegrations returns all integrations with AWS, without their secret keys.
func (c *Client) AWSIntegrations(ctx context.Context) ([]saba.AWSIntegration, error) {
	return listed[saba.AWSIntegration](ctx, c, path("aws-integrations"), "aws_integrations", nil)
}

// AWSIntegration returns an integration, without its secret key.
func (c *Client) AWSIntegration(ctx context.Context, id string) (saba.AWSIntegration, error) {
	return sent[saba.AWSIntegration](ctx, c, http.MethodGet, path("aws-integrations", id), nil)
}

// CreateAWSIntegration creates an integration and returns it as it is kept, with its id; that of a is not looked at.
func (c *Client) CreateAWSIntegration(ctx context.Context, a saba.AWSIntegration) (saba.AWSIntegration, error) {
	return sent[saba.AWSIntegration](ctx, c, http.MethodPost, path("aws-integrations"), wireAWS{a, a.SecretKey})
}

// UpdateAWSIntegration replaces the integration with the id of a, and returns it as it is kept. A secret key that is nil
// stays as it is.
func (c *Client) UpdateAWSIntegration(ctx context.Context, a saba.AWSIntegration) (saba.AWSIntegration, error) {
	return sent[saba.AWSIntegration](ctx, c, http.MethodPut, path("aws-integrations", a.ID), wireAWS{a, a.SecretKey})
}

// DeleteAWSIntegration deletes an integration and returns it as it was.
func (c *Client) DeleteAWSIntegration(ctx context.Context, id string) (saba.AWSIntegration, error) {
	return sent[saba.AWSIntegration](ctx, c, http.MethodDelete, path("aws-integrations", id), nil)
}

// NewAWSExternalID returns an external id for the role of an integration that is to be made.
func (c *Client) NewAWSExternalID(ctx context.Context) (string, error) {
	r, err := sent[struct {
		ExternalID string `json:"externalId"`
	}](ctx, c, http.MethodPost, path("aws-integrations-external-id"), nil)
	return r.ExternalID, err
}

// AWSExcludableMetrics returns the metrics that an integration may leave out, by service of AWS.
func (c *Client) AWSExcludableMetrics(ctx context.Context) (map[string][]string, error) {
	return sent[map[string][]string](ctx, c, http.MethodGet, path("aws-integrations-excludable-metrics"), nil)
}
