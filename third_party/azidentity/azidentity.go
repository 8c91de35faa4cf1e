// Package azidentity stands in for the ways to sign in to Azure, all of which fail here; see
// third_party/README.md.
package azidentity

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

var errLeftOut = errors.New("saba is built without signing in to Azure")

// Credential is every kind of credential at once. No function returns one.
type Credential struct{}

// GetToken fails.
func (*Credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, errLeftOut
}

// ClientID names a managed identity.
type ClientID string

// ManagedIdentityCredentialOptions are the options of NewManagedIdentityCredential.
type ManagedIdentityCredentialOptions struct {
	azcore.ClientOptions
	ID ClientID
}

// NewManagedIdentityCredential fails.
func NewManagedIdentityCredential(*ManagedIdentityCredentialOptions) (*Credential, error) {
	return nil, errLeftOut
}

// WorkloadIdentityCredentialOptions are the options of NewWorkloadIdentityCredential.
type WorkloadIdentityCredentialOptions struct {
	azcore.ClientOptions
	ClientID, TenantID, TokenFilePath string
}

// NewWorkloadIdentityCredential fails.
func NewWorkloadIdentityCredential(*WorkloadIdentityCredentialOptions) (*Credential, error) {
	return nil, errLeftOut
}

// ClientSecretCredentialOptions are the options of NewClientSecretCredential.
type ClientSecretCredentialOptions struct {
	azcore.ClientOptions
}

// NewClientSecretCredential fails.
func NewClientSecretCredential(tenant, client, secret string, _ *ClientSecretCredentialOptions) (*Credential, error) {
	return nil, errLeftOut
}

// DefaultAzureCredentialOptions are the options of NewDefaultAzureCredential.
type DefaultAzureCredentialOptions struct {
	azcore.ClientOptions
	TenantID string
}

// NewDefaultAzureCredential fails.
func NewDefaultAzureCredential(*DefaultAzureCredentialOptions) (*Credential, error) {
	return nil, errLeftOut
}

// ClientCertificateCredentialOptions are the options of NewClientCertificateCredential.
type ClientCertificateCredentialOptions struct {
	azcore.ClientOptions
	SendCertificateChain bool
}

// NewClientCertificateCredential fails.
func NewClientCertificateCredential(tenant, client string, _ []*x509.Certificate, _ crypto.PrivateKey, _ *ClientCertificateCredentialOptions) (*Credential, error) {
	return nil, errLeftOut
}

// ParseCertificates fails.
func ParseCertificates(certs, password []byte) ([]*x509.Certificate, crypto.PrivateKey, error) {
	return nil, nil, errLeftOut
}
